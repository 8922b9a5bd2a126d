"""Totals of a study, a trial and an attempt, as callers meet them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from wazir.clients.client import Client
from wazir.domain import totals
from wazir.domain.attempt import AttemptState, Cause, RetryPolicy
from wazir.domain.errors import FailedPrecondition, InvalidArgument
from wazir.domain.study import StudySpec
from wazir.domain.template import TrialTemplate
from wazir.domain.trial import TrialState
from wazir.proto.v1 import study_pb2, trial_pb2
from wazir.proto.v1 import study_service_pb2 as api
from wazir.service import attempts, trials
from wazir.service.settings import ServiceSettings

from ..security.serving import SPEC, Served, serving

TEXT = "x" * 65_000


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(ServiceSettings()) as served:
        yield served


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with Client(served.address, retry_for=0) as client:
        client.create_study("s", SPEC)
        yield client


def test_metadata_that_comes_bit_by_bit_meets_the_limit_too(client: Client) -> None:
    client.create_trial("s", {"x": 0.5}, metadata={"a": TEXT})
    for key in "bcd":
        client.update_metadata("s/1", {key: TEXT})
    with pytest.raises(InvalidArgument, match="at most 262144 bytes"):
        client.update_metadata("s/1", {"e": TEXT})
    client.update_metadata("s/1", {"e": TEXT}, remove=["a"])
    assert sorted(client.get_trial("s/1").metadata) == ["b", "c", "d", "e"]


def test_a_study_has_room_for_more(client: Client) -> None:
    for number in range(16):
        client.update_metadata("s", {f"k{number}": TEXT})
    with pytest.raises(InvalidArgument, match="at most 1048576 bytes"):
        client.update_metadata("s", {"k16": TEXT})


def test_words_at_an_end_are_cut_with_a_mark(client: Client) -> None:
    client.suggest("s", client_id="w", start=True)
    client.heartbeat("s/1", 1, state=AttemptState.RUNNING, message="m" * 5_000)
    seen = client.get_trial("s/1").attempt
    assert seen is not None
    assert (len(seen.message), seen.message[-10:]) == (4_000, "m... (cut)")

    client.end_attempt("s/1", 1, Cause.CODE_FAILED, message="r" * 5_000, log_tail="l" * 20_000)
    ended = client.get_trial("s/1")
    assert ended.attempt is not None
    assert (len(ended.attempt.log_tail), ended.attempt.log_tail[:10]) == (16 * 1024, "... (cut)\n")
    assert ended.attempt.message.endswith("r... (cut)")
    assert ended.reason.endswith("r... (cut)")


def test_final_metrics_are_counted(client: Client) -> None:
    client.suggest("s", client_id="w", start=True)
    with pytest.raises(InvalidArgument, match="final_metrics = 1001: at most 1000 are possible"):
        client.end_attempt("s/1", 1, Cause.SUCCEEDED, final={f"m{i}": 0.0 for i in range(1_001)})
    assert client.get_trial("s/1").state is TrialState.ACTIVE


def test_a_trial_has_so_many_attempts_and_no_more(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (totals, attempts, trials):
        monkeypatch.setattr(module, "MAX_ATTEMPTS", 3)
    template = TrialTemplate(command=("true",), retries=RetryPolicy(failed=10))
    client.create_study("r", StudySpec(SPEC.objectives, SPEC.space, algorithm=SPEC.algorithm, trial=template))
    client.suggest("r")
    for number in (1, 2, 3):
        client.start_attempt("r/1", client_id="w")
        ended = client.end_attempt("r/1", number, Cause.CODE_FAILED)
        assert ended.state is (TrialState.REQUESTED if number < 3 else TrialState.FAILED)
    with pytest.raises(FailedPrecondition, match="has had 3 attempts, which are the most"):
        client.retry_trial("r/1")


ACTIVE, OPEN = trial_pb2.TRIAL_STATE_ACTIVE, study_pb2.STUDY_STATE_ACTIVE
NAMES = trial_pb2.ParameterNames(names=["x"] * 1_001)
HUGE: list[tuple[str, Any, str]] = [
    ("ListTrials", api.ListTrialsRequest(states=[ACTIVE] * 101), "states = 101: at most 100"),
    ("ListStudies", api.ListStudiesRequest(parent="owners/default", states=[OPEN] * 101), "states = 101: at most 100"),
    ("ReportMeasurements", api.ReportMeasurementsRequest(measurements=[trial_pb2.Measurement()] * 10_001), "10001"),
    ("EndAttempt", api.EndAttemptRequest(cause=trial_pb2.CAUSE_SUCCEEDED, asked=NAMES), "asked = 1001: at most 1000"),
    ("AddParameter", api.AddParameterRequest(asked=NAMES), "asked = 1001: at most 1000"),
    ("Heartbeat", api.HeartbeatRequest(devices=["x"] * 1_025), "devices = 1025: at most 1024"),
    ("UpdateMetadata", api.UpdateMetadataRequest(remove=["x"] * 257), "remove = 257: at most 256"),
]


@pytest.mark.parametrize(("method", "request_", "told"), HUGE, ids=[name for name, *_ in HUGE])
def test_lists_are_counted_before_they_are_looked_at(
    client: Client, served: Served, method: str, request_: Any, told: str
) -> None:
    for field, name in (("parent", "owners/default/studies/s"), ("name", "s/1"), ("attempt", 1)):
        if field in request_.DESCRIPTOR.fields_by_name and not getattr(request_, field):
            setattr(request_, field, name)
    if method == "AddParameter":
        request_.parameter.name = "x"
        request_.parameter.double_range.max = 1.0
    with pytest.raises(grpc.RpcError) as caught:
        served.call(method, request_, trial_pb2.Trial)
    refused: Any = caught
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert told in str(refused.value.details())
