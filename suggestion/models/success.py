"""How likely trials are to succeed, by where others succeeded and failed: Gaussian-process classification.

Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006): the probit likelihood with expectation
propagation (section 3.6) and its evidence with derivatives (section 5.5.2). Laplace's approximation, which is cheaper,
is useless here: where f is large it sees a flat likelihood, and any number of successes leaves a point as uncertain as
before. With labels y = ±1 and the kernel of `kernel.py`,

    p(y | x) = Φ(y f(x)),   f ~ GP(m, σ² k + τ² + β² c cᵀ)

A failure that has nothing to do with parameters, of a flaky node say, must not keep others away from where it happened.
So the rival hypothesis, that all trials fail at one rate, is weighed against this one by evidence, and the answer is
the mean of both (Hoeting, Madigan, Raftery and Volinsky, "Bayesian Model Averaging: A Tutorial", 1999).

The probability multiplies the expected improvement, as in Schonlau, Welch and Jones, "Global versus Local Search in
Constrained Optimization of Computer Models" (1998), and Gelbart, Snoek and Adams, "Bayesian Optimization with Unknown
Constraints" (2014).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.linalg import blas, lapack
from scipy.special import betaln, expit, log_ndtr, ndtr

from .kernel import Array, Mask, by_distance, centred, matern, squared_distance
from .normal import NotPositive, least

LIKELY: Final = 0.75
"""Improvement counts in full, times the probability, where success is at least so likely."""

STEEPER: Final = 400.0
"""Below it falls with a power of the odds: 1, and this times the square of the part of the trials that failed. One
expected improvement is many powers of ten more than another, and far beyond a wall, where nothing was ever measured, it
is greatest; a factor of a hundredth does not outweigh that. But a study that seldom fails can afford to look there."""

_HALF_LOG_TAU = 0.5 * np.log(2.0 * np.pi)
_SWEEPS = 100
_DAMPING = 0.7
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class SuccessPrior:
    """Normal distributions of log ℓ, whose centre grows with √d, and of log σ². `level`: m, that trials rather succeed;
    `mean`: τ²; `trend`: β². All are large beside the probit's variance of 1, because most walls are sharp: what lies
    on one side of them succeeds each time, and on the other fails.

    `successes` and `failures`: what the one rate of the rival hypothesis is taken to have seen, a beta distribution.
    `explained`: how likely it is beforehand that parameters explain failures."""

    length: float = -0.5
    length_scale: float = 0.7
    amplitude: float = float(np.log(25.0))
    amplitude_scale: float = 1.0
    level: float = 5.0
    mean: float = 4.0
    trend: float = 4.0
    successes: float = 4.0
    failures: float = 1.0
    explained: float = 0.8


_LOG_LENGTH = (float(np.log(0.01)), float(np.log(100.0)))
_LOG_AMPLITUDE = (float(np.log(0.01)), float(np.log(1e4)))


def centre(dimension: int, prior: SuccessPrior) -> Array:
    """The mode of the prior of (log ℓ_1, ..., log ℓ_d, log σ²), (d + 1,)."""
    return np.array([prior.length + 0.5 * np.log(dimension)] * dimension + [prior.amplitude])


class _Posterior:
    """f - m given labels `y`, (n,) of ±1, approximated by a normal distribution: that of sites exp(ν f - τ f² / 2).

    `weight`: (K + T⁻¹)⁻¹ times the sites' means, (n,), T being the diagonal matrix of τ; `root`: τ^½, (n,);
    `factor`: L, with L Lᵀ = I + T^½ K T^½; `evidence`: log p(y).
    """

    def __init__(self, covariance: Array, y: Array, level: float, sites: tuple[Array, Array] | None = None) -> None:
        """`sites`: τ and ν to begin with. Raises NotPositive."""
        n = len(y)
        tau, nu = (np.zeros(n), np.zeros(n)) if sites is None else sites
        for _ in range(_SWEEPS):
            self._condition(covariance, tau, nu)
            with_tau, with_nu = self._matched(y, level, tau, nu)
            change = float(np.abs(with_tau - tau).max() + np.abs(with_nu - nu).max())
            # All sites at once, each half of the way beyond the first sweep: else they may swing.
            part = 1.0 if not tau.any() else _DAMPING
            tau, nu = tau + part * (with_tau - tau), nu + part * (with_nu - nu)
            if change < _TOLERANCE * (1.0 + float(np.abs(nu).max())):
                break
        self._condition(covariance, tau, nu)
        self.tau, self.nu = tau, nu
        self.evidence = self._log_evidence(y, level, tau, nu)
        half = lapack.dpotrs(self.factor, self.root * (covariance @ nu), lower=True)[0]
        self.weight: Array = nu - self.root * half

    def _condition(self, covariance: Array, tau: Array, nu: Array) -> None:
        """Mean and variances of f - m, by (3.53) and (3.68)."""
        self.root = np.sqrt(tau)
        scaled = self.root[:, None] * covariance * self.root
        scaled.flat[:: len(tau) + 1] += 1.0
        self.factor, failed = lapack.dpotrf(scaled, lower=True, clean=True)
        if failed or not np.isfinite(self.factor).all():
            raise NotPositive(f"the covariance of {len(tau)} labels is not finite")
        v: Array = blas.dtrsm(1.0, self.factor, self.root[:, None] * covariance, lower=True)
        self._variance = np.diagonal(covariance) - np.einsum("ij,ij->j", v, v)
        self._mean = covariance @ nu - v.T @ (v @ nu)

    def _cavity(self, tau: Array, nu: Array) -> tuple[Array, Array]:
        """Mean and variance of f - m without each site, (3.56)."""
        variance = np.maximum(self._variance, 1e-12)
        precision = np.maximum(1.0 / variance - tau, 1e-12)
        return (self._mean / variance - nu) / precision, 1.0 / precision

    def _matched(self, y: Array, level: float, tau: Array, nu: Array) -> tuple[Array, Array]:
        """The sites that give each label's moments beside its cavity, (3.58) and (3.59)."""
        mean, variance = self._cavity(tau, nu)
        spread = np.sqrt(1.0 + variance)
        z = y * (mean + level) / spread
        r = np.exp(-0.5 * z * z - _HALF_LOG_TAU - log_ndtr(z))
        to_mean = mean + y * variance * r / spread
        to_variance = variance - variance**2 * r * (z + r) / (1.0 + variance)
        to_variance = np.maximum(to_variance, 1e-12)
        return np.maximum(1.0 / to_variance - 1.0 / variance, 0.0), to_mean / to_variance - mean / variance

    def _log_evidence(self, y: Array, level: float, tau: Array, nu: Array) -> float:
        """(3.65), put so that nothing is divided by τ, which may be 0."""
        mean, variance = self._cavity(tau, nu)
        both = 1.0 + tau * variance
        z = y * (mean + level) / np.sqrt(1.0 + variance)
        value = log_ndtr(z).sum() + 0.5 * np.log(both).sum() - np.log(np.diagonal(self.factor)).sum()
        value += 0.5 * nu @ self._mean
        value += 0.5 * ((tau * mean**2 - 2.0 * mean * nu - nu**2 * variance) / both).sum()
        return float(value)

    def by_covariance(self) -> Array:
        """The evidence's derivative by the covariance, (n, n), each element taken for itself: (5.27)."""
        inverse, _ = lapack.dpotri(self.factor, lower=True)
        inverse = inverse + np.tril(inverse, -1).T
        result: Array = 0.5 * (np.outer(self.weight, self.weight) - self.root[:, None] * inverse * self.root)
        return result


class SuccessLikelihood:
    """The negative logarithm of the posterior of the hyperparameters (without its constant), and its gradient."""

    def __init__(self, x: Array, y: Array, categorical: Mask, prior: SuccessPrior) -> None:
        """`x`: (n, d); `y`: (n,), 1 for success and -1 for failure."""
        self._x, self._y, self._categorical, self._prior = x, y, categorical, prior
        d = x.shape[1]
        c = centred(x, categorical)
        self._linear = prior.mean + (prior.trend * c) @ c.T
        self._centre = centre(d, prior)
        self._scale = np.array([prior.length_scale] * d + [prior.amplitude_scale])
        self._sites: tuple[Array, Array] | None = None

    def __call__(self, theta: Array) -> tuple[float, Array]:
        d, x = self._x.shape[1], self._x
        w, amplitude = np.exp(-2.0 * theta[:d]), float(np.exp(theta[d]))
        k, slope = matern(squared_distance(x, x, w, self._categorical))
        covariance = amplitude * k + self._linear
        # From where the last one ended it takes a few sweeps.
        posterior = _Posterior(covariance, self._y, self._prior.level, self._sites)
        self._sites = posterior.tau, posterior.nu
        m = -posterior.by_covariance()
        slope *= amplitude
        slope *= m
        gradient = (theta - self._centre) / self._scale**2
        gradient[:d] += by_distance(slope, x, w, self._categorical)[0]
        gradient[d] += amplitude * np.einsum("ij,ij->", m, k)
        return self.unlikeliness(theta) - posterior.evidence, gradient

    def unlikeliness(self, theta: Array) -> float:
        """The negative logarithm of the prior, 0 at its mode."""
        return 0.5 * float((((theta - self._centre) / self._scale) ** 2).sum())


def _worth(p: Array, steep: float) -> tuple[Array, Array]:
    """log p, less `steep` times what its log odds lack of those of LIKELY; and the derivative by p."""
    p = np.minimum(np.maximum(p, 1e-12), 1.0 - 1e-12)
    lacking = np.log(LIKELY / (1.0 - LIKELY)) - np.log(p / (1.0 - p))
    short = lacking > 0.0
    return np.log(p) - np.where(short, steep * lacking, 0.0), 1.0 / p + np.where(short, steep / (p * (1.0 - p)), 0.0)


def fit(x: Array, y: Array, categorical: Mask, prior: SuccessPrior, starts: list[Array], iterations: int) -> Array:
    """Hyperparameters at the best maximum found from `starts`, (d + 1,). Raises NotPositive."""
    bounds = [_LOG_LENGTH] * x.shape[1] + [_LOG_AMPLITUDE]
    return least(SuccessLikelihood(x, y, categorical, prior), starts, bounds, iterations)


class SuccessModel:
    """How likely trials are to succeed, given those at `x`, (n, d), with labels `y`, (n,): 1 success, -1 failure.

    `explained`: how likely it is that parameters explain the failures.
    """

    def __init__(self, x: Array, y: Array, categorical: Mask, theta: Array, prior: SuccessPrior) -> None:
        """Raises NotPositive."""
        d = x.shape[1]
        self._x, self._categorical, self._prior = x, categorical, prior
        self._w, self._amplitude = np.exp(-2.0 * theta[:d]), float(np.exp(theta[d]))
        self._centred = centred(x, categorical)
        self._posterior = posterior = _Posterior(self._cross(x)[0], y, prior.level)
        self._inverse: Array = lapack.dtrtri(posterior.factor, lower=True)[0]
        good, bad = prior.successes + float((y > 0).sum()), prior.failures + float((y < 0).sum())
        self._steep = 1.0 + STEEPER * float(np.mean(y < 0)) ** 2
        self._rate = good / (good + bad)
        by_rate = float(betaln(good, bad) - betaln(prior.successes, prior.failures))
        unlikely = SuccessLikelihood(x, y, categorical, prior).unlikeliness(theta)
        odds = posterior.evidence - unlikely - by_rate + np.log(prior.explained / (1.0 - prior.explained))
        self.explained = float(expit(odds))

    def _cross(self, at: Array) -> tuple[Array, Array]:
        k, slope = matern(squared_distance(at, self._x, self._w, self._categorical))
        k *= self._amplitude
        k += self._prior.mean
        k += (self._prior.trend * centred(at, self._categorical)) @ self._centred.T
        return k, slope

    def _moments(self, at: Array, k: Array) -> tuple[Array, Array, Array]:
        """Mean and variance of f at `at`, (m,), and L⁻¹ W^½ k for each, (m, n)."""
        v: Array = blas.dtrmm(1.0, self._inverse, (k * self._posterior.root).T, lower=True).T
        c = centred(at, self._categorical)
        own = self._amplitude + self._prior.mean + self._prior.trend * np.einsum("ij,ij->i", c, c)
        variance = np.maximum(own - np.einsum("ij,ij->i", v, v), 1e-12)
        return self._prior.level + k @ self._posterior.weight, variance, v

    def probability(self, at: Array) -> Array:
        """Of success at `at`, (m, d): (m,)."""
        mean, variance, _ = self._moments(at, self._cross(at)[0])
        # (3.82)
        return self._averaged(ndtr(mean / np.sqrt(1.0 + variance)))

    def _averaged(self, p: Array) -> Array:
        averaged: Array = self.explained * p + (1.0 - self.explained) * self._rate
        return averaged

    def value(self, at: Array) -> Array:
        """The logarithm of what expected improvement at `at`, (m, d), is to be multiplied by: (m,)."""
        return _worth(self.probability(at), self._steep)[0]

    def with_gradient(self, at: Array) -> tuple[Array, Array]:
        """The same and its derivatives by the ordered coordinates, (m, d); 0 by categorical ones."""
        k, slope = self._cross(at)
        mean, variance, v = self._moments(at, k)
        spread = np.sqrt(1.0 + variance)
        z = mean / spread
        worth, by_probability = _worth(self._averaged(ndtr(z)), self._steep)
        by_z = self.explained * np.exp(-0.5 * z * z - _HALF_LOG_TAU) * by_probability
        slope *= self._amplitude
        in_mean = self._posterior.weight
        in_variance = self._posterior.root * (v @ self._inverse)
        trend = self._prior.trend
        by_mean = self._by_distance(at, slope * in_mean) + trend * (in_mean @ self._centred)
        by_variance = 2.0 * trend * (centred(at, self._categorical) - in_variance @ self._centred)
        by_variance -= 2.0 * self._by_distance(at, slope * in_variance)
        gradient = by_mean / spread[:, None] - (0.5 * z / spread**2)[:, None] * by_variance
        return worth, np.where(self._categorical, 0.0, by_z[:, None] * gradient)

    def _by_distance(self, at: Array, parts: Array) -> Array:
        """Σ_i parts_i d r²(x, x_i) / dx, (m, d), with d r² / dx_j = 2 w_j (x_j - x_ij)."""
        w = np.where(self._categorical, 0.0, self._w)
        result: Array = (parts.sum(axis=1)[:, None] * at - parts @ self._x) * (2.0 * w)
        return result
