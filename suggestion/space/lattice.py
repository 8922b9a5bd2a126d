"""The unit cube with only those of its points that stand for something, for algorithms that search it by computing.

A coordinate of a parameter with few values is moved to the middle of its value's room, that of an inactive one to the
middle of its axis, so that points that decode to the same parameters are the same row. All of it is done on arrays,
without making the parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...domain.space import Categorical, Condition, Kind, Parameter, Space
from .encoding import INACTIVE, Array, encoder
from .identity import once_per_space

COUNTED = 1_000
"""Axes of up to so many values are moved value by value; on longer ones the values lie so close that they are searched
as if they were continuous."""

Mask = NDArray[np.bool_]


class Lattice:
    """For one space of d parameters. Immutable, for every thread."""

    def __init__(self, space: Space) -> None:
        kinds = [p.kind for p in space.parameters]
        self.dimension = len(kinds)
        self.tables: Final[list[Array | None]] = [_table(kind) for kind in kinds]
        """By axis: the coordinates of its values, ascending, or None where it is searched as continuous."""
        self._borders = {
            i: _borders(k, t) for i, (k, t) in enumerate(zip(kinds, self.tables, strict=True)) if t is not None
        }
        self.categorical: Mask = np.array([isinstance(k, Categorical) for k in kinds])
        """(d,) whether the axis has no order."""
        self.continuous: Mask = np.array([t is None for t in self.tables])
        """(d,) whether the axis is searched by gradient."""
        places = {p.name: i for i, p in enumerate(space.parameters)}
        self._conditions = [
            (i, [(places[c.parent], _holds(space.by_name[c.parent], c)) for c in p.when])
            for i, p in enumerate(space.parameters)
            if p.when
        ]

    def table(self, axis: int) -> Array:
        """The coordinates of the values of an axis that is not continuous, ascending."""
        table = self.tables[axis]
        assert table is not None
        return table

    def snap(self, u: Array) -> tuple[Array, Mask]:
        """The rows of the lattice nearest to `u`, (n, d), coordinates beyond [0, 1] taken for the nearer end; and which
        parameters are active there, (n, d)."""
        u = np.minimum(np.maximum(u, 0.0), 1.0)
        for i, borders in self._borders.items():
            u[:, i] = self.table(i)[np.searchsorted(borders, u[:, i], side="right")]
        active = np.ones(u.shape, dtype=bool)
        for i, conditions in self._conditions:
            for parent, holds in conditions:
                active[:, i] &= active[:, parent] & holds(u[:, parent])
            u[~active[:, i], i] = INACTIVE
        return u, active


@once_per_space
def lattice(space: Space) -> Lattice:
    """The space's lattice, made once."""
    return Lattice(space)


def _table(kind: Kind) -> Array | None:
    if kind.size is None or (kind.size > COUNTED and not isinstance(kind, Categorical)):
        return None
    return np.sort(encoder(_alone(kind)).encode([{"x": kind.at(i)} for i in range(kind.size)])[:, 0])


def _alone(kind: Kind) -> Space:
    return Space((Parameter("x", kind),))


def _borders(kind: Kind, table: Array) -> Array:
    """For each value but the first the least coordinate that decodes to it or a later one, by halving: rooms are not of
    one size, and snapping must change no point, not even by a rounding error."""
    places = {(type(value), value): i for i, value in enumerate(kind.at(i) for i in range(len(table)))}
    decode = encoder(_alone(kind)).decode
    wanted = np.arange(1, len(table))
    below, borders = table[:-1], table[1:]
    while ((below < (middle := (below + borders) / 2)) & (middle < borders)).any():
        found = np.array([places[type(p["x"]), p["x"]] for p in decode(middle[:, None])], dtype=np.int64)
        reached = found >= wanted
        below, borders = np.where(reached, below, middle), np.where(reached, middle, borders)
    return borders


def _holds(parent: Parameter, condition: Condition) -> Callable[[Array], Mask]:
    """The condition as a function of the parent's coordinates on the lattice, (n,)."""
    kind, table = parent.kind, _table(parent.kind)
    if table is not None:
        true = np.array([condition.holds(kind.at(i)) for i in range(len(table))])
        between = (table[1:] + table[:-1]) / 2
        return lambda u: true[np.searchsorted(between, u)]
    decode = encoder(_alone(kind)).decode
    return lambda u: np.array([condition.holds(point["x"]) for point in decode(u[:, None])], dtype=bool)
