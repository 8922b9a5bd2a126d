"""The best points of an acquisition on a lattice: climbing along continuous axes, stepping along the others, in turns.

Gradient steps move all climbers at once, and steps along axes of few values are tried for all of them in one call; so a
whole search is some dozens of evaluations of the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from .ascent import climb
from .kernel import Array, Mask

STARTS: Final = 8
"""Climbers: half from the best of points spread over the cube, half from the best of those near good points."""

SPREAD: Final = 400
NEAR: Final = 400
"""Points looked at before climbing."""

_STEPS: Final = 30
_ROUNDS: Final = 2
_HOPS: Final = 4
_TRIES: Final = 1_000
"""Rows of one call for steps along axes of few values; where there are more, axes are drawn."""

_FEW: Final = 12
"""Values of an axis that are all tried; on longer ones those at the distances below."""

_DISTANCES: Final = np.array([-30, -8, -3, -1, 1, 3, 8, 30])


class Lattice(Protocol):
    """What is searched: `Lattice` of `space/lattice.py`, in its own coordinates or in others."""

    @property
    def continuous(self) -> Mask: ...

    @property
    def categorical(self) -> Mask: ...

    def table(self, axis: int) -> Array: ...

    def snap(self, u: Array) -> tuple[Array, Mask]: ...


@dataclass(frozen=True)
class Acquisition:
    """`value`: (m, d) to (m,), more is better. `with_gradient`: the same and its gradient, (m, d)."""

    value: Callable[[Array], Array]
    with_gradient: Callable[[Array], tuple[Array, Array]]


def spread(rng: np.random.Generator, dimension: int) -> Array:
    """(SPREAD, d), uniform."""
    return rng.random((SPREAD, dimension))


def near(rng: np.random.Generator, good: Array, lengths: Array, categorical: Mask) -> Array:
    """(NEAR, d): rows of `good`, (k, d), with one, some or all coordinates moved by 0.3 % to 100 % of the axis's
    length, (d,); unordered coordinates drawn anew."""
    d = good.shape[1]
    base = good[rng.integers(len(good), size=NEAR)]
    chance = rng.choice([min(1.0, 1.5 / d), min(1.0, 4.0 / d), 1.0], size=(NEAR, 1))
    moved = rng.random((NEAR, d)) < chance
    moved[np.arange(NEAR), rng.integers(d, size=NEAR)] = True
    scale = 10.0 ** rng.uniform(-2.5, 0.0, size=(NEAR, 1)) * np.minimum(lengths, 1.0)
    rows = base + moved * scale * rng.standard_normal((NEAR, d))
    rows = np.where(moved & categorical, rng.random((NEAR, d)), rows)
    return np.minimum(np.maximum(rows, 0.0), 1.0)


def search(
    acquisition: Acquisition, lattice: Lattice, rows: Array, first: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Rows of the lattice with their values, the best first: where the climbs ended, and all of `rows`.

    `rows`: (n, d) in the cube; half of the climbs start in the best of the `first` rows, half in the best of the rest.
    """
    pool, active = lattice.snap(rows)
    values = acquisition.value(pool)
    order = np.argsort(-values, kind="stable")
    half = STARTS // 2
    starts = np.concatenate([order[order < first][:half], order[order >= first][:half]])
    u, act, v = pool[starts], active[starts], values[starts]
    mixed = not lattice.continuous.all()
    for _ in range(_ROUNDS):
        if lattice.continuous.any():
            u, v = climb(acquisition.with_gradient, u, act & lattice.continuous, _STEPS)
        if not mixed:
            break
        u, act = lattice.snap(u)
        u, act, v, changed = _step(acquisition.value, lattice, u, act, v, rng)
        if not changed:
            break
    pool, values = np.concatenate([u, pool]), np.concatenate([v, values])
    order = np.argsort(-values, kind="stable")
    return pool[order], values[order]


def _step(
    value: Callable[[Array], Array], lattice: Lattice, u: Array, active: Mask, v: Array, rng: np.random.Generator
) -> tuple[Array, Mask, Array, bool]:
    """Each row's best change of one coordinate of few values, again and again while any row gains."""
    changed = False
    for _ in range(_HOPS):
        rows, tries = _neighbours(lattice, u, active, rng)
        if not len(rows):
            break
        tries, tries_active = lattice.snap(tries)
        found = value(tries)
        best = _best_of_each(rows, found)
        gains = best[found[best] > v[rows[best]] + 1e-6]
        if not len(gains):
            break
        at = rows[gains]
        u[at], active[at], v[at] = tries[gains], tries_active[gains], found[gains]
        changed = True
    return u, active, v, changed


def _neighbours(lattice: Lattice, u: Array, active: Mask, rng: np.random.Generator) -> tuple[NDArray[np.intp], Array]:
    """Rows with one coordinate changed, (k, d), and which row of `u` each of them is made from, (k,)."""
    numbers: list[NDArray[np.intp]] = []
    changed: list[Array] = []
    count = 0
    for j in rng.permutation(np.flatnonzero(~lattice.continuous)):
        table = lattice.table(j)
        at = np.flatnonzero(active[:, j])
        place = np.searchsorted(table, u[at, j])
        if len(table) <= _FEW or lattice.categorical[j]:
            to = np.tile(np.arange(len(table)), (len(at), 1))
        else:
            to = place[:, None] + _DISTANCES
        inside = (to >= 0) & (to < len(table)) & (to != place[:, None])
        which, option = np.nonzero(inside)
        moved = u[at[which]]
        moved[:, j] = table[to[which, option]]
        numbers.append(at[which])
        changed.append(moved)
        count += len(which)
        if count > _TRIES:
            break
    if not numbers:
        return np.zeros(0, dtype=np.intp), u[:0]
    return np.concatenate(numbers), np.concatenate(changed)


def _best_of_each(rows: NDArray[np.intp], values: Array) -> NDArray[np.intp]:
    """For each number in `rows` the place of its greatest value."""
    order = np.lexsort((-values, rows))
    _, first = np.unique(rows[order], return_index=True)
    return order[first]
