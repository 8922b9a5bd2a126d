"""Gaussian-process regression with lengths, amplitude and noise at their maximum a posteriori.

Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006): algorithm 2.1 and equations 2.25, 2.26, 5.8,
5.9. Their K is σ² k + τ² + β² c cᵀ + σ_n² I here: τ² stands for a constant mean of unknown value and β² for a linear
one of unknown slopes (their section 2.7), c being the ordered coordinates less those of the middle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .kernel import Array, Mask, centred, matern, squared_distance, sum_of_distances
from .normal import Conditioned, least, likelihood


@dataclass(frozen=True)
class Prior:
    """Normal distributions of the logarithms: of ℓ, whose centre grows with √d, of σ² and of σ_n². `mean`: τ²; `trend`:
    β², with values of variance 1 so large that a slope may carry them from one end of an axis to the other."""

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

    @classmethod
    def read(cls, theta: Array) -> Hyperparameters:
        """From (log ℓ_1, ..., log ℓ_d, log σ², log σ_n²)."""
        return cls(np.exp(-2.0 * theta[:-2]), float(np.exp(theta[-2])), float(np.exp(theta[-1])))


def centre(dimension: int, prior: Prior) -> Array:
    """The mode of the prior, (d + 2,)."""
    lengths = np.full(dimension, prior.length + 0.5 * np.log(dimension))
    return np.concatenate([lengths, [prior.amplitude, prior.noise]])


def _scales(dimension: int, prior: Prior) -> Array:
    return np.concatenate([np.full(dimension, prior.length_scale), [prior.amplitude_scale, prior.noise_scale]])


class Likelihood:
    """The negative logarithm of the posterior of the hyperparameters (without its constant), and its gradient."""

    def __init__(self, x: Array, y: Array, categorical: Mask, prior: Prior) -> None:
        self._x, self._y, self._categorical = x, y, categorical
        c = centred(x, categorical)
        self._mean = prior.mean + prior.trend * (c @ c.T)
        self._centre, self._scale = centre(x.shape[1], prior), _scales(x.shape[1], prior)

    def __call__(self, theta: Array) -> tuple[float, Array]:
        h = Hyperparameters.read(theta)
        n = len(self._y)
        k, slope = matern(squared_distance(self._x, self._x, h.w, self._categorical))
        covariance = h.amplitude * k
        covariance += self._mean
        covariance.flat[:: n + 1] += h.noise
        deviation = (theta - self._centre) / self._scale
        gradient = deviation / self._scale
        found = likelihood(covariance, self._y)
        if found is None:
            return 1e10, gradient
        value, m = found
        by_w = sum_of_distances(m * slope, self._x, self._categorical) * h.amplitude
        gradient[:-2] += by_w * h.w * -2.0
        gradient[-2] += np.einsum("ij,ij->", m, k) * h.amplitude
        gradient[-1] += np.trace(m) * h.noise
        return value + 0.5 * float(deviation @ deviation), gradient


def fit(x: Array, y: Array, categorical: Mask, prior: Prior, starts: list[Array], iterations: int) -> Array:
    """log hyperparameters at the best maximum found from `starts`, (d + 2,)."""
    bounds = [_LOG_LENGTH] * x.shape[1] + [_LOG_AMPLITUDE, _LOG_NOISE]
    return least(Likelihood(x, y, categorical, prior), starts, bounds, iterations)


class GaussianProcess:
    """The posterior given `y`, (n,), at `x`, (n, d)."""

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
