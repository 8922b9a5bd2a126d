"""Scrambled Sobol' points by index, from `scipy.stats.qmc`.

Scrambling is the left linear matrix scramble with a digital shift of Matoušek, "On the L2-discrepancy for anchored
boxes" (1998), as scipy does it; direction numbers are those of Joe and Kuo (2008), for up to 21,201 dimensions, of
which a space has at most 1,000.
"""

from __future__ import annotations

import threading
from functools import lru_cache

import numpy as np
from scipy.stats import qmc

from .encoding import Array

BITS = 30
"""Binary digits of a coordinate; a sequence has 2^BITS points."""

_BLOCK = 64
"""Points made at a time: one block serves as many rounds of one point."""

_ENGINES = 64
"""Studies whose generators are kept."""


def sobol_rows(seed: int, start: int, count: int, dimension: int) -> Array:
    """Points number `start` to `start + count - 1` of the sequence that `seed` scrambles, (count, dimension) in [0, 1).

    A function of its arguments, whatever was asked before. Beyond 2^30 points it goes on with the same sequence under
    another scrambling.
    """
    first, last = start // _BLOCK, (start + count - 1) // _BLOCK
    blocks = [_block(seed, number, dimension) for number in range(first, last + 1)]
    rows = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return rows[start - first * _BLOCK :][:count]


@lru_cache(maxsize=4 * _ENGINES)
def _block(seed: int, number: int, dimension: int) -> Array:
    epoch, place = divmod(number * _BLOCK, 1 << BITS)
    rows = _engine(seed, epoch, dimension).rows(place)
    rows.setflags(write=False)
    return rows


class _Engine:
    """scipy's generator, which only goes forward or back to its start, made to go to any place."""

    def __init__(self, seed: int, epoch: int, dimension: int) -> None:
        rng = np.random.default_rng([seed, epoch])
        # Named `seed` by every scipy from 1.12 on; newer ones call it `rng` too.
        self._sobol = qmc.Sobol(dimension, scramble=True, bits=BITS, seed=rng)
        self._lock = threading.Lock()

    def rows(self, place: int) -> Array:
        """The _BLOCK points from number `place` on."""
        with self._lock:
            if place < self._sobol.num_generated:
                self._sobol.reset()
            if place > self._sobol.num_generated:
                self._sobol.fast_forward(place - self._sobol.num_generated)
            rows: Array = self._sobol.random(_BLOCK)
            return rows


@lru_cache(maxsize=_ENGINES)
def _engine(seed: int, epoch: int, dimension: int) -> _Engine:
    return _Engine(seed, epoch, dimension)


# scipy reads its table of direction numbers for the first points of a process, which takes 30 ms. Modules are loaded on
# threads, and points are drawn on the event loop.
_engine(0, 0, 1)
