"""Whether points of one kind lie close together in a space, wherever that is and whatever its shape. Pure.

The test of Cuzick and Edwards ("Spatial clustering for inhomogeneous populations", 1990): of each point of the kind,
how many of its nearest neighbours are of the kind too, summed up, and compared with the same sum when kinds are dealt
out at random. An algorithm that tries many points in one region does not mislead it: the points stay where they are.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from .parameters import Parameters

NEIGHBOURS = 3
DEALS = 400
"""How often kinds are dealt out at random."""
ALPHA = 0.05
MAX_POINTS = 160
"""The latest of each kind that are looked at: each is compared with each."""
APART = 0.4
"""Distance on an axis between two categories, and between a value and none; two numbers drawn evenly are a third of
their range apart."""

Axis = Sequence[float | str | None]
"""The place of each point on one parameter."""


def gathered(kind: Sequence[Parameters], others: Sequence[Parameters]) -> frozenset[int]:
    """The points of the kind, by index, that have mostly points of the kind beside them, if that is more than chance
    would do; else none. The same points give the same answer."""
    skipped = max(0, len(kind) - MAX_POINTS // 2)
    kind, others = kind[skipped:], others[max(0, len(others) - MAX_POINTS // 2) :]
    points, count = [*kind, *others], len(kind)
    if count <= NEIGHBOURS or len(others) <= NEIGHBOURS:
        return frozenset()

    near = _nearest(axes(points))
    together = [sum(j < count for j in near[i]) for i in range(count)]

    rng = random.Random(0)
    reached = 0
    for _ in range(DEALS):
        dealt = set(rng.sample(range(len(points)), count))
        reached += sum(len(dealt.intersection(near[i])) for i in dealt) >= sum(together)
    if (reached + 1) / (DEALS + 1) > ALPHA:
        return frozenset()
    return frozenset(skipped + i for i in range(count) if 2 * together[i] > NEIGHBOURS)


def axes(points: Sequence[Parameters]) -> list[Axis]:
    """By parameter, each point's place on it: numbers by rank in [0, 1], so that no scale matters; else the value."""
    found: list[Axis] = []
    for name in sorted({name for point in points for name in point}):
        values = [point.get(name) for point in points]
        numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        if len(numbers) < sum(v is not None for v in values):
            found.append([None if v is None else f"{type(v).__name__} {v}" for v in values])
            continue

        ranks = {value: i for i, value in enumerate(sorted(set(numbers)))}
        most = max(1, len(ranks) - 1)
        found.append([ranks[v] / most if isinstance(v, int | float) else None for v in values])
    return found


def _nearest(places: Sequence[Axis]) -> list[frozenset[int]]:
    """Of each point the nearest others; of equally near ones those that come first."""
    count = len(places[0]) if places else 0
    apart = [[0.0] * count for _ in range(count)]
    for axis in places:
        for i, a in enumerate(axis):
            row = apart[i]
            for j in range(i):
                b = axis[j]
                if isinstance(a, float) and isinstance(b, float):
                    row[j] += (a - b) ** 2
                elif a != b:
                    row[j] += APART**2

    for i, row in enumerate(apart):
        row[i] = float("inf")
        for j in range(i):
            apart[j][i] = row[j]
    return [frozenset(sorted(range(count), key=row.__getitem__)[:NEIGHBOURS]) for row in apart]
