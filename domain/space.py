"""The search space: parameters, their values, when they are active, and the constraints between them.

A space is checked when it is made, so every one is valid. Order of `Space.parameters`: parents
before their children, otherwise as given.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property

from .choices import shown
from .constraint import Constraint, ConstraintSyntaxError
from .constraint import parse as parse_constraint
from .errors import MISSING, InvalidArgument, nearest
from .numbers import suggestion
from .parameters import Parameters, Value, same

MAX_VALUES = 10_000
MAX_PARAMETERS = 1_000
MAX_NAME_LENGTH = 128
MAX_INTEGER = 2**63 - 1


class Scale(enum.Enum):
    """How a range is spread over the unit interval.

    `LOG` gives every factor of ten the same room; `REVERSE_LOG` does so from the upper end: values near `max` are
    told apart finely. Both need `min` > 0.
    """

    LINEAR = "linear"
    LOG = "log"
    REVERSE_LOG = "reverse_log"


@dataclass(frozen=True, slots=True)
class Double:
    """Real numbers in [min, max]; with `step`, only min, min + step, min + 2 step, ... up to max."""

    min: float
    max: float
    scale: Scale = Scale.LINEAR
    step: float | None = None

    @property
    def size(self) -> int | None:
        """How many values there are; None where they are not countable."""
        return None if self.step is None else _steps(self.min, self.max, self.step)

    def at(self, index: int) -> float:
        """The value number `index`, from 0; only with a step."""
        assert self.step is not None
        # Decimal, so that 0.1 + 2 * 0.1 is the 0.3 that was meant and has one spelling only.
        return float(Decimal(repr(self.min)) + index * Decimal(repr(self.step)))

    def coerce(self, value: object) -> float:
        """`value` as this parameter keeps it. Raises ValueError with the rule it breaks."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("must be a number")
        number = _as_float(value)
        if not self.min <= number <= self.max:
            raise ValueError(f"must lie in [{self.min!r}, {self.max!r}]")
        if self.step is None:
            return number
        on_grid = self.at(min(round((number - self.min) / self.step), (self.size or 1) - 1))
        if not math.isclose(on_grid, number, rel_tol=1e-12, abs_tol=self.step * 1e-6):
            raise ValueError(f"must be {self.min!r} plus a multiple of the step {self.step!r}")
        return on_grid

    def check(self, where: str) -> None:
        for name, bound in (("min", self.min), ("max", self.max)):
            if isinstance(bound, bool) or not isinstance(bound, int | float) or not math.isfinite(_as_float(bound)):
                raise InvalidArgument(f"{where}.{name}", bound, "must be a finite number")
        if not math.isfinite(self.max - self.min):
            raise InvalidArgument(f"{where}.max", self.max, "max - min must be a finite number")
        _check_range(where, self.min, self.max, self.scale, self.step)
        if self.step is not None:
            # The grid is finest, compared with the doubles there, at the end that is farther from 0.
            far = max(abs(self.min), abs(self.max))
            if far - self.step == far or (self.max - self.min) / self.step > 2**53:
                raise InvalidArgument(
                    f"{where}.step", self.step, "is too small: doubles do not tell such values apart", "Leave it out"
                )


@dataclass(frozen=True, slots=True)
class Integer:
    """Whole numbers in [min, max], every `step`-th from min."""

    min: int
    max: int
    scale: Scale = Scale.LINEAR
    step: int = 1

    @property
    def size(self) -> int:
        return (self.max - self.min) // self.step + 1

    def at(self, index: int) -> int:
        return self.min + index * self.step

    def coerce(self, value: object) -> int:
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or (isinstance(value, float) and not value.is_integer())
        ):
            raise ValueError("must be a whole number")
        number = int(value)
        if not self.min <= number <= self.max:
            raise ValueError(f"must lie in [{self.min}, {self.max}]")
        if (number - self.min) % self.step:
            raise ValueError(f"must be {self.min} plus a multiple of the step {self.step}")
        return number

    def check(self, where: str) -> None:
        for name, bound in (("min", self.min), ("max", self.max), ("step", self.step)):
            if isinstance(bound, bool) or not isinstance(bound, int):
                raise InvalidArgument(
                    f"{where}.{name}", bound, "must be a whole number", "For real numbers write `type: double`"
                )
            if abs(bound) > MAX_INTEGER:
                raise InvalidArgument(f"{where}.{name}", bound, "must fit into 64 bits")
        _check_range(where, self.min, self.max, self.scale, None if self.step == 1 else self.step)


@dataclass(frozen=True, slots=True)
class Discrete:
    """A list of numbers, ascending. Each keeps its type: 1 stays an integer beside 0.5."""

    values: tuple[int | float, ...]
    scale: Scale = Scale.LINEAR

    @property
    def size(self) -> int:
        return len(self.values)

    def at(self, index: int) -> int | float:
        return self.values[index]

    def coerce(self, value: object) -> int | float:
        if not isinstance(value, bool) and isinstance(value, int | float):
            for known in self.values:
                if known == value:
                    return known
        raise ValueError(f"must be one of {_listed(self.values)}")

    def check(self, where: str) -> None:
        _check_values(where, self.values)
        for value in self.values:
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(_as_float(value)):
                raise InvalidArgument(
                    f"{where}.values", value, "must be finite numbers", "For anything else write `type: categorical`"
                )
        _check_64_bits(where, self.values)
        if list(self.values) != sorted(set(self.values)):
            raise InvalidArgument(f"{where}.values", list(self.values), "must be distinct and ascending")
        if self.scale is not Scale.LINEAR and self.values[0] <= 0:
            raise InvalidArgument(f"{where}.values", self.values[0], f"scale {self.scale.value} needs values above 0")


@dataclass(frozen=True, slots=True)
class Categorical:
    """A list of strings, booleans or numbers between which there is no order. Types are kept."""

    values: tuple[Value, ...]

    @property
    def size(self) -> int:
        return len(self.values)

    def at(self, index: int) -> Value:
        return self.values[index]

    def coerce(self, value: object) -> Value:
        for known in self.values:
            if type(known) is type(value) and known == value:
                return known
        raise ValueError(f"must be one of {_listed(self.values)}")

    def check(self, where: str) -> None:
        _check_values(where, self.values)
        _check_64_bits(where, self.values)
        seen: set[tuple[type, Value]] = set()
        for value in self.values:
            if not isinstance(value, bool | int | float | str) or (
                isinstance(value, float) and not math.isfinite(value)
            ):
                raise InvalidArgument(f"{where}.values", value, "must be strings, booleans or finite numbers")
            if isinstance(value, str) and len(value) > 1_000:
                raise InvalidArgument(f"{where}.values", value, "may have at most 1000 characters each")
            if isinstance(value, str) and "\0" in value:
                # No command line and no environment variable could carry it.
                raise InvalidArgument(f"{where}.values", value, "may not contain a zero byte")
            if (type(value), value) in seen:
                raise InvalidArgument(f"{where}.values", value, "appears twice", "Name each value once")
            seen.add((type(value), value))


Kind = Double | Integer | Discrete | Categorical


@dataclass(frozen=True, slots=True)
class Condition:
    """Holds where `parent` is active and has one of `values`, or lies in [min, max] where that is given instead."""

    parent: str
    values: tuple[Value, ...] = ()
    min: float | None = None
    max: float | None = None

    def holds(self, value: Value) -> bool:
        if self.values:
            return any(same(value, v) for v in self.values)
        return (
            isinstance(value, int | float)
            and (self.min is None or value >= self.min)
            and (self.max is None or value <= self.max)
        )

    def __str__(self) -> str:
        if not self.values:
            low = "" if self.min is None else f"{_bound(self.min)} <= "
            high = "" if self.max is None else f" <= {_bound(self.max)}"
            return f"{low}{self.parent}{high}"
        return f"{self.parent} = {' or '.join(word(v) for v in self.values)}"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One named dimension. It is active where all conditions of `when` hold (always, where there is none)."""

    name: str
    kind: Kind
    default: Value | None = None
    when: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        where = f"parameters.{self.name}"
        if not self.name or len(self.name) > MAX_NAME_LENGTH or not self.name.isprintable() or "`" in self.name:
            rule = f"a parameter's name has 1 to {MAX_NAME_LENGTH} printable characters, no backquote"
            raise InvalidArgument("parameters", self.name, rule)
        self.kind.check(where)
        if self.default is not None:
            try:
                object.__setattr__(self, "default", self.kind.coerce(self.default))
            except ValueError as error:
                raise InvalidArgument(f"{where}.default", self.default, str(error)) from None


@dataclass(frozen=True)
class Space:
    """Parameters and constraints. Raises InvalidArgument on duplicates, cycles and conditions that never hold."""

    parameters: tuple[Parameter, ...]
    constraints: tuple[str, ...] = ()
    rules: tuple[Constraint, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.parameters) > MAX_PARAMETERS:
            raise InvalidArgument("parameters", len(self.parameters), f"at most {MAX_PARAMETERS} are possible")
        object.__setattr__(self, "parameters", _ordered(self.parameters))
        object.__setattr__(self, "rules", tuple(self._rules()))

    @cached_property
    def by_name(self) -> dict[str, Parameter]:
        return {p.name: p for p in self.parameters}

    @cached_property
    def rules_size(self) -> int:
        """How many words all constraints have: looking at them costs in proportion."""
        return sum(rule.size for rule in self.rules)

    @cached_property
    def parents(self) -> frozenset[str]:
        """Names that some condition asks about."""
        return frozenset(c.parent for p in self.parameters for c in p.when)

    def is_active(self, parameter: Parameter, values: Parameters) -> bool:
        """Whether `parameter` is active, given the values of its active ancestors."""
        return all(c.parent in values and c.holds(values[c.parent]) for c in parameter.when)

    def satisfies(self, values: Parameters) -> bool:
        """Whether all constraints hold. One that names an inactive parameter does not apply."""
        return all(rule.holds(values) for rule in self.rules)

    def ordered(self, values: Parameters) -> dict[str, Value]:
        """The same point in the space's order; names that the space does not have come last."""
        return {n: values[n] for n in [*(p.name for p in self.parameters if p.name in values), *values]}

    def check(self, values: Parameters, where: str = "parameters") -> dict[str, Value]:
        """The point in the space's order with each value as its parameter keeps it; defaults fill gaps.

        Raises InvalidArgument on an unknown, inactive or missing parameter, on a value outside its range, and where
        a constraint does not hold.
        """
        for name in values:
            if name not in self.by_name:
                raise InvalidArgument(f"{where}.{name}", values[name], "no such parameter", nearest(name, self.by_name))
        point: dict[str, Value] = {}
        for parameter in self.parameters:
            name = parameter.name
            if not self.is_active(parameter, point):
                if name in values:
                    needs = " and ".join(map(str, parameter.when))
                    raise InvalidArgument(
                        f"{where}.{name}", values[name], f"is not active here: it needs {needs}", "Leave it out"
                    )
                continue
            value = values.get(name, parameter.default)
            if value is None:
                raise InvalidArgument(f"{where}.{name}", MISSING, "is missing, and the space gives no default")
            try:
                point[name] = parameter.kind.coerce(value)
            except ValueError as error:
                number_meant = isinstance(value, str) and not isinstance(parameter.kind, Categorical)
                hint = suggestion(str(value)) if number_meant else ""
                raise InvalidArgument(f"{where}.{name}", value, str(error), hint) from None
        for rule in self.rules:
            if not rule.holds(point):
                mentioned = {n: point[n] for n in point if n in rule.names}
                raise InvalidArgument(where, mentioned, f"breaks the constraint {rule.text!r}")
        return point

    def _rules(self) -> Iterable[Constraint]:
        for i, text in enumerate(self.constraints):
            where = f"constraints[{i}]"
            try:
                rule = parse_constraint(text)
            except ConstraintSyntaxError as error:
                raise InvalidArgument(where, text, f"column {error.column}: {error.rule}", error.hint) from None
            for name in sorted(rule.names):
                if name not in self.by_name:
                    raise InvalidArgument(where, text, f"{name!r} is not a parameter", nearest(name, self.by_name))
            yield rule


def _ordered(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """Parents first. Raises InvalidArgument where that is impossible or a condition makes no sense."""
    by_name: dict[str, Parameter] = {}
    for p in parameters:
        if p.name in by_name:
            raise InvalidArgument(f"parameters.{p.name}", p.name, "appears twice", "Give each parameter its own name")
        by_name[p.name] = p
    for p in parameters:
        for condition in p.when:
            _check_condition(p, condition, by_name)
    placed: dict[str, Parameter] = {}
    while len(placed) < len(by_name):
        before = len(placed)
        for p in parameters:
            if p.name not in placed and all(c.parent in placed for c in p.when):
                placed[p.name] = p
        if len(placed) == before:
            circle = _circle({n: p for n, p in by_name.items() if n not in placed})
            raise InvalidArgument(
                f"parameters.{circle[0]}.when",
                " -> ".join([*circle, circle[0]]),
                "conditions go round in a circle",
                "Take one of them away, so that one of these parameters is always active",
            )
    _check_reachable(placed)
    return tuple(placed.values())


def _circle(unplaced: dict[str, Parameter]) -> list[str]:
    """Names of a circle of conditions. Each of `unplaced` has a parent among them, so going to parents ends in one."""
    path = [next(iter(unplaced))]
    while True:
        parent = next(c.parent for c in unplaced[path[-1]].when if c.parent in unplaced)
        if parent in path:
            return path[path.index(parent) :]
        path.append(parent)


def _check_condition(parameter: Parameter, condition: Condition, by_name: dict[str, Parameter]) -> None:
    where = f"parameters.{parameter.name}.when.{condition.parent}"
    parent = by_name.get(condition.parent)
    if parent is None:
        raise InvalidArgument(where, condition.parent, "is not a parameter", nearest(condition.parent, by_name))
    if sum(c.parent == condition.parent for c in parameter.when) > 1:
        raise InvalidArgument(where, condition.parent, "appears twice in one `when`", "Give a list of values instead")

    kind = parent.kind
    bounds = {"min": condition.min, "max": condition.max}
    for name, bound in bounds.items():
        if bound is not None and not math.isfinite(_as_float(bound)):
            raise InvalidArgument(f"{where}.{name}", bound, "must be a finite number")

    if condition.values:
        if any(bound is not None for bound in bounds.values()):
            raise InvalidArgument(where, list(condition.values), "names values and a range", "Keep one of the two")
        if isinstance(kind, Double) and kind.step is None:
            raise InvalidArgument(
                where,
                list(condition.values),
                "a real number is never met exactly",
                "Give a range: {min: ..., max: ...}",
            )
        for value in condition.values:
            try:
                known = kind.coerce(value)
            except ValueError as error:
                raise InvalidArgument(
                    where, value, f"{condition.parent} can never have this value: it {error}"
                ) from None
            if not same(known, value):
                raise InvalidArgument(where, value, f"{condition.parent} has {known!r}, which is of another type")
        return

    if isinstance(kind, Categorical):
        raise InvalidArgument(where, str(condition), "a categorical parameter has no order", "Give a list of values")
    if condition.min is None and condition.max is None:
        raise InvalidArgument(
            where, None, "lists no values", "Write the value, a list of values, or {min: ..., max: ...}"
        )
    if not _possible(kind, {condition}):
        low, high = (kind.values[0], kind.values[-1]) if isinstance(kind, Discrete) else (kind.min, kind.max)
        rule = f"never holds: {condition.parent} lies in [{low!r}, {high!r}] and has no value there"
        raise InvalidArgument(where, str(condition), rule)


def _check_reachable(parameters: dict[str, Parameter]) -> None:
    """Refuses what is never active because its conditions and those of its ancestors contradict one another.

    `parameters` stand parents first. A parameter is active where all conditions of it and its ancestors hold, and each
    of these is about one ancestor alone, so it is enough to look at the ancestors one by one.
    """
    needs: dict[str, dict[str, set[Condition]]] = {}
    for parameter in parameters.values():
        mine: dict[str, set[Condition]] = {}
        for condition in parameter.when:
            for ancestor, conditions in needs[condition.parent].items():
                mine.setdefault(ancestor, set()).update(conditions)
            mine.setdefault(condition.parent, set()).add(condition)
        for ancestor, conditions in mine.items():
            if len(conditions) > 1 and not _possible(parameters[ancestor].kind, conditions):
                asked = " and ".join(sorted(map(str, conditions)))
                rule = f"never hold together with those of its parents: they ask for {asked}"
                raise InvalidArgument(
                    f"parameters.{parameter.name}.when", MISSING, rule, "Change or remove one of them"
                )
        needs[parameter.name] = mine


def _possible(kind: Kind, conditions: Collection[Condition]) -> bool:
    """Whether some value of `kind` meets all conditions, each of which names values of it or a range."""
    listed = next((c.values for c in conditions if c.values), ())
    if isinstance(kind, Discrete | Categorical):
        listed = listed or kind.values
    if listed:
        return any(all(c.holds(value) for c in conditions) for value in listed)
    assert isinstance(kind, Double | Integer)
    low = max([kind.min, *(c.min for c in conditions if c.min is not None)])
    high = min([kind.max, *(c.max for c in conditions if c.max is not None)])
    if isinstance(kind, Integer):
        first = kind.min - (kind.min - math.ceil(low)) // kind.step * kind.step
        return first <= high
    if kind.step is None:
        # A single point of a line is never met.
        return low < high
    near = int((low - kind.min) / kind.step)
    return any(low <= kind.at(i) <= high for i in range(max(0, near - 1), min(near + 3, kind.size or 0)))


def _check_range(where: str, low: float, high: float, scale: Scale, step: float | None) -> None:
    if low >= high:
        raise InvalidArgument(
            f"{where}.min", low, f"must be less than max = {high!r}", "For one fixed value write `values: [value]`"
        )
    if scale is not Scale.LINEAR and low <= 0:
        raise InvalidArgument(
            f"{where}.min", low, f"scale {scale.value} needs min above 0", "Raise min or write `scale: linear`"
        )
    if step is None:
        return
    if not math.isfinite(step) or step <= 0:
        raise InvalidArgument(f"{where}.step", step, "must be above 0")
    if step > high - low:
        raise InvalidArgument(f"{where}.step", step, f"must be at most max - min = {high - low!r}")
    if scale is not Scale.LINEAR:
        raise InvalidArgument(
            f"{where}.step", step, f"goes with scale linear only, not {scale.value}", "List the numbers under `values`"
        )


def _check_64_bits(where: str, values: Sequence[object]) -> None:
    for value in values:
        if isinstance(value, int) and abs(value) > MAX_INTEGER:
            raise InvalidArgument(f"{where}.values", value, "whole numbers must fit into 64 bits")


def _check_values(where: str, values: Sequence[object]) -> None:
    if not 1 <= len(values) <= MAX_VALUES:
        raise InvalidArgument(f"{where}.values", len(values), f"1 to {MAX_VALUES} values are possible")


def _steps(low: float, high: float, step: float) -> int:
    return int((Decimal(repr(high)) - Decimal(repr(low))) / Decimal(repr(step))) + 1


def _as_float(number: int | float) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf


def _bound(number: float) -> str:
    """3 for 3.0: on the wire all bounds are doubles."""
    return repr(number).removesuffix(".0")


def word(value: Value) -> str:
    """As a study file has it: a text is quoted if it would be taken for something else."""
    if isinstance(value, str) and shown(value) != value:
        return shown(value)
    if isinstance(value, str):
        return value if re.fullmatch(r"[A-Za-z_][\w./-]*", value) and value not in ("true", "false") else repr(value)
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _listed(values: Sequence[Value], most: int = 12) -> str:
    words = [word(v) for v in values[:most]]
    return ", ".join(words) + (f", ... ({len(values)} in all)" if len(values) > most else "")
