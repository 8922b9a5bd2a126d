"""Going through a finite space point by point, a little in each round, until every point has been tried."""

from __future__ import annotations

from dataclasses import dataclass

from ...domain.parameters import Parameters
from ..designer import History, Problem
from .enumeration import Enumeration
from .permutation import Permutation
from .sampling import Taken, take

MAX_LOOKS = 1_000
"""Points looked at in one round beyond those asked for: a round costs some milliseconds where constraints or other
trials leave none of them."""


@dataclass(frozen=True, slots=True)
class Steps:
    """What one round found. `places`: where in the order each point stands, from 0."""

    points: list[Parameters]
    places: list[int]
    position: int
    """Where the next round goes on."""
    done: bool
    """Whether the end was reached."""


def walk(
    points: Enumeration,
    key: int | None,
    position: int,
    count: int,
    problem: Problem,
    history: History,
    taken: Taken,
) -> Steps:
    """Up to `count` points from `position` on, those passed over that break a constraint or have been tried enough.

    `key` chooses a shuffled order; None is that of the enumeration. With `repeats`, the whole order is gone through as
    many times, so every point is tried once before any is tried twice. `taken`: see `take`.
    """
    order = Permutation(points.size, key) if key is not None else int
    found: list[Parameters] = []
    places: list[int] = []
    end = points.size * problem.repeats
    until = min(end, position + count + MAX_LOOKS)
    while position < until and len(found) < count:
        point = points.at(order(position % points.size))
        if problem.space.satisfies(point) and take(point, history, problem.repeats, taken):
            found.append(point)
            places.append(position)
        position += 1
    return Steps(found, places, position, position >= end)
