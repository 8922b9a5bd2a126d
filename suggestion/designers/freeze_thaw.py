"""Bayesian optimisation that pauses trials and goes on with those that may yet become the best.

The idea is that of Swersky, Snoek and Adams, "Freeze-Thaw Bayesian Optimization" (2014): a model of the objective that
learns from unfinished trials too, and decides between a new trial and one that waits. Theirs takes curves for
exponential decays. Here what trials are worth at each rung is a task of its own in a Gaussian process over parameters
(`models/multi_task.py`), which learns how far rungs agree, and so where few steps mislead. What goes on is decided by
expected improvement at the end for each step that it takes. What is to be improved on is a target below the best, by a
part drawn anew for each proposal: Jones, "A Taxonomy of Global Optimization Methods Based on Response Surfaces" (2001),
method 4. Near targets refine the best point, far ones leave it for regions that may hold a better one.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ..answer import Answer, Seen
from ..designer import (
    History,
    Observation,
    Outcome,
    PausesAll,
    Problem,
    ReadsCurves,
    Resume,
    StartsWithoutModel,
    Suggestions,
)
from ..first_points import LOOKED_AT, any_failure
from ..memo import read_memo, write_memo
from ..models.acquisition import log_expected_improvement
from ..models.kernel import Array, Mask
from ..models.multi_task import MultiTaskProcess, TaskHyperparameters, TaskPrior, centre, fit
from ..models.normal import NotPositive
from ..models.warped_lattice import WarpedLattice, axes
from ..models.warping import Warping
from ..settings import setting
from ..space.rows import Rows
from ..success import Success, success_of
from ..surrogate import FITTED, GOOD, ITERATIONS, fitted, kept_of, most_improving, thin, told
from .rungs import check_rungs, final_loss, ladder, nothing_waits, room_for_new, rung_of

logger = logging.getLogger(__name__)

FIRST: Final = 12
"""Points before the model is asked. Twice those of `gp`: most of them cost no more than the first rung."""

WHOLE: Final = 4
"""Trials that have run to their end before the model says which go on. Until then it is successive halving."""

LEAST: Final = 3
"""Numbers at a rung from which on the model learns from it."""

MODELLED: Final = 400
"""Values that the model learns from: all those of the better half of the trials, the others spread evenly."""

REFIT: Final = 0.1
"""Hyperparameters are fitted anew when there are more values by this part."""

BATCH: Final = 64
"""Proposals of one round that the model is asked for; the others of a larger round are quasi-random points."""

MARGIN: Final = (-3.0, 0.0)
"""The target lies so far below the best, as a power of ten of the deviation of the values: any between these alike."""

LIKELY: Final = 0.5
"""What is expected of a point counts as reached if it is at least so likely to succeed."""

CHANCE: Final = 0.01
"""Where no new trial may start, paused ones go on whose chance of becoming the best is at least this."""

PRIOR: Final = TaskPrior()

Places = NDArray[np.intp]

_BY: Final = "freeze_thaw/2"


@dataclass(frozen=True)
class FreezeThawSettings:
    max: int | None = setting(None, "steps of a whole trial; required", least=2, most=2**53)
    min: int | None = setting(
        None, "steps of the first rung, at which trials are paused and compared; a ninth of max by default", least=1
    )
    eta: float = setting(3.0, "each rung has so many times the steps of the one before", least=1.1, most=1e6)


class FreezeThaw(ReadsCurves, PausesAll, StartsWithoutModel):
    """Every trial is paused at each rung. Whoever asks gets the paused trial of the greatest expected improvement for a
    step, counting all steps to its end, where that is no less than what the best new trial offers for each of its own
    steps; else that new trial. Nobody ever waits for others.

    What a trial is worth at a rung is its least loss by then, and at the last one what it ended with, whether at its
    end, before it by itself, or by a rule. Where trials are compared, one that is infeasible counts as the worst from
    where it ended; to the model it says that its point is likely to fail, as a failure does. One that has reported
    nothing but NaN counts as the worst wherever it has been.

    Memo: as that of `gp`, the numbers of values in place of those of trials.
    """

    name = "freeze_thaw"
    version = 5
    cheap = False

    Settings = FreezeThawSettings

    def __init__(self, settings: FreezeThawSettings, problem: Problem) -> None:
        """Raises InvalidArgument for settings without a ladder, and for several objectives."""
        least = settings.min or math.ceil((settings.max or 0) / 9)
        most = check_rungs(least, settings.max, problem, self.name)
        self._rungs, self._eta = ladder(least, most, settings.eta), settings.eta
        self.first_rung = self._rungs[0]
        self._rows = Rows(problem.space)

    def suggest(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        found = self._round(problem, history, count, rng, memo, by_model=True)
        assert found is not None
        return found

    def suggest_without_model(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions | None:
        if len(history.observations) > LOOKED_AT or any_failure(history):
            return None
        return self._round(problem, history, count, rng, memo, by_model=False)

    def _round(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str, *, by_model: bool
    ) -> Suggestions | None:
        """None if it needs the model and is not to be made `by_model`."""
        before = read_memo(_BY, memo)
        answer, seen = Answer(problem, history, rng, before), Seen(history.observations)
        answer.success = partial(success_of, seen, self._rows, problem.space)
        standing = _Standing(history.observations, self._rungs, problem)
        halving = standing.whole < WHOLE
        state: Mapping[str, Any] = before
        room = room_for_new(problem, history)
        first = FIRST if room > 0 else 0
        values = int(standing.numbers.max())
        resumed: list[Resume] = []
        if room <= 0 and values < 2:
            resumed = [standing.resume(i, "there is no other to compare it with") for i in standing.waiting()][:count]
        elif halving and len(standing.trials) >= first:
            resumed = standing.by_halving(self._eta)[:count]
        lacking = answer.add_first(count - len(resumed), first, len(standing.trials), values)
        if lacking > 0 and not by_model:
            return None
        if lacking > 0:
            stand_in = ""
            try:
                model = _Model(answer, standing, seen, self._rows, before)
                state = model.state
                waiting = [] if halving and room > 0 else standing.waiting({r.trial for r in resumed})
                resumed += model.propose(min(lacking, BATCH), waiting, room)
                why = "the model has no other point to offer"
            except NotPositive as error:
                logger.warning("freeze_thaw answers with quasi-random points: %s", error)
                stand_in = f"the model cannot be fitted: {error}"
                why = f"fallback: {stand_in}"
            answer.add_quasirandom(count - len(resumed) - len(answer.proposals), why, stand_in)
        to = self.first_rung
        new = [replace(p, why=f"{p.why}; to step {to} at first", until_step=to) for p in answer.proposals]
        after = write_memo(_BY, **answer.state, **kept_of(state))
        return Suggestions([*resumed, *new], after, answer.exhausted and not resumed and nothing_waits(history))


class _Standing:
    """Where a study's trials stand. Arrays are by trial, `at` by trial and rung, `numbers` by rung.

    `at`: what trials are worth, infinite where that is no number, NaN for what is to come. `missing`: where an
    infeasible trial has no value. `level`: the last rung with a value, -1 before the first; `own`: that value. `whole`:
    how many trials have a number at the last rung; `numbers`: how many have one at each.
    """

    def __init__(self, observations: Sequence[Observation], rungs: Sequence[int], problem: Problem) -> None:
        self.rungs, self.problem = rungs, problem
        self.trials = [o for o in observations if o.outcome not in (Outcome.UNKNOWN, Outcome.FAILED)]
        self.running, self._paused = self._which(Outcome.PENDING), self._which(Outcome.PAUSED)
        measured, infeasible = self._which(Outcome.MEASURED), self._which(Outcome.INFEASIBLE)
        at = np.array([_least_by(o, rungs, problem) for o in self.trials]).reshape(len(self.trials), len(rungs))
        at[measured, -1] = [final_loss(o, problem) for o in self.trials if o.outcome is Outcome.MEASURED]
        self.missing = infeasible[:, None] & np.isnan(at)
        self.at = np.where(self.missing, np.inf, at)
        there = ~np.isnan(self.at)
        self.level = np.where(there.any(axis=1), len(rungs) - 1 - np.argmax(there[:, ::-1], axis=1), -1)
        self.own = self.at[np.arange(len(self.trials)), self.level]
        self.numbers = np.isfinite(self.at).sum(axis=0)
        self.whole = int(self.numbers[-1])

    def _which(self, outcome: Outcome) -> Mask:
        return np.array([o.outcome is outcome for o in self.trials], dtype=bool)

    def waiting(self, besides: Collection[int] = ()) -> list[int]:
        """The paused trials that may go on, `besides` those with these ids."""
        found = np.flatnonzero(self._paused & np.isfinite(self.own)).tolist()
        return [i for i in found if self.trials[i].trial_id not in besides]

    def by_halving(self, eta: float) -> list[Resume]:
        """Of each rung, the highest first, as many as make up a part 1 / eta of those that have reached it."""
        aims = np.array([rung_of(o, self.rungs) for o in self.trials])
        aims = np.where(self.level == len(self.rungs) - 1, self.level, aims)
        found = []
        for k in reversed(range(len(self.rungs) - 1)):
            here = sorted((i for i in self.waiting() if self.level[i] == k), key=lambda i: float(self.own[i]))
            reached, beyond = int((self.level >= k).sum()), int((aims > k).sum())
            room = math.floor(reached / eta)
            found += [self.resume(i, self._ranked(i, room, reached)) for i in here[: max(0, room - beyond)]]
        return found

    def _ranked(self, i: int, room: int, reached: int) -> str:
        goal = self.problem.objectives[0]
        return f"{goal.metric} {goal.loss(float(self.own[i])):.4g}, one of the best {room} of {reached}"

    def resume(self, i: int, about: str) -> Resume:
        k = int(self.level[i])
        until = self.rungs[k + 1] if k + 2 < len(self.rungs) else None
        to = f"step {until}" if until else "its end"
        return Resume(self.trials[i].trial_id, until, f"step {self.rungs[k]}: {about}; goes on to {to}")


class _Model:
    """What the values at all rungs say of the last of them that has enough of its own.

    `state`: what the memo keeps, the hyperparameters and the number of values they were fitted to.
    """

    def __init__(self, answer: Answer, standing: _Standing, seen: Seen, rows: Rows, before: Mapping[str, Any]) -> None:
        """Raises NotPositive."""
        self._answer, self._standing = answer, standing
        self._goal, space = answer.problem.objectives[0], answer.problem.space
        points = rows.of([o.parameters for o in standing.trials])[0]
        rungs = np.flatnonzero(standing.numbers >= min(LEAST, standing.numbers.max()))
        self._last, self._last_task = int(rungs[-1]), len(rungs) - 1
        trial, task, z = self._values(rungs)
        self._seen = self._best = float(z[task == len(rungs) - 1].min())
        kept = self._thinned(trial, FITTED)
        known_axes = axes(space)
        of_fit = points[trial[kept]], task[kept], z[kept], len(rungs), known_axes, PRIOR
        mode, self._categorical = centre(known_axes, len(rungs), PRIOR), known_axes.categorical
        theta, number = fitted(before, len(z), REFIT, mode, lambda starts: fit(*of_fit, starts, ITERATIONS))
        self._h = TaskHyperparameters.read(np.array(theta), self._categorical)
        self._success: Success | None = None
        if seen.failures:
            # One that has come to a rung has not failed by then.
            well = [o for o in standing.trials if o.outcome in (Outcome.MEASURED, Outcome.PAUSED)]
            self._success = Success(well, seen.failures, rows, space, self._h.warping, before)
        learned = {} if self._success is None else self._success.state
        self.state: Mapping[str, Any] = {"hyperparameters": theta, "fitted": number, **learned}
        self._lattice = WarpedLattice(space, self._h.warping)
        self._points = self._h.warping.forward(points)
        """(n, d), of all trials, warped."""
        kept = self._thinned(trial, MODELLED)
        self._x, self._task, self._z = self._points[trial[kept]], task[kept], z[kept]
        self._process = self._conditioned()
        known = self._points[np.unique(trial[kept])]
        self._good = known[np.argsort(self._process.predict(known)[0], kind="stable")[:GOOD]]

    def _values(self, rungs: Places) -> tuple[Places, Places, Array]:
        """Trial, task and warped value of each value at these rungs, three of (n,), rung by rung."""
        trials, tasks, values = [], [], []
        for task, k in enumerate(rungs):
            losses = self._standing.at[:, k]
            # How likely a point is to fail is another model's matter; as the worst values they would bend this one.
            there = np.flatnonzero(~np.isnan(losses) & ~self._standing.missing[:, k])
            losses = losses[there]
            finite = np.isfinite(losses)
            self._warping = Warping(np.where(finite, losses, losses[finite].max()))
            trials.append(there)
            tasks.append(np.full(len(there), task))
            values.append(self._warping.values)
        return np.concatenate(trials), np.concatenate(tasks), np.concatenate(values)

    def _thinned(self, trial: Places, most: int) -> Mask:
        """At most `most` of the values whose trials these are, all of those of some trials: of half of these the best,
        the others spread evenly."""
        known = np.unique(trial)
        kept, trials = np.ones(len(trial), dtype=bool), len(known)
        while (values := int(kept.sum())) > most:
            trials = trials * most // values
            kept = np.isin(trial, known[thin(self._standing.own[known], trials)])
        return kept

    def _conditioned(self) -> MultiTaskProcess:
        return MultiTaskProcess(self._x, self._task, self._z, self._categorical, self._h, PRIOR)

    def _expect(self, points: Array) -> None:
        """From now on these, (m, d), count as if they had ended as expected. Raises NotPositive."""
        if not len(points):
            return
        expected = self._process.predict(points)[0]
        self._x, self._z = np.concatenate([self._x, points]), np.concatenate([self._z, expected])
        self._task = np.concatenate([self._task, np.full(len(points), self._last_task)])
        # What is expected counts as reached: else the next point would improve on the same value, beside these.
        reached = expected if self._success is None else expected[self._success.probability(points) >= LIKELY]
        self._best = min(self._best, float(reached.min(initial=self._best)))
        self._process = self._conditioned()

    def propose(self, count: int, waiting: list[int], room: float) -> list[Resume]:
        """Proposes up to `count` times a new point, which the answer gets, or that one of the trials `waiting` goes on:
        the latter. Where there are no new points, or the budget has no `room` for them, those go on that may still
        become the best, and in any case one until one has come to its end. Raises NotPositive."""
        resumed: list[Resume] = []
        running = self._standing.running & np.isnan(self._standing.at[:, self._last])
        to_come = self._points[running][-MODELLED:]
        for _ in range(count):
            self._expect(to_come)
            target = self._best - 10.0 ** self._answer.rng.uniform(*MARGIN)
            i, gain, chance = self._most_promising(waiting, target)
            point, beaten = self._add_new(gain, target) if len(self._answer.proposals) < room else (None, False)
            if point is None:
                somebody = bool(resumed) or self._standing.whole > 0 or bool(self._standing.running.any())
                if not waiting or (not beaten and somebody and chance < CHANCE):
                    break
                point = self._points[[i]]
                resumed.append(self._standing.resume(i, self._expected(*self._process.predict(point))[0]))
                waiting = [j for j in waiting if j != i]
            to_come = point
        return resumed

    def _most_promising(self, waiting: list[int], target: float) -> tuple[int, float, float]:
        """Of these trials the one of the greatest expected improvement for a step to its end; the logarithm of that
        improvement, the steps counted in those of a new trial; and its chance to become the best."""
        if not waiting:
            return -1, -math.inf, 0.0
        mean, deviation = self._process.predict(self._points[waiting])
        steps = np.array(self._standing.rungs)
        # One at the last rung goes on where the ladder was longer when it was paused.
        left = np.maximum(steps[-1] - steps[self._standing.level[waiting]], 1) / steps[-1]
        gain = log_expected_improvement(mean, deviation, target) - np.log(left)
        j = int(np.argmax(gain))
        return waiting[j], float(gain[j]), float(ndtr((self._best - mean[j]) / deviation[j]))

    def _add_new(self, least: float, target: float) -> tuple[Array | None, bool]:
        """Proposes the point of the greatest expected improvement, where its logarithm is more than `least`: its row,
        (1, d), or None; and whether there was one of less."""
        lengths = 1.0 / np.sqrt(self._h.w)
        factors = [] if self._success is None else [self._success]
        rows, values = most_improving(
            self._process, target, self._good, lengths, self._lattice, self._answer.rng, factors=factors
        )
        for row, value in zip(rows, values, strict=True):
            if value <= least:
                return None, True
            at: Array = row[None, :]
            mean, deviation = self._process.predict(at)
            why, details = self._expected(mean, deviation)
            kind = "exploits" if mean[0] < self._best else "explores"
            details["log_expected_improvement"] = float(value)
            if self._success is not None:
                more, numbers = self._success.explained(float(self._success.probability(at)[0]))
                why, details = why + more, details | numbers
            if self._answer.add(self._lattice.decode(at)[0], f"{kind}: {why}", details):
                return at, False
        return None, False

    def _expected(self, mean: Array, deviation: Array) -> tuple[str, dict[str, float]]:
        """What these, (1,), say of one point: in words, and in numbers."""
        at, about = told(self._goal, self._warping, float(mean[0]), float(deviation[0]))
        seen = self._goal.loss(self._warping.back(self._seen))
        last = self._last == len(self._standing.rungs) - 1
        when = "at the end" if last else f"at step {self._standing.rungs[self._last]}"
        words = f"{self._goal.metric} {at:.4g} ± {about:.2g} expected {when}, {seen:.4g} is the best so far"
        return words, {"mean": at, "deviation": about}


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
