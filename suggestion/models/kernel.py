"""The Matérn-5/2 kernel with a length for each axis (automatic relevance determination).

k(a, b) = σ² (1 + √5 r + 5/3 r²) exp(-√5 r),  r² = Σ_j w_j δ_j(a, b),  w_j = 1 / ℓ_j²

δ_j is the squared difference on an ordered axis, and on a categorical one 0 for the same value and 1 for another (as
in Optuna's GPSampler). Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006), section 4.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_SQRT5 = 5**0.5


def squared_distance(a: Array, b: Array, w: Array, categorical: Mask) -> Array:
    """r², (n, m), of the rows of `a`, (n, d), and `b`, (m, d)."""
    if not categorical.any():
        return _euclidean(a * np.sqrt(w), b * np.sqrt(w))
    ordered = ~categorical
    root = np.sqrt(w[ordered])
    r2 = _euclidean(a[:, ordered] * root, b[:, ordered] * root)
    for j in np.flatnonzero(categorical):
        r2 += w[j] * (a[:, j, None] != b[None, :, j])
    return r2


def _euclidean(a: Array, b: Array) -> Array:
    r2 = a @ (-2.0 * b.T)
    r2 += np.einsum("ij,ij->i", a, a)[:, None]
    r2 += np.einsum("ij,ij->i", b, b)
    # Rounding may lead below 0 where rows are equal.
    return np.maximum(r2, 0.0, out=r2)


def matern(r2: Array) -> tuple[Array, Array]:
    """k / σ² and its derivative by r², elementwise."""
    # In place: these are the largest arrays of a suggestion, and making more of them costs as much as the exponential.
    s = np.sqrt(r2)
    s *= _SQRT5
    k = np.negative(s)
    np.exp(k, out=k)
    s += 1.0
    s *= k
    # 5/3 r² = s²/3, and d/d(r²) [(1 + s + s²/3) e^-s] = -5/6 (1 + s) e^-s.
    k *= r2
    k *= 5.0 / 3.0
    k += s
    s *= -5.0 / 6.0
    return k, s


def by_distance(m: Array, x: Array, w: Array, categorical: Mask) -> tuple[Array, Array]:
    """Derivatives of Σ_ab m_ab r²(x_a, x_b), `m` symmetric, (n, n): by log ℓ, (d,), and by the coordinates of `x`,
    (n, d), 0 by categorical ones; without a table of n² d distances."""
    by_x: Array = np.where(categorical, 0.0, 4.0 * w) * (m.sum(axis=1)[:, None] * x - m @ x)
    # Lengths and coordinates that grow alike change no distance.
    by_length = -np.einsum("ij,ij->j", x, by_x)
    for j in np.flatnonzero(categorical):
        by_length[j] = -2.0 * w[j] * m[x[:, j, None] != x[None, :, j]].sum()
    return by_length, by_x


def centred(x: Array, categorical: Mask) -> Array:
    """The coordinates less those of the middle, 0 for categorical ones, (n, d): what a linear mean goes by."""
    return np.where(categorical, 0.0, x - 0.5)
