"""The lattice of a space in the coordinates that a model works in, and what is expected of these."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from ...domain.parameters import Value
from ...domain.space import Double, Integer, Kind, Scale, Space
from ..space.encoding import encoder
from ..space.identity import once_per_space
from ..space.lattice import lattice
from .input_warping import LIMITS, Axes, InputWarping
from .kernel import Array, Mask

WIDE: Final = 1000.0
"""A range so many times as large at its end as at its beginning is seldom meant to be linear, even if given so."""


@once_per_space
def axes(space: Space) -> Axes:
    """Axes as they are, but those of wide linear ranges half bent towards the logarithmic scale."""
    shapes = [_towards_log(p.kind) for p in space.parameters]
    return Axes(lattice(space).categorical, np.concatenate([shapes, np.zeros(len(shapes))]))


def _towards_log(kind: Kind) -> float:
    """Half of the log a that brings the geometric middle of the range to the middle of the axis, 0 where it is not
    wide."""
    if not isinstance(kind, Double | Integer) or kind.scale is not Scale.LINEAR or kind.min <= 0:
        return 0.0
    half = 0.5 * (math.log(kind.max) - math.log(kind.min))
    if half < 0.5 * math.log(WIDE):
        return 0.0
    # The geometric middle lies at 1 / (1 + e^half) of the axis.
    return max(LIMITS[0], 0.5 * math.log(math.log(2.0) / (half + math.log1p(math.exp(-half)))))


class WarpedLattice:
    """As `space/lattice.py` has it, all coordinates warped."""

    def __init__(self, space: Space, warping: InputWarping) -> None:
        self.space, self._warping = space, warping
        self._plain = plain = lattice(space)
        self.dimension, self.categorical, self.continuous = plain.dimension, plain.categorical, plain.continuous
        self._tables = {j: warping.along(j, plain.table(j)) for j in np.flatnonzero(~plain.continuous).tolist()}

    def table(self, axis: int) -> Array:
        """The coordinates of the values of an axis that is not continuous, ascending."""
        return self._tables[axis]

    def snap(self, v: Array) -> tuple[Array, Mask]:
        """The rows of the lattice nearest to `v`, (n, d), coordinates beyond [0, 1] taken for the nearer end; and which
        parameters are active there, (n, d)."""
        u, active = self._plain.snap(self._warping.back(np.minimum(np.maximum(v, 0.0), 1.0)))
        v = self._warping.forward(u)
        for j, table in self._tables.items():
            # The very numbers of the table: those of another call may differ from them in the last bit.
            at = active[:, j]
            v[at, j] = table[np.searchsorted(self._plain.table(j), u[at, j])]
        return v, active

    def decode(self, v: Array) -> list[dict[str, Value]]:
        """The points of these rows, (n, d)."""
        return encoder(self.space).decode(self._warping.back(v))
