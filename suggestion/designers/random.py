"""Random search: Bergstra and Bengio, "Random Search for Hyper-Parameter Optimization" (JMLR 2012)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..designer import History, Problem, Suggestions
from ..memo import read_memo, write_memo
from ..untried import find_untried


class Random:
    """Each parameter uniform on its scale, independent of the others and of all results.

    Memo: empty, until the last points of a finite space are gone through; then where that has got to.
    """

    name = "random"
    version = 1
    cheap = True

    @dataclass(frozen=True)
    class Settings:
        """There are none."""

    def __init__(self, settings: Settings, problem: Problem) -> None:
        """Takes every problem."""

    def suggest(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        dimension = len(problem.space.parameters)
        found = find_untried(
            problem,
            history,
            count,
            rng,
            read_memo("random/1", memo),
            Counter(),
            lambda start, n: rng.random((n, dimension)),
            lambda number: ("drawn at random", {}),
        )
        after = write_memo("random/1", **found.order) if found.order else ""
        return Suggestions(found.proposals, after, found.exhausted)
