"""A space that grows as training code names its parameters: the definition that has the values of all trials.

A trial may ask for a parameter with a range of its own, for instance `k` in [1, n]. The study then knows `k` by the
hull: the least definition that has every value asked for so far. Proposals come from the hull, and a trial whose own
range does not have the proposed value gets another one.

    [1, 5] and [1, 8]            [1, 8]
    [0, 8] step 4, [2, 8]        [0, 8] with the step that has all values of both, here 1
    sgd, adam and adam, lion     sgd, adam, lion
    3 and [1, 8]                 [1, 8]        a fixed value is a range of one
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from .choices import restored
from .errors import InvalidArgument
from .parameters import Parameters, Value, same
from .space import MAX_PARAMETERS, Categorical, Discrete, Double, Integer, Kind, Parameter, Scale


def hull(known: Kind, asked: Kind) -> Kind:
    """The least kind that has the values of both. Raises ValueError with the rule that forbids it."""
    if isinstance(known, Categorical) and isinstance(asked, Categorical):
        new = [value for value in asked.values if not any(same(value, old) for old in known.values)]
        return Categorical((*known.values, *new)) if new else known
    if isinstance(known, Categorical) or isinstance(asked, Categorical):
        raise ValueError("a list of choices in one trial cannot be a range in another")

    old, new_range = _Range.of(known), _Range.of(asked)
    if old.whole != new_range.whole:
        raise ValueError("whole numbers in one trial cannot be real numbers in another")
    if old.scale is not None and new_range.scale is not None and old.scale is not new_range.scale:
        raise ValueError(f"it has scale {old.scale.value} in other trials and cannot have {new_range.scale.value}")
    return old.joined(new_range).kind()


def fitted(kind: Kind, value: Value | None) -> Value | None:
    """The value as a parameter of that kind keeps it; None if the kind does not have it."""
    if value is None:
        return None
    try:
        return kind.coerce(value)
    except ValueError:
        return None


def described(kind: Kind) -> str:
    """The values in a few words."""
    if isinstance(kind, Categorical | Discrete):
        what = "choice" if isinstance(kind, Categorical) else "number"
        values = ", ".join(repr(restored(value)) for value in kind.values)
        return f"the {what}{'s' if len(kind.values) > 1 else ''} {values}"
    what = "whole numbers" if isinstance(kind, Integer) else "numbers"
    step = "" if kind.step in (None, 1) else f" in steps of {kind.step!r}"
    scale = "" if kind.scale is Scale.LINEAR else f" on a {kind.scale.value} scale"
    return f"the {what} from {kind.min!r} to {kind.max!r}{step}{scale}"


def check_enqueued(parameters: Parameters, where: str) -> None:
    """Refuses what no growing space could ever take. Whether a value lies in its range is seen when it is asked for."""
    if len(parameters) > MAX_PARAMETERS:
        raise InvalidArgument(where, len(parameters), f"at most {MAX_PARAMETERS} are possible")
    for name, value in parameters.items():
        try:
            Parameter(name, Categorical((value,)))
        except InvalidArgument as error:
            raise InvalidArgument(f"{where}.{name[:40]}", value, error.rule, error.hint) from None


@dataclass(frozen=True, slots=True)
class _Range:
    """Numbers from low to high. `step` 0: the two are one number; None: everything between them. `scale` is None for
    one number, which has none."""

    whole: bool
    low: float
    high: float
    step: float | None
    scale: Scale | None

    @classmethod
    def of(cls, kind: Kind) -> _Range:
        if isinstance(kind, Discrete):
            whole = all(isinstance(value, int) for value in kind.values)
            step = 0 if len(kind.values) == 1 else _listed_step(kind, whole)
            return cls(whole, kind.values[0], kind.values[-1], step, None)
        assert isinstance(kind, Integer | Double)
        return cls(isinstance(kind, Integer), kind.min, kind.max, kind.step, kind.scale)

    def joined(self, other: _Range) -> _Range:
        low, high = min(self.low, other.low), max(self.high, other.high)
        scale = self.scale or other.scale
        if self.whole:
            step: float | None = math.gcd(*map(int, (self.step or 0, other.step or 0, abs(self.low - other.low))))
        else:
            step = self._common_step(other)
        if scale not in (None, Scale.LINEAR):
            step = 1 if self.whole else None
        return _Range(self.whole, low, high, step, scale)

    def _common_step(self, other: _Range) -> float | None:
        if self.step is None or other.step is None:
            return None
        step = max(self.step, other.step)
        apart = abs(Decimal(repr(self.low)) - Decimal(repr(other.low)))

        if not step:
            return 0.0 if not apart else None
        if step not in (self.step or step, other.step or step) or min(self.step or step, other.step or step) != step:
            return None
        return step if not apart % Decimal(repr(step)) else None

    def kind(self) -> Kind:
        scale = self.scale or Scale.LINEAR
        if self.low == self.high:
            return Discrete((int(self.low) if self.whole else float(self.low),))
        if self.whole:
            return Integer(int(self.low), int(self.high), scale, int(self.step or 1))
        return Double(float(self.low), float(self.high), scale, self.step or None)


def _listed_step(kind: Discrete, whole: bool) -> float | None:
    return math.gcd(*(int(value - kind.values[0]) for value in kind.values[1:])) if whole else None
