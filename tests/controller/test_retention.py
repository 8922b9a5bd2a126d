"""Whose checkpoints may go, by tables and against the rule read anew from all that is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.controller.retention import Retained
from wazir.domain.metric import Goal, Objective, SafetyMetric, dominates
from wazir.domain.pod import PodOptions, Retention
from wazir.domain.study import StudySpec
from wazir.domain.trial import PENDING, Trial, TrialState

from .world import make_study, make_trial

LOSS, SIZE, ACCURACY = (
    Objective("loss", Goal.MINIMIZE),
    Objective("size", Goal.MINIMIZE),
    Objective("acc", Goal.MAXIMIZE),
)
S = TrialState


def spec(keep: Retention, *objectives: Objective, safety: tuple[SafetyMetric, ...] = ()) -> StudySpec:
    made = make_study().spec
    assert made.trial is not None
    template = replace(made.trial, pod=PodOptions(keep_checkpoints=keep))
    return replace(made, objectives=objectives or (LOSS,), safety=safety, trial=template)


def trial(number: int, state: TrialState, parent: int | None = None, **final: float) -> Trial:
    made = make_trial(make_study(), number, state=state)
    return replace(made, checkpoint_of=parent, final=final or None)


def ended(number: int, **final: float) -> Trial:
    return trial(number, S.SUCCEEDED, None, **final)


@pytest.mark.parametrize(
    ("keep", "trials", "spent", "reason"),
    [
        (Retention.LATEST, [ended(1, loss=1.0), ended(2, loss=2.0)], set(), "each keeps its latest"),
        (Retention.NONE, [ended(1, loss=1.0), trial(2, S.STOPPED, loss=2.0)], {1, 2}, "all that have ended"),
        *((Retention.NONE, [trial(1, state)], set(), "it may go on") for state in PENDING),
        (Retention.NONE, [trial(1, S.FAILED)], set(), "a person may retry it"),
        (Retention.NONE, [trial(1, S.CANCELLED), trial(2, S.INFEASIBLE)], {1, 2}, "nobody can go on with these"),
        (Retention.BEST, [ended(1, loss=2.0), ended(2, loss=1.0), ended(3, loss=3.0)], {1, 3}, "the best stays"),
        (Retention.BEST, [ended(2, loss=1.0), ended(1, loss=1.0)], {2}, "of equals the first, as `wazir best` says"),
        (Retention.BEST, [trial(1, S.STOPPED, loss=1.0), ended(2, loss=2.0)], {2}, "one that was stopped may be best"),
        (Retention.BEST, [trial(1, S.INFEASIBLE, loss=1.0), ended(2, loss=2.0)], {1}, "an infeasible one may not"),
        (Retention.BEST, [trial(1, S.STOPPED, loss=math.nan), ended(2, loss=2.0)], {1}, "NaN is no best value"),
        (Retention.BEST, [trial(1, S.CANCELLED), trial(2, S.STOPPED)], {1, 2}, "without a value"),
        (Retention.BEST, [ended(1, loss=2.0), trial(2, S.PAUSED, loss=1.0)], set(), "one that waits is not yet it"),
        (Retention.NONE, [ended(1, loss=1.0), trial(2, S.REQUESTED, 1)], set(), "another begins from it"),
        (Retention.NONE, [trial(2, S.ACTIVE, 1), ended(1, loss=1.0)], set(), "in any order"),
        (Retention.NONE, [ended(1, loss=1.0), trial(2, S.FAILED, 1)], set(), "that may be retried, too"),
        (Retention.NONE, [ended(1, loss=1.0), trial(2, S.SUCCEEDED, 1, loss=1.0)], {1, 2}, "its heir has ended"),
        (
            Retention.NONE,
            [ended(1, loss=1.0), trial(2, S.ACTIVE, 1), trial(3, S.ACTIVE, 1), trial(2, S.STOPPED, 1)],
            {2},
            "one of two heirs goes on",
        ),
    ],
)
def test_what_may_go(keep: Retention, trials: list[Trial], spent: set[int], reason: str) -> None:
    retained = Retained(spec(keep))
    for t in trials:
        retained.learn(t)
    assert retained.spent() == spent, reason


def test_with_several_objectives_those_that_none_surpasses_stay() -> None:
    retained = Retained(spec(Retention.BEST, LOSS, ACCURACY))
    for t in (ended(1, loss=1.0, acc=0.5), ended(2, loss=2.0, acc=0.9), ended(3, loss=2.0, acc=0.8)):
        retained.learn(t)
    assert retained.spent() == {3}
    retained.learn(ended(4, loss=0.5, acc=0.9))
    assert retained.spent() == {1, 2, 3}


def test_one_that_is_not_safe_is_no_best_trial() -> None:
    retained = Retained(spec(Retention.BEST, safety=(SafetyMetric("ms", at_most=10.0),)))
    retained.learn(ended(1, loss=1.0, ms=11.0))
    retained.learn(ended(2, loss=2.0, ms=9.0))
    assert retained.spent() == {1}


@pytest.mark.parametrize("keep", Retention)
def test_those_of_a_deleted_trial_go_unless_another_begins_from_it(keep: Retention) -> None:
    retained = Retained(spec(keep))
    retained.learn(ended(1, loss=1.0))
    retained.learn(trial(2, S.ACTIVE, 1))
    retained.deleted(1)
    assert retained.spent() == set()
    retained.deleted(2)
    assert retained.spent() == {1, 2}


def test_what_is_collected_is_not_named_again() -> None:
    retained = Retained(spec(Retention.NONE))
    retained.learn(ended(1, loss=1.0))
    retained.collected(retained.spent())
    assert retained.spent() == set()


values = st.sampled_from([0.0, 1.0, 2.0, math.nan])
changes = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from(TrialState), st.none() | st.integers(1, 6), values, values),
    max_size=25,
)


@given(st.sampled_from([Retention.BEST, Retention.NONE]), st.booleans(), changes)
def test_it_says_what_the_rule_says_of_all_that_is_known(
    keep: Retention,
    several: bool,
    said: list[tuple[int, TrialState, int | None, float, float]],
) -> None:
    """Whatever becomes of trials, and in whichever order that is heard. A best trial stays one: its end is final."""
    objectives = (LOSS, SIZE) if several else (LOSS,)
    retained, known = Retained(spec(keep, *objectives)), dict[int, Trial]()
    for number, state, parent, loss, size in said:
        before = known.get(number)
        if before is not None and before.state in (S.SUCCEEDED, S.STOPPED, S.INFEASIBLE, S.CANCELLED):
            continue
        known[number] = trial(number, state, parent, loss=loss, size=size)
        retained.learn(known[number])
    goes_on = {n for n, t in known.items() if t.state in PENDING or t.state is S.FAILED}
    begun_from = {t.checkpoint_of for n, t in known.items() if n in goes_on}
    worth = {
        n: tuple(t.final[o.metric] for o in objectives)
        for n, t in known.items()
        if t.state in (S.SUCCEEDED, S.STOPPED) and t.final
    }
    worth = {n: w for n, w in worth.items() if not any(map(math.isnan, w))}
    best = {n for n, w in worth.items() if not any(dominates(other, w) for other in worth.values())}
    if not several and best:
        best = {min(best)}
    kept = goes_on | begun_from | (best if keep is Retention.BEST else set())
    assert retained.spent() == set(known) - kept
