"""Gaussian-process regression with lengths, amplitude and noise at their maximum a posteriori.

Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006): algorithm 2.1 and equations 2.25, 2.26, 5.8,
5.9. Their K is σ² k + τ² + β² c cᵀ + σ_n² I here: τ² stands for a constant mean of unknown value and β² for a linear
one of unknown slopes (their section 2.7), c being the ordered coordinates less those of the middle. All of it is in
warped coordinates (`input_warping.py`), whose shapes are hyperparameters too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .input_warping import LIMITS, Axes, InputWarping
from .kernel import Array, Mask, by_distance, centred, matern, squared_distance
from .normal import Conditioned, least, likelihood


@dataclass(frozen=True)
class Prior:
    """Normal distributions of the logarithms: of ℓ, whose centre grows with √d, of σ² and of σ_n²; the warping's
    shapes have one of their own. `mean`: τ²; `trend`: β², with values of variance 1 so large that a slope may carry
    them from one end of an axis to the other."""

    length: float = -0.7
    length_scale: float = 1.0
    amplitude: float = 0.0
    amplitude_scale: float = 1.0
    noise: float = -8.0
    noise_scale: float = 2.0
    mean: float = 1.0
    trend: float = 1.0


_LOG_LENGTH = (float(np.log(0.005)), float(np.log(100.0)))
_LOG_AMPLITUDE = (float(np.log(0.01)), float(np.log(100.0)))
_LOG_NOISE = (float(np.log(1e-6)), 0.0)


@dataclass(frozen=True)
class Hyperparameters:
    """`w`: 1/ℓ², (d,); `amplitude`: σ²; `noise`: σ_n²."""

    w: Array
    amplitude: float
    noise: float
    warping: InputWarping

    @classmethod
    def read(cls, theta: Array, categorical: Mask) -> Hyperparameters:
        """From (log ℓ_1, ..., log ℓ_d, log σ², log σ_n², log a_1, ..., log a_d, log b_1, ..., log b_d)."""
        d = len(categorical)
        warping = InputWarping.read(theta[d + 2 :], categorical)
        return cls(np.exp(-2.0 * theta[:d]), float(np.exp(theta[d])), float(np.exp(theta[d + 1])), warping)


def centre(axes: Axes, prior: Prior) -> Array:
    """The mode of the prior, (3 d + 2,)."""
    return np.concatenate([_normal_centre(len(axes.categorical), prior), axes.shapes])


def _normal_centre(dimension: int, prior: Prior) -> Array:
    """Of all but the shapes, (d + 2,)."""
    length = prior.length + 0.5 * np.log(dimension)
    return np.array([length] * dimension + [prior.amplitude, prior.noise])


class Likelihood:
    """The negative logarithm of the posterior of the hyperparameters (without its constant), and its gradient."""

    def __init__(self, x: Array, y: Array, axes: Axes, prior: Prior) -> None:
        """`x`: (n, d), not warped."""
        self._x, self._y, self._axes, self._prior = x, y, axes, prior
        d = x.shape[1]
        self._centre = _normal_centre(d, prior)
        self._scale = np.array([prior.length_scale] * d + [prior.amplitude_scale, prior.noise_scale])

    def __call__(self, theta: Array) -> tuple[float, Array]:
        categorical, trend = self._axes.categorical, self._prior.trend
        h = Hyperparameters.read(theta, categorical)
        d, n = self._x.shape[1], len(self._y)
        x, by_a, by_b = h.warping.with_slopes(self._x)
        c = centred(x, categorical)
        k, slope = matern(squared_distance(x, x, h.w, categorical))
        covariance = h.amplitude * k
        covariance += self._prior.mean
        covariance += (trend * c) @ c.T
        covariance.flat[:: n + 1] += h.noise
        deviation = (theta[: d + 2] - self._centre) / self._scale
        unlikely, by_shapes = self._axes.unlikeliness(theta[d + 2 :])
        unlikely += 0.5 * float(deviation @ deviation)
        gradient = np.concatenate([deviation / self._scale, by_shapes])
        found = likelihood(covariance, self._y)
        if found is None:
            return 1e10, gradient
        value, m = found
        slope *= m
        slope *= h.amplitude
        by_length, by_x = by_distance(slope, x, h.w, categorical)
        by_x += (2.0 * trend) * (m @ c)
        gradient[:d] += by_length
        gradient[d] += np.einsum("ij,ij->", m, k) * h.amplitude
        gradient[d + 1] += np.trace(m) * h.noise
        gradient[d + 2 :] += np.concatenate([(by_x * by_a).sum(axis=0), (by_x * by_b).sum(axis=0)])
        return value + unlikely, gradient


def fit(
    x: Array, y: Array, axes: Axes, prior: Prior, starts: list[Array], iterations: int, *, bends: bool = True
) -> Array:
    """Hyperparameters at the best maximum found from `starts`, (3 d + 2,); `x`, (n, d), is not warped. Without `bends`
    the shapes stay those of the axes."""
    d = x.shape[1]
    shapes = [LIMITS] * (2 * d) if bends else [(float(s), float(s)) for s in axes.shapes]
    bounds = [_LOG_LENGTH] * d + [_LOG_AMPLITUDE, _LOG_NOISE] + shapes
    return least(Likelihood(x, y, axes, prior), starts, bounds, iterations)


class GaussianProcess:
    """The posterior given `y`, (n,), at `x`, (n, d), all coordinates warped."""

    def __init__(self, x: Array, y: Array, categorical: Mask, h: Hyperparameters, prior: Prior) -> None:
        """Raises NotPositive."""
        self.x, self.y, self.h = x, y, h
        self._categorical, self._prior = categorical, prior
        self._centred = centred(x, categorical)
        covariance = self._cross(x)[0]
        covariance.flat[:: len(y) + 1] += h.noise
        self._given = Conditioned(covariance, y)

    def _cross(self, at: Array) -> tuple[Array, Array]:
        k, slope = matern(squared_distance(at, self.x, self.h.w, self._categorical))
        k *= self.h.amplitude
        k += self._prior.mean
        k += (self._prior.trend * centred(at, self._categorical)) @ self._centred.T
        return k, slope

    def _variance(self, at: Array) -> Array:
        """Of the prior, (m,)."""
        c = centred(at, self._categorical)
        variance: Array = self._prior.trend * np.einsum("ij,ij->i", c, c)
        variance += self.h.amplitude + self._prior.mean
        return variance

    def predict(self, at: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the function, noise not included, at `at`, (m, d): two of (m,)."""
        k, _ = self._cross(at)
        v = self._given.whitened(k)
        variance = self._variance(at) - np.einsum("ij,ij->i", v, v)
        return k @ self._given.alpha, np.sqrt(np.maximum(variance, 1e-12 * self.h.amplitude))

    def predict_with_gradient(self, at: Array) -> tuple[Array, Array, Array, Array]:
        """Mean, deviation, (m,), and their derivatives by the ordered coordinates, (m, d); 0 by categorical ones."""
        k, slope = self._cross(at)
        v = self._given.whitened(k)
        variance = self._variance(at) - np.einsum("ij,ij->i", v, v)
        deviation = np.sqrt(np.maximum(variance, 1e-12 * self.h.amplitude))
        # dk/dx_j = 2 σ² slope w_j (x_j - x_ij), summed with weights alpha, and with K^-1 k for the variance.
        slope *= 2.0 * self.h.amplitude
        w = np.where(self._categorical, 0.0, self.h.w)
        by_mean = slope * self._given.alpha
        solved = v @ self._given.inverse
        by_variance = slope * solved
        mean_gradient = (by_mean.sum(axis=1)[:, None] * at - by_mean @ self.x) * w
        mean_gradient += self._prior.trend * (self._given.alpha @ self._centred)
        variance_gradient = -2.0 * (by_variance.sum(axis=1)[:, None] * at - by_variance @ self.x) * w
        variance_gradient += 2.0 * self._prior.trend * (centred(at, self._categorical) - solved @ self._centred)
        return k @ self._given.alpha, deviation, mean_gradient, variance_gradient / (2.0 * deviation[:, None])
