"""A shuffled order of [0, n) in which any place can be looked up without making the rest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

ROUNDS = 6
"""Luby and Rackoff (1988) show that four make a strong pseudo-random permutation of large blocks; small ones, which
spaces have, are mixed well by a few more."""


@dataclass(frozen=True, slots=True)
class Permutation:
    """A bijection of [0, size) that `key` chooses: a Feistel network with cycle walking.

    The network permutes [0, 4^b), the least such range that holds `size`; a result beyond `size` is permuted again
    until it falls within, which takes fewer than four turns on average. See Black and Rogaway, "Ciphers with Arbitrary
    Finite Domains" (CT-RSA 2002).
    """

    size: int
    key: int
    """In [0, 2^64)."""

    def __call__(self, index: int) -> int:
        """Where `index` goes, both in [0, size)."""
        half = max(1, ((self.size - 1).bit_length() + 1) // 2)
        while True:
            index = self._network(index, half)
            if index < self.size:
                return index

    def _network(self, block: int, half: int) -> int:
        mask = (1 << half) - 1
        left, right = block >> half, block & mask
        for turn in range(ROUNDS):
            left, right = right, left ^ (self._mix(turn, right) & mask)
        return left << half | right

    def _mix(self, turn: int, half_block: int) -> int:
        # Half blocks of a space with a thousand parameters are longer than one digest; SHAKE gives as much as is asked.
        length = max(8, (self.size.bit_length() + 15) // 16 + 1)
        text = b"%x %x %x" % (self.key, turn, half_block)
        return int.from_bytes(hashlib.shake_128(text).digest(length), "little")
