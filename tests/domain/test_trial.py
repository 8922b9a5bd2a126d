"""The life of a trial: which state may follow which, and what moving it does to its other fields."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.attempt import Attempt, AttemptState
from wazir.domain.errors import IllegalMove
from wazir.domain.names import TrialName
from wazir.domain.trial import (
    ENDED,
    LIVE,
    PENDING,
    TRANSITIONS,
    UNCOUNTED,
    StopGoal,
    Trial,
    TrialState,
    check_move,
    move,
)

S = TrialState
NAME = TrialName("default", "resnet", 17)

ALLOWED = {
    (S.REQUESTED, S.ACTIVE): "somebody runs it",
    (S.REQUESTED, S.CANCELLED): "given up before it ran",
    (S.REQUESTED, S.STOPPED): "the study ends, and an earlier attempt has measured something",
    (S.ACTIVE, S.STOPPING): "told to end",
    (S.ACTIVE, S.REQUESTED): "its attempt was lost and it is tried again",
    (S.ACTIVE, S.SUCCEEDED): "ended with its metrics",
    (S.ACTIVE, S.INFEASIBLE): "its parameters cannot be evaluated",
    (S.ACTIVE, S.FAILED): "its retries are used up",
    (S.ACTIVE, S.STOPPED): "ended early by itself",
    (S.ACTIVE, S.CANCELLED): "ended early with nothing measured",
    (S.STOPPING, S.STOPPED): "stopped as told",
    (S.STOPPING, S.PAUSED): "paused as told",
    (S.STOPPING, S.CANCELLED): "cancelled as told",
    (S.STOPPING, S.SUCCEEDED): "was faster than the order to stop",
    (S.STOPPING, S.INFEASIBLE): "found its parameters wrong before it read the order",
    (S.STOPPING, S.FAILED): "could not even be started",
    (S.PAUSED, S.REQUESTED): "promoted",
    (S.PAUSED, S.STOPPED): "not promoted, and the study has ended",
    (S.PAUSED, S.CANCELLED): "given up",
    (S.FAILED, S.REQUESTED): "a person retries it",
}


@pytest.mark.parametrize(("state", "target"), list(product(S, S)), ids=lambda s: s.name)
def test_every_pair_of_states_is_allowed_or_refused_by_name(state: S, target: S) -> None:
    if (state, target) in ALLOWED:
        check_move(NAME, state, target)
        return
    with pytest.raises(IllegalMove) as refusal:
        check_move(NAME, state, target)
    message = str(refusal.value)
    assert f"resnet/17 is {state.name} and cannot become {target.name}" in message
    assert refusal.value.details == {"name": "resnet/17", "state": state.name, "target": target.name}
    for other in S:
        assert (other.name in message.partition("may become")[2]) == ((state, other) in ALLOWED)


def test_every_state_has_one_place_in_each_division() -> None:
    assert set(TRANSITIONS) == set(S)
    assert set(S) == PENDING | ENDED
    assert not PENDING & ENDED
    assert LIVE < PENDING
    assert UNCOUNTED < ENDED


def test_an_ended_trial_stays_ended_unless_a_person_retries_a_failed_one() -> None:
    assert {state for state in ENDED if TRANSITIONS[state]} == {S.FAILED}


def a_trial(state: S = S.REQUESTED) -> Trial:
    return Trial(NAME, state, {"lr": 0.1}, create_time=1.5)


def test_first_start_is_kept_over_a_retry() -> None:
    trial = move(a_trial(), S.ACTIVE, now=10.25)
    assert (trial.start_time, trial.end_time) == (10.25, None)
    again = move(move(trial, S.REQUESTED, now=11.0, reason="node lost"), S.ACTIVE, now=12.0)
    assert again.start_time == 10.25
    assert again.reason == "", "the reason was that of the state before"


def test_goal_stands_only_while_stopping() -> None:
    stopping = move(a_trial(S.ACTIVE), S.STOPPING, now=2.0, reason="median", goal=StopGoal.PAUSE)
    assert (stopping.goal, stopping.reason) == (StopGoal.PAUSE, "median")
    assert move(stopping, S.PAUSED, now=3.0, goal=StopGoal.PAUSE).goal is None


def test_a_requested_trial_belongs_to_nobody() -> None:
    held = replace(a_trial(S.ACTIVE), client_id="worker-1")
    assert move(held, S.STOPPING, now=2.0, goal=StopGoal.STOP).client_id == "worker-1"
    assert move(held, S.REQUESTED, now=2.0).client_id == ""


@pytest.mark.parametrize("target", [s for s in S if s in ENDED], ids=lambda s: s.name)
def test_an_end_has_its_time_and_loses_it_when_retried(target: S) -> None:
    state = next(s for s in S if target in TRANSITIONS[s])
    ended = move(a_trial(state), target, now=7.5)
    assert ended.end_time == 7.5
    if target is S.FAILED:
        assert move(ended, S.REQUESTED, now=8.0).end_time is None


@given(st.lists(st.sampled_from(list(S)), max_size=30))
def test_no_sequence_of_moves_leaves_the_table(targets: list[S]) -> None:
    trial, now = a_trial(), 2.0
    for target in targets:
        now += 1
        if (trial.state, target) not in ALLOWED:
            with pytest.raises(IllegalMove):
                move(trial, target, now=now)
            continue
        trial = move(trial, target, now=now, goal=StopGoal.STOP)
        assert trial.state is target
        assert (trial.goal is not None) == (target is S.STOPPING)
        assert (trial.end_time is not None) == (target in ENDED)


def test_the_latest_attempt_is_the_trials_attempt() -> None:
    attempts = tuple(Attempt(n, AttemptState.ENDED, 1.0) for n in (1, 2))
    assert a_trial().attempt is None
    latest = replace(a_trial(), attempts=attempts).attempt
    assert latest is not None
    assert latest.number == 2
