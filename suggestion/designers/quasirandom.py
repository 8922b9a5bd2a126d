"""Quasi-random search: points that fill the space more evenly than chance does.

Bousquet, Gelly, Kurach, Teytaud and Vincent, "Critical Hyper-Parameters: No Random, No Cry" (2017).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from ..designer import History, New, Problem, Suggestions
from ..memo import read_memo, write_memo
from ..space.sampling import Taken, take
from ..space.sobol import sobol_rows
from ..space.usual import defaults
from ..untried import find_untried


class QuasiRandom:
    """A scrambled Sobol sequence, one coordinate a parameter on its scale, blind to results.

    The very first proposal is the point of the space's defaults, where every parameter that is then active has one: a
    person who states what is usual wants to see it beaten. It is no part of the sequence.

    Memo: the seed of the scrambling, drawn in the first round, and how much of the sequence is used. Points that break
    a constraint are passed over, which keeps the rest as even as they were.
    """

    name = "quasirandom"
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
        before = read_memo("quasirandom/1", memo)
        seed = int(before["seed"]) if before else int(rng.integers(2**63))
        used = int(before.get("used", 0))
        dimension = len(problem.space.parameters)
        first: list[New] = []
        taken: Taken = Counter()
        if not before and count > 0:
            usual = defaults(problem.space)
            if usual is not None and take(usual, history, problem.repeats, taken):
                first.append(New(usual, "the defaults of the search space"))
        found = find_untried(
            problem,
            history,
            count - len(first),
            rng,
            before,
            taken,
            lambda start, n: sobol_rows(seed, used + start, n, dimension),
            lambda number: (
                f"point {used + number + 1} of a scrambled Sobol sequence",
                {"index": float(used + number)},
            ),
        )
        after = write_memo("quasirandom/1", seed=seed, used=used + found.used, **found.order)
        return Suggestions(first + found.proposals, after, found.exhausted)
