"""The points of a finite space as a numbered list that is never made.

Points are counted class by class: neighbouring values of a parent that switch the same children on are one class, so a
range of 10^12 values is one entry. Parameters that no condition connects are counted apart and multiplied.

    kind: [conv, dense]     width (kind = conv): 1..1000     depth: [2, 3]

    parts: kind with width -> 1000 + 1 points, depth -> 2 points, 2002 in all
    at(2001) = {kind: dense, depth: 3}          the last parameter changes fastest
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import ge, gt
from typing import Any

import numpy as np

from ...domain.parameters import Value
from ...domain.space import Categorical, Condition, Double, Kind, Parameter, Space
from .encoding import encoder
from .identity import once_per_space

MAX_STATES = 100_000
"""Combinations of active parameters that are told apart within one part. Spaces that people write have a few."""

MAX_STEPS = 500_000
"""Ways from one such combination to the next that are followed: half a second."""


class TooEntangled(Exception):
    """More than MAX_STATES combinations of conditions would have to be told apart, in more than MAX_STEPS steps."""


@dataclass(frozen=True, slots=True)
class _Levels:
    """The values of one parameter that are enumerated: `at(0)` to `at(size - 1)`."""

    size: int
    at: Callable[[int], Value]
    ascending: bool = True


@dataclass(frozen=True, slots=True)
class _Run:
    """Neighbouring levels, from number `start` on, that switch the same children off."""

    start: int
    length: int
    dead: int
    """The children, as a set of bits."""


class _Part:
    """Parameters that conditions connect, counted together.

    They are gone through parents first. What matters of the values so far is which of the parameters to come are off
    for good (`dead`, a set of bits): a parameter is, as soon as one of its conditions fails. `_counts[i][dead]` is the
    number of ways to go on from parameter i. Raises TooEntangled.
    """

    def __init__(self, parameters: Sequence[Parameter], levels: Sequence[_Levels]) -> None:
        self._names = [p.name for p in parameters]
        self._levels = levels
        asked: defaultdict[str, list[tuple[int, Condition]]] = defaultdict(list)
        for j, parameter in enumerate(parameters):
            for condition in parameter.when:
                asked[condition.parent].append((1 << j, condition))
        self._runs = [_runs(own, asked[name]) for name, own in zip(self._names, levels, strict=True)]
        self._children = [sum({bit for bit, _ in asked[name]}) for name in self._names]
        self._counts = self._count()

    @property
    def size(self) -> int:
        return self._counts[0][0]

    def at(self, index: int) -> dict[str, Value]:
        point: dict[str, Value] = {}
        dead = 0
        for i, (name, levels, runs) in enumerate(zip(self._names, self._levels, self._runs, strict=True)):
            if dead >> i & 1:
                dead = self._pass(i, dead | self._children[i])
                continue
            ways = [self._counts[i + 1][self._pass(i, dead | run.dead)] for run in runs]
            for run, way in zip(runs, ways, strict=True):
                if index < run.length * way:
                    break
                index -= run.length * way
            offset, index = divmod(index, way)
            point[name] = levels.at(run.start + offset)
            dead = self._pass(i, dead | run.dead)
        return point

    def _pass(self, i: int, dead: int) -> int:
        """`dead` without parameter i and those before, which no longer matter."""
        return dead >> (i + 1) << (i + 1)

    def _steps(self, i: int, dead: int) -> list[tuple[int, int]]:
        """What parameter i may do: in how many ways, and what is dead afterwards."""
        if dead >> i & 1:
            return [(1, self._pass(i, dead | self._children[i]))]
        return [(run.length, self._pass(i, dead | run.dead)) for run in self._runs[i]]

    def _count(self) -> list[dict[int, int]]:
        reached: list[list[int]] = [[0]]
        states, steps = 1, 0
        for i in range(len(self._names)):
            steps += len(reached[i]) * len(self._runs[i])
            if steps > MAX_STEPS:
                raise TooEntangled
            reached.append(list(dict.fromkeys(after for dead in reached[i] for _, after in self._steps(i, dead))))
            states += len(reached[-1])
            if states > MAX_STATES:
                raise TooEntangled
        counts = [{0: 1}]
        for i in reversed(range(len(self._names))):
            ahead = counts[-1]
            counts.append({dead: sum(n * ahead[after] for n, after in self._steps(i, dead)) for dead in reached[i]})
        return counts[::-1]


class Enumeration:
    """The points of a space by number, constraints not looked at. Immutable, for every thread.

    With `points`, doubles without a step have that many levels, evenly spread on their scale, both ends among them.
    Raises ValueError where a double has no levels, TooEntangled where the conditions are beyond counting.
    """

    def __init__(self, space: Space, points: int | None = None) -> None:
        self._order = [p.name for p in space.parameters]
        levels = dict(zip(self._order, _levels(space, points), strict=True))
        self._parts = [_Part(part, [levels[p.name] for p in part]) for part in _connected(space.parameters)]
        self.size = math.prod(part.size for part in self._parts)
        """How many points there are, a whole number of any length."""

    def at(self, index: int) -> dict[str, Value]:
        """Point number `index`, in [0, size). In the space's order; the later a part, the faster it changes."""
        found: dict[str, Value] = {}
        for part in reversed(self._parts):
            index, own = divmod(index, part.size)
            found |= part.at(own)
        return {name: found[name] for name in self._order if name in found}


@once_per_space
def enumeration(space: Space, points: int | None = None) -> Enumeration | None:
    """The space's enumeration, made once; None where the space is not finite or beyond counting."""
    try:
        return Enumeration(space, points)
    except (ValueError, TooEntangled):
        return None


def _levels(space: Space, points: int | None) -> list[_Levels]:
    continuous = [i for i, p in enumerate(space.parameters) if p.kind.size is None]
    if continuous and points is None:
        raise ValueError(f"{space.parameters[continuous[0]].name} has no finite number of values")
    ticks = np.linspace(0, 1, points or 1)
    spread = (
        encoder(Space(tuple(Parameter(p.name, p.kind) for p in space.parameters))).decode(
            np.repeat(ticks[:, None], len(space.parameters), axis=1)
        )
        if continuous
        else []
    )
    levels = []
    for p in space.parameters:
        if p.kind.size is not None:
            levels.append(_Levels(p.kind.size, p.kind.at, ascending=not isinstance(p.kind, Categorical)))
        else:
            values = _tidy([float(point[p.name]) for point in spread], p.kind)
            levels.append(_Levels(len(values), values.__getitem__))
    return levels


def _tidy(values: list[float], kind: Kind) -> list[float]:
    """Distinct, with 12 digits where these are enough: 0.001 and not 0.0010000000000000009."""
    assert isinstance(kind, Double)
    # Ends that are neighbours among the doubles have fewer values between them than were asked for.
    exact = list(dict.fromkeys(values))
    tidy = [exact[0], *(float(f"{value:.12g}") for value in exact[1:-1]), exact[-1]]
    return tidy if len(exact) > 1 and all(a < b for a, b in pairwise(tidy)) else exact


def _connected(parameters: Sequence[Parameter]) -> list[list[Parameter]]:
    """Groups that no condition connects, in the order of their first members; order within a group is kept."""
    group: dict[str, list[Parameter]] = {}
    for p in parameters:
        own = [p]
        for c in p.when:
            if group[c.parent] is not own:
                own = group[c.parent] + own
                for member in own:
                    group[member.name] = own
        group[p.name] = own
    place = {p.name: i for i, p in enumerate(parameters)}
    distinct = {id(members): members for members in group.values()}.values()
    return [sorted(members, key=lambda p: place[p.name]) for members in distinct]


def _runs(levels: _Levels, conditions: Sequence[tuple[int, Condition]]) -> list[_Run]:
    """The levels of a parent by what they switch off; `conditions` come with the bit of the child that has them."""
    runs: list[_Run] = []
    starts = _cuts(levels, [c for _, c in conditions])
    for start, end in zip(starts, [*starts[1:], levels.size], strict=True):
        value = levels.at(start)
        dead = 0
        for bit, condition in conditions:
            if not condition.holds(value):
                dead |= bit
        if runs and runs[-1].dead == dead:
            runs[-1] = _Run(runs[-1].start, end - runs[-1].start, dead)
        else:
            runs.append(_Run(start, end - start, dead))
    return runs


_FEW = 64
"""Levels that are looked at one by one, although they ascend."""


def _cuts(levels: _Levels, conditions: Sequence[Condition]) -> list[int]:
    """Numbers of levels where some condition may change its answer, with 0, ascending."""
    if not conditions:
        return [0]
    if not levels.ascending or levels.size <= _FEW:
        return list(range(levels.size))
    cuts = {0}
    for condition in conditions:
        bounds = [condition.min, condition.max] if not condition.values else condition.values
        for bound in bounds:
            if isinstance(bound, int | float):
                cuts |= {_first(levels, bound, ge), _first(levels, bound, gt)}
    return sorted(cuts - {levels.size})


def _first(levels: _Levels, bound: float, beyond: Callable[[Any, Any], Any]) -> int:
    """The first of the ascending levels that is `beyond` (> or >=) the bound; `levels.size` where none is."""
    low, high = 0, levels.size
    while low < high:
        middle = (low + high) // 2
        if beyond(levels.at(middle), bound):
            high = middle
        else:
            low = middle + 1
    return low
