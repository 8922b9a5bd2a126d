"""Whether points of one kind lie on one side of a slanted wall: where a weighted sum of parameters is large. Pure.

A wall such as `batch * width > 200000` is a weighted sum of logarithms. Conditions on single parameters describe it
badly, and an algorithm that has learned it tries points close to both of its sides, so that neighbours say little. The
kind is therefore regressed on the coordinates by least squares (Fisher's linear discriminant), and what that explains
is compared with what it explains if kinds are dealt out at random.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

from .gathered import APART, DEALS, MAX_POINTS, Axis, axes
from .parameters import Parameters

ALPHA = 0.05
LEAST = 6
"""Points of the kind: fewer lie on one side of something too easily."""
ENOUGH = 3
"""Points for each column, at least: with fewer any dealing of kinds is explained."""

Column = list[float]


def beyond(kind: Sequence[Parameters], others: Sequence[Parameters]) -> frozenset[int]:
    """The points of the kind, by index, on that side of the wall on which most of them are, if there is more of a wall
    than chance would make; else none. The same points give the same answer."""
    skipped = max(0, len(kind) - MAX_POINTS // 2)
    kind, others = kind[skipped:], others[max(0, len(others) - MAX_POINTS // 2) :]
    points, count = [*kind, *others], len(kind)
    columns = _orthonormal([column for axis in axes(points) for column in _columns(axis)])
    if count < LEAST or not others or not columns or len(points) < ENOUGH * (len(columns) + 1):
        return frozenset()

    found = _explained(columns, range(count))
    rng = random.Random(0)
    reached = sum(_explained(columns, rng.sample(range(len(points)), count)) >= found for _ in range(DEALS))
    if (reached + 1) / (DEALS + 1) > ALPHA:
        return frozenset()

    slopes = [math.fsum(column[:count]) for column in columns]
    fitted = [_dot(slopes, row) for row in zip(*columns, strict=True)]
    middle = (math.fsum(fitted[:count]) / count + math.fsum(fitted[count:]) / len(others)) / 2
    return frozenset(skipped + i for i in range(count) if fitted[i] > middle)


def _columns(axis: Axis) -> list[Column]:
    """A parameter as numbers: one that has an order as it is, with 0.5 if it is absent; and what has none, absence
    among it, by a column for each value."""
    numbers = [[v if isinstance(v, float) else 0.5 for v in axis]] if any(isinstance(v, float) for v in axis) else []
    words = sorted({str(v) for v in axis if not isinstance(v, float)})
    return numbers + [[APART * (not isinstance(v, float) and str(v) == word) for v in axis] for word in words]


def _orthonormal(columns: Sequence[Column]) -> list[Column]:
    """Columns of mean 0 and length 1, each at right angles to the others, that span the same (Gram and Schmidt)."""
    found: list[Column] = []
    for column in columns:
        mean = math.fsum(column) / len(column)
        left = [v - mean for v in column]
        length = math.sqrt(_dot(left, left))
        for other in found:
            along = _dot(left, other)
            left = [a - along * b for a, b in zip(left, other, strict=True)]
        rest = math.sqrt(_dot(left, left))
        if rest > 1e-6 * max(length, 1e-300) and rest > 0.0:
            found.append([v / rest for v in left])
    return found


def _explained(columns: Sequence[Column], kind: Sequence[int]) -> float:
    """The sum of squares of the kind's indicator that the columns explain."""
    return math.fsum(math.fsum(column[i] for i in kind) ** 2 for column in columns)


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(a, b, strict=True))
