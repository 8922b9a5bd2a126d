"""The ladder of successive halving: how many steps a trial may do at each rung, and what trials are worth there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...domain.errors import InvalidArgument
from ..designer import History, Observation, Outcome, Problem
from ..settings import setting


@dataclass(frozen=True)
class LadderSettings:
    """What algorithms with rungs are told."""

    min: int = setting(1, "steps of the first rung, at which trials are paused and compared", least=1, most=2**53)
    max: int | None = setting(None, "steps of a whole trial; it has to be given", least=2, most=2**53)
    eta: float = setting(3.0, "about one in eta trials goes on from each rung to the next", least=1.1, most=1e6)


def ladder(least: int, most: int, eta: float) -> list[int]:
    """Steps of the rungs, ascending: `least`, about eta times as many at each next one, and `most` last."""
    rungs = [most]
    # Counted down from the top, as Li et al. do: the rungs are most eta^-k, rounded down.
    while (lower := math.floor(most * eta ** -len(rungs) + 1e-9)) > least and lower < rungs[0]:
        rungs.insert(0, lower)
    return rungs if rungs[0] <= least else [least, *rungs]


def check_rungs(least: int, most: int | None, problem: Problem, name: str) -> int:
    """`most`, which has to be given. Raises InvalidArgument for it, for an empty ladder and for several objectives."""
    if most is None:
        raise InvalidArgument(
            "algorithm.max", None, "is missing", f"{name} needs to know how many steps a whole trial does"
        )
    if least >= most:
        raise InvalidArgument(
            "algorithm.min", least, f"must be less than algorithm.max = {most}", "No rung would lie below a whole trial"
        )
    if len(problem.objectives) != 1:
        raise InvalidArgument(
            "algorithm.name",
            name,
            f"compares trials by one objective, and the study has {len(problem.objectives)}",
            "Keep one objective and watch the others as `safety` metrics",
        )
    return most


def loss_at(observation: Observation, start: int, end: float, problem: Problem) -> float | None:
    """The trial's loss at its first report within [start, end) steps, infinite for NaN; None without one."""
    for step, value in observation.curve:
        if start <= step < end:
            return _loss(value, problem)
    return None


def final_loss(observation: Observation, problem: Problem) -> float:
    """What the trial is worth where it stands. Infinite where that is no number, or it is INFEASIBLE."""
    if observation.outcome is Outcome.INFEASIBLE or not observation.values:
        return math.inf
    return _loss(observation.values[0], problem)


def rung_of(observation: Observation, rungs: Sequence[int]) -> int:
    """Which rung the trial is at or on its way to; the last for one that goes on to its own end."""
    if observation.until_step is None:
        return len(rungs) - 1
    return next((k for k, steps in enumerate(rungs) if steps >= observation.until_step), len(rungs) - 1)


def nothing_waits(history: History) -> bool:
    """Whether no trial runs or is paused: only then an algorithm without new points is done."""
    return not any(o.outcome in (Outcome.PENDING, Outcome.PAUSED) for o in history.observations)


def _loss(value: float, problem: Problem) -> float:
    loss = problem.objectives[0].loss(value)
    return math.inf if math.isnan(loss) else loss
