"""Grid search, in order and in a shuffled order. The grid is never made: 10^12 points cost nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ...domain.errors import InvalidArgument
from ..designer import History, New, Problem, Suggestions
from ..memo import read_memo, write_memo
from ..settings import setting
from ..space.enumeration import Enumeration, enumeration
from ..space.walk import walk


class Grid:
    """Every combination of values once (or `repeats` times, one pass after the other), the last parameter fastest.

    Memo: how far it has got, and the size of the grid; in a grid of another size it starts anew, and passes over what
    has been tried.
    """

    name = "grid"
    version = 1
    cheap = True
    shuffled = False

    @dataclass(frozen=True)
    class Settings:
        points: int = setting(
            10,
            "how many values a real-valued parameter without a step has, both ends among them, evenly on its scale",
            least=2,
            most=10_000,
        )

    def __init__(self, settings: Settings, problem: Problem) -> None:
        """Raises InvalidArgument for conditions so entangled that their points cannot be counted."""
        self._levels = settings.points
        self._points(problem)

    def suggest(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        by = f"{self.name}/{self.version}"
        before = read_memo(by, memo)
        points = self._points(problem)
        key = (int(before["key"]) if before else int(rng.integers(2**63))) if self.shuffled else None
        position = int(before["position"]) if before.get("size") == points.size else 0
        steps = walk(points, key, position, count, problem, history, Counter())
        proposals = []
        for point, place in zip(steps.points, steps.places, strict=True):
            turn, number = divmod(place, points.size)
            why = f"point {number + 1} of {points.size} of the grid"
            why += " in a shuffled order" if self.shuffled else ""
            why += f", time {turn + 1} of {problem.repeats}" if problem.repeats > 1 else ""
            proposals.append(New(point, why, {"place": float(place)}))
        order = {} if key is None else {"key": key}
        after = write_memo(by, position=steps.position, size=points.size, **order)
        return Suggestions(proposals, after, steps.done)

    def _points(self, problem: Problem) -> Enumeration:
        points = enumeration(problem.space, self._levels)
        if points is None:
            raise InvalidArgument(
                "algorithm.name",
                self.name,
                "cannot number the points of this space: too many combinations of `when` would have to be told apart",
                "Use quasirandom or random, or simplify the conditions",
            )
        return points


class ShuffledGrid(Grid):
    """The same in a random order, so that a study that ends early has seen all of the grid thinly.

    Memo: that of `Grid` with the key of the order, drawn in the first round.
    """

    name = "shuffled_grid"
    shuffled = True
