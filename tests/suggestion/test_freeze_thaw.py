"""Which trials freeze_thaw goes on with: by halving at first, by table, and then by what its model expects of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import pytest

from wazir.domain.errors import InvalidArgument
from wazir.domain.metric import Goal, Objective
from wazir.domain.space import Double, Parameter, Space
from wazir.domain.study import Algorithm
from wazir.suggestion.designer import Designer, New, Observation, Outcome, Problem, Resume
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


def halved(paused: Sequence[Curve], objective: Objective = LOSS) -> list[tuple[int, int | None]]:
    """Trials that go on, and to which step, of twenty proposals. The trials have the numbers from 1 on."""
    sign = objective.loss(1.0)
    return gone_on_with(TrialHistory([trial(n, c, Outcome.PAUSED, sign) for n, c in enumerate(paused, 1)]), objective)


def gone_on_with(known: TrialHistory, objective: Objective = LOSS) -> list[tuple[int, int | None]]:
    problem = Problem(SPACE, (objective,))
    designer = make_designer(Algorithm("freeze_thaw", settings={"max": 9}), problem)
    found = designer.suggest(problem, known, 20, generator(1, 0), "").proposals
    return [(p.trial, p.until_step) for p in found if isinstance(p, Resume)]


TWELVE: Sequence[Curve] = [[float(loss)] for loss in (12, 11, 3, 10, 9, 1, 8, 7, 4, 6, 5, 2)]
"""As many as there are first points, at the first rung."""


@pytest.mark.parametrize(
    ("paused", "expected", "why"),
    [
        (TWELVE[1:], [], "the first points come first"),
        (TWELVE, [(6, 3), (12, 3), (3, 3), (9, 3)], "the best third of twelve goes on to the next rung"),
        ([*TWELVE, [0.0]], [(13, 3), (6, 3), (12, 3), (3, 3)], "of thirteen no more"),
        ([[3.0], [2.0], *[[NAN]] * 10], [(2, 3), (1, 3)], "those without a number count, and are never the best"),
        ([[NAN]] * 12, [], "nor do they go on for want of others"),
        (
            [[4.0, 2.0], [4.0, 1.0], [4.0, 4.0], *TWELVE[3:]],
            [(2, None), (6, 3)],
            "the highest rung comes first, and goes to the end",
        ),
    ],
)
def test_who_goes_on_at_first(paused: Sequence[Curve], expected: list[tuple[int, int | None]], why: str) -> None:
    assert halved(paused) == expected, why


def test_more_is_better_where_the_objective_says_so() -> None:
    assert halved(TWELVE, ACCURACY) == [(6, 3), (12, 3), (3, 3), (9, 3)]


def test_a_running_trial_is_left_alone_and_counts_as_promoted() -> None:
    """Of twelve at the first rung four may go on, and one is on its way."""
    known = TrialHistory([trial(n, loss, Outcome.PAUSED) for n, loss in enumerate(TWELVE, 1)])
    known.put(trial(6, [1.0], Outcome.PENDING))
    assert gone_on_with(known) == [(12, 3), (3, 3), (9, 3)]


def test_there_is_no_probability_any_more() -> None:
    with pytest.raises(InvalidArgument, match=r"algorithm\.probability = 0\.01: no such setting"):
        make_designer(Algorithm("freeze_thaw", settings={"max": 9, "probability": 0.01}), Problem(SPACE, (LOSS,)))


Law = Callable[[float, int], float]
"""The loss of a parameter after so many steps."""

LADDER: Mapping[str, object] = {"max": 9}


def steady(x: float, step: int) -> float:
    return (x - 0.3) ** 2 + 1 / step


def crossing(x: float, step: int) -> float:
    """What comes to be best starts as the worst."""
    return abs(x - 0.8) if step < 9 else abs(x - 0.2)


def studied(law: Law, whole: Collection[int], steps: Sequence[int] = (1, 3, 9)) -> TrialHistory:
    """Twenty trials, evenly spread: those at the places `whole` have run to their end, the others wait at the first
    rung."""
    found = TrialHistory()
    for i in range(20):
        x = round(i / 20 + 0.02, 3)
        curve = tuple((s, law(x, s)) for s in (steps if i in whole else steps[:1]))
        outcome, until = (Outcome.MEASURED, None) if i in whole else (Outcome.PAUSED, steps[0])
        found.put(Observation(i + 1, {"x": x}, outcome, (curve[-1][1],), until_step=until, curve=curve))
    return found


def answered(
    known: TrialHistory, count: int = 1, settings: Mapping[str, object] = LADDER, trials: int | None = None
) -> Sequence[New | Resume]:
    """Of a study that has begun, so that there is no more to be tried that is usual."""
    problem = Problem(SPACE, (LOSS,), trials=trials)
    designer: Designer = make_designer(Algorithm("freeze_thaw", settings=dict(settings)), problem)
    memo = designer.suggest(problem, TrialHistory(), 1, generator(1, 0), "").memo
    return designer.suggest(problem, known, count, generator(1, 1), memo).proposals


WHOLE = (1, 6, 11, 15, 18)


def test_a_trial_goes_on_whose_like_have_come_from_behind() -> None:
    """Five whole trials show that rungs disagree. Trials 4 and 5 are among the last at step 1, near the best place."""
    found = answered(studied(crossing, WHOLE), 3)
    assert [p.trial for p in found if isinstance(p, Resume)] == [5, 4]
    (new,) = [p for p in found if isinstance(p, New)]
    assert new.parameters["x"] == pytest.approx(0.2, abs=0.05), "those that go on count as if they had ended"


def test_a_new_trial_starts_where_more_is_expected_of_it() -> None:
    """The best place lies between two whole trials."""
    known = studied(steady, (3, 6, 9, 14))
    (new,) = answered(known)
    assert isinstance(new, New)
    assert new.parameters["x"] == pytest.approx(0.3, abs=0.03)
    assert new.until_step == 1


@pytest.mark.parametrize(("least", "goes_on"), [(1, False), (98, True)])
def test_improvement_counts_by_the_steps_that_it_takes(least: int, goes_on: bool) -> None:
    """Trial 6, beside the best place, waits. A new one is better by a little, and has a hundred steps before it."""
    known = studied(lambda x, step: (x - 0.3) ** 2, (1, 9, 12, 16), steps=(least, 100))
    (found,) = answered(known, settings={"max": 100, "min": least, "eta": 1000})
    assert isinstance(found, Resume) == goes_on


def test_targets_far_below_the_best_lead_to_where_little_is_known() -> None:
    """The hollow is known well, the middle of a gap is not. Rounds differ by what they would improve on."""
    known = TrialHistory()
    for i, x in enumerate((0.0, 0.1, 0.2, 0.25, 0.29, 0.33, 0.4, 0.5, 0.6, 0.8, 0.9, 1.0), 1):
        curve = tuple((s, steady(x, s)) for s in (1, 3, 9))
        known.put(Observation(i, {"x": x}, Outcome.MEASURED, (curve[-1][1],), curve=curve))
    problem = Problem(SPACE, (LOSS,))
    designer: Designer = make_designer(Algorithm("freeze_thaw", settings=dict(LADDER)), problem)
    memo = designer.suggest(problem, TrialHistory(), 1, generator(1, 0), "").memo
    points = [designer.suggest(problem, known, 1, generator(seed, 1), memo).proposals[0] for seed in range(15)]
    at = [float(str(p.parameters["x"])) for p in points if isinstance(p, New)]
    assert min(at) == pytest.approx(0.3, abs=0.02)
    assert max(at) == pytest.approx(0.7, abs=0.05)


def test_where_the_budget_has_no_new_trials_those_go_on_that_have_a_chance() -> None:
    known = studied(steady, WHOLE)
    assert isinstance(answered(known)[0], New)
    resumed = [p.trial for p in answered(known, 8, trials=20) if isinstance(p, Resume)]
    assert resumed[0] == 6, "beside the best place"
    assert len(resumed) < 4, "and of most trials it is known that they will not be the best"


def test_a_budget_of_fewer_trials_than_the_model_waits_for_lets_them_go_on_too() -> None:
    """Five of ten have ended, one of those that wait is beside the best place."""
    every = studied(steady, (1, 5, 9, 13, 17)).observations
    known = TrialHistory(o for o in every if o.trial_id % 2 == 0)
    waits = replace(every[6], trial_id=3)
    known.put(waits)
    resumed = [p.trial for p in answered(known, 1, trials=len(known)) if isinstance(p, Resume)]
    assert resumed == [3]


def test_trials_that_run_count_as_if_they_had_ended_as_expected() -> None:
    known = studied(crossing, WHOLE)
    for number in (4, 5):
        waits = known.get(number)
        assert waits is not None
        known.put(replace(waits, outcome=Outcome.PENDING, values=(), until_step=3))
    (found,) = answered(known)
    assert isinstance(found, New), "else trial 5 would be the next to go on, or its neighbour"


def test_points_of_one_answer_lie_apart() -> None:
    points = [float(str(p.parameters["x"])) for p in answered(studied(steady, range(20)), 4) if isinstance(p, New)]
    assert len({round(x, 4) for x in points}) == 4


def test_infeasible_points_are_avoided() -> None:
    known = studied(lambda x, step: x, WHOLE)
    assert min(float(str(p.parameters["x"])) for p in answered(known, 2) if isinstance(p, New)) < 0.1
    for number in range(1, 8):
        known.put(Observation(number, {"x": (number - 1) / 20 + 0.02}, Outcome.INFEASIBLE))
    for p in answered(known, 2):
        assert not isinstance(p, New) or float(str(p.parameters["x"])) > 0.3


def test_trials_that_report_nothing_by_step_are_learned_from() -> None:
    known = TrialHistory(
        Observation(i + 1, {"x": i / 20}, Outcome.MEASURED, ((i / 20 - 0.3) ** 2,)) for i in range(20) if i != 6
    )
    (new,) = answered(known)
    assert isinstance(new, New)
    assert new.parameters["x"] == pytest.approx(0.3, abs=0.03)
    assert " expected at the end, 0.0025 is the best so far; to step 1 at first" in new.why


def test_before_trials_have_ended_the_model_speaks_of_the_rung_that_they_have_reached() -> None:
    known = studied(steady, (5, 6))
    new = next(p for p in answered(known, 20) if isinstance(p, New))
    assert " expected at step 1, " in new.why
    assert set(new.details) == {"mean", "deviation", "log_expected_improvement"}


def test_reasons_have_the_numbers() -> None:
    first = answered(studied(crossing, WHOLE))[0]
    assert first.why.startswith("step 1: loss 0.0")
    assert first.why.endswith(" expected at the end, 0.12 is the best so far; goes on to step 3")
    halving = TrialHistory([trial(n, loss, Outcome.PAUSED) for n, loss in enumerate(TWELVE, 1)])
    assert answered(halving)[0] == Resume(6, 3, "step 1: loss 1, one of the best 4 of 12; goes on to step 3")


def test_what_the_model_learns_from_stays_bounded() -> None:
    """Six hundred whole trials with three values each, of which the model sees the best."""
    known = TrialHistory()
    for i in range(600):
        x = i / 600
        curve = tuple((s, steady(x, s)) for s in (1, 3, 9))
        known.put(Observation(i + 1, {"x": x}, Outcome.MEASURED, (curve[-1][1],), curve=curve))
    (new,) = answered(known)
    assert isinstance(new, New)
    assert new.parameters["x"] == pytest.approx(0.3, abs=0.01)
