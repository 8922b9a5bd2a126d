"""The ladder of successive halving: how many steps a trial may do at each rung, and what trials are worth there."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter

from ...domain.errors import InvalidArgument
from ..designer import History, Observation, Outcome, Problem
from ..settings import setting

Losses = tuple[float, ...]
"""What a trial is worth, an objective each: less is better. All of them are infinite where one is, or is NaN: a trial
that has diverged is no better for being small."""


@dataclass(frozen=True)
class LadderSettings:
    """What algorithms with rungs are told."""

    min: int = setting(1, "steps of the first rung, at which trials are paused and compared", least=1, most=2**53)
    max: int | None = setting(None, "steps of a whole trial; required", least=2, most=2**53)
    eta: float = setting(3.0, "about one in eta trials goes on from each rung to the next", least=1.1, most=1e6)


def ladder(least: int, most: int, eta: float) -> list[int]:
    """Steps of the rungs, ascending: `least`, about eta times as many at each next one, and `most` last."""
    rungs = [most]
    # Counted down from the top, as Li et al. do: the rungs are most eta^-k, rounded down.
    while (lower := math.floor(most * eta ** -len(rungs) + 1e-9)) > least and lower < rungs[0]:
        rungs.insert(0, lower)
    return rungs if rungs[0] <= least else [least, *rungs]


def check_rungs(least: int, most: int | None, problem: Problem, name: str) -> int:
    """Like `check_steps`, for algorithms of one objective. Raises InvalidArgument for several, too."""
    steps = check_steps(least, most, name)
    if len(problem.objectives) != 1:
        raise InvalidArgument(
            "algorithm.name",
            name,
            f"compares trials by one objective, and the study has {len(problem.objectives)}",
            "Take hyperband, asha or pbt, or keep one objective and watch the others as `safety` metrics",
        )
    return steps


def check_steps(least: int, most: int | None, name: str) -> int:
    """`most`, which has to be given. Raises InvalidArgument for it, and for an empty ladder."""
    if most is None:
        raise InvalidArgument(
            "algorithm.max", None, "is missing", f"{name} needs to know how many steps a whole trial does"
        )
    if least >= most:
        raise InvalidArgument(
            "algorithm.min", least, f"must be less than algorithm.max = {most}", "No rung would lie below a whole trial"
        )
    return most


def losses_of(values: Sequence[float], problem: Problem) -> Losses:
    """What a trial with these values is worth; an objective each."""
    losses = tuple([o.loss(v) for o, v in zip(problem.objectives, values, strict=True)])
    for loss in losses:
        if not loss < math.inf:
            return (math.inf,) * len(losses)
    return losses


def losses_at(observation: Observation, start: int, end: float, problem: Problem) -> Losses | None:
    """The trial's losses at its first report of each objective within [start, end) steps, see `Losses`; None where one
    is missing."""
    values = []
    for curve in (observation.curve, *observation.other_curves):
        place = bisect_left(curve, start, key=itemgetter(0))
        if place == len(curve) or curve[place][0] >= end:
            return None
        values.append(curve[place][1])
    return losses_of(values, problem)


def final_loss(observation: Observation, problem: Problem) -> float:
    """`final_losses`, for algorithms of one objective."""
    return final_losses(observation, problem)[0]


def final_losses(observation: Observation, problem: Problem) -> Losses:
    """What the trial is worth where it stands. Infinite where it has no values, or is INFEASIBLE."""
    if observation.outcome is Outcome.INFEASIBLE or not observation.values:
        return (math.inf,) * len(problem.objectives)
    return losses_of(observation.values, problem)


def finite(losses: Losses) -> bool:
    """Whether the trial may go on at all."""
    return max(losses) < math.inf


def rung_of(observation: Observation, rungs: Sequence[int]) -> int:
    """Which rung the trial is at or on its way to; the last for one that goes on to its own end."""
    if observation.until_step is None:
        return len(rungs) - 1
    return next((k for k, steps in enumerate(rungs) if steps >= observation.until_step), len(rungs) - 1)


def room_for_new(problem: Problem, history: History) -> float:
    """New trials that the budget has left; infinite without one."""
    return math.inf if problem.trials is None else problem.trials - sum(o.counted for o in history.observations)


def nothing_waits(history: History) -> bool:
    """Whether no trial runs or is paused: only then an algorithm without new points is done."""
    return not any(o.outcome in (Outcome.PENDING, Outcome.PAUSED) for o in history.observations)
