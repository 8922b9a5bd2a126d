"""Which points of a long curve are kept if not all of them can be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

FEWEST: Final = 4
"""Points that a curve is never thinned below: its first, last, least and greatest one."""


def kept(values: Sequence[float], most: int) -> list[int]:
    """The places, ascending, of at most `most` (FEWEST or more) of the curve's values.

    The first, the last, the least and the greatest value are among them, so that whatever is the best is kept. NaN is
    neither the least nor the greatest. The others are spaced evenly: what stopping rules and screens read at a step
    stays near what it was at every step alike.
    """
    if len(values) <= most:
        return list(range(len(values)))

    numbers = [place for place, value in enumerate(values) if not math.isnan(value)]
    extremes = {min(numbers, key=values.__getitem__), max(numbers, key=values.__getitem__)} if numbers else set()

    last = len(values) - 1
    for spaced in range(most, 2, -1):
        places = extremes | {place * last // (spaced - 1) for place in range(spaced)}
        if len(places) <= most:
            return sorted(places)
    return sorted({0, last} | extremes)
