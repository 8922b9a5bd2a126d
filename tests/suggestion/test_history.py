"""The history of a study: whatever was put and removed in whatever order, it answers as one made from what is left."""

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.attempt import Attempt, AttemptState, Cause
from wazir.domain.metric import Goal, Metrics, Objective
from wazir.domain.names import StudyName
from wazir.domain.parameters import canonical
from wazir.domain.space import Integer, Parameter, Space
from wazir.domain.trial import Trial, TrialState
from wazir.suggestion.designer import Observation, Outcome
from wazir.suggestion.history import TrialHistory, observe

from ..strategies import histories

SPACE = Space((Parameter("a", Integer(1, 3)), Parameter("b", Integer(1, 2))))
POINTS = [{"a": a, "b": b} for a in (1, 2, 3) for b in (1, 2)]
changes = st.lists(
    histories(SPACE, max_size=4)
    | st.lists(st.integers(1, 99), max_size=3).map(lambda ids: [("remove", i) for i in ids]),
    max_size=8,
)


@given(changes, st.integers(1, 3))
def test_it_is_what_is_left_of_its_changes(batches: list[list[object]], repeats: int) -> None:
    history, model = TrialHistory(repeats=repeats), dict[int, Observation]()
    for batch in batches:
        for change in batch:
            if isinstance(change, Observation):
                history.put(change)
                model[change.trial_id] = change
            else:
                assert isinstance(change, tuple)
                history.remove(change[1])
                model.pop(change[1], None)
        # Read between changes too, so that what is kept sorted has to be kept up.
        assert list(history.observations) == [model[i] for i in sorted(model)]
    tried = Counter(canonical(o.parameters) for o in model.values() if o.tried)
    for point in POINTS:
        assert history.times_tried(point) == tried[canonical(point)]
    assert history.distinct == sum(n >= repeats for n in tried.values())
    assert len(history) == len(model)
    afresh = TrialHistory(reversed(model.values()), repeats=repeats)
    assert history.digest() == afresh.digest()


@given(histories(SPACE), histories(SPACE))
def test_the_digest_tells_histories_apart(one: list[Observation], other: list[Observation]) -> None:
    same = {repr(o) for o in one} == {repr(o) for o in other}
    assert (TrialHistory(one).digest() == TrialHistory(other).digest()) == same


@pytest.mark.parametrize(
    "other",
    [
        Observation(2, {"a": 1}, Outcome.MEASURED, (0.5,), 9.0),
        Observation(1, {"a": 1.0}, Outcome.MEASURED, (0.5,), 9.0),
        Observation(1, {"a": 1}, Outcome.UNKNOWN, (0.5,), 9.0),
        Observation(1, {"a": 1}, Outcome.MEASURED, (0.25,), 9.0),
        Observation(1, {"a": 1}, Outcome.MEASURED, (0.5,), 9.5),
        Observation(1, {"a": 1}, Outcome.MEASURED, (0.5,), 9.0, counted=False),
        Observation(1, {"a": 1}, Outcome.MEASURED, (0.5,), 9.0, seconds=2.0),
        Observation(1, {"a": 1}, Outcome.MEASURED, (0.5,), 9.0, seconds=2.5),
        Observation(1, {"a": 1}, Outcome.MEASURED, (0.5,), 9.0, seconds=2.0, timed_out=True),
    ],
)
def test_the_digest_looks_at_every_field(other: Observation) -> None:
    one = Observation(1, {"a": 1}, Outcome.MEASURED, (0.5,), 9.0)
    assert TrialHistory([one]).digest() != TrialHistory([other]).digest()


def test_points_are_told_apart_by_type() -> None:
    history = TrialHistory([Observation(1, {"a": 1}, Outcome.PENDING)])
    assert [history.times_tried({"a": v}) for v in (1, 1.0, True, "1")] == [1, 0, 0, 0]


def test_how_many_points_are_used_up_follows_repeats() -> None:
    history = TrialHistory([Observation(i, {"a": a}, Outcome.PENDING) for i, a in enumerate([1, 1, 1, 2, 2, 3])])
    seen = []
    for repeats in (1, 2, 3, 4):
        history.repeats = repeats
        seen.append(history.distinct)
    assert seen == [3, 2, 1, 0]


@given(changes, st.data())
def test_a_copy_that_is_told_the_changes_stays_equal(batches: list[list[object]], data: st.DataObject) -> None:
    history, copy, seen = TrialHistory(), TrialHistory(), 0
    for batch in batches:
        for change in batch:
            if isinstance(change, Observation):
                history.put(change)
            else:
                assert isinstance(change, tuple)
                history.remove(change[1])
        if data.draw(st.booleans()):
            put, removed = history.changed_since(seen)
            seen = history.changes
            assert len({o.trial_id for o in put} | set(removed)) == len(put) + len(removed)
            for observation in put:
                copy.put(observation)
            for trial_id in removed:
                copy.remove(trial_id)
            assert copy.digest() == history.digest()
            assert list(copy.observations) == list(history.observations)


def test_only_what_changed_is_told() -> None:
    history = TrialHistory([Observation(i, {"a": i}, Outcome.PENDING) for i in range(1, 1001)])
    before = history.changes
    assert history.changed_since(before) == ([], [])
    history.put(Observation(7, {"a": 7}, Outcome.INFEASIBLE))
    history.put(Observation(1001, {"a": 1}, Outcome.PENDING))
    history.put(Observation(1001, {"a": 1}, Outcome.INFEASIBLE))
    history.remove(3)
    put, removed = history.changed_since(before)
    assert ([o.trial_id for o in put], [o.outcome for o in put], removed) == (
        [7, 1001],
        [Outcome.INFEASIBLE] * 2,
        [3],
    )


LOSS, SPEED = Objective("loss", Goal.MINIMIZE), Objective("speed", Goal.MAXIMIZE)


@pytest.mark.parametrize(
    ("state", "final", "outcome", "values", "counted", "reason"),
    [
        (TrialState.REQUESTED, None, Outcome.PENDING, (), True, "nobody runs it yet"),
        (
            TrialState.ACTIVE,
            {"loss": 1.0, "speed": 2.0},
            Outcome.PENDING,
            (),
            True,
            "what it has so far is not its value",
        ),
        (TrialState.STOPPING, None, Outcome.PENDING, (), True, "still runs"),
        (TrialState.PAUSED, {"loss": 1.0, "speed": 2.0}, Outcome.PAUSED, (1.0, 2.0), True, "may be promoted"),
        (TrialState.SUCCEEDED, {"speed": 2.0, "loss": 1.0}, Outcome.MEASURED, (1.0, 2.0), True, "in the study's order"),
        (TrialState.STOPPED, {"loss": 0.0, "speed": -0.5}, Outcome.MEASURED, (0.0, -0.5), True, "measurements count"),
        (TrialState.STOPPED, {"loss": 1.0}, Outcome.UNKNOWN, (), True, "an objective is missing, the point is used up"),
        (TrialState.STOPPED, None, Outcome.UNKNOWN, (), True, "nothing was measured"),
        (TrialState.STOPPED, {"loss": math.nan, "speed": 1.0}, Outcome.INFEASIBLE, (), True, "diverged"),
        (TrialState.STOPPED, {"loss": 1.0, "speed": math.inf}, Outcome.INFEASIBLE, (), True, "diverged"),
        (TrialState.INFEASIBLE, {"loss": 1.0, "speed": 2.0}, Outcome.INFEASIBLE, (), True, "said so itself"),
        (TrialState.FAILED, {"loss": 1.0, "speed": 2.0}, Outcome.UNKNOWN, (), False, "says nothing of the point"),
        (TrialState.CANCELLED, None, Outcome.UNKNOWN, (), False, "says nothing of the point"),
    ],
)
def test_a_trial_as_algorithms_see_it(
    state: TrialState, final: Metrics | None, outcome: Outcome, values: tuple[float, ...], counted: bool, reason: str
) -> None:
    trial = Trial(StudyName("o", "s").trial(7), state, {"a": 1}, 1.0, final=final, end_time=5.0)
    assert observe(trial, (LOSS, SPEED)) == Observation(7, {"a": 1}, outcome, values, 5.0, counted), reason


@pytest.mark.parametrize(
    ("cause", "outcome", "tried", "reason"),
    [
        (Cause.CODE_FAILED, Outcome.FAILED, True, "its own fault"),
        (Cause.OUT_OF_MEMORY, Outcome.FAILED, True, "its own fault"),
        (Cause.TIMED_OUT, Outcome.FAILED, True, "its own fault"),
        (Cause.NODE_LOST, Outcome.UNKNOWN, False, "the platform's fault"),
        (Cause.CONFIG_BROKEN, Outcome.UNKNOWN, False, "no point could have been started"),
        (Cause.SUCCEEDED, Outcome.UNKNOWN, False, "nobody printed the metric"),
        (None, Outcome.UNKNOWN, False, "nobody knows why"),
    ],
)
def test_a_failure_by_its_own_fault_is_evidence_and_uses_up_the_point_but_not_the_budget(
    cause: Cause | None, outcome: Outcome, tried: bool, reason: str
) -> None:
    attempts = () if cause is None else (Attempt(1, AttemptState.ENDED, 1.0, cause=cause),)
    trial = Trial(StudyName("o", "s").trial(7), TrialState.FAILED, {"a": 1}, 1.0, attempts=attempts)
    seen = observe(trial, (LOSS,))
    assert (seen.outcome, seen.counted, seen.tried) == (outcome, False, tried), reason
    assert TrialHistory([seen]).times_tried({"a": 1}) == tried


def test_a_trial_ran_as_long_as_its_last_attempt_and_those_that_paused_before() -> None:
    def attempt(number: int, cause: Cause, seconds: float) -> Attempt:
        return Attempt(
            number, AttemptState.ENDED, 1.0, leased=False, run_time=10.0, end_time=10.0 + seconds, cause=cause
        )

    name = StudyName("o", "s").trial(7)
    lost, paused, last = (
        attempt(1, Cause.NODE_LOST, 64.0),
        attempt(2, Cause.STOPPED, 2.0),
        attempt(3, Cause.SUCCEEDED, 1.5),
    )
    trial = Trial(name, TrialState.SUCCEEDED, {"a": 1}, 1.0, final={"loss": 1.0}, attempts=(lost, paused, last))
    seen = observe(trial, (LOSS,))
    assert (seen.seconds, seen.timed_out) == (3.5, False)
    unseen = replace(trial, attempts=(replace(last, run_time=None),))
    assert observe(unseen, (LOSS,)).seconds is None
    held = replace(trial, attempts=(Attempt(1, AttemptState.ENDED, 4.0, end_time=10.0, cause=Cause.SUCCEEDED),))
    assert observe(held, (LOSS,)).seconds == 6.0, "its holder runs it from the start"
    killed = replace(trial, state=TrialState.FAILED, final=None, attempts=(attempt(1, Cause.TIMED_OUT, 60.0),))
    seen = observe(killed, (LOSS,))
    assert (seen.seconds, seen.timed_out) == (60.0, True)
