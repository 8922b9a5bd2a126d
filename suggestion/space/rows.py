"""Coordinates of points that are asked for again and again: those of a study's trials, round after round."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...domain.parameters import Parameters
from ...domain.space import Space
from .encoding import INACTIVE, Array, encoder
from .lattice import Mask, lattice

KEPT = 20_000
"""Points; beyond them all are forgotten, and made anew."""


class Rows:
    """The lattice's rows of points of one space. Points are told apart as objects, which must not change; making them
    out is most of what a round costs with a thousand trials. For one thread."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._forget()

    def _forget(self) -> None:
        d = len(self._space.parameters)
        self._u, self._active = np.empty((0, d)), np.empty((0, d), dtype=bool)
        self._places: dict[int, int] = {}
        # As long as a point is kept nothing else can have its id.
        self._points: list[Parameters] = []

    def of(self, points: Sequence[Parameters]) -> tuple[Array, Mask]:
        """Coordinates and which parameters are active, two of (n, d)."""
        wanted = self._found(points)
        if None in wanted:
            new = [point for point, place in zip(points, wanted, strict=True) if place is None]
            if len(self._points) + len(new) > KEPT:
                self._forget()
                new = list(points)
            self._add(new)
            wanted = self._found(points)
        places = np.array(wanted, dtype=np.intp)
        return self._u[places], self._active[places]

    def _found(self, points: Sequence[Parameters]) -> list[int | None]:
        """The row of each point, None where it is new."""
        return list(map(self._places.get, map(id, points)))

    def _add(self, new: Sequence[Parameters]) -> None:
        u, active = lattice(self._space).snap(encoder(self._space).encode(new))
        if any(len(point) < len(self._space.parameters) for point in new):
            # What the code of a trial did not ask for has no value, whatever the space says of it.
            active &= [[p.name in point for p in self._space.parameters] for point in new]
            u[~active] = INACTIVE
        self._places.update((id(p), i) for i, p in enumerate(new, len(self._points)))
        self._points += new
        self._u, self._active = np.concatenate([self._u, u]), np.concatenate([self._active, active])
