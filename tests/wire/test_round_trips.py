"""What goes over the wire comes back equal, types and fractions kept."""

from __future__ import annotations

import math
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain import errors
from wazir.domain.algorithm_status import AlgorithmStatus
from wazir.domain.attempt import Attempt, AttemptState, Cause, RetryPolicy
from wazir.domain.metric import Goal, Objective, Pick, SafetyMetric
from wazir.domain.names import StudyName
from wazir.domain.progress import MetricProgress, Pace, StudyProgress, TrialProgress
from wazir.domain.space import Categorical, Condition, Discrete, Double, Integer, Parameter, Scale, Space
from wazir.domain.study import Algorithm, Budget, Counts, EndReason, Stopping, Study, StudySpec, StudyState, Thinning
from wazir.domain.template import MetricsFrom, MetricsSource, Resources, Runtime, TrialTemplate
from wazir.domain.trial import Measurement, Origin, Provenance, StopGoal, Trial, TrialState
from wazir.proto.v1 import types_pb2
from wazir.wire.errors import STATUS_KEY, from_rpc, to_status
from wazir.wire.progress import progress_from_wire, progress_to_wire
from wazir.wire.scalars import seconds_of, timestamp, value_from_wire, value_to_wire
from wazir.wire.study import spec_from_wire, spec_to_wire, study_from_wire, study_to_wire
from wazir.wire.trial import measurement_from_wire, measurement_to_wire, trial_from_wire, trial_to_wire

SPACE = Space(
    (
        Parameter("lr", Double(1e-5, 0.1, Scale.LOG), default=1e-3),
        Parameter("drop", Double(0.0, 0.5, step=0.1)),
        Parameter("layers", Integer(0, 8, step=2), default=0),
        Parameter("batch", Discrete((16, 32, 64.5), Scale.REVERSE_LOG)),
        Parameter("opt", Categorical(("sgd", True, 1, "1"))),
        Parameter("momentum", Double(0.5, 0.99), when=(Condition("opt", ("sgd",)), Condition("layers", min=2))),
    ),
    ("batch * layers <= 512",),
)

SPEC = StudySpec(
    objectives=(Objective("val/loss", Goal.MINIMIZE, target=0.0, pick=Pick.BEST), Objective("acc", Goal.MAXIMIZE)),
    space=SPACE,
    safety=(SafetyMetric("latency", at_most=0.0),),
    algorithm=Algorithm("random", seed=0, repeats=3, settings={"points": 10, "rate": 1.0, "deep": {"a": [1, True]}}),
    stopping=Stopping("median", {"min": 5}),
    budget=Budget(trials=200, parallel=8, failed=0, duration=43_200.5, gpu_hours=400.25),
    trial=TrialTemplate(
        command=("python", "train.py", "${args}"),
        env={"DATA": "/data"},
        workdir="/tmp",
        runtime=Runtime.LOCAL,
        image="registry/train:1.4",
        resources=Resources(0.5, 2.0, 64 * 2**30),
        timeout=0.25,
        grace=0.0,
        retries=RetryPolicy(1, 0),
        metrics=MetricsSource(MetricsFrom.STDOUT, r"(?P<name>\w+)=(?P<value>\S+)"),
    ),
    labels={"team": "vision"},
)

NAME = StudyName("default", "resnet")


def test_a_specification_comes_back_equal() -> None:
    assert spec_from_wire(spec_to_wire(SPEC)) == SPEC


def test_what_is_left_out_is_not_taken_for_zero() -> None:
    bare = StudySpec(objectives=(Objective("loss", Goal.MINIMIZE),), space=None)
    back = spec_from_wire(spec_to_wire(bare))
    assert back == bare
    assert back.budget == Budget()
    assert back.algorithm.seed is None


def test_a_study_comes_back_as_clients_see_it() -> None:
    study = Study(
        NAME,
        "0f" * 16,
        SPEC,
        StudyState.COMPLETED,
        create_time=1_763_000_000.123456,
        seed=2**63 - 1,
        ending=EndReason.TARGET,
        reason="trial 7 reached it",
        end_time=1_763_000_100.5,
        counts=Counts({TrialState.SUCCEEDED: 7, TrialState.CANCELLED: 1}),
        gpu_seconds=0.5,
        revision=31,
        growing=True,
        metadata={"note": "ü"},
        algorithm_status=AlgorithmStatus(
            chosen="gp", chosen_because="so", stand_ins=3, stand_in_reason="late", failed_rounds=2
        ),
        thinning=Thinning(200, 1_763_000_200.25),
    )
    assert study_from_wire(study_to_wire(study)) == study


@pytest.mark.parametrize("whole_steps", [None, 0, 81])
def test_progress_comes_back_equal(whole_steps: int | None) -> None:
    metrics = (
        MetricProgress("val/loss", 7, math.inf, rank=3, ranked=17, curve=((0, 1.5), (7, math.inf))),
        MetricProgress("acc", 0, -0.0, rank=1, ranked=1, curve=()),
    )
    pace = Pace(2, first_step=0, first_time=1.25, last_step=7, last_time=1_763_000_000.5)
    progress = StudyProgress((TrialProgress(17, pace, metrics), TrialProgress(2**40, pace, ())), whole_steps, 3.5)
    assert progress_from_wire(progress_to_wire(progress)) == progress


def test_a_trial_comes_back_equal() -> None:
    attempts = (
        Attempt(1, AttemptState.ENDED, 1.5, "w1", end_time=2.25, cause=Cause.LEASE_LOST, message="gone"),
        Attempt(
            2,
            AttemptState.RUNNING,
            3.0,
            "w2",
            leased=False,
            lease_seconds=15.0,
            run_time=3.125,
            exit_code=0,
            log_tail="x\n",
            log_path="/l",
            node="n",
            devices=("0", "1"),
            gpus=2.0,
            infeasible="no",
            why="gone",
        ),
    )
    trial = Trial(
        NAME.trial(17),
        TrialState.STOPPING,
        {"lr": 1e-3, "layers": 0, "opt": True},
        create_time=0.5,
        origin=Origin.SUGGESTED,
        provenance=Provenance("random", 2, 3, 0, 1, "aa", "bb", True, "why", {"mean": 0.0}),
        client_id="w2",
        attempts=attempts,
        final={"val/loss": 0.0},
        final_step=0,
        reason="step 9: rank 7 of 8",
        goal=StopGoal.PAUSE,
        start_time=1.5,
        end_time=None,
        labels={"a": "b"},
        metadata={"k": ""},
        revision=9,
        until_step=0,
        checkpoint_of=3,
    )
    assert trial_from_wire(trial_to_wire(trial)) == trial


@given(st.one_of(st.booleans(), st.integers(-(2**63) + 1, 2**63 - 1), st.floats(allow_nan=False), st.text()))
def test_a_value_keeps_its_type(value: bool | int | float | str) -> None:
    back = value_from_wire(types_pb2.Value.FromString(value_to_wire(value).SerializeToString()), "v")
    assert (type(back), back) == (type(value), value)


@given(st.floats(1e9, 4e9))
def test_a_time_keeps_its_fraction(seconds: float) -> None:
    assert seconds_of(timestamp(seconds)) == seconds


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, 5e-324])
def test_a_measurement_is_stored_as_it_was_reported(value: float) -> None:
    measurement = Measurement(0, {"loss": value}, 12.5)
    back = measurement_from_wire(measurement_to_wire(measurement), now=99.0)
    assert (back.step, back.time) == (0, 12.5)
    assert repr(back.metrics["loss"]) == repr(value)


def test_an_enum_value_of_a_newer_client_is_refused_by_name() -> None:
    message = spec_to_wire(SPEC)
    message.objectives[0].goal = 77  # type: ignore[assignment]
    with pytest.raises(errors.InvalidArgument, match=r"objectives\[0\].goal = 77"):
        spec_from_wire(message)


class _Failed(grpc.RpcError):
    """A failed call, as grpc raises it."""

    code: Any
    details: Any
    trailing_metadata: Any

    def __init__(self, code: grpc.StatusCode, details: str, trailers: tuple[tuple[str, bytes], ...]) -> None:
        super().__init__()
        self.code = lambda: code
        self.details = lambda: details
        self.trailing_metadata = lambda: trailers


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidArgument("parameters.lr.min", 0, "must be above 0", "Raise it"),
        errors.NotFound("resnet/17"),
        errors.AlreadyExists("resnet"),
        errors.FailedPrecondition("no"),
        errors.IllegalMove("resnet/17", "SUCCEEDED", "ACTIVE"),
        errors.RequestIdReused("abc"),
        errors.SpecChanged("resnet", ["parameters.lr"]),
        errors.Aborted("again"),
        errors.StaleAttempt("resnet/17", 1, 2, ended=False),
        errors.RevisionCompacted("resnet", 3, 9),
        errors.ResourceExhausted("full"),
        errors.RateLimited("more than 5 calls a second", 0.25),
        errors.DeadlineExceeded("late"),
        errors.Unavailable("away"),
        errors.Unauthenticated("who"),
        errors.PermissionDenied("no"),
        errors.Unimplemented("what"),
        errors.Internal("oops"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_an_error_arrives_as_the_class_it_was(error: errors.WazirError) -> None:
    code, status = to_status(error)
    back = from_rpc(_Failed(code, error.message, ((STATUS_KEY, status.SerializeToString()),)))
    assert type(back) is type(error)
    assert (back.message, back.field, back.details) == (error.message, error.field, error.details)


@pytest.mark.parametrize(
    "error",
    [errors.RateLimited("more than 5 calls a second", 0.25), errors.Unavailable("away", retry_after=0.25)],
    ids=lambda e: type(e).__name__,
)
def test_how_long_to_wait_is_told_in_the_standard_way_and_taken_from_anybody(
    error: errors.RateLimited | errors.Unavailable,
) -> None:
    code, status = to_status(error)
    retry = error_details_pb2.RetryInfo()
    (told,) = (detail for detail in status.details if detail.Is(retry.DESCRIPTOR))
    told.Unpack(retry)
    assert retry.retry_delay.ToNanoseconds() == 250_000_000
    # A proxy's: without our own reason.
    del status.details[:]
    status.details.append(told)
    back = from_rpc(_Failed(code, "slow down", ((STATUS_KEY, status.SerializeToString()),)))
    assert isinstance(back, errors.RateLimited | errors.Unavailable)
    assert type(back) is type(error)
    assert (back.message, back.retry_after) == (status.message, 0.25)


@pytest.mark.parametrize(("told", "understood"), [("", 0.0), ("soon", 0.0), ("nan", 0.0), ("-1", 0.0), ("1e9", 3600.0)])
def test_a_wait_that_makes_no_sense_is_not_kept_to(told: str, understood: float) -> None:
    assert errors.RateLimited.restore("slow down", "", {"retry_after": told}).retry_after == understood


def test_a_status_of_somebody_else_becomes_the_nearest_class() -> None:
    assert isinstance(from_rpc(_Failed(grpc.StatusCode.UNAVAILABLE, "refused", ())), errors.Unavailable)
    garbage = ((STATUS_KEY, b"\xff\xff\xff"),)
    assert isinstance(from_rpc(_Failed(grpc.StatusCode.DATA_LOSS, "", garbage)), errors.Internal)
