"""Draws that meet no point too often, and come to an end in a finite space.

While most of a space is untried, draws that hit a point already tried are thrown away. Once half of a finite space is
tried, or draws no longer find anything, the rest is gone through in a shuffled order, which is the same as drawing
without replacement; at its end the space is exhausted. Where the order was begun is part of the memo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .designer import History, New, Problem
from .space.encoding import Array
from .space.enumeration import enumeration
from .space.sampling import Taken, draw_untried
from .space.walk import walk


@dataclass(frozen=True, slots=True)
class Found:
    """Proposals; how many draws they took; `order`: entries for the memo once the shuffled order is begun."""

    proposals: list[New]
    used: int
    order: Mapping[str, int]
    exhausted: bool


def find_untried(
    problem: Problem,
    history: History,
    count: int,
    rng: np.random.Generator,
    memo: Mapping[str, Any],
    taken: Taken,
    rows: Callable[[int, int], Array],
    explain: Callable[[int], tuple[str, Mapping[str, float]]],
) -> Found:
    """Up to `count` new points.

    `rows(start, n)`: uniform numbers of draws start to start + n - 1, (n, d) in [0, 1]. `explain(number)`: why and
    details of the point that draw made. `taken`: the points of this answer so far.
    """
    points = enumeration(problem.space)
    proposals: list[New] = []
    used = 0
    if points is None or ("key" not in memo and 2 * history.distinct < points.size):
        draws = draw_untried(problem, history, count, taken, rows)
        proposals = [New(p, *explain(n)) for p, n in zip(draws.points, draws.numbers, strict=True)]
        used = draws.used
        if points is None or len(proposals) == count:
            return Found(proposals, used, {}, exhausted=False)
    key = int(memo["key"]) if "key" in memo else int(rng.integers(2**63))
    position = int(memo["position"]) if memo.get("size") == points.size else 0
    steps = walk(points, key, position, count - len(proposals), problem, history, taken)
    for point, place in zip(steps.points, steps.places, strict=True):
        why = f"among the last untried points: place {place % points.size + 1} of {points.size} in a shuffled order"
        proposals.append(New(point, why, {"place": float(place)}))
    return Found(proposals, used, {"key": key, "position": steps.position, "size": points.size}, steps.done)
