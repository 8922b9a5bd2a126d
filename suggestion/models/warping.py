"""Objectives made fit for a Gaussian process. Values in and out: less is better.

The worse half is warped as in OSS Vizier (Song et al., "The Vizier Gaussian Process Bandit Algorithm", 2024, section
3.3): how bad a bad point is must not decide how the good ones are told apart.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

from .kernel import Array


class Warping:
    """An increasing function of losses, and back. `values`: those of `losses`, (n,), of mean 0 and deviation 1."""

    def __init__(self, losses: Array) -> None:
        """`losses`: (n,), finite."""
        self.values = _standard(_half_rank(_unit(losses)))
        order = np.argsort(losses, kind="stable")
        self._losses, self._warped = losses[order], self.values[order]

    def forward(self, losses: Array) -> Array:
        """What other losses would be warped to about, elementwise: by interpolation, and no further than the ends."""
        return np.interp(losses, self._losses, self._warped)

    def back(self, z: float) -> float:
        """The loss that is warped to about `z`: between those given by interpolation, below them along the same line
        as the best two that differ."""
        below = self._warped[0] - z
        if below > 0.0:
            other = int(np.searchsorted(self._warped, self._warped[0], side="right"))
            if other == len(self._warped):
                return float(self._losses[0])
            rise = below / (self._warped[other] - self._warped[0])
            return _finite(self._losses[0] * (1.0 + rise) - self._losses[other] * rise)
        return _finite(float(np.interp(z, self._warped, self._losses)))


def _finite(x: float) -> float:
    return float(np.clip(np.nan_to_num(x), -np.finfo(float).max, np.finfo(float).max))


def _unit(y: Array) -> Array:
    """To [0, 1], the best at 0; values near the ends of the doubles included."""
    low, high = float(y.min()), float(y.max())
    scale = max(abs(low), abs(high))
    if low == high or scale == 0.0:
        return np.zeros_like(y)
    z: Array = y / scale - low / scale
    z /= z.max()
    return z


def _half_rank(y: Array) -> Array:
    """Values worse than the median become median + σ Φ⁻¹((rank + 1/2) / n), σ the better half's root mean square
    distance from the median."""
    median = float(np.median(y))
    good = y <= median
    deviation = float(np.sqrt(np.mean((y[good] - median) ** 2)))
    if deviation == 0.0:
        # More than half are equally good: the others are told from them by the mean distance.
        deviation = float(np.abs(y - median).mean())
    rank = np.argsort(np.argsort(y, kind="stable"), kind="stable")
    warped: Array = np.where(good, y, median + deviation * ndtri((rank + 0.5) / len(y)))
    # Equal losses have equal ranks: that of their first.
    _, first, inverse = np.unique(y, return_index=True, return_inverse=True)
    ranked: Array = warped[first][inverse.reshape(y.shape)]
    return ranked


def _standard(y: Array) -> Array:
    centred: Array = y - y.mean()
    deviation = float(centred.std())
    return centred / deviation if deviation > 0.0 else np.zeros_like(y)
