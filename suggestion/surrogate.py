"""What an algorithm believes of the objective, a Gaussian process, and the points that it expects most of.

Jones, Schonlau and Welch, "Efficient Global Optimization of Expensive Black-Box Functions" (1998), with the model of
`models/gaussian_process.py`, the warping of objectives of OSS Vizier (Song et al., 2024) and the logarithm of expected
improvement of Ament et al. (2023).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..domain.metric import Objective
from .answer import Answer
from .duration import Duration
from .models.acquisition import derivatives, log_expected_improvement
from .models.gaussian_process import GaussianProcess, Hyperparameters, Prior, centre, fit
from .models.input_warping import InputWarping
from .models.kernel import Array, Mask
from .models.search import Acquisition, near, search, spread
from .models.warped_lattice import WarpedLattice, axes
from .models.warping import Warping
from .success import Success

FITTED: Final = 300
"""Trials that hyperparameters are fitted to: the better half of them the best of all, the others spread evenly."""

REFIT: Final = 0.05
"""Hyperparameters are fitted again when the number of trials has grown by this part."""

SETTLED: Final = 100
"""Once hyperparameters were fitted to more trials, the next fit starts from them alone; before, from the prior's mode
too, which a fit to few trials may have left for the worse."""

GOOD: Final = 5
"""The best trials, near which the search looks closely."""

LEAST: Final = float(np.log(1e-5))
"""With other factors the logarithm of this is the least of expected improvement, in deviations of the values. Once a
study has converged, what is left to gain lies behind the wall, and no failure is worth the fifth digit of a value."""

ITERATIONS: Final = 25
"""Steps of a fit from each start."""

KEPT: Final = ("hyperparameters", "fitted", "success", "labels", "durations", "timed")
"""Entries of a memo that are of models, and not of the answer."""

PRIOR: Final = Prior()


class Model(Protocol):
    """Mean and deviation of the objective at points, (m, d), and their derivatives by the coordinates."""

    def predict(self, at: Array) -> tuple[Array, Array]: ...

    def predict_with_gradient(self, at: Array) -> tuple[Array, Array, Array, Array]: ...


class Factor(Protocol):
    """What expected improvement is multiplied by: its logarithm at points, (m, d), and that with its gradient."""

    def value(self, at: Array) -> Array: ...

    def with_gradient(self, at: Array) -> tuple[Array, Array]: ...


@dataclass(frozen=True)
class Beside:
    """What counts beside the objective: how likely points are to succeed, where some have failed, and how long they
    take, if that is a cost."""

    success: Success | None = None
    duration: Duration | None = None

    @property
    def factors(self) -> list[Factor]:
        return [factor for factor in (self.success, self.duration) if factor is not None]

    @property
    def state(self) -> dict[str, Any]:
        """What the memo keeps."""
        return {key: entry for factor in (self.success, self.duration) if factor for key, entry in factor.state.items()}

    def likely(self, at: Array) -> Mask:
        """Which of these points, (m, d), rather succeed: (m,)."""
        return np.ones(len(at), dtype=bool) if self.success is None else self.success.probability(at) >= 0.5

    def explained(self, at: Array) -> tuple[str, dict[str, float]]:
        """What a proposal at `at`, (1, d), says of it: in words and numbers."""
        words, numbers = "", dict[str, float]()
        if self.success is not None:
            words, numbers = self.success.explained(float(self.success.probability(at)[0]))
        if self.duration is not None:
            more, seconds = self.duration.explained(at)
            words, numbers = words + more, numbers | seconds
        return words, numbers


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
        beside: Callable[[InputWarping], Beside] | None = None,
    ) -> None:
        """`x`, (n, d), not warped, `z`, (n,): what it learns from, of `known` trials in all. `before`: entries of the
        memo. `beside`: makes what else counts, in the coordinates of a warping. Raises NotPositive."""
        self._answer, self._goal, space = answer, answer.problem.objectives[0], answer.problem.space
        self._warping, self._z, self._best = warping, z, float(z.min())
        kept, known_axes = thin(z, FITTED), axes(space)
        of_fit = x[kept], z[kept], known_axes, PRIOR
        mode = centre(known_axes, PRIOR)
        self._theta, self._fitted = fitted(before, known, REFIT, mode, lambda starts: fit(*of_fit, starts, ITERATIONS))
        self._h = Hyperparameters.read(np.array(self._theta), known_axes.categorical)
        self._lattice = WarpedLattice(space, self._h.warping)
        self._x = self._h.warping.forward(x)
        self._beside = Beside() if beside is None else beside(self._h.warping)

    @property
    def state(self) -> dict[str, Any]:
        return {"hyperparameters": self._theta, "fitted": self._fitted, **self._beside.state}

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
                reached = expected[self._beside.likely(to_come)]
                best = min(best, float(reached.min(initial=best)))
            found = self._add_best(model, best, 1.0 / np.sqrt(self._h.w))
            if found is None:
                return
            to_come = found

    def _add_best(self, model: GaussianProcess, best: float, lengths: Array) -> Array | None:
        """The row, (1, d), of the point that was proposed; None where there is none."""
        good = self._x[np.argsort(self._z, kind="stable")[:GOOD]]
        found, values = most_improving(
            model, best, good, lengths, self._lattice, self._answer.rng, factors=self._beside.factors
        )
        for row, v in zip(found, values, strict=True):
            at: Array = row[None, :]
            m, s = (float(a[0]) for a in model.predict(at))
            why, details = self._explained(m, s, float(v), best)
            more, numbers = self._beside.explained(at)
            if self._answer.add(self._lattice.decode(at)[0], why + more, details | numbers):
                return at
        return None

    def _explained(self, mean: float, deviation: float, value: float, best: float) -> tuple[str, dict[str, float]]:
        at, about = told(self._goal, self._warping, mean, deviation)
        seen = self._goal.loss(self._warping.back(self._best))
        kind = "exploits" if mean < best else "explores"
        why = f"{kind}: {self._goal.metric} {at:.4g} ± {about:.2g} expected, {seen:.4g} is the best so far"
        return why, {"mean": at, "deviation": about, "log_expected_improvement": value}


def most_improving(
    model: Model,
    best: float,
    good: Array,
    lengths: Array,
    points: WarpedLattice,
    rng: np.random.Generator,
    factors: Sequence[Factor] = (),
) -> tuple[Array, Array]:
    """Rows of the lattice, (m, d), those of the greatest expected improvement on `best` first, times all `factors`,
    and its logarithm, (m,). `good`: points near which to look closely, (k, d). There are none where no draw satisfies
    the constraints."""

    def value(u: Array) -> Array:
        v = log_expected_improvement(*model.predict(u), best)
        if factors:
            v = np.logaddexp(v, LEAST)
        for factor in factors:
            v += factor.value(u)
        return v

    def with_gradient(u: Array) -> tuple[Array, Array]:
        m, s, dm, ds = model.predict_with_gradient(u)
        v, by_mean, by_deviation = derivatives(m, s, best)
        gradient = by_mean[:, None] * dm + by_deviation[:, None] * ds
        if factors:
            whole = np.logaddexp(v, LEAST)
            gradient *= np.exp(v - whole)[:, None]
            v = whole
        for factor in factors:
            more, slope = factor.with_gradient(u)
            v += more
            gradient += slope
        return v, gradient

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
    return {key: state[key] for key in KEPT if key in state}


def thin(z: Array, most: int) -> NDArray[np.intp]:
    """Places, ascending, of at most `most` of the values: half of them those of the least, half spread evenly."""
    if len(z) <= most:
        return np.arange(len(z))
    order = np.argsort(z, kind="stable")
    least, rest = order[: most // 2], np.sort(order[most // 2 :])
    spread_evenly = rest[np.linspace(0, len(rest) - 1, most - len(least)).astype(int)]
    return np.sort(np.concatenate([least, spread_evenly]))
