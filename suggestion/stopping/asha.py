"""Asynchronous successive halving in its stopping form: Li et al., "A System for Massively Parallel Hyperparameter
Tuning" (MLSys 2020), algorithm 2, where a trial goes on from rung to rung instead of being paused and promoted.

A trial that reaches rung k, at r eta^k steps, goes on if it is among the best n // eta of the n trials that have
reached the rung so far, itself included, or if it is the best of them; it never waits for others.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...domain.errors import InvalidArgument
from ...domain.metric import Objective
from ..pareto import dominating
from ..settings import setting
from .curves import CurveIndex, Rung
from .rule import Stop


class Asha:
    """r is `min`, R is `max`. A trial is judged once at each rung, by its first report from the rung's step on
    and before the next rung's; a rung that its reports jump over does not judge it. NaN is worse than everything.

    With several objectives a trial is judged by its first report of each of them, once it has them all, and its rank is
    one more than the number of trials that dominate it (see `pareto`): one that nothing dominates is never stopped.
    """

    name = "asha"
    version = 1
    cheap = True

    @dataclass(frozen=True)
    class Settings:
        min: int = setting(1, "the first rung: no trial is stopped before this step", least=1, most=2**53)
        max: int | None = setting(
            None, "the steps of a whole trial: nothing is stopped at this step or later", least=2, most=2**53
        )
        eta: float = setting(3.0, "about one in eta trials goes on from each rung to the next", least=1.1, most=1e6)

    def __init__(self, settings: Settings, objectives: Sequence[Objective]) -> None:
        """Raises InvalidArgument where no rung lies below `max`."""
        if settings.max is not None and settings.min >= settings.max:
            raise InvalidArgument(
                "stopping.min",
                settings.min,
                f"must be less than stopping.max = {settings.max}",
                "No rung would lie before the end of a trial",
            )
        self._eta = settings.eta
        self._last = math.inf if settings.max is None else settings.max
        self._starts = [settings.min]

    def decide(self, trial_id: int, step: int, curves: Sequence[CurveIndex]) -> Stop | None:
        if step >= self._last:
            return None
        while self._starts[-1] <= step:
            self._starts.append(max(self._starts[-1] + 1, math.floor(self._starts[0] * self._eta ** len(self._starts))))
        k = bisect.bisect_right(self._starts, step) - 1
        if k < 0:
            return None
        rung = self._starts[k], self._starts[k + 1]
        firsts = [first for c in curves if (first := c.first(trial_id, *rung)) is not None]
        if len(firsts) < len(curves) or max(firsts) != step:
            return None  # an objective is still to come, or it was judged by an earlier report
        rank, n = _rank(trial_id, [c.rung(*rung) for c in curves])
        if rank <= max(1, math.floor(n / self._eta)):
            return None
        return Stop(f"step {step}: rank {rank} of {n}, eta {self._eta:g}")


def _rank(trial_id: int, rungs: Sequence[Rung]) -> tuple[int, int]:
    """One more than the number of trials that are better, and how many trials there are."""
    if len(rungs) == 1:
        return 1 + rungs[0].better(trial_id), len(rungs[0].losses)
    first, *others = (rung.losses for rung in rungs)
    there = [t for t in first if all(t in losses for losses in others)]
    columns = np.array([[rung.losses[t] for t in there] for rung in rungs])
    columns[:, (columns == math.inf).any(axis=0)] = math.inf  # to have diverged is no better for being small
    better = dominating(columns, columns[:, there.index(trial_id)])
    return 1 + int(np.count_nonzero(better)), len(there)
