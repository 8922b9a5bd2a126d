"""A thinned curve is still that curve."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.thinning import FEWEST, kept

CURVES = st.lists(st.floats(allow_nan=True), min_size=1, max_size=300)


@given(CURVES, st.integers(FEWEST, 50))
def test_no_more_is_kept_than_asked_for_and_the_ends_and_the_extremes_are(curve: list[float], most: int) -> None:
    places = kept(curve, most)
    assert len(places) == len(curve) if len(curve) <= most else len(places) <= most
    assert places == sorted(set(places))
    assert {0, len(curve) - 1} <= set(places)
    numbers = [value for value in curve if not math.isnan(value)]
    if numbers:
        assert {min(numbers), max(numbers)} <= {curve[place] for place in places}


@given(CURVES, st.integers(FEWEST, 50))
def test_thinning_again_changes_nothing(curve: list[float], most: int) -> None:
    once = [curve[place] for place in kept(curve, most)]
    assert kept(once, most) == list(range(len(once)))


def test_what_is_kept_is_spaced_evenly() -> None:
    assert kept([float(n) for n in range(1, 101)], 12) == [0, 9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99]
    assert kept([5.0, 1.0, 9.0, *[5.0] * 97], 6) == [0, 1, 2, 33, 66, 99]


def test_a_short_curve_is_left_as_it_is() -> None:
    assert kept([1.0, 2.0, 3.0], 4) == [0, 1, 2]
