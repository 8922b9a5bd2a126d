"""Ranges that depend on another parameter, learned from trials whose code asked for `k` in [1, n].

Trials that ask for less than the study knows of a parameter, and for which another value was therefore drawn, say what
their own range was. If its end is the value of a parameter asked for before, in two trials with different values, and
no trial contradicts it, the space gets the constraint `k <= n`: then what is proposed lies in the trial's own range.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .constraint import ConstraintSyntaxError, parse
from .learning import Asked
from .parameters import Parameters, Value
from .space import Double, Integer, Space


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
        for parent in reversed([n for n in latest.parameters if n != name]):
            if _shown(name, parent, side, latest, earlier) and not any(
                _breaks(trial.parameters, name, parent, sign) for trial in trials
            ):
                found.append(_text(name, sign, parent))
                break
    return [text for text in found if text not in space.constraints]


def _shown(name: str, parent: str, side: int, latest: Narrowed, earlier: Sequence[Narrowed]) -> bool:
    value = latest.parameters[parent]
    if not _is_number(value) or value != latest.ranges[name][side]:
        return False
    others = [(n.parameters[parent], n.ranges[name][side]) for n in earlier if parent in n.parameters]
    return all(a == b for a, b in others) and any(a != value for a, _ in others)


def _breaks(parameters: Parameters, name: str, parent: str, sign: str) -> bool:
    a, b = parameters.get(name), parameters.get(parent)
    if not isinstance(a, int | float) or not isinstance(b, int | float):
        return False
    return a > b if sign == "<=" else a < b


def _is_number(value: Value) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(name: str, sign: str, parent: str) -> str:
    """The constraint, with names in backquotes if they would be taken for something else."""
    text = f"{name} {sign} {parent}"
    try:
        if parse(text).names == {name, parent}:
            return text
    except ConstraintSyntaxError:
        pass
    return f"`{name}` {sign} `{parent}`"
