"""Gaussian-process regression with lengths, amplitude and noise at their maximum a posteriori.

Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006): algorithm 2.1 and equations 2.25, 2.26, 5.8,
5.9. Their K is σ² k + τ² + β² c cᵀ + σ_n² I here: τ² stands for a constant mean of unknown value and β² for a linear
one of unknown slopes (their section 2.7), c being the ordered coordinates less those of the middle. Rows that are told
less exactly than others have a variance of their own on top of σ_n².
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import blas, lapack
from scipy.optimize import minimize

from .kernel import Array, Mask, matern, squared_distance, sum_of_distances


class NotPositive(ArithmeticError):
    """The points' covariance cannot be factored: a number among them is no number, or they are too ill-conditioned."""


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


_LOG_LENGTH = (np.log(0.005), np.log(100.0))
_LOG_AMPLITUDE = (np.log(0.01), np.log(100.0))
_LOG_NOISE = (np.log(1e-6), np.log(1.0))

_TOLERANCE = 1e-5
"""A fit ends when a step gains no more than this part. With scipy's default of 2e-9 it takes half as many steps again
to end within a thousandth of the same place."""


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


def _centred(x: Array, categorical: Mask) -> Array:
    """c: the coordinates less those of the middle, 0 for categorical ones, (n, d)."""
    return np.where(categorical, 0.0, x - 0.5)


class Likelihood:
    """The negative logarithm of the posterior of the hyperparameters (without its constant), and its gradient."""

    def __init__(self, x: Array, y: Array, categorical: Mask, prior: Prior, doubt: Array | float = 0.0) -> None:
        self._x, self._y, self._categorical, self._doubt = x, y, categorical, doubt
        centred = _centred(x, categorical)
        self._mean = prior.mean + prior.trend * (centred @ centred.T)
        self._centre, self._scale = centre(x.shape[1], prior), _scales(x.shape[1], prior)

    def __call__(self, theta: Array) -> tuple[float, Array]:
        h = Hyperparameters.read(theta)
        n = len(self._y)
        k, slope = matern(squared_distance(self._x, self._x, h.w, self._categorical))
        covariance = h.amplitude * k
        covariance += self._mean
        covariance.flat[:: n + 1] += h.noise + self._doubt
        factor, failed = lapack.dpotrf(covariance, lower=True, clean=True)
        deviation = (theta - self._centre) / self._scale
        if failed:
            return 1e10, deviation / self._scale
        alpha, _ = lapack.dpotrs(factor, self._y, lower=True)
        value = 0.5 * self._y @ alpha + np.log(np.diagonal(factor)).sum() + 0.5 * deviation @ deviation
        inverse, _ = lapack.dpotri(factor, lower=True)
        # dpotri fills one triangle.
        inverse = inverse + np.tril(inverse, -1).T
        # d value / dK, (5.9) with the sign of a cost.
        m = 0.5 * (inverse - np.outer(alpha, alpha))
        gradient = deviation / self._scale
        by_w = sum_of_distances(m * slope, self._x, self._categorical) * h.amplitude
        gradient[:-2] += by_w * h.w * -2.0
        gradient[-2] += np.einsum("ij,ij->", m, k) * h.amplitude
        gradient[-1] += np.trace(m) * h.noise
        return float(value), gradient


def fit(
    x: Array,
    y: Array,
    categorical: Mask,
    prior: Prior,
    starts: list[Array],
    iterations: int,
    doubt: Array | float = 0.0,
) -> Array:
    """log hyperparameters at the best maximum found from `starts`, (d + 2,). `doubt`: each row's own variance, (n,)."""
    likelihood = Likelihood(x, y, categorical, prior, doubt)
    bounds = [_LOG_LENGTH] * x.shape[1] + [_LOG_AMPLITUDE, _LOG_NOISE]
    options = {"maxiter": iterations, "ftol": _TOLERANCE}
    best, least = starts[0], np.inf
    for start in starts:
        found = minimize(likelihood, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        if found.fun < least:
            best, least = found.x, found.fun
    return best


class GaussianProcess:
    """The posterior given `y`, (n,), at `x`, (n, d), with each row's own variance `doubt`, (n,)."""

    def __init__(
        self, x: Array, y: Array, categorical: Mask, h: Hyperparameters, prior: Prior, doubt: Array | float = 0.0
    ) -> None:
        self.x, self.y, self.h = x, y, h
        self._categorical, self._prior = categorical, prior
        self._centred = _centred(x, categorical)
        covariance = self._cross(x)[0]
        covariance.flat[:: len(y) + 1] += h.noise + doubt
        self._factor, failed = lapack.dpotrf(covariance, lower=True, clean=True)
        most = float(self._variance(x).max(initial=0.0))
        extra = 1e-8 * most
        while failed:
            if not extra <= most:
                raise NotPositive(f"the covariance of {len(y)} points has no Cholesky factor")
            covariance.flat[:: len(y) + 1] += extra
            extra *= 10.0
            self._factor, failed = lapack.dpotrf(covariance, lower=True, clean=True)
        self._inverse = lapack.dtrtri(self._factor, lower=True)[0]
        self._alpha = self._inverse.T @ (self._inverse @ y)
        # LAPACK lets NaN pass.
        if not np.isfinite(self._alpha).all():
            raise NotPositive(f"the covariance of {len(y)} points, or a value among them, is not finite")

    def _cross(self, at: Array) -> tuple[Array, Array]:
        k, slope = matern(squared_distance(at, self.x, self.h.w, self._categorical))
        k *= self.h.amplitude
        k += self._prior.mean
        k += (self._prior.trend * _centred(at, self._categorical)) @ self._centred.T
        return k, slope

    def _variance(self, at: Array) -> Array:
        """Of the prior, (m,)."""
        centred = _centred(at, self._categorical)
        variance: Array = self._prior.trend * np.einsum("ij,ij->i", centred, centred)
        variance += self.h.amplitude + self._prior.mean
        return variance

    def _whitened(self, k: Array) -> Array:
        """L⁻¹ k for each row, (m, n); half the work of a product with a full matrix."""
        whitened: Array = blas.dtrmm(1.0, self._inverse, k.T, lower=True).T
        return whitened

    def predict(self, at: Array) -> tuple[Array, Array]:
        """Mean and standard deviation of the function, noise not included, at `at`, (m, d): two of (m,)."""
        k, _ = self._cross(at)
        v = self._whitened(k)
        variance = self._variance(at) - np.einsum("ij,ij->i", v, v)
        return k @ self._alpha, np.sqrt(np.maximum(variance, 1e-12 * self.h.amplitude))

    def predict_with_gradient(self, at: Array) -> tuple[Array, Array, Array, Array]:
        """Mean, deviation, (m,), and their derivatives by the ordered coordinates, (m, d); 0 by categorical ones."""
        k, slope = self._cross(at)
        v = self._whitened(k)
        variance = self._variance(at) - np.einsum("ij,ij->i", v, v)
        deviation = np.sqrt(np.maximum(variance, 1e-12 * self.h.amplitude))
        # dk/dx_j = 2 σ² slope w_j (x_j - x_ij), summed with weights alpha, and with K^-1 k for the variance.
        slope *= 2.0 * self.h.amplitude
        w = np.where(self._categorical, 0.0, self.h.w)
        by_mean = slope * self._alpha
        solved = v @ self._inverse
        by_variance = slope * solved
        mean_gradient = (by_mean.sum(axis=1)[:, None] * at - by_mean @ self.x) * w
        mean_gradient += self._prior.trend * (self._alpha @ self._centred)
        variance_gradient = -2.0 * (by_variance.sum(axis=1)[:, None] * at - by_variance @ self.x) * w
        variance_gradient += 2.0 * self._prior.trend * (_centred(at, self._categorical) - solved @ self._centred)
        return k @ self._alpha, deviation, mean_gradient, variance_gradient / (2.0 * deviation[:, None])
