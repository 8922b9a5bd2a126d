"""Coordinates bent until the objective varies alike all along an axis, as the kernel takes it to do.

Snoek, Swersky, Zemel and Adams, "Input Warping for Bayesian Optimization of Non-Stationary Functions" (ICML 2014), with
the distribution function of Kumaraswamy (1980) in place of that of the beta distribution, as in BoTorch:

    v = 1 - (1 - u^a)^b

a < 1 gives room to the beginning of an axis and b < 1 to its end, where both are 1 it stays as it is. A weight decay
given between 0 and 0.1, of which all that matters is below 0.001, gets about what a logarithmic scale would do.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .kernel import Array, Mask

_LEAST = 1e-300
"""In place of 0, whose logarithm is taken."""


SCALE = 0.2
"""Of the Cauchy distribution of each log shape."""

LIMITS = (-2.5, 1.0)
"""Of a log shape: beyond them values at an end of an axis could not be told apart in doubles."""


@dataclass(frozen=True)
class Axes:
    """What is known of the axes of a space before any trial. `categorical`: (d,), those without an order; `shapes`:
    (2 d,), the centres of the prior of (log a_1, ..., log a_d, log b_1, ..., log b_d).

    The prior is a Cauchy distribution: axes stay as they are until values speak clearly against it, and then bend far.
    """

    categorical: Mask
    shapes: Array

    def unlikeliness(self, shapes: Array) -> tuple[float, Array]:
        """The negative logarithm of the prior without its constant, and its gradient, (2 d,)."""
        t = (shapes - self.shapes) / SCALE
        return float(np.log1p(t * t).sum()), 2.0 * t / (1.0 + t * t) / SCALE


@dataclass(frozen=True)
class InputWarping:
    """`a`, `b`: the shapes, (d,), 1 on categorical axes."""

    a: Array
    b: Array

    @classmethod
    def read(cls, logarithms: Array, categorical: Mask) -> InputWarping:
        """From (log a_1, ..., log a_d, log b_1, ..., log b_d); those of categorical axes, (d,), mean nothing."""
        a, b = np.where(categorical, 1.0, np.exp(logarithms.reshape(2, -1)))
        return cls(a, b)

    def forward(self, u: Array) -> Array:
        """(n, d) from [0, 1] to [0, 1]."""
        result: Array = 1.0 - (1.0 - u**self.a) ** self.b
        return result

    def along(self, axis: int, u: Array) -> Array:
        """The same of coordinates on one axis, (n,)."""
        return InputWarping(self.a[axis, None], self.b[axis, None]).forward(u[:, None])[:, 0]

    def back(self, v: Array) -> Array:
        """The inverse, (n, d)."""
        result: Array = (1.0 - (1.0 - v) ** (1.0 / self.b)) ** (1.0 / self.a)
        return result

    def with_slopes(self, u: Array) -> tuple[Array, Array, Array]:
        """v and its derivatives by log a and log b, three of (n, d)."""
        log_u = np.log(np.maximum(u, _LEAST))
        p = np.exp(self.a * log_u)
        log_q = np.log(np.maximum(-np.expm1(self.a * log_u), _LEAST))
        rest = np.exp(self.b * log_q)
        by_a = self.a * self.b * np.exp((self.b - 1.0) * log_q) * p * log_u
        return 1.0 - rest, by_a, -self.b * rest * log_q
