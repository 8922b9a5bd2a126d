"""What an algorithm believes of the objective, a Gaussian process, and the points that it expects most of.

Jones, Schonlau and Welch, "Efficient Global Optimization of Expensive Black-Box Functions" (1998), with the model of
`models/gaussian_process.py`, the warping of objectives of OSS Vizier (Song et al., 2024) and the logarithm of expected
improvement of Ament et al. (2023).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..domain.metric import Objective
from .answer import Answer
from .models.acquisition import derivatives, log_expected_improvement
from .models.gaussian_process import GaussianProcess, Hyperparameters, Prior, centre, fit
from .models.kernel import Array
from .models.search import Acquisition, near, search, spread
from .models.warped_lattice import WarpedLattice, axes
from .models.warping import Warping

FITTED: Final = 300
"""Trials that hyperparameters are fitted to: the better half of them the best of all, the others spread evenly."""

REFIT: Final = 0.05
"""Hyperparameters are fitted anew when there are more trials by this part."""

SETTLED: Final = 100
"""Once hyperparameters were fitted to more trials, the next fit starts from them alone; before, from the prior's mode
too, which a fit to few trials may have left for the worse."""

GOOD: Final = 5
"""The best trials, near which the search looks closely."""

ITERATIONS: Final = 25
"""Steps of a fit from each start."""

PRIOR: Final = Prior()


class Model(Protocol):
    """Mean and deviation of the objective at points, (m, d), and their derivatives by the coordinates."""

    def predict(self, at: Array) -> tuple[Array, Array]: ...

    def predict_with_gradient(self, at: Array) -> tuple[Array, Array, Array, Array]: ...


class Surrogate:
    """The model of one answer. Coordinates are those of the warped lattice, values those of the warping.

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
    ) -> None:
        """`x`, (n, d), not warped, `z`, (n,): what it learns from, of `known` trials in all. `before`: entries of the
        memo."""
        self._answer, self._goal, space = answer, answer.problem.objectives[0], answer.problem.space
        self._warping, self._z, self._best = warping, z, float(z.min())
        kept, known_axes = thin(z, FITTED), axes(space)
        of_fit = x[kept], z[kept], known_axes, PRIOR
        mode = centre(known_axes, PRIOR)
        self._theta, self._fitted = fitted(before, known, REFIT, mode, lambda starts: fit(*of_fit, starts, ITERATIONS))
        self._h = Hyperparameters.read(np.array(self._theta), known_axes.categorical)
        self._lattice = WarpedLattice(space, self._h.warping)
        self._x = self._h.warping.forward(x)

    @property
    def state(self) -> dict[str, Any]:
        return {"hyperparameters": self._theta, "fitted": self._fitted}

    def add_points(self, count: int, pending: Array) -> None:
        """Proposes up to `count` points, each as if those before, and the `pending` ones, (m, d), not warped, had ended
        as expected. Raises NotPositive."""
        x, z, categorical, best = self._x, self._z, self._lattice.categorical, self._best
        model = GaussianProcess(x, z, categorical, self._h, PRIOR)
        to_come = self._h.warping.forward(pending)
        for _ in range(count):
            if len(to_come):
                expected = model.predict(to_come)[0]
                x, z = np.concatenate([x, to_come]), np.concatenate([z, expected])
                model = GaussianProcess(x, z, categorical, self._h, PRIOR)
                # What is expected counts as reached: else the next point would improve on the same value, beside these.
                best = min(best, float(expected.min()))
            found = self._add_best(model, best, 1.0 / np.sqrt(self._h.w))
            if found is None:
                return
            to_come = found

    def _add_best(self, model: GaussianProcess, best: float, lengths: Array) -> Array | None:
        """The row, (1, d), of the point that was proposed; None where there is none."""
        good = self._x[np.argsort(self._z, kind="stable")[:GOOD]]
        found, values = most_improving(model, best, good, lengths, self._lattice, self._answer.rng)
        for row, v in zip(found, values, strict=True):
            m, s = (float(a[0]) for a in model.predict(row[None, :]))
            if self._answer.add(self._lattice.decode(row[None, :])[0], *self._explained(m, s, float(v), best)):
                proposed: Array = row[None, :]
                return proposed
        return None

    def _explained(self, mean: float, deviation: float, value: float, best: float) -> tuple[str, dict[str, float]]:
        at, about = told(self._goal, self._warping, mean, deviation)
        seen = self._goal.loss(self._warping.back(self._best))
        kind = "exploits" if mean < best else "explores"
        why = f"{kind}: {self._goal.metric} {at:.4g} ± {about:.2g} expected, {seen:.4g} is the best so far"
        return why, {"mean": at, "deviation": about, "log_expected_improvement": value}


def most_improving(
    model: Model, best: float, good: Array, lengths: Array, points: WarpedLattice, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Rows of the lattice, (m, d), those of the greatest expected improvement on `best` first, and its logarithm, (m,).
    `good`: points near which to look closely, (k, d). There are none where no draw satisfies the constraints."""

    def value(u: Array) -> Array:
        return log_expected_improvement(*model.predict(u), best)

    def with_gradient(u: Array) -> tuple[Array, Array]:
        m, s, dm, ds = model.predict_with_gradient(u)
        v, by_mean, by_deviation = derivatives(m, s, best)
        return v, by_mean[:, None] * dm + by_deviation[:, None] * ds

    rows = [spread(rng, points.dimension), near(rng, good, lengths, points.categorical)]
    if points.space.rules:
        rows = [r[[points.space.satisfies(p) for p in points.decode(r)]] for r in rows]
    if not sum(map(len, rows)):
        return good[:0], np.zeros(0)
    found, values = search(Acquisition(value, with_gradient), points, np.concatenate(rows), len(rows[0]), rng)
    if not points.continuous.any():
        # A small space has each of its points many times among them.
        first = np.sort(np.unique(found, axis=0, return_index=True)[1])
        found, values = found[first], values[first]
    return found, values


def told(goal: Objective, warping: Warping, mean: float, deviation: float) -> tuple[float, float]:
    """An expectation in the objective's own unit: the value, and the deviation to either side on average."""
    at, low, high = (goal.loss(warping.back(z)) for z in (mean, mean - deviation, mean + deviation))
    return at, abs(high / 2 - low / 2)


def fitted(
    before: Mapping[str, Any],
    known: int,
    refit: float,
    mode: Array,
    fit: Callable[[list[Array]], Array],
) -> tuple[list[float], int]:
    """Hyperparameters and how many values they were fitted to: those of the memo, `before`, or where `known`, the
    number of values, has grown by the part `refit` since, those that `fit` finds from some starts. `mode`: that of the
    prior."""
    starts = [mode]
    if len(before.get("hyperparameters", ())) == len(mode):
        last = int(before["fitted"])
        if last <= known < last + max(1.0, refit * last):
            return before["hyperparameters"], last
        starts = [np.array(before["hyperparameters"]), mode][: 1 if last > SETTLED else 2]
    # Rounded, so that the memo is short and holds the very numbers that were used.
    return [round(float(t), 4) for t in fit(starts)], known


def kept_of(state: Mapping[str, Any]) -> dict[str, Any]:
    """Of a memo's entries those that are a model's."""
    return {key: state[key] for key in ("hyperparameters", "fitted") if key in state}


def thin(z: Array, most: int) -> NDArray[np.intp]:
    """Places, ascending, of at most `most` of the values: half of them those of the least, half spread evenly."""
    if len(z) <= most:
        return np.arange(len(z))
    order = np.argsort(z, kind="stable")
    least, rest = order[: most // 2], np.sort(order[most // 2 :])
    spread_evenly = rest[np.linspace(0, len(rest) - 1, most - len(least)).astype(int)]
    return np.sort(np.concatenate([least, spread_evenly]))
