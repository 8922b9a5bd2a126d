"""Any search space to the unit cube and back.

A space of d parameters is the cube [0, 1]^d, one axis a parameter, in the space's order. Points are rows:

    encode(points) -> (n, d)        decode((n, d)) -> n points

| parameter | room on its axis |
|---|---|
| double | all of it: `min` at 0, `max` at 1, spread by its scale |
| double with step, integer on a linear scale, discrete, categorical | n values have 1/n each, encoded at its middle |
| integer on a log or reverse log scale | value v has what [v - 1/2, v + 1/2] takes on that scale |
| inactive | none: encoded as 1/2, and decoding ignores it |

Listed numbers have equal room whatever their scale: who lists values says which ones are worth trying. A scale says how
far apart they are, which is a question for models.

**Exact.** 0 and 1 are `min` and `max`, digit for digit. `decode(encode(p)) == p` for every point that `decode` can
make, so a round trip never drifts. It can make every value of a list, of a step, and of an integer range of up to 2^51
values (up to 2^40 on a log scale). It cannot make every double, nor every integer of a wider range, and no function of
[0, 1] could: that holds 2^62 doubles, [-2^62, 2^62] more integers and [-1e300, 1e300] more doubles. A value that it
cannot make comes back as a neighbour that it can, which for a double is within 2^-48 of the axis.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...domain.growing import fitted
from ...domain.parameters import Parameters, Value
from ...domain.space import Categorical, Condition, Discrete, Double, Integer, Kind, Scale, Space
from .identity import once_per_space

Array = NDArray[np.float64]

INACTIVE = 0.5
"""The coordinate of a parameter that is not active: the middle, as far from both ends as can be."""

_GRID = 2.0**48
"""Scaled axes are read in units of 1/_GRID. Rounding errors of logarithms are a tenth of that, so a point made by
`decode` is found again exactly."""

_EXACT = 2**51
"""Up to so many values, index * (1/n) is computed without mistake in a double."""


class Encoder:
    """The two directions for one space. Immutable, for every thread."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self.dimension = len(space.parameters)
        """d, the number of axes."""
        kinds = [p.kind for p in space.parameters]
        groups: dict[Callable[[list[Kind]], _Axes], list[int]] = {}
        for i, kind in enumerate(kinds):
            groups.setdefault(_axes_of(kind), []).append(i)
        self._groups = [(i, axes([kinds[j] for j in i])) for axes, i in groups.items()]
        self._names = [p.name for p in space.parameters]
        self._readers = [(p.name, _reader(p.kind), p.when) for p in space.parameters]
        self._fillers = [(p.name, _any_value(p.kind)) for p in space.parameters]
        self._conditional = any(p.when for p in space.parameters)

    def encode(self, points: Sequence[Parameters]) -> Array:
        """(n, d) in [0, 1] of n points that lie in the space.

        In a growing space they may lack parameters, or have values that it does not know yet: these are as good as
        inactive.
        """
        try:
            u = self._encode(points)
            if ((u >= 0) & (u <= 1)).all():
                return u
        except (KeyError, TypeError, ValueError):
            pass
        return self._encode([self._known(point) for point in points])

    def _known(self, point: Parameters) -> Parameters:
        """What the space has of the point."""
        kinds = {p.name: p.kind for p in self.space.parameters}
        values = {name: fitted(kinds[name], value) for name, value in point.items() if name in kinds}
        return {name: value for name, value in values.items() if value is not None}

    def _encode(self, points: Sequence[Parameters]) -> Array:
        u = np.empty((len(points), self.dimension))
        # A value for every parameter, so that a block of axes is one array.
        columns = [[point.get(name, filler) for point in points] for name, filler in self._fillers]
        for places, axes in self._groups:
            u[:, places] = axes.encode([columns[place] for place in places])
        if self._conditional or any(len(point) < self.dimension for point in points):
            u[[[name not in point for name, _ in self._fillers] for point in points]] = INACTIVE
        return u

    def decode(self, u: Array) -> list[dict[str, Value]]:
        """The n points at `u`, (n, d): active parameters in the space's order. Constraints are not looked at.

        Coordinates beyond [0, 1] are taken for the nearer end. Raises ValueError where one is NaN.
        """
        if len(u) == 1:
            return [self._decode_one(u[0].tolist())]
        if np.isnan(u).any():
            raise ValueError("a coordinate is NaN")
        u = np.minimum(np.maximum(u, 0), 1)
        columns: list[list[float]] = [[]] * self.dimension
        for places, axes in self._groups:
            block = axes.decode(u.take(places, axis=1))
            for place, values in zip(places, block.T.tolist(), strict=True):
                columns[place] = values
        read = [[reader(x) for x in column] for (_, reader, _), column in zip(self._readers, columns, strict=True)]
        return [self._point(row) for row in zip(*read, strict=True)]

    def _decode_one(self, u: list[float]) -> dict[str, Value]:
        """The same for one point, for which the calls of numpy would cost more than all else about a suggestion."""
        u = [0.0 if x < 0 else 1.0 if x > 1 else x for x in u]
        if math.isnan(sum(u)):
            raise ValueError("a coordinate is NaN")
        row: list[Value] = [0.0] * self.dimension
        for places, axes in self._groups:
            for place, x in zip(places, axes.decode_one([u[place] for place in places]), strict=True):
                row[place] = self._readers[place][1](x)
        return self._point(row)

    def _point(self, row: Sequence[Value]) -> dict[str, Value]:
        """Of a value for every parameter."""
        if not self._conditional:
            return dict(zip(self._names, row, strict=True))
        point: dict[str, Value] = {}
        for (name, _, when), value in zip(self._readers, row, strict=True):
            if _holds(when, point):
                point[name] = value
        return point


@once_per_space
def encoder(space: Space) -> Encoder:
    """The space's encoder, made once."""
    return Encoder(space)


def _holds(when: tuple[Condition, ...], point: dict[str, Value]) -> bool:
    return all(c.parent in point and c.holds(point[c.parent]) for c in when)


class _Axes(ABC):
    """m axes of the same sort, so that numpy works on all of them at once."""

    @abstractmethod
    def decode(self, u: Array) -> NDArray[Any]:
        """(n, m) in [0, 1] to what the readers of these axes take: indices, or values as doubles."""

    def decode_one(self, u: list[float]) -> list[Any]:
        """The m coordinates of one point, to the same, digit for digit."""
        block: list[Any] = self.decode(np.array([u]))[0].tolist()
        return block

    @abstractmethod
    def encode(self, columns: Sequence[Sequence[Value]]) -> Array:
        """(n, m) coordinates of the values of each axis, m times n."""


class _Counted(_Axes):
    """n values with equal room: index i has [i/n, (i+1)/n)."""

    def __init__(self, kinds: list[Kind]) -> None:
        self._indexers = [_indexer(k) for k in kinds]
        self._sizes = np.array([float(_size(k)) for k in kinds])
        self._last = self._sizes - 1
        self._rooms = (self._sizes.tolist(), [_size(k) - 1 for k in kinds])

    def decode(self, u: Array) -> NDArray[Any]:
        indices: NDArray[np.int64] = np.minimum(np.floor(u * self._sizes), self._last).astype(np.int64)
        return indices

    def decode_one(self, u: list[float]) -> list[int]:
        return [min(int(x * n), last) for x, n, last in zip(u, *self._rooms, strict=True)]

    def encode(self, columns: Sequence[Sequence[Value]]) -> Array:
        indices = [[index(v) for v in column] for index, column in zip(self._indexers, columns, strict=True)]
        middles: Array = (np.array(indices, dtype=np.float64).T + 0.5) / self._sizes
        return middles


class _Vast(_Axes):
    """The same for more values than doubles can count, in whole numbers of Python."""

    def __init__(self, kinds: list[Kind]) -> None:
        self._indexers = [_indexer(k) for k in kinds]
        self._sizes = [_size(k) for k in kinds]

    def decode(self, u: Array) -> NDArray[Any]:
        indices = [[_floor(x, n) for x, n in zip(row, self._sizes, strict=True)] for row in u.tolist()]
        return np.array(indices, dtype=object).reshape(u.shape)

    def encode(self, columns: Sequence[Sequence[Value]]) -> Array:
        axes = zip(self._indexers, self._sizes, columns, strict=True)
        return np.array([[_middle(index(v), size) for v in column] for index, size, column in axes]).T


class _Scaled(_Axes):
    """Doubles on a scale; and integers on a logarithmic one, as distances from their least, rounded."""

    def __init__(self, kinds: list[Kind]) -> None:
        ranges = [k for k in kinds if isinstance(k, Double | Integer)]
        whole = [isinstance(k, Integer) for k in ranges]
        # Integers are taken from their least on, so that those near 2^63 are told apart; each has half a unit of room
        # on either side, so the range begins that much before.
        self._numbers = [_indexer(k) if isinstance(k, Integer) else float for k in ranges]
        self._min = np.array([0.0 if i else float(k.min) for k, i in zip(ranges, whole, strict=True)])
        self._max = np.array([float(k.max - k.min if i else k.max) for k, i in zip(ranges, whole, strict=True)])
        self._margin = 0.5 * np.array(whole)
        self._whole = np.array(whole)
        self._rounds = any(whole)

    @abstractmethod
    def _up(self, u: Array) -> Array:
        """From [0, 1] to the range."""

    @abstractmethod
    def _down(self, x: Array) -> Array:
        """From the range to [0, 1]."""

    def decode(self, u: Array) -> NDArray[Any]:
        return self._nodes(np.rint(u * _GRID))

    def _nodes(self, k: Array) -> Array:
        """The values at nodes number `k` of the grid."""
        x = self._up(k / _GRID)
        if self._rounds:
            x = np.where(self._whole, np.rint(x), x)
        # The ends are said to be exact, and rounding must not lead out of the range.
        within = np.minimum(np.maximum(x, self._min), self._max)
        return np.where(k <= 0, self._min, np.where(k >= _GRID, self._max, within))

    def encode(self, columns: Sequence[Sequence[Value]]) -> Array:
        numbers = [[number(v) for v in column] for number, column in zip(self._numbers, columns, strict=True)]
        x = np.array(numbers, dtype=np.float64).T
        k = np.rint(np.minimum(np.maximum(self._down(x), 0), 1) * _GRID)
        for shift in (1, -1):
            # Where an integer's room is about as narrow as the grid, the nearest node may be its neighbour's.
            wrong = self._nodes(k) != x
            if not wrong.any():
                break
            near = np.minimum(np.maximum(k + shift, 0), _GRID)
            k = np.where(wrong & (self._nodes(near) == x), near, k)
        return k / _GRID


class _Linear(_Scaled):
    """x = a + (b - a) u."""

    def __init__(self, kinds: list[Kind]) -> None:
        super().__init__(kinds)
        self._lines = (self._min.tolist(), self._max.tolist(), (self._max - self._min).tolist())

    def decode_one(self, u: list[float]) -> list[float]:
        found = []
        for at, low, high, span in zip(u, *self._lines, strict=True):
            k = round(at * _GRID)
            x = low + span * (k / _GRID)
            found.append(low if k <= 0 or x < low else high if k >= _GRID or x > high else x)
        return found

    def _up(self, u: Array) -> Array:
        x: Array = self._min + (self._max - self._min) * u
        return x

    def _down(self, x: Array) -> Array:
        u: Array = (x - self._min) / (self._max - self._min)
        return u


class _Log(_Scaled):
    """x = a (b/a)^u, computed as a distance from a."""

    def __init__(self, kinds: list[Kind]) -> None:
        super().__init__(kinds)
        ranges = [k for k in kinds if isinstance(k, Double | Integer)]
        ends = [
            (Fraction(k.min) - Fraction(m), Fraction(k.max) + Fraction(m))
            for k, m in zip(ranges, self._margin.tolist(), strict=True)
        ]
        self._a = np.array([float(a) for a, _ in ends])
        # b/a may be beyond the doubles, and may be so close to 1 that its logarithm would lose all digits.
        self._span = np.array([_log_ratio(b / a) for a, b in ends])

    def _up(self, u: Array) -> Array:
        return self._min + (self._distance(u) - self._margin)

    def _down(self, x: Array) -> Array:
        return self._place((x - self._min) + self._margin)

    def _distance(self, u: Array) -> Array:
        """a (b/a)^u - a."""
        a, logarithm = self._a, self._span * u
        # In three parts, because b/a reaches e^1454 and doubles end at e^709.
        third = np.exp(logarithm / 3)
        # At the very end rounding may lead beyond the doubles, from where `_nodes` calls it back.
        with np.errstate(over="ignore"):
            far = a * third * third * third - a
        return np.where(logarithm < 1, a * np.expm1(np.minimum(logarithm, 1)), far)

    def _place(self, distance: Array) -> Array:
        """The inverse: log(1 + distance / a) / log(b/a)."""
        a = self._a
        with np.errstate(over="ignore"):
            ratio = distance / a
        logarithm = np.where(np.isfinite(ratio), np.log1p(ratio), np.log(np.maximum(distance, a)) - np.log(a))
        u: Array = logarithm / self._span
        return u


class _ReverseLog(_Log):
    """x = b - (a (b/a)^(1-u) - a), the logarithmic scale seen from the upper end."""

    def _up(self, u: Array) -> Array:
        return self._max - (self._distance(1 - u) - self._margin)

    def _down(self, x: Array) -> Array:
        return 1 - self._place((self._max - x) + self._margin)


def _axes_of(kind: Kind) -> Callable[[list[Kind]], _Axes]:
    if isinstance(kind, Integer) or (isinstance(kind, Double) and kind.step is None):
        if kind.scale is Scale.LOG:
            return _Log
        if kind.scale is Scale.REVERSE_LOG:
            return _ReverseLog
        if isinstance(kind, Double):
            return _Linear
    return _Counted if _size(kind) <= _EXACT else _Vast


def _reader(kind: Kind) -> Callable[[Any], Value]:
    """Makes the value of what `_Axes.decode` gives: an index, or the value as a double."""
    if isinstance(kind, Double):
        return _plain if kind.step is None else kind.at
    if isinstance(kind, Integer):
        if kind.scale is Scale.LINEAR:
            return kind.at
        low, high = kind.min, kind.max
        # float(2^63 - 1) is 2^63.
        return lambda distance: min(low + int(distance), high)
    return kind.values.__getitem__


def _any_value(kind: Kind) -> Value:
    if isinstance(kind, Discrete | Categorical):
        return kind.values[0]
    return kind.min


def _plain(x: float) -> float:
    return x


def _size(kind: Kind) -> int:
    assert kind.size is not None
    return kind.size


def _indexer(kind: Kind) -> Callable[[Value], int]:
    """The inverse of `kind.at`."""
    if isinstance(kind, Integer):
        return lambda value: (int(value) - kind.min) // kind.step
    if isinstance(kind, Double):
        return lambda value: _step_index(kind, float(value))
    places = {(type(v), v): i for i, v in enumerate(kind.values)}
    if isinstance(kind, Discrete):
        return {v: i for i, v in enumerate(kind.values)}.__getitem__  # type: ignore[return-value]
    assert isinstance(kind, Categorical)
    return lambda value: places[type(value), value]


def _step_index(kind: Double, value: float) -> int:
    with localcontext() as context:
        # Enough for the digits between 1e308 and the least step.
        context.prec = 700
        steps = (Decimal(repr(value)) - Decimal(repr(kind.min))) / Decimal(repr(kind.step))
        return min(int(steps.to_integral_value()), _size(kind) - 1)


def _floor(u: float, n: int) -> int:
    over, under = u.as_integer_ratio()
    return min(over * n // under, n - 1)


def _middle(i: int, n: int) -> float:
    """The double nearest to the middle of value i's room, if need be the neighbour that lies in it."""
    middle = (2 * i + 1) / (2 * n)
    for u in (middle, math.nextafter(middle, 1), math.nextafter(middle, 0)):
        if _floor(u, n) == i:
            return u
    return middle


def _log_ratio(ratio: Fraction) -> float:
    if ratio < 2:
        return math.log1p(float(ratio - 1))
    return math.log(ratio.numerator) - math.log(ratio.denominator)
