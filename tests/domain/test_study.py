"""A study: its states, what it refuses, its counts, and when it comes to its end."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.errors import IllegalMove, InvalidArgument
from wazir.domain.metric import Goal, Objective, SafetyMetric
from wazir.domain.names import StudyName
from wazir.domain.space import Double, Integer, Kind, Parameter, Space
from wazir.domain.study import (
    Algorithm,
    Budget,
    Counts,
    EndReason,
    Stopping,
    Study,
    StudySpec,
    StudyState,
    check_study_move,
    ending,
    fruitless,
    wanted,
)
from wazir.domain.template import TrialTemplate
from wazir.domain.trial import LIVE, PENDING, UNCOUNTED, TrialState

S = StudyState
T = TrialState
SPACE = Space((Parameter("lr", Double(0.0, 1.0)),))
LOSS = Objective("loss", Goal.MINIMIZE)
SPEC = StudySpec((LOSS,), SPACE)

ALLOWED = {
    (S.ACTIVE, S.PAUSED): "a person pauses it",
    (S.ACTIVE, S.COMPLETED): "its budget or space is used up",
    (S.ACTIVE, S.FAILED): "too many trials failed",
    (S.PAUSED, S.ACTIVE): "a person resumes it",
    (S.PAUSED, S.COMPLETED): "its running trials reached the end meanwhile",
    (S.PAUSED, S.FAILED): "its running trials failed meanwhile",
    (S.COMPLETED, S.ACTIVE): "its budget is raised, or a trial retried",
    (S.FAILED, S.ACTIVE): "its budget is raised, or a trial retried",
}


@pytest.mark.parametrize(("state", "target"), list(product(S, S)), ids=lambda s: s.name)
def test_every_pair_of_states_is_allowed_or_refused_by_name(state: S, target: S) -> None:
    name = StudyName("vision", "resnet")
    if (state, target) in ALLOWED:
        check_study_move(name, state, target)
        return
    with pytest.raises(IllegalMove) as refusal:
        check_study_move(name, state, target)
    assert f"vision/resnet is {state.name} and cannot become {target.name}" in str(refusal.value)


# Specification


@pytest.mark.parametrize(
    ("make", "field", "says"),
    [
        (lambda: StudySpec((), SPACE), "objective", "is missing"),
        (lambda: StudySpec((Objective("", Goal.MINIMIZE),), SPACE), "objective.metric", "printable"),
        (lambda: StudySpec((LOSS, LOSS), SPACE), "objectives[1].metric", "appears twice"),
        (
            lambda: StudySpec((LOSS, Objective("a", Goal.MAXIMIZE, target=math.nan)), SPACE),
            "objectives[1].target",
            "finite",
        ),
        (lambda: StudySpec((replace(LOSS, target=math.inf),), SPACE), "objective.target", "finite"),
        (lambda: replace(SPEC, safety=(SafetyMetric("m"),)), "safety[0]", "needs at_least or at_most"),
        (lambda: replace(SPEC, safety=(SafetyMetric("m", at_most=math.nan),)), "safety[0].at_most", "finite"),
        (lambda: replace(SPEC, safety=(SafetyMetric("m", 2.0, 1.0),)), "safety[0].at_least", "at_most = 1.0"),
        (lambda: replace(SPEC, space=Space(())), "parameters", "names no parameter"),
        (lambda: replace(SPEC, labels={str(i): "" for i in range(65)}), "labels", "at most 64"),
        (lambda: replace(SPEC, trial=TrialTemplate(())), "trial.command", "names no program"),
        (lambda: Algorithm(repeats=0), "algorithm.repeats", "[1, "),
        (lambda: Algorithm(repeats=2**31), "algorithm.repeats", "[1, "),
        (lambda: Algorithm(seed=-1), "algorithm.seed", "2^63"),
        (lambda: Algorithm(seed=2**63), "algorithm.seed", "2^63"),
        (lambda: Algorithm(seed=True), "algorithm.seed", "whole number"),
        (lambda: Algorithm(settings={"seed": 1}), "algorithm.seed", "is reserved"),
        (lambda: Algorithm(settings={"a": {"b": [1, math.inf]}}), "algorithm.a.b[1]", "finite"),
        (lambda: Algorithm(settings={"a": {1, 2}}), "algorithm.a", "numbers, texts"),
        (lambda: Algorithm(settings={"a": {1: 2}}), "algorithm.a", "keys must be texts"),
        (lambda: Algorithm(settings={"a": "x" * 100_000}), "algorithm", "at most 100000"),
        (lambda: Stopping("median", {"name": "asha"}), "stopping.name", "is reserved"),
        (lambda: Budget(trials=0), "budget.trials", "1 or more"),
        (lambda: Budget(trials=1.5), "budget.trials", "whole number"),  # type: ignore[arg-type]  # untyped callers
        (lambda: Budget(trials=True), "budget.trials", "whole number"),
        (lambda: Budget(parallel=0), "budget.parallel", "1 or more"),
        (lambda: Budget(failed=-1), "budget.failed", "0 or more"),
        (lambda: Budget(trials=10**9 + 1), "budget.trials", "Leave it out for no limit"),
        (lambda: Budget(duration=0), "budget.duration", "above 0"),
        (lambda: Budget(duration=math.inf), "budget.duration", "above 0"),
        (lambda: Budget(duration=1e12), "budget.duration", "at most"),
        (lambda: Budget(gpu_hours=math.nan), "budget.gpu_hours", "above 0"),
        (lambda: Budget(gpu_hours=10**400), "budget.gpu_hours", "at most"),
    ],
)
def test_a_specification_that_makes_no_sense_is_refused(make: Callable[[], object], field: str, says: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        make()
    assert refusal.value.field == field
    assert says in str(refusal.value)


def test_settings_nest_so_deep_and_no_deeper() -> None:
    def nested(levels: int) -> object:
        return [nested(levels - 1)] if levels else 1

    Algorithm(settings={"a": nested(19)})
    with pytest.raises(InvalidArgument, match="more than 20 levels"):
        Algorithm(settings={"a": nested(20)})


def test_settings_are_kept_as_json_keeps_them() -> None:
    given = {"sizes": (1, 2.0, (True, None))}
    kept = Algorithm(settings=given).settings
    assert kept == {"sizes": [1, 2.0, [True, None]]}


def test_zero_trials_may_fail_and_zero_is_a_limit() -> None:
    assert Budget(failed=0).failed == 0


def test_a_value_is_all_objectives_or_none() -> None:
    spec = StudySpec((LOSS, Objective("accuracy", Goal.MAXIMIZE)), SPACE, safety=(SafetyMetric("memory", at_most=16),))
    assert spec.metric_names == ("loss", "accuracy", "memory")
    assert spec.value_of({"accuracy": 0.0, "loss": 0.0}) == (0.0, 0.0)
    assert spec.value_of({"loss": 1.0}) is None


def test_a_trial_is_safe_only_where_every_bound_is_measured_and_kept() -> None:
    spec = replace(SPEC, safety=(SafetyMetric("memory", at_most=16), SafetyMetric("speed", at_least=1)))
    assert spec.safe({"memory": 16, "speed": 1})
    assert not spec.safe({"memory": 16, "speed": 0.5})
    assert not spec.safe({"memory": 16})
    assert SPEC.safe({})


# Counts

states = st.sampled_from(list(T))


@given(st.lists(states), st.data())
def test_counts_follow_every_trial_that_comes_moves_and_goes(start: list[T], data: st.DataObject) -> None:
    trials: list[T] = []
    counts = Counts()
    for state in start:
        trials.append(state)
        counts = counts.moved(None, state)
    for i in range(len(trials) // 2):
        new = data.draw(states)
        counts = counts.moved(trials[i], new)
        trials[i] = new
    for state in trials[len(trials) // 2 :]:
        counts = counts.moved(state, None)
    trials = trials[: len(trials) // 2]
    assert counts.by_state == {state: trials.count(state) for state in trials}
    assert counts.total == len(trials)
    assert counts.counted == sum(state not in UNCOUNTED for state in trials)
    assert counts.live == sum(state in LIVE for state in trials)
    assert counts.pending == sum(state in PENDING for state in trials)
    assert all(counts[state] == trials.count(state) for state in T)


# End


def study(budget: Budget = SPEC.budget, counts: dict[T, int] | None = None, **fields: object) -> Study:
    made = Study(StudyName("default", "resnet"), "u" * 32, replace(SPEC, budget=budget), S.ACTIVE, 1000.0, seed=1)
    return replace(made, counts=Counts(counts or {}), **fields)  # type: ignore[arg-type]  # the fields of a study


@pytest.mark.parametrize(
    ("kind", "counts", "words"),
    [
        (Integer(1, 9), {T.SUCCEEDED: 9}, "every point of the search space has been tried"),
        (Double(0.0, 1.0), {T.SUCCEEDED: 9}, "the algorithm has come to its end"),
        (Double(0.0, 1.0), {T.SUCCEEDED: 8, T.PAUSED: 1}, "the algorithm resumes no paused trial"),
    ],
)
def test_people_are_told_what_is_exhausted(kind: Kind, counts: dict[T, int], words: str) -> None:
    made = study(exhausted=True, counts=counts)
    made = replace(made, spec=replace(made.spec, space=Space((Parameter("x", kind),))))
    assert ending(made, now=1099.0) == (EndReason.EXHAUSTED, words)


ENDS = [
    (study(), None, "no limit, no end"),
    (study(Budget(trials=3), {T.SUCCEEDED: 2}), None, "one more is wanted"),
    (study(Budget(trials=3), {T.SUCCEEDED: 1, T.STOPPED: 1, T.INFEASIBLE: 1}), EndReason.TRIALS, "all of these count"),
    (study(Budget(trials=3), {T.SUCCEEDED: 2, T.FAILED: 5, T.CANCELLED: 5}), None, "failed and cancelled do not count"),
    (study(Budget(trials=3), {T.SUCCEEDED: 2, T.REQUESTED: 1}), None, "one waits to be run"),
    (study(Budget(trials=3), {T.SUCCEEDED: 2, T.ACTIVE: 1}), EndReason.TRIALS, "all are handed out"),
    (study(Budget(failed=2), {T.FAILED: 3}), None, "whether too many failed, their parameters say"),
    (study(Budget(duration=100.0)), None, "99 s have passed"),
    (study(Budget(duration=99.0)), EndReason.DURATION, "reached at equality"),
    (study(Budget(gpu_hours=1.0), gpu_seconds=3000.0), None, "600 s of live attempts are missing"),
    (study(Budget(gpu_hours=1.0), gpu_seconds=3590.0), EndReason.GPU_HOURS, "with those of live attempts"),
    (study(exhausted=True, counts={T.SUCCEEDED: 9}), EndReason.EXHAUSTED, "nothing is left to try"),
    (study(exhausted=True, counts={T.REQUESTED: 1}), None, "one waits to be run"),
]


@pytest.mark.parametrize(("study", "reason", "why"), ENDS, ids=[row[-1] for row in ENDS])
def test_when_a_study_starts_to_end(study: Study, reason: EndReason | None, why: str) -> None:
    end = ending(study, now=1099.0, gpu_seconds_live=10.0)
    assert (end and end[0]) == reason, why
    if end is not None and reason not in (EndReason.EXHAUSTED, EndReason.GPU_HOURS):
        assert "budget." in end[1], "the sentence names the limit"


def test_failures_are_told_before_anything_else() -> None:
    whole = study(Budget(trials=1, failed=0), {T.SUCCEEDED: 1, T.FAILED: 1})
    assert ending(whole, now=1099.0, failures="1 trial failed") == (EndReason.FAILURES, "1 trial failed")


@pytest.mark.parametrize(
    ("counts", "reason", "vain"),
    [
        ({T.INFEASIBLE: 12}, EndReason.TRIALS, True),
        ({T.FAILED: 3}, EndReason.DURATION, True),
        ({T.INFEASIBLE: 11, T.SUCCEEDED: 1}, EndReason.TRIALS, False),
        ({T.INFEASIBLE: 11, T.STOPPED: 1}, EndReason.TRIALS, False),
        ({T.INFEASIBLE: 3}, EndReason.STOPPED, False),
        ({T.CANCELLED: 3}, EndReason.DURATION, False),
        ({}, EndReason.EXHAUSTED, False),
    ],
)
def test_a_study_of_which_nothing_came_has_failed(counts: dict[T, int], reason: EndReason, vain: bool) -> None:
    assert fruitless(study(counts=counts, ending=reason)) is vain


def test_how_many_trials_are_wanted() -> None:
    assert wanted(study()) is None
    assert wanted(study(Budget(trials=5), {T.SUCCEEDED: 2, T.ACTIVE: 1, T.FAILED: 7})) == 2
    assert wanted(study(Budget(trials=1), {T.SUCCEEDED: 2})) == 0, "the budget was lowered"


def test_a_study_is_open_until_it_ends_or_is_about_to() -> None:
    assert study().open
    assert replace(study(), state=S.PAUSED).open
    assert not replace(study(), ending=EndReason.TRIALS).open
    assert not replace(study(), state=S.COMPLETED).open


def test_the_etag_changes_with_specification_and_state_alone() -> None:
    before = study()
    assert replace(before, counts=Counts({T.ACTIVE: 1}), revision=9).etag == before.etag
    assert replace(before, spec_version=2).etag != before.etag
    assert replace(before, state=S.PAUSED).etag != before.etag
    assert replace(before, uid="v" * 32).etag != before.etag
