"""A multivariate normal distribution of mean 0: how likely values are, and what some of them say of others.

Rasmussen and Williams, "Gaussian Processes for Machine Learning" (2006): algorithm 2.1 and equations 2.25, 2.26, 2.30
and 5.9.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.linalg import blas, lapack
from scipy.optimize import minimize

from .kernel import Array

_TOLERANCE = 1e-5
"""A fit ends when a step gains no more than this part. With scipy's default of 2e-9 it takes half as many steps again
to end within a thousandth of the same place."""


class NotPositive(ArithmeticError):
    """The points' covariance cannot be factored: a number among them is no number, or they are too ill-conditioned."""


def likelihood(covariance: Array, y: Array) -> tuple[float, Array] | None:
    """-log p(y) without its constant, and its derivative by the covariance, (n, n), each element taken for itself. None
    where the covariance has no Cholesky factor."""
    factor, failed = lapack.dpotrf(covariance, lower=True, clean=True)
    if failed:
        return None
    alpha, _ = lapack.dpotrs(factor, y, lower=True)
    value = 0.5 * y @ alpha + np.log(np.diagonal(factor)).sum()
    inverse, _ = lapack.dpotri(factor, lower=True)
    # dpotri fills one triangle.
    inverse = inverse + np.tril(inverse, -1).T
    # (5.9) with the sign of a cost.
    return float(value), 0.5 * (inverse - np.outer(alpha, alpha))


class Conditioned:
    """Given `y`, (n,), of this covariance K, (n, n), whose diagonal is made larger where it has no Cholesky factor L as
    it is. `inverse`: L⁻¹; `alpha`: K⁻¹ y."""

    def __init__(self, covariance: Array, y: Array) -> None:
        """Raises NotPositive."""
        factor, failed = lapack.dpotrf(covariance, lower=True, clean=True)
        most = float(np.diagonal(covariance).max(initial=0.0))
        extra = 1e-8 * most
        while failed:
            if not extra <= most < np.inf:
                raise NotPositive(f"the covariance of {len(y)} points has no Cholesky factor")
            covariance.flat[:: len(y) + 1] += extra
            extra *= 10.0
            factor, failed = lapack.dpotrf(covariance, lower=True, clean=True)
        self.inverse: Array = lapack.dtrtri(factor, lower=True)[0]
        self.alpha: Array = self.inverse.T @ (self.inverse @ y)
        # LAPACK lets NaN pass.
        if not np.isfinite(self.alpha).all():
            raise NotPositive(f"the covariance of {len(y)} points, or a value among them, is not finite")

    def whitened(self, k: Array) -> Array:
        """L⁻¹ k for each row, (m, n); half the work of a product with a full matrix."""
        whitened: Array = blas.dtrmm(1.0, self.inverse, k.T, lower=True).T
        return whitened


def least(
    cost: Callable[[Array], tuple[float, Array]],
    starts: list[Array],
    bounds: list[tuple[float, float]],
    iterations: int,
) -> Array:
    """Where `cost`, which gives its gradient too, is least of all that L-BFGS-B finds from `starts`."""
    options = {"maxiter": iterations, "ftol": _TOLERANCE}
    best, lowest = starts[0], np.inf
    for start in starts:
        found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        if found.fun < lowest:
            best, lowest = found.x, found.fun
    return best
