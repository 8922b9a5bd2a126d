"""Curves and bars of one line."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.clients.cli.glyphs import bar, sparkline

NAN, INF = math.nan, math.inf


def at_steps(*values: float) -> tuple[tuple[int, float], ...]:
    return tuple(enumerate(values, 1))


@pytest.mark.parametrize(
    ("values", "width", "drawn", "reason"),
    [
        ((), 8, "", "nothing was reported"),
        ((3.0,), 8, "▄", "one value"),
        ((2.0, 2.0, 2.0), 8, "▄▄▄", "a flat curve"),
        ((0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0), 8, "▁▂▃▄▅▆▇█", "a straight line"),
        ((9.0, 4.0, 1.0, 0.0), 8, "█▄▁▁", "one character a point"),
        ((0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0), 4, "▁▄▇█", "the last value of each stretch"),
        ((NAN, 0.0, 1.0), 8, "×▁█", "NaN is a cross"),
        ((NAN, NAN), 8, "××", "nothing but NaN"),
        ((INF, 0.0, 1.0, -INF), 8, "█▁█▁", "infinities are beyond the scale"),
        ((INF, INF), 8, "██", "nothing but infinity"),
        ((INF, 1.0), 8, "█▄", "the only number is in the middle"),
        ((-1e308, 1e308), 8, "▁█", "the difference is beyond the doubles"),
        ((1e6, *(float(n) for n in range(24, 0, -1))), 25, "████▇▇▇▆▆▆▅▅▅▄▄▃▃▃▂▂▂▁▁▁▁", "an outlier flattens nothing"),
    ],
)
def test_sparklines(values: tuple[float, ...], width: int, drawn: str, reason: str) -> None:
    assert sparkline(at_steps(*values), width) == drawn, reason


def test_a_stretch_without_a_report_has_the_value_of_the_one_before() -> None:
    curve = tuple((step, float(step)) for step in (1, 2, 3, 4, 5, 100))
    assert sparkline(curve, 5) == "▁▁▁▁█"


@given(
    values=st.lists(st.floats(), max_size=80),
    width=st.integers(1, 30),
    gap=st.integers(1, 1000),
    ascii_only=st.booleans(),
)
def test_a_sparkline_is_never_wider_than_asked_for(values: list[float], width: int, gap: int, ascii_only: bool) -> None:
    curve = [(place * gap, value) for place, value in enumerate(values)]
    drawn = sparkline(curve, width, ascii_only=ascii_only)
    assert len(drawn) == min(width, len(values))
    assert not ascii_only or drawn.isascii()


@pytest.mark.parametrize(
    ("done", "whole", "drawn"),
    [
        (0, 10, "──────────"),
        (9, 30, "━━━───────"),
        (10, 10, "━━━━━━━━━━"),
        (11, 10, "━━━━━━━━━━"),
        (0, 0, "──────────"),
    ],
)
def test_bars(done: int, whole: int, drawn: str) -> None:
    assert "".join(bar(done, whole, 10)) == drawn
    assert "".join(bar(done, whole, 10, ascii_only=True)) == drawn.replace("━", "#").replace("─", "-")
