"""A Gaussian-process bandit: points of the greatest expected improvement under a model of all that was seen.

Jones, Schonlau and Welch, "Efficient Global Optimization of Expensive Black-Box Functions" (1998), with the model of
`models/gaussian_process.py`, the warping of objectives of OSS Vizier (Song et al., 2024) and the logarithm of expected
improvement of Ament et al. (2023).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..answer import Answer, Seen, check_one_objective
from ..designer import History, Problem, Suggestions
from ..memo import read_memo, write_memo
from ..models.acquisition import derivatives, log_expected_improvement
from ..models.gaussian_process import GaussianProcess, Hyperparameters, NotPositive, Prior, centre, fit
from ..models.kernel import Array
from ..models.search import Acquisition, near, search, spread
from ..models.warping import Warping
from ..space.encoding import encoder
from ..space.lattice import Lattice, lattice
from ..space.rows import Rows

logger = logging.getLogger(__name__)

FIRST: Final = 6
"""Points before the model is asked, the one in the middle included. More of them were no better, in docs/decisions."""

MODELLED: Final = 750
"""Trials that the model learns from: the better half of them the best of all, the others spread evenly over the rest,
so that the cost of a point stops growing."""

FITTED: Final = 300
"""Trials that hyperparameters are fitted to, chosen likewise."""

REFIT: Final = 0.05
"""Hyperparameters are fitted anew when there are more trials by this part."""

BATCH: Final = 64
"""Points of one round that the model is asked for; the others of a larger round are quasi-random."""

SETTLED: Final = 100
"""Once hyperparameters were fitted to more trials, the next fit starts from them alone; before, from the prior's mode
too, which a fit to few trials may have left for the worse."""

GOOD: Final = 5
"""The best trials, near which the search looks closely."""

_BY: Final = "gp/1"
"""Of the memo, whose form is still that of the first version."""

_PRIOR: Final = Prior()
_ITERATIONS: Final = 25


class GaussianProcessBandit:
    """The first points are the defaults, or the middle of the space, and quasi-random ones. From then on each point has
    the greatest expected improvement on the best trial. Trials still pending count as if they had ended with what the
    model expects of them, infeasible ones as if they were as bad as the worst.

    Memo: the seed of the quasi-random points and how many are used, the last hyperparameters, from which the next fit
    starts, and the number of trials they were fitted to.
    """

    name = "gp"
    version = 2
    cheap = False

    @dataclass(frozen=True)
    class Settings:
        """There are none."""

    def __init__(self, settings: Settings, problem: Problem) -> None:
        """Raises InvalidArgument for several objectives."""
        check_one_objective(self.name, problem)
        self._rows = Rows(problem.space)

    def suggest(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        before = read_memo(_BY, memo)
        answer, seen = Answer(problem, history, rng, before), Seen(history.observations)
        lacking = answer.add_first(count, FIRST, seen)
        fitted = before
        if lacking > 0:
            try:
                model = _Model(problem, seen, answer, before, self._rows)
                fitted = {"theta": model.theta, "fitted": model.fitted}
                model.add_points(min(lacking, BATCH))
                why = "the model has no other point to offer"
            except NotPositive as error:
                logger.warning("gp answers with quasi-random points: %s", error)
                why = f"fallback: {error}"
            answer.add_quasirandom(count - len(answer.proposals), why)
        state = {key: fitted[key] for key in ("theta", "fitted") if key in fitted}
        after = write_memo(_BY, **answer.state, **state)
        return Suggestions(answer.proposals, after, answer.exhausted)


class _Model:
    """What is known of the objective. Coordinates are those of the lattice, values those of the warping."""

    def __init__(self, problem: Problem, seen: Seen, answer: Answer, before: dict[str, Any], rows: Rows) -> None:
        """Raises NotPositive for values that are no numbers."""
        self._answer, self._goal = answer, problem.objectives[0]
        self._lattice: Lattice = lattice(problem.space)
        losses = seen.losses(self._goal)
        if not np.isfinite(losses).all():
            raise NotPositive("the objective of a measured trial is not finite")
        self._warping = Warping(losses)
        z = np.concatenate([self._warping.values, np.full(len(seen.infeasible), self._warping.values.max())])
        kept = thin(z, MODELLED)
        known = [*seen.measured, *seen.infeasible]
        self._x, self._z = rows.of([known[i].parameters for i in kept])[0], z[kept]
        pending = [o.parameters for o in seen.pending[-MODELLED:]] + [p.parameters for p in answer.proposals]
        self._pending = rows.of(pending)[0]
        self.theta, self.fitted = self._fit(before, len(z))

    def _fit(self, before: dict[str, Any], known: int) -> tuple[list[float], int]:
        starts = [centre(self._lattice.dimension, _PRIOR)]
        if len(before.get("theta", ())) == len(starts[0]):
            fitted = int(before["fitted"])
            if fitted <= known < fitted + max(1.0, REFIT * fitted):
                return before["theta"], fitted
            starts = [np.array(before["theta"]), *starts][: 1 if fitted > SETTLED else 2]
        kept = thin(self._z, FITTED)
        theta = fit(self._x[kept], self._z[kept], self._lattice.categorical, _PRIOR, starts, _ITERATIONS)
        # Rounded, so that the memo is short and holds the very numbers that were used.
        return [round(float(t), 4) for t in theta], known

    def add_points(self, count: int) -> None:
        """Proposes up to `count` points, each as if those before had ended as expected."""
        h = Hyperparameters.read(np.array(self.theta))
        categorical, mean = self._lattice.categorical, _PRIOR.mean
        x, z, best = self._x, self._z, float(self._z.min())
        model = GaussianProcess(x, z, categorical, h, mean)
        to_come = self._pending
        for _ in range(count):
            if len(to_come):
                x, z = np.concatenate([x, to_come]), np.concatenate([z, model.predict(to_come)[0]])
                model = GaussianProcess(x, z, categorical, h, mean)
                # What is expected counts as reached: else the next point would improve on the same value, beside these.
                best = float(z.min())
            found = self._add_best(model, best, 1.0 / np.sqrt(h.w))
            if found is None:
                return
            to_come = found

    def _add_best(self, model: GaussianProcess, best: float, lengths: Array) -> Array | None:
        """The row, (1, d), of the point that was proposed; None where there is none."""

        def value(u: Array) -> Array:
            return log_expected_improvement(*model.predict(u), best)

        def with_gradient(u: Array) -> tuple[Array, Array]:
            m, s, dm, ds = model.predict_with_gradient(u)
            v, by_mean, by_deviation = derivatives(m, s, best)
            return v, by_mean[:, None] * dm + by_deviation[:, None] * ds

        rng, space = self._answer.rng, self._answer.problem.space
        good = self._x[np.argsort(self._z, kind="stable")[:GOOD]]
        rows = [spread(rng, self._lattice.dimension), near(rng, good, lengths, self._lattice.categorical)]
        decode = encoder(space).decode
        if space.rules:
            rows = [r[[space.satisfies(p) for p in decode(r)]] for r in rows]
        if not sum(map(len, rows)):
            return None
        found, values = search(
            Acquisition(value, with_gradient), self._lattice, np.concatenate(rows), len(rows[0]), rng
        )
        for row, v in zip(found, values, strict=True):
            m, s = (float(a[0]) for a in model.predict(row[None, :]))
            if self._answer.add(decode(row[None, :])[0], *self._explained(m, s, float(v), best)):
                proposed: Array = row[None, :]
                return proposed
        return None

    def _explained(self, mean: float, deviation: float, value: float, best: float) -> tuple[str, dict[str, float]]:
        at, low, high = (self._goal.loss(self._warping.back(z)) for z in (mean, mean - deviation, mean + deviation))
        about = abs(high / 2 - low / 2)
        seen = self._goal.loss(self._warping.back(float(self._z.min())))
        kind = "exploits" if mean < best else "explores"
        why = f"{kind}: {self._goal.metric} {at:.4g} ± {about:.2g} expected, {seen:.4g} is the best so far"
        return why, {"mean": at, "deviation": about, "log_expected_improvement": value}


def thin(z: Array, most: int) -> NDArray[np.intp]:
    """Places, ascending, of at most `most` of the values: half of them those of the least, half spread evenly."""
    if len(z) <= most:
        return np.arange(len(z))
    order = np.argsort(z, kind="stable")
    least, rest = order[: most // 2], np.sort(order[most // 2 :])
    spread_evenly = rest[np.linspace(0, len(rest) - 1, most - len(least)).astype(int)]
    return np.sort(np.concatenate([least, spread_evenly]))
