"""Climbing from many points at once within the unit cube, each with a quasi-Newton step of its own.

L-BFGS (Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithm 7.4) on the coordinates that are free:
those at a bound whose gradient leads outwards are held, as in projected-gradient methods (section 16.7), and steps
are cut off at the bounds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .kernel import Array, Mask

_PAIRS = 6
_SHRINK = 0.25
_SHORTER = 6
_ARMIJO = 1e-4

Pair = tuple[Array, Array, Array]
"""Of a step of each row: the step, the change of the descending gradient, both (m, d), and 1 over their product."""


def climb(
    function: Callable[[Array], tuple[Array, Array]],
    x: Array,
    free: Mask,
    iterations: int,
    first_step: float = 0.1,
    tolerance: float = 1e-4,
) -> tuple[Array, Array]:
    """Where the climbs from `x`, (m, d), end after at most `iterations` steps, and the values there, (m,).

    `function`: values (m,) and gradient (m, d) of m points. `free`: (m, d), the coordinates that may move.
    `first_step`: the greatest change of a coordinate in the first step. No value is less than at the start.
    """
    x = x.copy()
    value, gradient = function(x)
    ends, heights = x.copy(), value.copy()
    # Those that still climb, as places in `x`; all arrays but the ends and heights are of these alone.
    climbing = np.arange(len(x))
    pairs: list[Pair] = []
    for _ in range(iterations):
        held = ((x <= 0.0) & (gradient < 0.0)) | ((x >= 1.0) & (gradient > 0.0)) | ~free
        slope = np.where(held, 0.0, gradient)
        direction = _direction(slope, pairs, first_step)
        direction[held] = 0.0
        # Where curvature misleads, straight up.
        wrong = np.einsum("ij,ij->i", direction, slope) <= 0.0
        if wrong.any():
            direction[wrong] = _direction(slope[wrong], [], first_step)
        moved, new_value, new_gradient = _stepped(function, x, value, gradient, direction)
        s, y = moved - x, gradient - new_gradient
        sy = np.einsum("ij,ij->i", s, y)
        pairs.append((s, y, np.where(sy > 1e-12, 1.0 / np.maximum(sy, 1e-12), 0.0)))
        del pairs[:-_PAIRS]
        on = new_value - value >= tolerance
        x, value, gradient = moved, new_value, new_gradient
        ends[climbing], heights[climbing] = x, value
        if not on.all():
            climbing, x, value, gradient, free = climbing[on], x[on], value[on], gradient[on], free[on]
            pairs = [(s[on], y[on], rho[on]) for s, y, rho in pairs]
            if not len(climbing):
                break
    return ends, heights


def _stepped(
    function: Callable[[Array], tuple[Array, Array]], x: Array, value: Array, gradient: Array, direction: Array
) -> tuple[Array, Array, Array]:
    """Points, values and gradients a step further, each step shortened until it gains enough; where none does, those
    of before."""
    x, value, gradient, before = x.copy(), value.copy(), gradient.copy(), x
    left = np.arange(len(x))
    step = 1.0
    for _ in range(_SHORTER):
        trial = np.clip(before[left] + step * direction[left], 0.0, 1.0)
        v, g = function(trial)
        rise = np.einsum("ij,ij->i", gradient[left], trial - before[left])
        enough = v >= value[left] + _ARMIJO * rise
        at = left[enough]
        x[at], value[at], gradient[at] = trial[enough], v[enough], g[enough]
        left = left[~enough]
        if not len(left):
            break
        step *= _SHRINK
    return x, value, gradient


def _direction(slope: Array, pairs: list[Pair], first_step: float) -> Array:
    """(m, d): the inverse of the approximate Hessian times the slope, for each row with its own pairs."""
    steepest: Array = np.abs(slope).max(axis=1, keepdims=True)
    if not pairs:
        return slope * (first_step / np.maximum(steepest, 1e-300))
    q = slope.copy()
    alphas = []
    for s, y, rho in reversed(pairs):
        alpha = rho * np.einsum("ij,ij->i", s, q)
        q -= alpha[:, None] * y
        alphas.append(alpha)
    s, y, rho = pairs[-1]
    yy = np.einsum("ij,ij->i", y, y)
    plain = first_step / np.maximum(steepest[:, 0], 1e-300)
    gamma = np.where(rho > 0.0, 1.0 / np.maximum(rho * yy, 1e-300), plain)
    q *= gamma[:, None]
    for (s, y, rho), alpha in zip(pairs, reversed(alphas), strict=True):
        q += (alpha - rho * np.einsum("ij,ij->i", y, q))[:, None] * s
    return q
