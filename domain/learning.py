"""Conditions learned from trials: when the code of a growing space asks for a parameter, and when it does not.

A parameter that every trial asks for is unconditional. For another one the trials that asked for it are compared with
those that came to their end without it. Its condition holds in all of the former, and if possible in none of the
latter:

    clf=svc asked for svc_c, clf=rf did not             svc_c when clf = svc
    layers=3 and 5 asked for units_3, 1 and 2 did not    units_3 when 3 <= layers

A parent is asked for before its child, in every trial that asks for the child. One parent that explains everything is
preferred, a choice before a range, whole numbers before real ones, and the one asked for last; otherwise several are
taken together. What conditions cannot express (a * b > 5) stays unconditional, and is only absent from the trials that
did not ask for it. A learned condition is a guess: the next trial that contradicts it is learned from in turn.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR, Decimal

from .errors import InvalidArgument
from .parameters import Parameters, Value, same
from .space import Categorical, Condition, Integer, Parameter, Space

MOST_LISTED = 8
"""Whole numbers that a condition lists at most, if they do not form a range."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What one trial asked for, in that order. `whole`: whether it came to its end, so that what it did not ask for is
    not part of it."""

    parameters: Parameters
    whole: bool


def contradicted(space: Space, asked: Asked) -> list[str]:
    """Parameters whose conditions the trial contradicts: asked for though inactive, or the other way round."""
    found = []
    for parameter in space.parameters:
        active, there = space.is_active(parameter, asked.parameters), parameter.name in asked.parameters
        if there is not active and (there or asked.whole):
            found.append(parameter.name)
    return found


def learned(space: Space, names: Collection[str], trials: Sequence[Asked]) -> Space:
    """The space with conditions for the parameters of these names such as the trials show them."""
    known = [replace(p, when=_when(p.name, space, trials)) if p.name in names else p for p in space.parameters]
    try:
        return Space(tuple(known), space.constraints)
    except InvalidArgument:
        # A condition that was kept does not go with a new one; without any, the trials' values still count.
        free = [replace(p, when=()) for p in space.parameters]
        return Space(tuple(free), space.constraints)


def _when(name: str, space: Space, trials: Sequence[Asked]) -> tuple[Condition, ...]:
    takers = [t.parameters for t in trials if name in t.parameters]
    others = [t.parameters for t in trials if t.whole and name not in t.parameters]
    if not takers or not others:
        return ()

    candidates = _candidates(name, space, takers, others)
    for candidate in candidates:
        if len(candidate.excluded) == len(others):
            return (candidate.condition,)

    chosen: list[_Candidate] = []
    left = set(range(len(others)))
    while left:
        best = max(candidates, key=lambda c: len(c.excluded & left), default=None)
        if best is None or not best.excluded & left:
            break
        chosen.append(best)
        left -= best.excluded
    if left:
        # Ranges that explain some of the trials would be chance.
        chosen = [c for c in chosen if isinstance(space.by_name[c.condition.parent].kind, Categorical)]

    order = list(takers[0])
    return tuple(sorted((c.condition for c in _needed(chosen)), key=lambda c: order.index(c.parent)))


@dataclass(frozen=True, slots=True)
class _Candidate:
    condition: Condition
    excluded: frozenset[int]
    """Places of the other trials in which it does not hold."""


def _candidates(
    name: str, space: Space, takers: Sequence[Parameters], others: Sequence[Parameters]
) -> list[_Candidate]:
    """Conditions that hold in all takers and not in all others, the preferred ones first."""
    found = []
    for parent in _parents(name, takers):
        parameter = space.by_name.get(parent)
        if parameter is None:
            continue
        condition = _condition(parameter, [t[parent] for t in takers], [o[parent] for o in others if parent in o])
        if condition is None:
            continue
        excluded = frozenset(
            i for i, other in enumerate(others) if parent not in other or not condition.holds(other[parent])
        )
        if excluded:
            by_value = any(parent in others[i] for i in excluded)
            found.append(((_rank(parameter), not by_value), _Candidate(condition, excluded)))
    # One that tells trials apart by its value comes before one that is just absent from the others. `sorted` keeps the
    # order of those of one rank: the one asked for last comes first.
    return [candidate for _, candidate in sorted(found, key=lambda pair: pair[0])]


def _parents(name: str, takers: Sequence[Parameters]) -> list[str]:
    """Names asked for before `name` in every trial that asked for it, the last one first."""
    common: list[str] | None = None
    for taker in takers:
        before = list(taker)[: list(taker).index(name)]
        common = before if common is None else [n for n in common if n in before]
    return (common or [])[::-1]


def _rank(parameter: Parameter) -> int:
    if isinstance(parameter.kind, Categorical):
        return 0
    return 1 if isinstance(parameter.kind, Integer) else 2


def _condition(parameter: Parameter, taken: Sequence[Value], other: Sequence[Value]) -> Condition | None:
    """What all values of the takers satisfy, and as few of the others' as possible; None if there is none."""
    if isinstance(parameter.kind, Categorical):
        return Condition(parameter.name, tuple(v for v in parameter.kind.values if any(same(v, t) for t in taken)))

    numbers, rest = _numbers(taken), _numbers(other)
    low, high = min(numbers), max(numbers)
    within = [x for x in rest if low <= x <= high]
    listed = sorted(set(numbers))
    if within and isinstance(parameter.kind, Integer) and len(listed) <= MOST_LISTED and not set(within) & set(listed):
        return Condition(parameter.name, tuple(listed))

    whole = isinstance(parameter.kind, Integer)
    below, above = [x for x in rest if x < low], [x for x in rest if x > high]
    if not below and not above:
        return None
    return Condition(
        parameter.name,
        min=_least(max(below), low, whole=whole) if below else None,
        max=-_least(-min(above), -high, whole=whole) if above else None,
    )


def _numbers(values: Iterable[Value]) -> list[float]:
    return [v for v in values if isinstance(v, int | float)]


def _least(below: float, low: float, *, whole: bool) -> float:
    """The bound between two neighbours, above `below` and not above `low`: of whole numbers the least, of real numbers
    one with few digits."""
    if whole:
        return below + 1
    exact = Decimal(low)
    for exponent in range(exact.adjusted() + 1, exact.adjusted() - 17, -1):
        unit = Decimal(1).scaleb(exponent)
        rounded = float((exact / unit).to_integral_value(ROUND_FLOOR) * unit)
        if below < rounded <= low:
            return rounded
    return low


def _needed(chosen: list[_Candidate]) -> list[_Candidate]:
    """Without those that exclude nothing that the others do not exclude as well."""
    for candidate in reversed(chosen):
        rest = [c for c in chosen if c is not candidate]
        if frozenset[int]().union(*(c.excluded for c in rest)) >= candidate.excluded:
            chosen = rest
    return chosen
