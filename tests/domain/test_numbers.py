"""Numbers in text: whole and of one meaning, or not read."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.numbers import as_typed, number, read_at, suggestion


@given(st.floats(allow_nan=False))
def test_what_python_writes_is_read_as_the_same_number(value: float) -> None:
    assert number(repr(value)) == value
    if math.isfinite(value):
        assert as_typed(repr(value)) == value


@given(st.floats(-1e15, 1e15), st.integers(1, 6))
def test_groups_of_digits_before_a_point_are_read(value: float, digits: int) -> None:
    assert number(f"{value:,.{digits}f}") == float(f"{value:.{digits}f}")


@given(st.integers(1_000, 10**15))
def test_groups_of_digits_are_read_whole_or_not_at_all(value: int) -> None:
    assert number(f"{value:,}") in (value, None)
    for mark in (" ", "\u202f", "'", "_"):
        text = f"{value:,}".replace(",", mark)
        assert read_at(f"{text} steps").value is None
        assert suggestion(text) == f"Write {value}"


@given(st.text("0123456789,.eE+-_ x/:%'", max_size=12))
def test_no_part_of_a_number_is_taken_for_the_whole(text: str) -> None:
    reading = read_at(text)
    if reading.value is None:
        return
    assert float(reading.text.replace(",", "")) == reading.value
    rest = text[reading.end :]
    assert not rest or not rest[0].isalnum()
    assert not (rest[:1] in ",.:/'+-" and rest[1:2].isdigit())


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-3", -3),
        ("1e-3", 1e-3),
        (".5", 0.5),
        ("1.", 1.0),
        ("0,01", None),
        ("1_000", None),
        ("1,234.5", None),
        ("nan", None),
        ("inf", None),
        (" 3", None),
        ("٣", None),
        ("", None),
    ],
)
def test_a_number_as_people_type_it(text: str, value: float | None) -> None:
    assert as_typed(text) == value
    assert type(as_typed(text)) is type(value)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0,01", "Write 0.01"),
        ("-2,5e-3", "Write -2.5e-3"),
        ("1,234", "Write 1234 or 1.234"),
        ("1,234.5", "Write 1234.5"),
        ("1.234,5", "Write 1234.5"),
        ("1.234.567", "Write 1234567"),
        ("12 345,6", "Write 12345.6"),
        ("1_000", "Write 1000"),
        ("12ms", ""),
        ("adam", ""),
        ("0.5", ""),
    ],
)
def test_what_was_meant(text: str, says: str) -> None:
    assert suggestion(text) == says
