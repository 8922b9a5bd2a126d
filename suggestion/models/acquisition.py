"""The logarithm of expected improvement, computed so that it has a gradient where improvement is all but impossible.

Ament et al., "Unexpected Improvements to Expected Improvement for Bayesian Optimization" (NeurIPS 2023), equations
8 and 9.
"""

from __future__ import annotations

import numpy as np
from scipy.special import erfcx, log_ndtr, ndtr

from .kernel import Array

_C1 = 0.5 * np.log(2.0 * np.pi)
_C2 = 0.5 * np.log(0.5 * np.pi)


def log_h(z: Array) -> Array:
    """log(φ(z) + z Φ(z)), accurate to about twelve digits for every z, (n,)."""
    result = np.empty_like(z)
    near = z > -1.0
    far = z < -3e3
    between = ~(near | far)
    x = z[near]
    result[near] = np.log(np.exp(-0.5 * x * x - _C1) + x * ndtr(x))
    x = z[between]
    result[between] = -0.5 * x * x - _C1 + np.log1p(-np.abs(x) * erfcx(-x / np.sqrt(2.0)) * np.exp(_C2))
    x = z[far]
    # The asymptotic series: the formula between would subtract nearly equal numbers.
    result[far] = -0.5 * x * x - _C1 - 2.0 * np.log(-x) + np.log1p((15.0 / (x * x) - 3.0) / (x * x))
    return result


def log_expected_improvement(mean: Array, deviation: Array, best: float) -> Array:
    """log E[max(best - f, 0)] for f normal with these moments, (n,)."""
    return np.asarray(log_h((best - mean) / deviation) + np.log(deviation))


def derivatives(mean: Array, deviation: Array, best: float) -> tuple[Array, Array, Array]:
    """The same with its derivatives by mean and by deviation, three of (n,)."""
    z = (best - mean) / deviation
    h = log_h(z)
    by_mean = -np.exp(log_ndtr(z) - h) / deviation
    by_deviation = np.exp(-0.5 * z * z - _C1 - h) / deviation
    return h + np.log(deviation), by_mean, by_deviation
