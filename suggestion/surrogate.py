"""What an algorithm believes of the objective, a Gaussian process, and the points that it expects most of.

Jones, Schonlau and Welch, "Efficient Global Optimization of Expensive Black-Box Functions" (1998), with the model of
`models/gaussian_process.py`, the warping of objectives of OSS Vizier (Song et al., 2024) and the logarithm of expected
improvement of Ament et al. (2023).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .answer import Answer
from .models.acquisition import derivatives, log_expected_improvement
from .models.gaussian_process import GaussianProcess, Hyperparameters, Prior, centre, fit
from .models.kernel import Array
from .models.search import Acquisition, near, search, spread
from .models.warping import Warping
from .space.encoding import encoder
from .space.lattice import Lattice, lattice

FITTED: Final = 300
"""Trials that hyperparameters are fitted to: the better half of them the best of all, the others spread evenly."""

REFIT: Final = 0.05
"""Hyperparameters are fitted anew when there are more trials by this part."""

SETTLED: Final = 100
"""Once hyperparameters were fitted to more trials, the next fit starts from them alone; before, from the prior's mode
too, which a fit to few trials may have left for the worse."""

GOOD: Final = 5
"""The best trials, near which the search looks closely."""

_ITERATIONS: Final = 25


class Surrogate:
    """The model of one answer. Coordinates are those of the lattice, values those of the warping.

    `state`: what the memo keeps, the hyperparameters and the number of trials they were fitted to.
    """

    def __init__(
        self,
        answer: Answer,
        warping: Warping,
        x: Array,
        z: Array,
        before: Mapping[str, Any],
        known: int,
        prior: Prior | None = None,
        doubt: Array | None = None,
    ) -> None:
        """`x`, (n, d), `z`, (n,): what the model learns from, of `known` trials in all. `before`: entries of the memo.
        `doubt`: the variance of those values that are estimates, (n,), and 0 for the others."""
        self._answer, self._goal = answer, answer.problem.objectives[0]
        self._lattice: Lattice = lattice(answer.problem.space)
        self._warping, self._x, self._z = warping, x, z
        self._prior = prior or Prior()
        self._doubt = np.zeros(len(z)) if doubt is None else doubt
        certain = z[self._doubt == 0.0]
        self._best = float((certain if len(certain) else z).min())
        self._theta, self._fitted = self._fit(before, known)
        self._h = Hyperparameters.read(np.array(self._theta))

    @property
    def state(self) -> dict[str, Any]:
        return {"theta": self._theta, "fitted": self._fitted}

    def _fit(self, before: Mapping[str, Any], known: int) -> tuple[list[float], int]:
        starts = [centre(self._lattice.dimension, self._prior)]
        if len(before.get("theta", ())) == len(starts[0]):
            fitted = int(before["fitted"])
            if fitted <= known < fitted + max(1.0, REFIT * fitted):
                return before["theta"], fitted
            starts = [np.array(before["theta"]), *starts][: 1 if fitted > SETTLED else 2]
        kept = thin(self._z, FITTED)
        x, z, doubt = self._x[kept], self._z[kept], self._doubt[kept]
        theta = fit(x, z, self._lattice.categorical, self._prior, starts, _ITERATIONS, doubt)
        # Rounded, so that the memo is short and holds the very numbers that were used.
        return [round(float(t), 4) for t in theta], known

    def add_points(self, count: int, pending: Array) -> None:
        """Proposes up to `count` points, each as if those before, and the `pending` ones, (m, d), had ended as
        expected. Raises NotPositive."""
        categorical, prior = self._lattice.categorical, self._prior
        x, z, doubt, best = self._x, self._z, self._doubt, self._best
        model = GaussianProcess(x, z, categorical, self._h, prior, doubt)
        to_come = pending
        for _ in range(count):
            if len(to_come):
                expected = model.predict(to_come)[0]
                x, z = np.concatenate([x, to_come]), np.concatenate([z, expected])
                doubt = np.concatenate([doubt, np.zeros(len(to_come))])
                model = GaussianProcess(x, z, categorical, self._h, prior, doubt)
                # What is expected counts as reached: else the next point would improve on the same value, beside these.
                best = min(best, float(expected.min()))
            found = self._add_best(model, best, 1.0 / np.sqrt(self._h.w))
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
        seen = self._goal.loss(self._warping.back(self._best))
        kind = "exploits" if mean < best else "explores"
        why = f"{kind}: {self._goal.metric} {at:.4g} ± {about:.2g} expected, {seen:.4g} is the best so far"
        return why, {"mean": at, "deviation": about, "log_expected_improvement": value}


def kept_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """Of a memo's entries those that are a model's."""
    return {key: state[key] for key in ("theta", "fitted") if key in state}


def thin(z: Array, most: int) -> NDArray[np.intp]:
    """Places, ascending, of at most `most` of the values: half of them those of the least, half spread evenly."""
    if len(z) <= most:
        return np.arange(len(z))
    order = np.argsort(z, kind="stable")
    least, rest = order[: most // 2], np.sort(order[most // 2 :])
    spread_evenly = rest[np.linspace(0, len(rest) - 1, most - len(least)).astype(int)]
    return np.sort(np.concatenate([least, spread_evenly]))
