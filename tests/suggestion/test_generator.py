"""The numbers of a round are those of Philox with the key (seed, number), on every build and for ever."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wazir.suggestion.generator import generator

words = st.integers(0, 2**64 - 1)


@given(words, words)
def test_it_is_philox_with_that_key(seed: int, number: int) -> None:
    plain = np.random.Generator(np.random.Philox(key=np.array([seed, number], dtype=np.uint64)))
    assert generator(seed, number).random(20).tolist() == plain.random(20).tolist()


def test_its_numbers_stay_as_they_are() -> None:
    """Stored trials name the key that their points were drawn with."""
    assert generator(5, 7).random(3).tolist() == [0.17921397154758945, 0.7213857882485316, 0.8601760263451427]
