"""Regions of a space in which one kind of point is frequent: at most two conditions on parameters each. Pure.

A candidate is judged by Fisher's exact test, one-sided: how likely it is that so many of the points in the region are
of that kind if kinds were dealt out at random. With thousands of candidates something always looks striking, so each
probability is multiplied by their number (Bonferroni). Conditions on one parameter and on two share the allowance
equally, because there are far fewer of the former.

Rules are found one after the other, each on what those before it do not cover (sequential covering; Fürnkranz,
"Separate-and-conquer rule learning", 1999).
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations

from .parameters import Parameters, Value, is_number, same
from .space import Categorical, Discrete, Double, Integer, Parameter, Scale, Space, word

ALPHA = 0.05
"""How likely a rule over points that have nothing in common may be, all candidates together."""
MAX_RULES = 4
LEAST = 3
"""Points of the kind that a rule covers at least; one or two may lie anywhere."""
SHARE = 1 / 3
"""The part of the remaining points of the kind that a rule covers at least."""
MAX_THRESHOLDS = 8
"""On one parameter in one direction."""
FEW_VALUES = 12
"""In a space that is not declared, at most this many whole numbers are taken for a list of values."""
MAX_CATEGORIES = 5
"""In one condition."""
MAX_PAIRED = 120
"""Conditions, the most significant ones by themselves, that are tried in pairs: 7,140 pairs."""


class Relation(enum.Enum):
    ABOVE = ">"
    AT_MOST = "<="
    ONE_OF = "="
    SET = "is set"
    NOT_SET = "is not set"


@dataclass(frozen=True, slots=True)
class Test:
    """A condition on one parameter. `bound` is for ABOVE and AT_MOST, `values` for ONE_OF."""

    parameter: str
    relation: Relation
    bound: float = 0.0
    values: tuple[Value, ...] = ()

    def holds(self, point: Parameters) -> bool:
        value = point.get(self.parameter)
        if value is None:
            return self.relation is Relation.NOT_SET
        match self.relation:
            case Relation.ABOVE:
                return isinstance(value, int | float) and value > self.bound
            case Relation.AT_MOST:
                return isinstance(value, int | float) and value <= self.bound
            case Relation.ONE_OF:
                return any(same(value, one) for one in self.values)
            case _:
                return self.relation is Relation.SET

    def __str__(self) -> str:
        match self.relation:
            case Relation.ABOVE | Relation.AT_MOST:
                return f"{self.parameter} {self.relation.value} {self.bound!r}"
            case Relation.ONE_OF:
                return f"{self.parameter} = {' or '.join(map(word, self.values))}"
            case _:
                return f"{self.parameter} {self.relation.value}"


@dataclass(frozen=True, slots=True)
class Rule:
    """Points that meet all tests. `covered` of those of the kind, `others` of the rest; the former were not covered by
    a rule before it."""

    tests: tuple[Test, ...]
    covered: int
    others: int

    def holds(self, point: Parameters) -> bool:
        return all(test.holds(point) for test in self.tests)

    def __str__(self) -> str:
        return " and ".join(map(str, self.tests))


def covering(kind: Sequence[Parameters], others: Sequence[Parameters], space: Space | None) -> tuple[Rule, ...]:
    """Rules for the points of a kind against the others, the most significant first; each is about what those before it
    do not cover. `space` gives the parameters' order and scales; without one they follow from the values."""
    left = list(kind)
    rules: list[Rule] = []
    while len(rules) < MAX_RULES and len(left) >= LEAST:
        rule = _best(left, others, space)
        if rule is None:
            break
        rules.append(rule)
        left = [point for point in left if not rule.holds(point)]
    return tuple(rules)


def _best(kind: Sequence[Parameters], others: Sequence[Parameters], space: Space | None) -> Rule | None:
    """The most significant rule, None if none is significant."""
    search = _Search(len(kind), len(others))
    points = [*kind, *others]
    single: dict[int, tuple[Test]] = {}
    candidates = 0
    for test, choices in _tests(kind, points, space):
        mask = sum(1 << i for i, point in enumerate(points) if test.holds(point))
        if mask and mask not in single:
            single[mask] = (test,)
            candidates += choices
    found: list[_Found] = [(*search.judged(mask, 2 * candidates), by) for mask, by in single.items()]

    # The limit is on time alone: all pairs that there are count as tried.
    pairs = math.comb(candidates, 2)
    best = sorted(found, key=_order)[:MAX_PAIRED]
    for (_, _, one, first), (_, _, other, second) in combinations(best, 2):
        both = one & other
        if both not in (one, other):
            found.append((*search.judged(both, 2 * pairs), (*first, *second)))

    significance, covered, mask, by = min(found, key=_order, default=(math.inf, 0, 0, ()))
    if significance > ALPHA:
        return None
    return Rule(_readable(by, points, space), covered, mask.bit_count() - covered)


_Found = tuple[float, int, int, tuple[Test, ...]]
"""How likely it is by chance, how many of the kind it covers, which points, and by what tests."""


def _readable(by: tuple[Test, ...], points: Sequence[Parameters], space: Space | None) -> tuple[Test, ...]:
    """Tests that the same points meet, in the order of the space and with bounds of few digits."""
    for test in by:
        # One after the other: what the first takes in, the second must keep out.
        rest = [other for other in by if other is not test]
        where = [point for point in points if all(other.holds(point) for other in rest)]
        by = (*rest, _eased(test, where, space))
    names = [p.name for p in space.parameters] if space is not None else []
    return tuple(sorted(by, key=lambda test: (_place(names, test.parameter), test.relation.value)))


def _eased(test: Test, points: Sequence[Parameters], space: Space | None) -> Test:
    """The test with a bound of fewer digits, if it may move as far as no point of these comes to another side."""
    values = [value for p in points if (value := p.get(test.parameter)) is not None]
    if test.relation not in (Relation.ABOVE, Relation.AT_MOST):
        return test

    below = [_number(value) for value in values if not _number(value) > test.bound]
    above = [_number(value) for value in values if _number(value) > test.bound]
    if not below or not above:
        return test

    parameter = space.by_name.get(test.parameter) if space is not None else None
    known = sorted({_number(p[test.parameter]) for p in points if test.parameter in p})
    return replace(test, bound=_bounds(parameter, known)(max(below), min(above)))


def _order(found: _Found) -> tuple[float, int, int, str]:
    significance, covered, _, by = found
    return significance, len(by), -covered, " and ".join(map(str, by))


class _Search:
    """Judges sets of points, given as bits: those of the kind come first."""

    def __init__(self, kind: int, others: int) -> None:
        self._kind, self._all = kind, kind + others
        self._of_kind = (1 << kind) - 1
        self._least = max(LEAST, math.ceil(SHARE * kind))
        self._known: dict[tuple[int, int], float] = {}
        self._log = [math.lgamma(n + 1) for n in range(kind + others + 1)]
        """Logarithms of the factorials."""

    def judged(self, mask: int, candidates: int) -> tuple[float, int, int]:
        """The probability times the number of candidates, how many of the kind it covers, and the set itself."""
        inside, covered = mask.bit_count(), (mask & self._of_kind).bit_count()
        if covered < self._least or 2 * covered < inside:
            return math.inf, covered, mask
        known = self._known.get((inside, covered))
        if known is None:
            known = self._known[inside, covered] = self._tail(inside, covered)
        return known * candidates, covered, mask

    def _tail(self, inside: int, covered: int) -> float:
        """P(X >= covered), X hypergeometric: points of the kind among `inside` ones drawn from all."""
        rest, all_ways = self._all - self._kind, self._log_ways(self._all, inside)
        likely = 0.0
        for x in range(max(covered, inside - rest), min(inside, self._kind) + 1):
            one = math.exp(self._log_ways(self._kind, x) + self._log_ways(rest, inside - x) - all_ways)
            likely += one
            if one < 1e-6 * likely:
                # Beyond its middle each is less likely than the one before.
                break
        return likely

    def _log_ways(self, count: int, chosen: int) -> float:
        """The logarithm of the binomial coefficient."""
        return self._log[count] - self._log[chosen] - self._log[count - chosen]


def _tests(kind: Sequence[Parameters], points: Sequence[Parameters], space: Space | None) -> Iterator[tuple[Test, int]]:
    """Conditions that may tell points of the kind from others, and from how many such ones each was chosen."""
    declared = {p.name: p for p in space.parameters} if space is not None else {}
    named = {name for point in points for name in point}
    for name in [*(n for n in declared if n in named), *sorted(named - declared.keys())]:
        values = [point[name] for point in points if name in point]
        if len(values) < len(points):
            yield Test(name, Relation.SET), 1
            yield Test(name, Relation.NOT_SET), 1

        inside = [point[name] for point in kind if name in point]
        if _has_order(declared.get(name), values):
            yield from _thresholds(name, inside, values, declared.get(name))
        else:
            yield from _choices(name, inside, values)


def _has_order(parameter: Parameter | None, values: Sequence[Value]) -> bool:
    if parameter is not None and isinstance(parameter.kind, Categorical):
        return False
    return all(map(is_number, values))


def _thresholds(
    name: str, inside: Sequence[Value], values: Sequence[Value], parameter: Parameter | None
) -> Iterator[tuple[Test, int]]:
    """Beyond a value of the kind: its most extreme one, the next, and so on while enough of them are left."""
    ascending = sorted(set(map(_number, values)))
    bound = _bounds(parameter, ascending)
    own = sorted(map(_number, inside))
    ranks = range(0, max(1, math.floor(len(own) * (1 - SHARE))), max(1, len(own) // (2 * MAX_THRESHOLDS)))

    for low in sorted({own[rank] for rank in ranks[:MAX_THRESHOLDS]} if own else ()):
        below = [value for value in ascending if value < low]
        if below:
            yield Test(name, Relation.ABOVE, bound(below[-1], low)), 1
    for high in sorted({own[-1 - rank] for rank in ranks[:MAX_THRESHOLDS]} if own else ()):
        above = [value for value in ascending if value > high]
        if above:
            yield Test(name, Relation.AT_MOST, bound(high, above[0])), 1


def _bounds(parameter: Parameter | None, ascending: Sequence[float]) -> Callable[[float, float], float]:
    """How a bound between two neighbouring values is chosen: of a list of values it is the lower one, so that it is
    one that people know."""
    kind = None if parameter is None else parameter.kind
    few = kind is None and len(ascending) <= FEW_VALUES and all(isinstance(value, int) for value in ascending)
    if few or isinstance(kind, Discrete):
        return lambda low, high: low
    scale = kind.scale if isinstance(kind, Double | Integer) else Scale.LINEAR
    return partial(between, scale=scale)


def _choices(name: str, inside: Sequence[Value], values: Sequence[Value]) -> Iterator[tuple[Test, int]]:
    """One category, or those few in which the kind is most frequent."""
    seen: dict[tuple[str, Value], list[int]] = {}
    for which, among in enumerate((values, inside)):
        for value in among:
            seen.setdefault((type(value).__name__, value), [0, 0])[which] += 1

    by_share = sorted(seen, key=lambda key: (-seen[key][1] / seen[key][0], key[0], str(key[1])))
    for key in by_share:
        if seen[key][1]:
            yield Test(name, Relation.ONE_OF, values=(key[1],)), 1

    for size in range(2, min(len(by_share), MAX_CATEGORIES + 1)):
        chosen = sorted(by_share[:size], key=lambda key: (key[0], str(key[1])))
        yield (
            Test(name, Relation.ONE_OF, values=tuple(value for _, value in chosen)),
            math.comb(len(by_share), size),
        )


def between(low: float, high: float, scale: Scale = Scale.LINEAR) -> float:
    """The number with the fewest digits in [low, high), near the middle; `low` itself if both are whole and nothing
    shorter is between."""
    middle = math.sqrt(low * high) if scale is not Scale.LINEAR and low > 0 else low + (high - low) / 2
    whole = isinstance(low, int) and isinstance(high, int)
    for digits in range(1, 18):
        number = float(f"{middle:.{digits - 1}e}")
        if not low <= number < high:
            continue
        if not whole:
            return number
        return int(number) if number.is_integer() else low
    return low


def _number(value: Value) -> float:
    assert isinstance(value, int | float)
    return value


def _place(names: Sequence[str], name: str) -> tuple[int, str]:
    return (names.index(name) if name in names else len(names)), name
