"""Which trials freeze_thaw goes on with, by table, and what its model learns from trials that wait."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from wazir.domain.metric import Goal, Objective
from wazir.domain.space import Double, Parameter, Space
from wazir.domain.study import Algorithm
from wazir.suggestion.designer import New, Observation, Outcome, Problem, Resume
from wazir.suggestion.generator import generator
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.registry import make_designer

LOSS = Objective("loss", Goal.MINIMIZE)
ACCURACY = Objective("accuracy", Goal.MAXIMIZE)
SPACE = Space((Parameter("x", Double(0.0, 1.0)),))
NAN = math.nan

Curve = Sequence[float]
"""Losses at the steps 1, 3 and 9, as far as the trial came."""


def trial(number: int, losses: Curve, outcome: Outcome, sign: float = 1.0) -> Observation:
    curve = tuple((3**k, sign * loss) for k, loss in enumerate(losses))
    waits = outcome is Outcome.PAUSED or (outcome is Outcome.PENDING and len(losses) < 3)
    until = 3 ** (len(losses) - (outcome is Outcome.PAUSED)) if waits else None
    values = (curve[-1][1],) if outcome in (Outcome.PAUSED, Outcome.MEASURED) else ()
    return Observation(number, {"x": number / 100}, outcome, values, until_step=until, curve=curve)


def history(paused: Sequence[Curve], whole: Sequence[Curve] = (), sign: float = 1.0) -> TrialHistory:
    """The paused trials have the numbers from 1 on."""
    waiting = [trial(n, losses, Outcome.PAUSED, sign) for n, losses in enumerate(paused, 1)]
    ended = [trial(n, losses, Outcome.MEASURED, sign) for n, losses in enumerate(whole, len(paused) + 1)]
    return TrialHistory([*waiting, *ended])


def gone_on_with(known: TrialHistory, objective: Objective = LOSS, **settings: object) -> list[tuple[int, int | None]]:
    """Trials that go on, and to which step, of twenty that are asked for."""
    problem = Problem(SPACE, (objective,))
    designer = make_designer(Algorithm("freeze_thaw", settings={"max": 9, **settings}), problem)
    found = designer.suggest(problem, known, 20, generator(1, 0), "").proposals
    return [(p.trial, p.until_step) for p in found if isinstance(p, Resume)]


FAN = [[3.0 + i, 2.0 + i, 1.0 + i] for i in range(6)]
"""Whole trials: what was best at first is best at last, without exception."""

LATE = [[3.0, 3.0, 1.0], [3.1, 2.0, 2.5], [3.2, 3.1, 0.5], [2.9, 2.1, 2.2], [3.0, 2.9, 1.4], [3.1, 2.2, 2.1]]
"""Whole trials: what they were at first says little of what they came to."""


@pytest.mark.parametrize(
    ("paused", "whole", "expected", "why"),
    [
        ([[3.0], [2.0]], [], [], "of two none is among the best third"),
        ([[3.0], [2.0], [4.0]], [], [(2, 3)], "the best of three goes on to the next rung"),
        ([[3.0], [2.0], [NAN]], [], [(2, 3)], "one without a number counts, and is never the best"),
        ([[3.0, 2.0], [3.0, 1.0], [3.0, 4.0]], [], [(2, None)], "the highest rung comes first, and goes to the end"),
        ([[2.5], [9.0]], FAN[:4], [(1, 3)], "with four whole trials it is chances that count"),
        ([[2.9], [2.5], [9.0]], FAN, [(2, 3), (1, 3)], "the one with the greater chance comes first"),
        ([[6.0], [9.0]], FAN, [], "none goes on where the line leaves no doubt that it will not be the best"),
        ([[3.4]], LATE, [(1, 3)], "a poor start is no reason where others came from behind"),
        ([[3.4, 0.4]], FAN, [(1, None)], "what is better than the best already goes on for certain"),
        ([[NAN]], LATE, [], "one that has reported no number waits"),
    ],
)
def test_who_goes_on(
    paused: Sequence[Curve], whole: Sequence[Curve], expected: list[tuple[int, int | None]], why: str
) -> None:
    assert gone_on_with(history(paused, whole)) == expected, why


def test_more_is_better_where_the_objective_says_so() -> None:
    assert gone_on_with(history([[2.9], [2.5], [9.0]], FAN, sign=-1.0), ACCURACY) == [(2, 3), (1, 3)]


def test_a_smaller_probability_gives_more_trials_a_chance() -> None:
    known = history([[3.6]], [[3.0, 2.0, 1.0], [3.1, 2.2, 1.1], [3.2, 2.1, 1.3], [3.4, 2.6, 1.4], [3.5, 2.5, 1.6]])
    assert gone_on_with(known, probability=0.2) == []
    assert gone_on_with(known, probability=1e-4) == [(1, 3)]


def test_a_running_trial_is_left_alone_and_counts_as_promoted() -> None:
    """Of six at the first rung two may go on, and one is on its way."""
    known = history([[3.0], [2.0], [4.0], [5.0], [6.0]])
    known.put(trial(6, [1.0], Outcome.PENDING))
    assert gone_on_with(known) == [(2, 3)]


def test_reasons_have_the_numbers() -> None:
    problem = Problem(SPACE, (LOSS,))
    designer = make_designer(Algorithm("freeze_thaw", settings={"max": 9}), problem)
    (resumed,) = designer.suggest(problem, history([[2.5]], FAN), 1, generator(1, 0), "").proposals
    assert resumed == Resume(1, 3, "step 1: loss 0.5 expected, its chance of becoming the best is 1; goes on to step 3")
    (new,) = designer.suggest(problem, history([[9.0]], FAN), 1, generator(1, 0), "").proposals
    assert isinstance(new, New)
    assert new.until_step == 1
    assert new.why.endswith("; to step 1 at first")
