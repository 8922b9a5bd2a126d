"""The random numbers of a suggestion: named by a study's seed and a number, so that they can be had again."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike, NDArray


class _Key(np.random.bit_generator.ISeedSequence):
    """Gives Philox its key. Asked for one by `Philox(key=...)`, numpy gathers entropy from the system for a seed that
    it then throws away, which costs more than the numbers of a round."""

    def __init__(self, *words: int) -> None:
        self._words = np.array(words, dtype=np.uint64)

    def generate_state(self, n_words: int, dtype: DTypeLike = np.uint32) -> NDArray[np.uint64]:
        assert n_words * np.dtype(dtype).itemsize == self._words.nbytes, "Philox takes a key of two words of 64 bits"
        return self._words


def generator(seed: int, number: int) -> np.random.Generator:
    """Philox with the key (seed, number), each in [0, 2^64), from its start.

    Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011).
    """
    key = _Key(seed, number)
    return np.random.Generator(np.random.Philox(key))  # type: ignore[arg-type]  # its documentation says ISeedSequence
