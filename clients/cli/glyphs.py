"""Small pictures of one line: curves and bars, in block characters or in ASCII."""

from __future__ import annotations

import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII_LEVELS = "_.-:=+*#"
NOT_A_NUMBER = "×"
ASCII_NOT_A_NUMBER = "x"

OUTLIERS = 0.05
"""The share of values at either end that may lie beyond the scale: one huge first loss must not flatten the rest."""


def sparkline(curve: Sequence[tuple[int, float]], width: int, *, ascii_only: bool = False) -> str:
    """`curve`, steps and values by step, in at most `width` characters from its first step to its last.

    The higher the value, the higher the character, whatever the study's goal. With fewer points than `width` there is
    one character a point; else one for each stretch of steps, the last value of it. NaN is a cross, infinities are the
    highest and the lowest character. A flat curve is drawn at half height.
    """
    levels = ASCII_LEVELS if ascii_only else BLOCKS
    values = _stretches(curve, width)
    low, high = _scale([value for value in values if math.isfinite(value)])

    def level(value: float) -> str:
        if math.isnan(value):
            return ASCII_NOT_A_NUMBER if ascii_only else NOT_A_NUMBER
        if low == high and math.isfinite(value):
            return levels[len(levels) // 2 - 1]
        if value >= high:
            return levels[-1]
        if value <= low:
            return levels[0]
        # Halved first, so that the difference stays within the doubles.
        share = (value / 2 - low / 2) / (high / 2 - low / 2)
        return levels[min(int(share * len(levels)), len(levels) - 1)]

    return "".join(map(level, values))


def bar(done: float, whole: float, width: int, *, ascii_only: bool = False) -> tuple[str, str]:
    """The done and the open part of a bar of `width` characters. What is beyond `whole` counts as all of it."""
    share = min(max(done / whole, 0.0), 1.0) if whole > 0 else 0.0
    full = int(share * width)
    filled, rest = ("#", "-") if ascii_only else ("━", "─")
    return filled * full, rest * (width - full)


def _stretches(curve: Sequence[tuple[int, float]], width: int) -> list[float]:
    """The last value of each of `width` stretches of steps; a stretch without a report has that of the one before."""
    if len(curve) <= width:
        return [value for _, value in curve]

    first, last = curve[0][0], curve[-1][0]
    by_place = {(step - first) * (width - 1) // (last - first): value for step, value in curve}
    values: list[float] = []
    for place in range(width):
        values.append(by_place[place] if place in by_place else values[-1])
    return values


def _scale(values: Sequence[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 0.0
    ordered = sorted(values)
    beyond = int(OUTLIERS * len(ordered))
    return ordered[beyond], ordered[-1 - beyond]
