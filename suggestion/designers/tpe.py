"""The multivariate tree-structured Parzen estimator.

Bergstra, Bardenet, Bengio and Kégl, "Algorithms for Hyper-Parameter Optimization" (2011), with the product kernels of
Falkner, Klein and Hutter, "BOHB" (2018); Watanabe, "Tree-Structured Parzen Estimator" (2023) compares the choices:

    l(x) = mean over the better trials i, and a uniform one, of  Π_j k_j(x_j; x_ij)        g(x): the same of the others
    the next point: the greatest l(x) / g(x) of some drawn from l
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np
from scipy.special import ndtr

from ..answer import Answer, Seen, check_one_objective
from ..designer import History, Problem, StartsWithoutModel, Suggestions
from ..first_points import first_points
from ..memo import read_memo, write_memo
from ..models.kernel import Array, Mask
from ..settings import setting
from ..space.encoding import encoder
from ..space.lattice import Lattice, lattice
from ..space.rows import Rows
from ..success import Success, success_of
from ..surrogate import kept_of

GREATEST: Final = 25
"""Trials that l is made of at most."""

OTHERS: Final = 250
"""Trials that g is made of at most, spread evenly over all of them, so that the cost of a point stops growing."""

REDRAWN: Final = 20
"""Times that candidates are drawn for those that rather succeed."""

_BY: Final = "tpe/1"


class TreeParzen(StartsWithoutModel):
    """On an ordered axis k_j is a normal distribution cut off at the ends of the axis; on one without order the same
    value is likelier than the others. A parameter that is not active in a trial says nothing: its k_j is uniform.
    Pending trials, infeasible ones and failures are among the others, as the constant liar has it.

    Once some have failed, l is cut off where trials rather fail, and l / g is multiplied by how likely a point is to
    succeed, which is how Watanabe and Hutter, "c-TPE: Tree-structured Parzen Estimator with Inequality Constraints for
    Expensive Hyperparameter Optimization" (IJCAI 2023), take constraints in.

    Memo: the seed of the quasi-random points and how many are used, and the hyperparameters of the model of success.
    """

    name = "tpe"
    version = 2
    cheap = False

    @dataclass(frozen=True)
    class Settings:
        startup: int = setting(10, "points before the model is asked", least=2, most=100_000)
        candidates: int = setting(24, "points drawn from l, of which the best is proposed", least=1, most=10_000)
        gamma: float = setting(0.1, "the part of the trials that l is made of, 25 at most", least=0.001, most=0.999)

    def __init__(self, settings: Settings, problem: Problem) -> None:
        """Raises InvalidArgument for several objectives."""
        check_one_objective(self.name, problem)
        self._settings = settings
        self._rows = Rows(problem.space)

    def suggest(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        before = read_memo(_BY, memo)
        answer, seen = Answer(problem, history, rng, before), Seen(history.observations)
        answer.success = partial(success_of, seen, self._rows, problem.space)
        learned = kept_of(before)
        lacking = answer.add_first(count, self._settings.startup, seen.informative, len(seen.measured))
        if lacking > 0:
            success = success_of(seen, self._rows, problem.space, before)
            learned = {} if success is None else success.state
            self._add(answer, seen, lacking, success)
            answer.add_quasirandom(count - len(answer.proposals), "no point drawn from l may still be tried")
        return Suggestions(answer.proposals, write_memo(_BY, **answer.state, **learned), answer.exhausted)

    def suggest_without_model(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions | None:
        startup = self._settings.startup
        return first_points(_BY, problem, history, count, rng, memo, first=startup, learns_success=True)

    def _add(self, answer: Answer, seen: Seen, count: int, success: Success | None) -> None:
        space, goal = answer.problem.space, answer.problem.objectives[0]
        ranked = np.argsort(seen.losses(goal), kind="stable")
        n = min(GREATEST, math.ceil(self._settings.gamma * len(ranked)))
        known = [*seen.measured, *seen.failures, *seen.pending]
        rest = np.concatenate([ranked[n:], np.arange(len(ranked), len(known))])
        rest = rest[np.linspace(0, len(rest) - 1, min(OTHERS, len(rest))).astype(int)]
        others = [known[i].parameters for i in rest] + [p.parameters for p in answer.proposals]
        on = lattice(space)
        better = Parzen(on, *self._rows.of([known[i].parameters for i in ranked[:n]]))
        worse = Parzen(on, *self._rows.of(others))
        decode = encoder(space).decode
        for left in reversed(range(count)):
            u, active = on.snap(self._drawn(better, answer.rng, on, success))
            score = better.log_density(u, active) - worse.log_density(u, active)
            if success is not None:
                score += success.worth(u)
            for i in np.argsort(-score, kind="stable"):
                why = f"log l/g {score[i]:.3g}: l is made of the best {n} of {len(ranked)} trials"
                details = {"log_l_over_g": float(score[i])}
                if success is not None:
                    probability = float(success.probability(success.warped(u[i : i + 1]))[0])
                    words, numbers = success.explained(probability)
                    why, details = why + words, details | numbers
                if answer.add(decode(u[i : i + 1])[0], why, details):
                    if left:
                        worse = worse.with_row(u[i : i + 1], active[i : i + 1])
                    break

    def _drawn(self, better: Parzen, rng: np.random.Generator, on: Lattice, success: Success | None) -> Array:
        """The candidates, from l, (m, d) in the cube. Once some have failed they are drawn again until enough of them
        rather succeed, so that l is cut off where trials fail."""
        wanted = self._settings.candidates
        u = better.draw(rng, wanted)
        if success is None:
            return u
        for _ in range(REDRAWN):
            likely = u[success.likely(on.snap(u)[0])]
            if len(likely) >= wanted:
                return likely[:wanted]
            u = np.concatenate([likely, better.draw(rng, wanted)])
        return u


class Parzen:
    """A mixture of n + 1 product kernels with equal weights: one at each row, and the uniform one."""

    def __init__(self, on: Lattice, rows: Array, active: Mask) -> None:
        """`rows`, `active`: (n, d)."""
        self._on, self._rows, self._active = on, rows, active
        n, d = rows.shape
        # Scott's rule on the unit cube, as in Optuna; no narrower than the axis shared by all.
        self._sigma = max(0.2 * max(n, 1) ** (-1.0 / (d + 4)), 1.0 / (n + 1.0) / 4.0)
        ordered = active & ~on.categorical
        mass = ndtr((1.0 - rows) / self._sigma) - ndtr(-rows / self._sigma)
        self._normal = np.where(ordered, -np.log(mass * self._sigma * math.sqrt(2.0 * math.pi)), 0.0)
        self._ordered = ordered
        self._sizes = {int(j): len(on.table(int(j))) for j in np.flatnonzero(on.categorical)}

    def with_row(self, row: Array, active: Mask) -> Parzen:
        return Parzen(self._on, np.concatenate([self._rows, row]), np.concatenate([self._active, active]))

    def log_density(self, u: Array, active: Mask) -> Array:
        """(m,) at points of the lattice, (m, d), over the parameters that are `active` there, (m, d)."""
        n = len(self._rows)
        each = np.zeros((len(u), n + 1))
        if n:
            each[:, 1:] = self._ordered_part(u, active & ~self._on.categorical)
        for j, size in self._sizes.items():
            same, other = self._chances(size)
            if n:
                k = np.where(u[:, j, None] == self._rows[None, :, j], math.log(same), math.log(other))
                each[:, 1:] += np.where(active[:, j, None], np.where(self._active[:, j], k, -math.log(size)), 0.0)
            each[:, 0] -= np.where(active[:, j], math.log(size), 0.0)
        return _log_mean_exp(each)

    def draw(self, rng: np.random.Generator, count: int) -> Array:
        """(count, d) in the cube."""
        n, d = self._rows.shape
        which = rng.integers(n + 1, size=count)
        u = rng.random((count, d))
        chosen = np.flatnonzero(which < n)
        of = which[chosen]
        rows = self._rows[of]
        normal = rows + self._sigma * rng.standard_normal(rows.shape)
        # Cut off at the ends: drawn again from those within, at last by the nearer end.
        for _ in range(20):
            outside = (normal < 0.0) | (normal > 1.0)
            if not outside.any():
                break
            normal = np.where(outside, rows + self._sigma * rng.standard_normal(rows.shape), normal)
        moved = np.where(self._ordered[of], np.minimum(np.maximum(normal, 0.0), 1.0), u[chosen])
        for j, size in self._sizes.items():
            same, other = self._chances(size)
            # Drawing anew from all values meets the old one too.
            keep = (rng.random(len(chosen)) < same - other) & self._active[of, j]
            moved[:, j] = np.where(keep, rows[:, j], u[chosen, j])
        u[chosen] = moved
        return u

    def _ordered_part(self, u: Array, counts: Mask) -> Array:
        """The sum over ordered axes of log k_j, (m, n): products of matrices, and no table of m n d numbers."""
        w = np.where(counts, 1.0, 0.0)
        a = self._ordered.astype(float)
        x = np.where(self._ordered, self._rows, 0.0)
        distance = (w * u * u) @ a.T - 2.0 * (w * u) @ x.T + w @ (x * x).T
        part: Array = distance * (-0.5 / self._sigma**2) + w @ self._normal.T
        return part

    def _chances(self, size: int) -> tuple[float, float]:
        """Of the value of the row, and of each other one: one observation and a weight of 1/(n + 1) for each value."""
        weight = 1.0 / (len(self._rows) + 1.0)
        whole = 1.0 + size * weight
        return (1.0 + weight) / whole, weight / whole


def _log_mean_exp(x: Array) -> Array:
    """log of the mean of e^x over each row of `x`, (m, k): (m,). scipy's logsumexp costs more than all else here."""
    greatest = x.max(axis=1)
    mean: Array = np.log(np.exp(x - greatest[:, None]).mean(axis=1)) + greatest
    return mean
