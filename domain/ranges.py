"""Ranges that depend on other parameters, learned from what trials asked for.

    suggest_int("k", 1, n)                                  k <= n
    suggest_float("lr", 1e-5, 1e-3) with opt=adam alone     opt != "adam" or lr <= 0.001

Trials that ask for less than the study knows of a parameter say what their own range was. If its end is the value of a
parameter asked for before, in two trials with different values, it is taken for that; otherwise if two trials with the
same choice of another parameter have that end. No trial may contradict it. The space then gets the constraint, so that
what is proposed lies in the trial's own range.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .constraint import ConstraintSyntaxError, parse
from .learning import Asked
from .parameters import Parameters, is_number, same
from .space import Categorical, Double, Integer, Space


@dataclass(frozen=True, slots=True)
class Narrowed:
    """A trial that asked for parameters with a range of its own that lacked the proposed value: (least, greatest)."""

    parameters: Parameters
    ranges: Mapping[str, Sequence[float]]


def related(space: Space, name: str, narrowed: Sequence[Narrowed], trials: Sequence[Asked]) -> list[str]:
    """Constraints on a parameter that the last of `narrowed` and one before it show, and no trial contradicts."""
    latest, earlier = narrowed[-1], [n for n in narrowed[:-1] if name in n.ranges]
    kind = space.by_name[name].kind
    if not isinstance(kind, Integer | Double):
        return []

    found = []
    for side, sign, end in ((1, "<=", kind.max), (0, ">=", kind.min)):
        if latest.ranges[name][side] == end:
            continue  # this side is not narrowed
        text = _end(name, side, sign, latest, earlier) or _branch(space, name, side, sign, latest, earlier)
        if text and text not in space.constraints:
            rule = parse(text)
            points = [trial.parameters for trial in trials]
            points += [{**n.parameters, name: end} for n in narrowed if name in n.ranges for end in n.ranges[name]]
            if all(rule.holds(point) for point in points):
                found.append(text)
    return found


def contradicted_rules(space: Space, name: str, latest: Narrowed) -> set[str]:
    """Constraints that a trial's own range does not keep to."""
    ends = [{**latest.parameters, name: end} for end in latest.ranges[name]]
    return {rule.text for rule in space.rules if name in rule.names and not all(map(rule.holds, ends))}


def _end(name: str, side: int, sign: str, latest: Narrowed, earlier: Sequence[Narrowed]) -> str:
    """The constraint by a parameter whose value the range ends at."""
    for parent in _before(name, latest):
        if _shown(name, parent, side, latest, earlier):
            return _text(f"{{0}} {sign} {{1}}", name, parent)
    return ""


def _branch(space: Space, name: str, side: int, sign: str, latest: Narrowed, earlier: Sequence[Narrowed]) -> str:
    """The constraint by a choice with which the range always ends there."""
    bound = latest.ranges[name][side]
    if any(value == bound for n, value in latest.parameters.items() if n != name and is_number(value)):
        return ""  # it may be that one

    for parent in _before(name, latest):
        value = latest.parameters[parent]
        if parent not in space.by_name or not isinstance(space.by_name[parent].kind, Categorical):
            continue
        alike = [n for n in earlier if parent in n.parameters and same(n.parameters[parent], value)]
        if alike and all(n.ranges[name][side] == bound for n in alike):
            literal = json.dumps(value, ensure_ascii=False).replace("{", "{{").replace("}", "}}")
            return _text(f"{{0}} != {literal} or {{1}} {sign} {bound!r}", parent, name)
    return ""


def _before(name: str, latest: Narrowed) -> list[str]:
    """What was asked for before, the last one first."""
    return [n for n in latest.parameters if n != name][::-1]


def _shown(name: str, parent: str, side: int, latest: Narrowed, earlier: Sequence[Narrowed]) -> bool:
    value = latest.parameters[parent]
    if not is_number(value) or value != latest.ranges[name][side]:
        return False
    others = [(n.parameters[parent], n.ranges[name][side]) for n in earlier if parent in n.parameters]
    return all(a == b for a, b in others) and any(a != value for a, _ in others)


def _text(form: str, *names: str) -> str:
    """The constraint, with names in backquotes if they would be taken for something else."""
    text = form.format(*names)
    try:
        if parse(text).names == set(names):
            return text
    except ConstraintSyntaxError:
        pass
    return form.format(*(f"`{name}`" for name in names))
