"""Points that have been tried before, for a growing space in which nothing new is left for now.

The space may grow with the next trial, by a value or a parameter that nobody has named yet, so it has no last point and
its study does not end with it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..domain.parameters import Parameters
from ..domain.space import Space
from .designer import History, New, Outcome, Problem, Suggestions
from .space.sampling import find_feasible, sample

WHY = "every point of the space as far as it is known has been tried, and it may still grow"

_TRIES = 1_000


def repeated(
    problem: Problem, history: History, found: Suggestions, count: int, rng: np.random.Generator
) -> Suggestions:
    """The suggestions, filled up to `count` if the algorithm has nothing more to say: it is at its end, or there is no
    result that it could be waiting for."""
    waits = any(o.outcome is Outcome.PENDING for o in history.observations)
    if not found.exhausted and (found.proposals or waits):
        return found
    more = [New(_drawn(problem.space, rng), WHY) for _ in range(count - len(found.proposals))]
    return replace(found, proposals=[*found.proposals, *more], exhausted=False)


def _drawn(space: Space, rng: np.random.Generator) -> Parameters:
    """A point that satisfies the constraints if one is found: they were learned, and the trial's own ranges decide."""
    point = find_feasible(space, rng, _TRIES)
    return sample(space, rng.random(len(space.parameters))) if point is None else point
