"""The server as clients meet it: health, reflection, errors with details, watching, limits, and its end."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from wazir.clients.client import Client
from wazir.domain.attempt import Cause
from wazir.domain.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, SpecChanged, Unavailable
from wazir.domain.metric import Goal, Objective
from wazir.domain.names import StudyName
from wazir.domain.space import Double, Parameter, Space
from wazir.domain.study import Algorithm, Budget, StudySpec, StudyState
from wazir.domain.trial import TrialState
from wazir.proto.v1 import study_service_pb2 as api
from wazir.proto.v1 import study_service_pb2_grpc
from wazir.service.server import SERVICE_NAME, Server
from wazir.service.settings import ServiceSettings
from wazir.storage.memory import MemoryStore
from wazir.wire.study import spec_to_wire

SPEC = StudySpec(
    (Objective("loss", Goal.MINIMIZE),), Space((Parameter("x", Double(0.0, 1.0)),)), algorithm=Algorithm("random")
)


class Running:
    """A server on a loop in a thread."""

    def __init__(self, settings: ServiceSettings | None = None) -> None:
        self._settings = settings
        self._store = MemoryStore()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._thread.start()
        self._ready.wait()

    async def _main(self) -> None:
        self.server = Server(self._store, ["127.0.0.1:0"], self._settings)
        await self.server.start()
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self.address = f"127.0.0.1:{self.server.ports[0]}"
        self._ready.set()
        await self._end.wait()
        await self.server.stop()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()
        self._store.close()


@pytest.fixture
def running() -> Iterator[Running]:
    server = Running()
    yield server
    server.stop()


@pytest.fixture
def client(running: Running) -> Iterator[Client]:
    with Client(running.address, retry_for=0) as client:
        yield client


def test_a_study_goes_from_start_to_end_over_the_wire(client: Client) -> None:
    study = client.create_study("s", SPEC)
    assert (study.name, study.state, study.spec.space) == (StudyName("default", "s"), StudyState.ACTIVE, SPEC.space)
    (trial,) = client.suggest("s", client_id="w", start=True).trials
    client.report(trial.name, 1, [])
    ended = client.end_attempt(trial.name, 1, Cause.SUCCEEDED, final={"loss": 0.5})
    assert ended.state is TrialState.SUCCEEDED
    assert [t.id for t in client.best_trials("s")] == [1]
    assert client.stop_study("s").state is StudyState.COMPLETED
    client.delete_study("s")
    with pytest.raises(NotFound):
        client.get_study("s")


def test_health_and_reflection_answer_generic_clients(running: Running) -> None:
    with grpc.insecure_channel(running.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE_NAME):
            answer = health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        (listed,) = stub.ServerReflectionInfo(iter([request]))
        assert SERVICE_NAME in [s.name for s in listed.list_services_response.service]


def test_an_error_names_its_reason_and_field(running: Running) -> None:
    with grpc.insecure_channel(running.address) as channel:
        stub = study_service_pb2_grpc.StudyServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.CreateStudy(api.CreateStudyRequest(parent="owners/default", study_id="Not a name"))
    error: Any = caught.value
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    trailers = dict(error.trailing_metadata())
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    status.details[0].Unpack(info)
    status.details[1].Unpack(bad)
    assert (info.domain, info.reason) == ("wazir", "INVALID_ARGUMENT")
    assert bad.field_violations[0].field == "study"
    assert "not-a-name" in error.details()


def test_an_enum_value_of_a_newer_client_is_refused_and_changes_nothing(running: Running) -> None:
    name = "owners/default/studies/s"
    new: Any = 99
    create = api.CreateStudyRequest(parent="owners/default", study_id="s", on_existing=new)
    create.study.spec.CopyFrom(spec_to_wire(SPEC))
    with grpc.insecure_channel(running.address) as channel:
        stub = study_service_pb2_grpc.StudyServiceStub(channel)
        with pytest.raises(grpc.RpcError, match=r"on_existing = 99: is an enum value that this version does not know"):
            stub.CreateStudy(create)
        create.on_existing = api.ON_EXISTING_UNSPECIFIED
        stub.CreateStudy(create)  # the name is free still
        with pytest.raises(grpc.RpcError, match=r"on_timeout = 99: is an enum value that this version does not know"):
            stub.SuggestTrials(api.SuggestTrialsRequest(parent=name, on_timeout=new))
        assert not stub.ListTrials(api.ListTrialsRequest(parent=name)).trials


def test_a_taken_name_is_refused_and_resumed_only_with_the_same_space(client: Client) -> None:
    client.create_study("s", SPEC)
    with pytest.raises(AlreadyExists):
        client.create_study("s", SPEC)
    raised = StudySpec(SPEC.objectives, SPEC.space, algorithm=SPEC.algorithm, budget=Budget(trials=5))
    assert client.create_study("s", raised, resume=True).spec.budget.trials == 5
    other = StudySpec(
        (Objective("loss", Goal.MAXIMIZE),), Space((Parameter("x", Double(0.0, 2.0)),)), algorithm=SPEC.algorithm
    )
    with pytest.raises(SpecChanged, match=r"parameters\.x, objective"):
        client.create_study("s", other, resume=True)
    assert client.get_study("s").spec.space == SPEC.space


@pytest.mark.parametrize(
    ("algorithm", "objectives", "message"),
    [
        (Algorithm("tep"), SPEC.objectives, r'algorithm\.name = "tep": is not known. Did you mean "tpe"\?'),
        (
            Algorithm("tpe", settings={"startups": 5}),
            SPEC.objectives,
            r'algorithm\.startups = 5: no such setting. Did you mean "startup"\?',
        ),
        (Algorithm("tpe", settings={"gamma": "low"}), SPEC.objectives, r'algorithm\.gamma = "low": must be a number'),
        (
            Algorithm("tpe", settings={"gamma": 2.0}),
            SPEC.objectives,
            r"algorithm\.gamma = 2\.0: must be at most 0\.999",
        ),
        (
            Algorithm("gp"),
            (*SPEC.objectives, Objective("cost", Goal.MINIMIZE)),
            r'algorithm\.name = "gp": has one objective',
        ),
        (Algorithm("hyperband"), SPEC.objectives, r"algorithm\.max = null: is missing"),
    ],
)
@pytest.mark.parametrize("space", [SPEC.space, None], ids=["declared", "growing"])
def test_an_algorithm_that_cannot_work_is_refused_when_the_study_is_made_or_changed(
    client: Client, algorithm: Algorithm, objectives: tuple[Objective, ...], message: str, space: Space | None
) -> None:
    spec = replace(SPEC, objectives=objectives, space=space)
    with pytest.raises(InvalidArgument, match=message):
        client.create_study("s", replace(spec, algorithm=algorithm))
    assert list(client.list_studies()) == []
    client.create_study("s", replace(spec, algorithm=Algorithm("random")))
    with pytest.raises(InvalidArgument, match=message):
        client.create_study("s", replace(spec, algorithm=algorithm), resume=True)
    assert client.get_study("s").spec.algorithm.name == "random"


def test_a_missing_extra_is_named_when_the_study_is_made(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skopt", None)
    monkeypatch.delitem(sys.modules, "wazir.suggestion.designers.bayesian", raising=False)
    with pytest.raises(InvalidArgument, match=r"needs 'skopt', which is not installed. .*wazir\[skopt\]"):
        client.create_study("s", replace(SPEC, algorithm=Algorithm("bayesian")))


def test_validation_only_writes_nothing(client: Client) -> None:
    assert client.create_study("s", SPEC, validate_only=True).state is StudyState.ACTIVE
    assert list(client.list_studies()) == []


def test_an_update_changes_the_named_parts_only_and_honours_the_etag(client: Client) -> None:
    study = client.create_study("s", SPEC)
    wanted = StudySpec(
        SPEC.objectives, SPEC.space, algorithm=SPEC.algorithm, budget=Budget(trials=7), labels={"a": "b"}
    )
    updated = client.update_study("s", wanted, ["budget"], etag=study.etag)
    assert (updated.spec.budget.trials, dict(updated.spec.labels)) == (7, {})
    with pytest.raises(InvalidArgument, match="space"):
        client.update_study("s", wanted, ["space"])


def test_a_raised_budget_makes_a_completed_study_active_again(client: Client) -> None:
    client.create_study("s", StudySpec(SPEC.objectives, SPEC.space, algorithm=SPEC.algorithm, budget=Budget(trials=1)))
    (trial,) = client.suggest("s", start=True).trials
    client.end_attempt(trial.name, 1, Cause.SUCCEEDED, final={"loss": 1.0})
    assert client.get_study("s").state is StudyState.COMPLETED
    more = StudySpec(SPEC.objectives, SPEC.space, algorithm=SPEC.algorithm, budget=Budget(trials=2))
    assert client.update_study("s", more, ["budget"]).state is StudyState.ACTIVE
    assert len(client.suggest("s", start=True).trials) == 1


def test_lists_come_in_pages_and_filtered(client: Client) -> None:
    client.create_study("s", SPEC)
    client.suggest("s", 1000)
    client.suggest("s", 3, start=True)
    ids = [t.id for t in client.list_trials("s")]
    assert ids == list(range(1, 1001))
    assert [t.id for t in client.list_trials("s", states=frozenset({TrialState.ACTIVE}))] == [1, 2, 3]
    assert next(iter(client.list_trials("s", descending=True))).id == 1000


def test_a_watcher_sees_every_change_in_order_and_the_deletion(client: Client, running: Running) -> None:
    client.create_study("s", SPEC)
    seen: list[tuple[int, TrialState]] = []
    gone = threading.Event()
    first = threading.Event()

    def watch() -> None:
        with Client(running.address, retry_for=0) as other:
            try:
                for changes in other.watch_trials("s"):
                    first.set()
                    seen.extend((t.id, t.state) for t in changes.trials)
            except NotFound:
                gone.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    first.wait()
    (trial,) = client.suggest("s", start=True).trials
    client.end_attempt(trial.name, 1, Cause.SUCCEEDED, final={"loss": 1.0})
    client.delete_study("s", force=True)
    watcher.join()
    assert gone.is_set()
    assert [s for _, s in seen if s in (TrialState.ACTIVE, TrialState.SUCCEEDED)] == sorted(
        (s for _, s in seen), key=[TrialState.ACTIVE, TrialState.SUCCEEDED].index
    )


def test_an_ending_service_does_not_wait_for_its_watchers() -> None:
    """It gives calls in flight a day here."""
    running = Running(ServiceSettings(drain=86_400.0))
    with Client(running.address, retry_for=0) as client:
        client.create_study("s", SPEC)
        watches: list[Iterator[object]] = [client.watch_trials("s"), client.watch_studies()]
        for watch in watches:
            next(watch)
        running.stop()
        for watch in watches:
            with pytest.raises(Unavailable):
                next(watch)


def test_a_port_in_use_is_refused(running: Running) -> None:
    async def second() -> None:
        await Server(MemoryStore(), [running.address]).start()

    with pytest.raises(FailedPrecondition, match="in use"):
        asyncio.run(second())


def test_metadata_is_set_and_removed(client: Client) -> None:
    client.create_study("s", SPEC)
    client.update_metadata("s", {"a": "1", "b": "2"}, [])
    client.update_metadata("s", {"c": "3"}, ["a"])
    assert dict(client.get_study("s").metadata) == {"b": "2", "c": "3"}
