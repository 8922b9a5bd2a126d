"""Asynchronous successive halving that pauses and promotes: Li et al., "A System for Massively Parallel Hyperparameter
Tuning" (MLSys 2020), algorithm 2.

Every trial is paused at the first rung, at r eta^0 steps. Whoever asks gets, of the highest rung that has one, the best
paused trial that is among the best n // eta of the n trials that have reached that rung; where no rung has one, a new
trial. Nobody ever waits for others.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, pairwise

import numpy as np

from ..designer import (
    History,
    New,
    Observation,
    Outcome,
    PausesAll,
    Problem,
    ReadsCurves,
    Resume,
    StartsWithoutModel,
    Suggestions,
)
from ..memo import read_memo, write_memo
from ..pareto import best_first
from .followed import Followed
from .quasirandom import QuasiRandom
from .rungs import LadderSettings, Losses, check_steps, finite, ladder, losses_at, nothing_waits

FEW = 50
"""So many trials at most are put into their places one by one; more, as there are at first, are sorted together."""


class Asha(ReadsCurves, PausesAll, StartsWithoutModel):
    """r is `min`, R is `max`; rungs lie at max eta^-k. New points are quasi-random. A trial's worth at a rung is its
    first report from the rung's step on; NaN and infeasible trials are worth least. Failed trials are left out. With
    several objectives the order of a rung is that of `pareto.best_first`.

    Where budget or space end before there are enough trials for somebody to come to R steps, the best of the highest
    rung goes on alone.

    Memo: that of the quasi-random sequence.
    """

    name = "asha"
    version = 2

    Settings = LadderSettings

    def __init__(self, settings: LadderSettings, problem: Problem) -> None:
        """Raises InvalidArgument for settings without a ladder."""
        self.cheap = len(problem.objectives) == 1
        self._eta = settings.eta
        self._rungs = ladder(settings.min, check_steps(settings.min, settings.max, self.name), settings.eta)
        self.first_rung = self._rungs[0]
        self._points = QuasiRandom(QuasiRandom.Settings(), problem)
        self._standing = _Standing(self._rungs, problem)

    def suggest(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        self._standing.follow(history.observations)
        promoted = list(islice(self._promoted(), count))
        points = str(read_memo("asha/1", memo).get("points", ""))
        if problem.trials is not None and self._standing.counted >= problem.trials:
            promoted = promoted or self._last_one(history)[:count]
        found = self._points.suggest(problem, history, count - len(promoted), rng, points)
        new = [replace(p, until_step=self.first_rung) for p in found.proposals if isinstance(p, New)]
        if found.exhausted and not new:
            promoted = promoted or self._last_one(history)[:count]
        exhausted = found.exhausted and not promoted and nothing_waits(history)
        return Suggestions([*promoted, *new], write_memo("asha/1", points=found.memo), exhausted)

    def suggest_without_model(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions | None:
        # With several objectives, what costs is to put many trials in order.
        return None if len(history.observations) > FEW else self.suggest(problem, history, count, rng, memo)

    def _promoted(self) -> Iterator[Resume]:
        """The trials that may go on now: those of the highest rung first, the best of each rung first."""
        for k in reversed(range(len(self._rungs) - 1)):
            start, end = self._rungs[k], self._rungs[k + 1]
            reached = self._standing.best_first(k)
            for rank, (losses, trial_id) in enumerate(reached[: math.floor(len(reached) / self._eta)], 1):
                if self._may_go_on(losses, trial_id, end):
                    about = f"rank {rank} of {len(reached)}, eta {self._eta:g}"
                    yield self._on(trial_id, start, end, about)

    def _last_one(self, history: History) -> list[Resume]:
        """The best of the highest rung, where nobody runs, and nobody has come to an end."""
        if any(o.outcome in (Outcome.PENDING, Outcome.MEASURED) for o in history.observations):
            return []
        for k in reversed(range(len(self._rungs) - 1)):
            start, end = self._rungs[k], self._rungs[k + 1]
            reached = self._standing.best_first(k)
            for losses, trial_id in reached:
                if self._may_go_on(losses, trial_id, end):
                    return [self._on(trial_id, start, end, f"the best of {len(reached)}, and no more are to come")]
        return []

    def _may_go_on(self, losses: Losses, trial_id: int, end: int) -> bool:
        o = self._standing.trials[trial_id]
        return o.outcome is Outcome.PAUSED and o.until_step is not None and o.until_step < end and finite(losses)

    def _on(self, trial_id: int, start: int, end: int, about: str) -> Resume:
        until = end if end < self._rungs[-1] else None
        return Resume(trial_id, until, f"step {start}: {about}; goes on to step {end}")


class _Standing:
    """The trials that have reached each rung but the last."""

    def __init__(self, rungs: Sequence[int], problem: Problem) -> None:
        self._rungs = rungs
        self._problem = problem
        self._followed = Followed()
        self.trials = self._followed.trials
        self._at: list[list[tuple[Losses, int]]] = [[] for _ in rungs[:-1]]
        """Losses and ids, in order; by one objective, the best first."""
        self._ordered: dict[int, list[tuple[Losses, int]]] = {}
        """With several objectives: the rungs whose order is known."""

    @property
    def counted(self) -> int:
        """Trials that use up the budget."""
        return self._followed.counted

    def follow(self, observations: Sequence[Observation]) -> None:
        news: list[list[tuple[Losses, int]]] = [[] for _ in self._at]
        for before, now in self._followed.follow(observations):
            for k, row in self._places(before):
                del self._at[k][bisect_left(self._at[k], row)]
                self._ordered.pop(k, None)
            for k, row in self._places(now):
                news[k].append(row)
                self._ordered.pop(k, None)
        for known, rows in zip(self._at, news, strict=True):
            if len(rows) > FEW:
                known += rows
                known.sort()
            else:
                for row in rows:
                    insort(known, row)

    def best_first(self, k: int) -> list[tuple[Losses, int]]:
        """Losses and ids of the trials that have reached rung k."""
        if len(self._problem.objectives) == 1:
            return self._at[k]
        if k not in self._ordered:
            self._ordered[k] = [self._at[k][i] for i in best_first([losses for losses, _ in self._at[k]])]
        return self._ordered[k]

    def _places(self, o: Observation | None) -> Iterator[tuple[int, tuple[Losses, int]]]:
        """The rungs that the trial has reached, and what it was worth there."""
        if o is None or o.outcome in (Outcome.UNKNOWN, Outcome.FAILED):
            return
        for k, (start, end) in enumerate(pairwise(self._rungs)):
            last = o.curve[-1][0] if o.curve else -1
            losses = losses_at(o, start, end, self._problem) if last >= start else None
            if losses is None and o.outcome is Outcome.INFEASIBLE and last < end:
                losses = (math.inf,) * len(self._problem.objectives)  # wherever it would have gone
            if losses is not None:  # else it has not come there, or its reports jumped over the rung
                yield k, (losses, o.trial_id)
