"""A Gaussian process of several tasks, each of which is the one before times a factor and something of its own.

Tasks are the rungs of a ladder here, what points are worth after ever more steps, and the last is the one to be known.
With ρ_k the factor and δ_k what task k adds,

    f_1 = δ_1,  f_k = ρ_k f_{k-1} + δ_k,

the autoregressive covariance of Kennedy and O'Hagan, "Predicting the output from a complex computer code when fast
approximations are available" (2000). All δ_k have the same kernel over points and a deviation a_k each, which makes it
one of the coregionalised processes of Bonilla, Chai and Williams, "Multi-task Gaussian Process Prediction" (2008), as
used by Swersky, Snoek and Adams, "Multi-Task Bayesian Optimization" (2013):

    cov[f_k(x), f_l(x')] = A_kl C(x, x'),  A = L Lᵀ,  L_kj = a_j Π_{j < i ≤ k} ρ_i
    C(x, x') = k(x, x') + τ² + β² c(x)·c(x')

k is the kernel of `kernel.py` with σ² = 1; τ² and β² stand for a linear mean of unknown height and slopes, c being the
ordered coordinates less those of the middle. Observations have a variance σ_n² on top, the same for all tasks. All of
it is in warped coordinates (`input_warping.py`), the same for all tasks, whose shapes are hyperparameters too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .input_warping import LIMITS, Axes, InputWarping
from .kernel import Array, Mask, by_distance, centred, matern, squared_distance
from .normal import Conditioned, least, likelihood

Tasks = NDArray[np.intp]


@dataclass(frozen=True)
class TaskPrior:
    """Normal distributions of log ℓ, whose centre grows with √d, of log a_1 (`first`), of the other log a_k (`own`), of
    ρ_k (`factor`) and of log σ_n²; the warping's shapes have one of their own. `mean`: τ²; `trend`: β²."""

    length: float = -0.3
    length_scale: float = 1.0
    first: float = 0.0
    first_scale: float = 0.5
    own: float = float(np.log(0.5))
    own_scale: float = 0.7
    factor: float = 0.8
    factor_scale: float = 0.3
    noise: float = -6.0
    noise_scale: float = 2.0
    mean: float = 1.0
    trend: float = 1.0


_LOG_LENGTH = (float(np.log(0.005)), float(np.log(100.0)))
_LOG_DEVIATION = (-3.0, 2.0)
_FACTOR = (-0.5, 2.0)
_LOG_NOISE = (float(np.log(1e-6)), 0.0)


@dataclass(frozen=True)
class TaskHyperparameters:
    """`w`: 1/ℓ², (d,); `deviations`: a, (K,); `factors`: ρ_2 to ρ_K, (K - 1,); `noise`: σ_n²."""

    w: Array
    deviations: Array
    factors: Array
    noise: float
    warping: InputWarping

    @classmethod
    def read(cls, theta: Array, categorical: Mask) -> TaskHyperparameters:
        """From (log ℓ_1, ..., log ℓ_d, log a_1, ..., log a_K, ρ_2, ..., ρ_K, log σ_n², and the 2 d logarithms of the
        warping's shapes)."""
        d = len(categorical)
        tasks = (len(theta) - 3 * d) // 2
        lengths, deviations, factors, noise, shapes = np.split(theta, np.cumsum([d, tasks, tasks - 1, 1]))
        warping = InputWarping.read(shapes, categorical)
        return cls(np.exp(-2.0 * lengths), np.exp(deviations), factors, float(np.exp(noise[0])), warping)

    @property
    def products(self) -> Array:
        """P_kj = Π_{j < i ≤ k} ρ_i, (K, K), so that f = P δ, from (I - R) f = δ."""
        return np.asarray(np.linalg.inv(np.eye(len(self.deviations)) - np.diag(self.factors, -1)), dtype=np.float64)

    @property
    def between(self) -> Array:
        """A, (K, K)."""
        factor = self.products * self.deviations
        between: Array = factor @ factor.T
        return between


def centre(axes: Axes, tasks: int, prior: TaskPrior) -> Array:
    """The mode of the prior, (3 d + 2 K,)."""
    return np.concatenate([_normal_centre(len(axes.categorical), tasks, prior), axes.shapes])


def _normal_centre(dimension: int, tasks: int, prior: TaskPrior) -> Array:
    """Of all but the shapes, (d + 2 K,)."""
    length = prior.length + 0.5 * np.log(dimension)
    return _laid_out(dimension, tasks, length, prior.first, prior.own, prior.factor, prior.noise)


def _laid_out(
    dimension: int, tasks: int, length: float, first: float, own: float, factor: float, noise: float
) -> Array:
    return np.array([length] * dimension + [first] + [own] * (tasks - 1) + [factor] * (tasks - 1) + [noise])


class TaskLikelihood:
    """The negative logarithm of the posterior of the hyperparameters (without its constant), and its gradient."""

    def __init__(self, x: Array, task: Tasks, y: Array, tasks: int, axes: Axes, prior: TaskPrior) -> None:
        """`x`: (n, d), not warped; `task`: of each row, (n,), from 0 to `tasks` - 1."""
        self._x, self._task, self._y, self._axes, self._prior = x, task, y, axes, prior
        self._members = np.eye(tasks)[task]
        d = x.shape[1]
        self._centre = _normal_centre(d, tasks, prior)
        scales = prior.first_scale, prior.own_scale, prior.factor_scale, prior.noise_scale
        self._scale = _laid_out(d, tasks, prior.length_scale, *scales)

    def __call__(self, theta: Array) -> tuple[float, Array]:
        categorical, trend = self._axes.categorical, self._prior.trend
        h = TaskHyperparameters.read(theta, categorical)
        normal, shapes = np.split(theta, [len(self._centre)])
        n = len(self._y)
        x, by_a, by_b = h.warping.with_slopes(self._x)
        c = centred(x, categorical)
        over_points, slope = matern(squared_distance(x, x, h.w, categorical))
        over_points += self._prior.mean
        over_points += (trend * c) @ c.T
        between = h.between[np.ix_(self._task, self._task)]
        covariance = between * over_points
        covariance.flat[:: n + 1] += h.noise
        deviation = (normal - self._centre) / self._scale
        unlikely, by_shapes = self._axes.unlikeliness(shapes)
        unlikely += 0.5 * float(deviation @ deviation)
        gradient = np.concatenate([deviation / self._scale, by_shapes])
        found = likelihood(covariance, self._y)
        if found is None:
            return 1e10, gradient
        value, m = found
        between *= m
        slope *= between
        by_length, by_x = by_distance(slope, x, h.w, categorical)
        by_x += (2.0 * trend) * (between @ c)
        by_tasks = _by_tasks(self._members.T @ (m * over_points) @ self._members, h)
        by_shapes = np.concatenate([(by_x * by_a).sum(axis=0), (by_x * by_b).sum(axis=0)])
        gradient += np.concatenate([by_length, by_tasks, [np.trace(m) * h.noise], by_shapes])
        return value + unlikely, gradient


def _by_tasks(by_between: Array, h: TaskHyperparameters) -> Array:
    """Derivatives by log a_1, ..., log a_K, ρ_2, ..., ρ_K, (2 K - 1,), of what has these by A, (K, K), symmetric."""
    products = h.products
    factor = products * h.deviations
    # dA = dL Lᵀ + L dLᵀ, so dv = tr(Gᵀ dA) = Σ H ∘ dL with H = 2 G L.
    by_factor = 2.0 * by_between @ factor
    # dL_kj / d log a_j = L_kj, and dL_kj / dρ_i = P_ki L_{i-1,j}.
    by_deviations = (by_factor * factor).sum(axis=0)
    by_factors = np.diagonal(products.T @ by_factor @ factor.T, -1)
    return np.concatenate([by_deviations, by_factors])


def fit(
    x: Array,
    task: Tasks,
    y: Array,
    tasks: int,
    axes: Axes,
    prior: TaskPrior,
    starts: list[Array],
    iterations: int,
) -> Array:
    """Hyperparameters at the best maximum found from `starts`, (3 d + 2 K,); `x`, (n, d), is not warped."""
    d = x.shape[1]
    bounds = [_LOG_LENGTH] * d + [_LOG_DEVIATION] * tasks + [_FACTOR] * (tasks - 1) + [_LOG_NOISE]
    bounds += [LIMITS] * (2 * d)
    return least(TaskLikelihood(x, task, y, tasks, axes, prior), starts, bounds, iterations)


class MultiTaskProcess:
    """The posterior of the last task given `y`, (n,), of the tasks `task`, (n,), at `x`, (n, d), all coordinates
    warped."""

    def __init__(
        self, x: Array, task: Tasks, y: Array, categorical: Mask, h: TaskHyperparameters, prior: TaskPrior
    ) -> None:
        """Raises NotPositive."""
        self.x, self.h = x, h
        self._categorical, self._prior = categorical, prior
        self._centred = centred(x, categorical)
        between = h.between
        self._to_last, self._last = between[-1, task], float(between[-1, -1])
        covariance = between[np.ix_(task, task)] * self._over_points(x)[0]
        covariance.flat[:: len(y) + 1] += h.noise
        self._given = Conditioned(covariance, y)

    def _over_points(self, at: Array) -> tuple[Array, Array]:
        """C of `at`, (m, d), and the rows, (m, n), and the derivative of its kernel by the squared distance."""
        over_points, slope = matern(squared_distance(at, self.x, self.h.w, self._categorical))
        over_points += self._prior.mean
        over_points += (self._prior.trend * centred(at, self._categorical)) @ self._centred.T
        return over_points, slope

    def _deviation(self, at: Array, whitened: Array) -> Array:
        c = centred(at, self._categorical)
        own = 1.0 + self._prior.mean + self._prior.trend * np.einsum("ij,ij->i", c, c)
        variance = self._last * own - np.einsum("ij,ij->i", whitened, whitened)
        deviation: Array = np.sqrt(np.maximum(variance, 1e-12 * self._last))
        return deviation

    def predict(self, at: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the last task, noise not included, at `at`, (m, d): two of (m,)."""
        k = self._over_points(at)[0] * self._to_last
        return k @ self._given.alpha, self._deviation(at, self._given.whitened(k))

    def predict_with_gradient(self, at: Array) -> tuple[Array, Array, Array, Array]:
        """Mean, deviation, (m,), and their derivatives by the ordered coordinates, (m, d); 0 by categorical ones."""
        k, slope = self._over_points(at)
        k *= self._to_last
        v = self._given.whitened(k)
        deviation = self._deviation(at, v)
        # Each row's part in the mean, and in K⁻¹ k, which is that in half the variance's loss.
        in_mean = self._to_last * self._given.alpha
        in_variance = self._to_last * (v @ self._given.inverse)
        trend, c = self._prior.trend, centred(at, self._categorical)
        by_mean = self._by_distance(at, slope * in_mean) + trend * (in_mean @ self._centred)
        by_variance = trend * (self._last * c - in_variance @ self._centred)
        by_variance -= self._by_distance(at, slope * in_variance)
        return k @ self._given.alpha, deviation, by_mean, by_variance / deviation[:, None]

    def _by_distance(self, at: Array, parts: Array) -> Array:
        """Σ_i parts_i d r²(x, x_i) / dx, (m, d), with d r² / dx_j = 2 w_j (x_j - x_ij)."""
        w = np.where(self._categorical, 0.0, self.h.w)
        result: Array = (parts.sum(axis=1)[:, None] * at - parts @ self.x) * (2.0 * w)
        return result
