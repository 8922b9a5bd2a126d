"""One execution of a trial: its states, and what becomes of the trial when it ends."""

import math
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.attempt import (
    NOT_ITS_FAULT,
    OWN_FAULT,
    Attempt,
    AttemptState,
    Cause,
    Next,
    RetryPolicy,
    after_end,
    check_attempt_move,
)
from wazir.domain.errors import IllegalMove
from wazir.domain.trial import TRANSITIONS, StopGoal, TrialState

A = AttemptState
S = TrialState

ALLOWED = {
    (A.STARTING, A.QUEUED): "waits for a place",
    (A.STARTING, A.RUNNING): "found one at once",
    (A.STARTING, A.ENDED): "could not be started",
    (A.QUEUED, A.RUNNING): "found a place",
    (A.QUEUED, A.ENDED): "found none for too long",
    (A.RUNNING, A.ENDED): "is over",
}


@pytest.mark.parametrize(("state", "target"), list(product(A, A)), ids=lambda s: s.name)
def test_every_pair_of_states_is_allowed_or_refused_by_name(state: A, target: A) -> None:
    if (state, target) in ALLOWED:
        check_attempt_move("resnet/17 attempt 2", state, target)
        return
    with pytest.raises(IllegalMove) as refusal:
        check_attempt_move("resnet/17 attempt 2", state, target)
    assert f"resnet/17 attempt 2 is {state.name} and cannot become {target.name}" in str(refusal.value)


def test_states_that_may_follow_are_told_in_the_order_of_a_life() -> None:
    with pytest.raises(IllegalMove, match="it may become QUEUED, RUNNING, ENDED"):
        check_attempt_move("a", A.STARTING, A.STARTING)


def test_every_cause_is_somebodys_fault_or_decided_by_itself() -> None:
    decided = {Cause.SUCCEEDED, Cause.INFEASIBLE, Cause.STOPPED, Cause.CONFIG_BROKEN}
    assert OWN_FAULT | NOT_ITS_FAULT | decided == set(Cause)
    assert not OWN_FAULT & NOT_ITS_FAULT


def test_gpu_seconds_count_from_its_run_to_its_end_or_to_now_and_never_below_zero() -> None:
    assert Attempt(1, A.QUEUED, 10.0, gpus=2.0).gpu_seconds(99.0) == 0.0, "it still waits for them"
    assert Attempt(1, A.RUNNING, 10.0, run_time=20.0, gpus=2.0).gpu_seconds(22.5) == 5.0
    assert Attempt(1, A.ENDED, 10.0, run_time=20.0, end_time=21.0, gpus=2.0).gpu_seconds(99.0) == 2.0
    assert Attempt(1, A.RUNNING, 10.0, run_time=20.0, gpus=2.0).gpu_seconds(9.0) == 0.0, "the clock was set back"


ONCE = RetryPolicy(failed=1, preempted=1)


def after(
    cause: Cause,
    goal: StopGoal | None = None,
    value: tuple[float, ...] | None = None,
    measured: bool = False,
    failed_before: int = 0,
    lost_before: int = 0,
    policy: RetryPolicy = ONCE,
    study_open: bool = True,
    message: str = "",
) -> Next:
    return after_end(
        cause,
        goal=goal,
        value=value,
        measured=measured,
        failed_before=failed_before,
        lost_before=lost_before,
        policy=policy,
        study_open=study_open,
        message=message,
        looked_for="val/loss",
    )


GOALS = (None, StopGoal.STOP, StopGoal.PAUSE, StopGoal.CANCEL)
AS_TOLD = {
    (StopGoal.STOP, True): S.STOPPED,
    (StopGoal.STOP, False): S.CANCELLED,
    (StopGoal.PAUSE, True): S.PAUSED,
    (StopGoal.PAUSE, False): S.PAUSED,
    (StopGoal.CANCEL, True): S.CANCELLED,
    (StopGoal.CANCEL, False): S.CANCELLED,
}


@pytest.mark.parametrize("goal", GOALS)
@pytest.mark.parametrize("study_open", [True, False])
class TestWhateverItWasTold:
    def test_a_value_makes_it_succeed(self, goal: StopGoal | None, study_open: bool) -> None:
        assert after(Cause.SUCCEEDED, goal, (0.0, -1.5), True, study_open=study_open).state is S.SUCCEEDED

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_a_value_that_is_not_finite_has_diverged(self, goal: StopGoal | None, study_open: bool, bad: float) -> None:
        outcome = after(Cause.SUCCEEDED, goal, (0.5, bad), True, study_open=study_open)
        assert outcome == Next(S.INFEASIBLE, f"diverged: it ended with 0.5, {bad!r}")

    def test_infeasible_parameters_stay_so(self, goal: StopGoal | None, study_open: bool) -> None:
        outcome = after(Cause.INFEASIBLE, goal, study_open=study_open, message="negative width")
        assert outcome == Next(S.INFEASIBLE, "negative width")

    def test_what_could_not_be_started_fails_at_once(self, goal: StopGoal | None, study_open: bool) -> None:
        """A second try would meet the same missing command."""
        outcome = after(Cause.CONFIG_BROKEN, goal, study_open=study_open, message="no such program: trian.py")
        assert outcome == Next(S.FAILED, "no such program: trian.py")


@pytest.mark.parametrize("measured", [True, False])
@pytest.mark.parametrize("goal", [g for g in GOALS if g])
@pytest.mark.parametrize(
    "cause", [c for c in Cause if c not in (Cause.INFEASIBLE, Cause.CONFIG_BROKEN)], ids=lambda c: c.value
)
def test_told_to_end_it_ends_as_told_however_it_went(cause: Cause, goal: StopGoal, measured: bool) -> None:
    assert after(cause, goal, None, measured).state is AS_TOLD[goal, measured]


ROWS = [
    # cause, measured, failed before, lost before, study open -> state, and why
    (Cause.SUCCEEDED, True, 0, 0, True, S.FAILED, "ended well, but without the metric that the study is about"),
    (Cause.STOPPED, True, 0, 0, True, S.STOPPED, "stopped by a hand from outside, and its measurements count"),
    (Cause.STOPPED, False, 0, 0, True, S.CANCELLED, "stopped from outside before it measured anything"),
    (Cause.CODE_FAILED, True, 0, 0, True, S.REQUESTED, "one retry is left"),
    (Cause.CODE_FAILED, True, 1, 0, True, S.FAILED, "no retry is left"),
    (Cause.CODE_FAILED, True, 0, 9, True, S.REQUESTED, "lost attempts do not use up its own retries"),
    (Cause.TIMED_OUT, False, 0, 0, True, S.REQUESTED, "its own fault, too"),
    (Cause.TIMED_OUT, False, 1, 0, True, S.FAILED, "no retry is left"),
    (Cause.TOO_LARGE, False, 0, 0, True, S.FAILED, "it would be too large again"),
    (Cause.OUT_OF_MEMORY, False, 0, 0, True, S.REQUESTED, "another trial may have had the memory"),
    (Cause.OUT_OF_MEMORY, False, 1, 0, True, S.INFEASIBLE, "these parameters need more memory than there is"),
    (Cause.PREEMPTED, True, 0, 0, True, S.REQUESTED, "one loss is allowed"),
    (Cause.PREEMPTED, True, 9, 0, True, S.REQUESTED, "its own failures do not use up that allowance"),
    (Cause.PREEMPTED, True, 0, 1, True, S.FAILED, "the allowance is used up"),
    (Cause.NODE_LOST, False, 0, 0, True, S.REQUESTED, "the machine's fault"),
    (Cause.UNSCHEDULABLE, False, 0, 0, True, S.REQUESTED, "the cluster's fault"),
    (Cause.LEASE_LOST, False, 0, 0, True, S.REQUESTED, "its holder went away"),
    (Cause.LEASE_LOST, False, 0, 1, True, S.FAILED, "holders keep going away"),
    (Cause.REPORTS_LOST, True, 0, 0, True, S.REQUESTED, "what it measured is measured again"),
    (Cause.REPORTS_LOST, True, 0, 1, True, S.FAILED, "a value without its last steps is no value"),
    (Cause.NODE_LOST, True, 0, 0, False, S.STOPPED, "the study has ended: not tried again, measurements count"),
    (Cause.NODE_LOST, False, 0, 0, False, S.CANCELLED, "the study has ended, and nothing was measured"),
    (Cause.CODE_FAILED, True, 0, 0, False, S.STOPPED, "the same for its own fault"),
    (Cause.CODE_FAILED, True, 1, 0, False, S.FAILED, "no retry was due"),
]


@pytest.mark.parametrize(
    ("cause", "measured", "failed_before", "lost_before", "study_open", "state", "why"),
    ROWS,
    ids=[f"{row[0].value}: {row[-1]}" for row in ROWS],
)
def test_not_told_to_end(
    cause: Cause, measured: bool, failed_before: int, lost_before: int, study_open: bool, state: S, why: str
) -> None:
    outcome = after(
        cause, None, None, measured, failed_before=failed_before, lost_before=lost_before, study_open=study_open
    )
    assert outcome.state is state, why


@pytest.mark.parametrize(("before", "state"), [(0, S.REQUESTED), (1, S.REQUESTED), (2, S.FAILED)])
def test_whole_trainings_are_repeated_twice_for_lost_reports(before: int, state: S) -> None:
    outcome = after_end(
        Cause.REPORTS_LOST,
        goal=None,
        value=(1.0,),
        measured=True,
        failed_before=0,
        lost_before=before,
        reports_lost_before=before,
        policy=RetryPolicy(preempted=20),
        study_open=True,
    )
    assert outcome.state is state


def test_a_metric_that_never_came_is_named() -> None:
    assert "val/loss" in after(Cause.SUCCEEDED).reason
    assert after(Cause.SUCCEEDED, message="looked for loss=..., printed: hello").reason.endswith("hello")


def test_the_reason_is_the_message_of_the_attempt() -> None:
    assert after(Cause.CODE_FAILED, message="exit code 1: ValueError").reason == "exit code 1: ValueError"
    assert after(Cause.CODE_FAILED, failed_before=1, message="exit code 1").reason == "exit code 1"


@given(
    cause=st.sampled_from(list(Cause)),
    goal=st.sampled_from(GOALS),
    value=st.none() | st.tuples(st.floats()),
    measured=st.booleans(),
    failed_before=st.integers(0, 3),
    lost_before=st.integers(0, 3),
    policy=st.builds(RetryPolicy, st.integers(0, 3), st.integers(0, 3)),
    study_open=st.booleans(),
)
def test_the_next_state_is_always_one_that_the_table_of_trials_allows(
    cause: Cause,
    goal: StopGoal | None,
    value: tuple[float] | None,
    measured: bool,
    failed_before: int,
    lost_before: int,
    policy: RetryPolicy,
    study_open: bool,
) -> None:
    outcome = after(cause, goal, value, measured, failed_before, lost_before, policy, study_open)
    assert outcome.state in TRANSITIONS[S.ACTIVE if goal is None else S.STOPPING]
    assert study_open or outcome.state is not S.REQUESTED, "nothing starts in a study that ends"
