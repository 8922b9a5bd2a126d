"""Bayesian optimisation that pauses trials and goes on with those that may yet become the best.

The idea is that of Swersky, Snoek and Adams, "Freeze-Thaw Bayesian Optimization" (2014): a model of the objective that
learns from unfinished trials too, by what their curves are expected to come to, and decides between a new trial and one
that waits. Theirs takes curves for exponential decays. Here a line through the whole trials says how values at a rung
go on (`models/line.py`), with no assumption about the shape of curves, and the Gaussian process is told each estimate
with the variance that the line gives it: a region is not written off for what trials were worth there after few steps.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from ..answer import Answer
from ..designer import History, Observation, Outcome, Problem, ReadsCurves, Resume, Suggestions
from ..memo import read_memo, write_memo
from ..models.gaussian_process import Prior
from ..models.kernel import Mask
from ..models.line import Line
from ..models.normal import NotPositive
from ..models.warping import Warping
from ..settings import setting
from ..space.rows import Rows
from ..surrogate import Surrogate, kept_of, thin
from .rungs import check_rungs, final_loss, ladder, nothing_waits, rung_of

logger = logging.getLogger(__name__)

FIRST: Final = 12
"""Points before the model is asked. Twice those of `gp`: most of them cost no more than the first rung."""

WHOLE: Final = 4
"""Trials that have run to their end before chances are asked for. Until then trials go on by successive halving."""

MODELLED: Final = 400
"""Trials that the model learns from."""

BATCH: Final = 64
"""Points of one round that the model is asked for; the others of a larger round are quasi-random."""

PRIOR: Final = Prior(length=0.3, trend=0.0)
"""Longer lengths than those of `gp`: validation losses of trainings vary smoothly with most of their parameters."""

UNTOLD: Final = 1.0
"""The variance of an estimate of which nothing can be said, and the most of any: that of all values."""

Places = NDArray[np.intp]

_BY: Final = "freeze_thaw/1"


@dataclass(frozen=True)
class FreezeThawSettings:
    max: int | None = setting(None, "steps of a whole trial; it has to be given", least=2, most=2**53)
    min: int | None = setting(
        None, "steps of the first rung, at which trials are paused and compared; a ninth of max by default", least=1
    )
    eta: float = setting(3.0, "each rung has so many times the steps of the one before", least=1.1, most=1e6)
    probability: float = setting(
        0.01, "a paused trial goes on while its chance of becoming the best is at least this", least=1e-9, most=0.5
    )


class FreezeThaw(ReadsCurves):
    """Every trial is paused at the first rung. Whoever asks gets the paused trial with the greatest chance of becoming
    the best, as long as that is at least `probability`; else a new trial where the Gaussian process expects the
    greatest improvement. Nobody ever waits for others.

    What a trial is worth at a rung is its least loss by then. A trial that ended before the last rung, by itself or by
    a rule, counts with what it ended with; a trial that is infeasible, or has reported nothing but NaN, as the worst.

    Memo: as that of `gp`.
    """

    name = "freeze_thaw"
    version = 1
    cheap = False

    Settings = FreezeThawSettings

    def __init__(self, settings: FreezeThawSettings, problem: Problem) -> None:
        """Raises InvalidArgument for settings without a ladder, and for several objectives."""
        least = settings.min or math.ceil((settings.max or 0) / 9)
        most = check_rungs(least, settings.max, problem, self.name)
        self._rungs = ladder(least, most, settings.eta)
        self._eta, self._probability = settings.eta, settings.probability
        self._rows = Rows(problem.space)

    def suggest(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        before = read_memo(_BY, memo)
        answer = Answer(problem, history, rng, before)
        standing = _Standing(history.observations, self._rungs, problem)
        resumed = standing.going_on(self._eta, self._probability)[:count]
        state = self._add_new(answer, standing, count - len(resumed), before)
        first = self._rungs[0]
        new = [replace(p, why=f"{p.why}; to step {first} at first", until_step=first) for p in answer.proposals]
        after = write_memo(_BY, **answer.state, **kept_of(state))
        return Suggestions([*resumed, *new], after, answer.exhausted and not resumed and nothing_waits(history))

    def _add_new(self, answer: Answer, standing: _Standing, count: int, before: Mapping[str, Any]) -> Mapping[str, Any]:
        """Adds up to `count` points to the answer. What the memo knows of the model then."""
        known = standing.known()
        lacking = answer.add_first(count, FIRST, len(standing.trials), int(np.isfinite(standing.mean[known]).sum()))
        if lacking <= 0:
            return before
        state = before
        try:
            model = self._model(answer, standing, known, before)
            state = model.state
            to_come = [standing.trials[i].parameters for i in np.setdiff1d(np.arange(len(standing.trials)), known)]
            to_come = to_come[-MODELLED:] + [p.parameters for p in answer.proposals]
            model.add_points(min(lacking, BATCH), self._rows.of(to_come)[0])
            why = "the model has no other point to offer"
        except NotPositive as error:
            logger.warning("freeze_thaw answers with quasi-random points: %s", error)
            why = f"fallback: {error}"
        answer.add_quasirandom(count - len(answer.proposals), why)
        return state

    def _model(self, answer: Answer, standing: _Standing, known: Places, before: Mapping[str, Any]) -> Surrogate:
        mean, scale = standing.mean[known], standing.scale[known]
        mean = np.where(np.isfinite(mean), mean, mean[np.isfinite(mean)].max())
        warping = Warping(mean)
        kept = thin(warping.values, MODELLED)
        # Half of what a deviation to either side makes of the warped value.
        about = (warping.forward(mean + scale) - warping.forward(mean - scale)) / 2.0
        doubt = np.where(np.isinf(scale), UNTOLD, np.minimum(about**2, UNTOLD))[kept]
        x = self._rows.of([standing.trials[i].parameters for i in known[kept]])[0]
        return Surrogate(answer, warping, x, warping.values[kept], before, len(known), PRIOR, doubt)


class _Standing:
    """Where a study's trials stand, and what each of them is expected to come to. All arrays are by trial.

    `mean`, `scale`: of the estimate of a trial's final loss, a Student t with `freedom`; a scale of 0 is what is known,
    an infinite one a guess. Infinite means are as bad as can be, and NaN where nothing was reported yet.
    """

    def __init__(self, observations: Sequence[Observation], rungs: Sequence[int], problem: Problem) -> None:
        self._rungs, self._problem = rungs, problem
        self.trials = [o for o in observations if o.outcome is not Outcome.UNKNOWN]
        n = len(self.trials)
        self._at = np.array([_least_by(o, rungs, problem) for o in self.trials]).reshape(n, len(rungs))
        measured = np.array([o.outcome is Outcome.MEASURED for o in self.trials], dtype=bool)
        ended = measured | np.array([o.outcome is Outcome.INFEASIBLE for o in self.trials], dtype=bool)
        self._level = np.where(measured, len(rungs) - 1, (~np.isnan(self._at)).sum(axis=1) - 1)
        """The last rung that each trial has reached, -1 before the first."""
        finals = np.array([final_loss(o, problem) for o in self.trials])
        self.mean = np.where(ended, finals, math.nan)
        self.scale = np.where(ended, 0.0, np.inf)
        self.freedom = np.ones(n)
        self._whole = measured & np.isfinite(self.mean)
        self._estimate(~ended)

    def known(self) -> Places:
        """The trials of which something is known."""
        return np.flatnonzero(~np.isnan(self.mean))

    def _estimate(self, live: Mask) -> None:
        """By the line of the rung that a trial stands at, and before there is one by what others gained from there to
        the next rung."""
        gain = 0.0
        for k in reversed(range(len(self._rungs))):
            here = np.flatnonzero(live & (self._level == k))
            line = self._line(k)
            if line is not None:
                self.mean[here] = np.inf
                self.freedom[here] = line.freedom
                for i in here[np.isfinite(self._at[here, k])]:
                    self.mean[i], self.scale[i] = line.predict(self._at[i, k])
                continue
            if k + 1 < len(self._rungs):
                gains = self._at[:, k] - self._at[:, k + 1]
                gains = gains[np.isfinite(gains)]
                gain += float(np.median(gains)) if len(gains) else 0.0
            self.mean[here] = self._at[here, k] - gain

    def _line(self, k: int) -> Line | None:
        """None where too few whole trials had a number at the rung."""
        at, finals = self._at[self._whole, k], self.mean[self._whole]
        line = Line(at, finals)
        return line if line.freedom > 0 else None

    def going_on(self, eta: float, probability: float) -> list[Resume]:
        """The paused trials that may go on, those first that should."""
        paused = np.array([o.outcome is Outcome.PAUSED for o in self.trials], dtype=bool)
        waiting = np.flatnonzero(paused & (self._level >= 0) & np.isfinite(self.mean))
        if self._whole.sum() < WHOLE:
            return self._by_halving(waiting, eta)
        best = float(self.mean[self._whole].min())
        own = self._at[waiting, self._level[waiting]]
        ahead = (best - self.mean[waiting]) / np.maximum(self.scale[waiting], 1e-300)
        chance = np.where(own < best, 1.0, stdtr(self.freedom[waiting], ahead))
        order = np.lexsort((self.mean[waiting], -chance))
        return [
            self._resume(int(waiting[j]), f"its chance of becoming the best is {chance[j]:.2g}")
            for j in order[chance[order] >= probability]
        ]

    def _by_halving(self, waiting: Places, eta: float) -> list[Resume]:
        """Of each rung, the highest first, as many as make up a part 1 / eta of those that have reached it."""
        aims = np.array([rung_of(o, self._rungs) for o in self.trials])
        aims = np.where(self._level == len(self._rungs) - 1, self._level, aims)
        found = []
        for k in reversed(range(len(self._rungs) - 1)):
            here = waiting[self._level[waiting] == k]
            reached, beyond = int((self._level >= k).sum()), int((aims > k).sum())
            room, best_first = math.floor(reached / eta), here[np.argsort(self.mean[here], kind="stable")]
            why = f"one of the best {room} of {reached}"
            found += [self._resume(int(i), why) for i in best_first[: max(0, room - beyond)]]
        return found

    def _resume(self, i: int, why: str) -> Resume:
        k = int(self._level[i])
        until = self._rungs[k + 1] if k + 2 < len(self._rungs) else None
        goal = self._problem.objectives[0]
        expected = f"{goal.metric} {goal.loss(self.mean[i]):.4g} expected"
        where = f"step {self._rungs[k]}: {expected}, {why}; goes on to "
        return Resume(self.trials[i].trial_id, until, where + (f"step {until}" if until else "its end"))


def _least_by(o: Observation, rungs: Sequence[int], problem: Problem) -> list[float]:
    """The trial's least loss when it had reached each rung, infinite where it had no number; NaN for those to come."""
    found: list[float] = []
    least, goal = math.inf, problem.objectives[0]
    for step, value in o.curve:
        loss = goal.loss(value)
        least = least if math.isnan(loss) else min(least, loss)
        while len(found) < len(rungs) and step >= rungs[len(found)]:
            found.append(least)
    return found + [math.nan] * (len(rungs) - len(found))
