"""Parameters and constraints, as documents write them. What they may be is said in `domain/space.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from ..errors import MISSING, InvalidArgument, similar
from ..parameters import Value
from ..space import Categorical, Condition, Discrete, Double, Integer, Kind, Parameter, Scale, Space
from .amounts import as_float, as_whole
from .keys import KEYS
from .section import Section, either, given


def parameter_from_document(name: str, document: object) -> Parameter:
    """The parameter that `{min: ..., max: ...}` and the like describe. Raises InvalidArgument.

    The values of a `when` keep the type they are written in; `from_document` gives them that of the parent's values.
    """
    where = f"parameters.{name}"
    if isinstance(document, list | tuple):
        raise InvalidArgument(where, document, "must be a mapping", "For a list of values write {values: [...]}")
    section = Section(where, document, KEYS["parameters.NAME"])
    return Parameter(name, _kind_from(section), _default_from(section), _when_from(section))


def parameter_to_document(parameter: Parameter) -> dict[str, object]:
    """What `parameter_from_document` reads as an equal parameter."""
    document = _kind_to(parameter.kind)
    if parameter.default is not None:
        document["default"] = parameter.default
    if parameter.when:
        document["when"] = {c.parent: _condition_to(c) for c in parameter.when}
    return document


def space_from(top: Section) -> Space | None:
    constraints = top.items("constraints")
    for i, text in enumerate(constraints):
        if not isinstance(text, str):
            raise InvalidArgument(f"constraints[{i}]", text, "must be a text", "Put the condition into quotes")
    if "parameters" not in top:
        if constraints:
            raise InvalidArgument("constraints", list(constraints), "need `parameters` that they are about")
        return None
    entries = top.value("parameters")
    if isinstance(entries, list | tuple):
        raise InvalidArgument("parameters", MISSING, "must be a mapping", "Write each as name: {min: ..., max: ...}")
    section = Section("parameters", entries, None)
    parameters = [parameter_from_document(name, section.value(name)) for name in section.entries]
    return Space(tuple(_as_parents_keep_them(parameters)), tuple(map(str, constraints)))


def _as_parents_keep_them(parameters: Iterable[Parameter]) -> Iterable[Parameter]:
    """Values in conditions with the type that the parent has them in, so that `when: {width: 2}` meets 2.0.

    What the parent can never have is left as it is, and refused by the space.
    """
    parameters = list(parameters)
    kinds = {p.name: p.kind for p in parameters}
    for parameter in parameters:
        if not parameter.when:
            yield parameter
            continue
        conditions = []
        for condition in parameter.when:
            kind = kinds.get(condition.parent)
            values = tuple(_kept(kind, value) for value in condition.values)
            conditions.append(replace(condition, values=values))
        yield replace(parameter, when=tuple(conditions))


def _kept(kind: Kind | None, value: Value) -> Value:
    if kind is None:
        return value
    try:
        known = kind.coerce(value)
    except ValueError:
        return value
    # A number near the grid of a step is not on it; the space says so.
    return known if known == value else value


def _kind_from(section: Section) -> Kind:
    said = section.text("type", "")
    if said and said not in _TYPES:
        raise InvalidArgument(section.path("type"), said, f"must be {either(_TYPES)}", _meant_type(said))
    listed = "values" in section
    if not listed and not said and not {"min", "max"} & section.entries.keys():
        raise InvalidArgument(section.where, MISSING, "needs min and max, or values")
    wanted = _TYPES.get(said) or ((Discrete, Categorical) if listed else (Double, Integer))
    if Discrete in wanted or Categorical in wanted:
        section.forbid(("min", "max", "step"), "goes with a range, not with a list of values")
        return _list_from(section, wanted)
    section.forbid(("values",), f"goes with type discrete or categorical, not {said}")
    return _range_from(section, wanted)


_TYPES: Final[dict[str, tuple[type[Kind], ...]]] = {
    "double": (Double,),
    "float": (Double,),
    "int": (Integer,),
    "integer": (Integer,),
    "discrete": (Discrete,),
    "categorical": (Categorical,),
}


def _range_from(section: Section, wanted: Sequence[type[Kind]]) -> Double | Integer:
    low, high = section.number("min"), section.number("max")
    scale = section.choice("scale", Scale, Scale.LINEAR)
    step = section.number("step") if "step" in section else None
    if Double in wanted and Integer in wanted:
        numbers = [low, high, step, section.entries.get("default")]
        whole = all(n is None or (isinstance(n, int) and not isinstance(n, bool)) for n in numbers)
    else:
        whole = Integer in wanted
    if not whole:
        return Double(as_float(low), as_float(high), scale, None if step is None else as_float(step))
    # What is no whole number is refused by the parameter, which knows the way out.
    bounds = [
        number if as_whole(number) is None else as_whole(number) for number in (low, high, 1 if step is None else step)
    ]
    return Integer(bounds[0], bounds[1], scale, bounds[2])  # type: ignore[arg-type]  # see above


def _list_from(section: Section, wanted: Sequence[type[Kind]]) -> Discrete | Categorical:
    section.value("values")
    values = [_scalar(f"{section.path('values')}[{i}]", value) for i, value in enumerate(section.items("values"))]
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if Discrete in wanted and (Categorical not in wanted or (values and len(numbers) == len(values))):
        if len(numbers) < len(values):
            other = next(v for v in values if isinstance(v, str | bool))
            rule = "a discrete parameter has numbers only"
            raise InvalidArgument(section.path("values"), other, rule, "For anything else write `type: categorical`")
        numbers.sort()
        if twice := [low for low, high in pairwise(numbers) if low == high]:
            raise InvalidArgument(section.path("values"), twice[0], "appears twice", _ONCE)
        return Discrete(tuple(numbers), section.choice("scale", Scale, Scale.LINEAR))
    section.forbid(("scale",), "goes with numbers that have an order, not with a categorical parameter")
    return Categorical(tuple(values))


_ONCE: Final = "Name each value once, and write a fraction with a point: 0.5"


def _default_from(section: Section) -> Value | None:
    return _scalar(section.path("default"), section.value("default")) if "default" in section else None


def _when_from(section: Section) -> tuple[Condition, ...]:
    if "when" not in section:
        return ()
    when = section.value("when")
    if not isinstance(when, Mapping):
        raise InvalidArgument(section.path("when"), when, "must be a mapping", "For instance when: {opt: sgd}")
    conditions = Section(section.path("when"), when, None)
    return tuple(_condition_from(conditions, parent) for parent in conditions.entries)


def _condition_from(section: Section, parent: str) -> Condition:
    value, where = section.value(parent), section.path(parent)
    if isinstance(value, Mapping):
        bounds = Section(where, value, KEYS["parameters.NAME.when.PARENT"])
        low = bounds.number("min") if "min" in bounds else None
        return Condition(parent, min=low, max=bounds.number("max") if "max" in bounds else None)
    if isinstance(value, list | tuple):
        return Condition(parent, tuple(_scalar(f"{where}[{i}]", v) for i, v in enumerate(value)))
    return Condition(parent, (_scalar(where, value),))


def _condition_to(condition: Condition) -> object:
    if not condition.values:
        return given(min=condition.min, max=condition.max)
    return condition.values[0] if len(condition.values) == 1 else list(condition.values)


def _kind_to(kind: Kind) -> dict[str, object]:
    document: dict[str, object]
    match kind:
        case Double():
            document = {"min": float(kind.min), "max": float(kind.max)}
            # Said aloud where a reader that drops the point of 1.0 would find whole numbers.
            if all(number.is_integer() for number in map(float, (kind.min, kind.max))):
                document = {"type": "double"} | document
            if kind.step is not None:
                document["step"] = float(kind.step)
            scale = kind.scale
        case Integer():
            document = {"type": "int", "min": kind.min, "max": kind.max}
            if kind.step != 1:
                document["step"] = kind.step
            scale = kind.scale
        case Discrete():
            document = {"values": list(kind.values)}
            scale = kind.scale
        case Categorical():
            document = {"values": list(kind.values)}
            if not any(isinstance(value, str | bool) for value in kind.values):
                document = {"type": "categorical"} | document
            scale = Scale.LINEAR
    if scale is not Scale.LINEAR:
        document["scale"] = scale.value
    return document


def _scalar(where: str, value: object) -> Value:
    if value is None:
        raise InvalidArgument(where, value, "null cannot be the value of a parameter", 'Write a text such as "none"')
    if not isinstance(value, bool | int | float | str):
        raise InvalidArgument(where, value, "must be a number, a text, true or false")
    return value


def _meant_type(said: str) -> str:
    """What to write instead of the names that other tools have."""
    word = said.lower()
    if "log" in word:
        return "Write scale: log next to min and max"
    if word in ("bool", "boolean"):
        return "Write values: [true, false]"
    if word in ("choice", "choices", "str", "string", "enum"):
        return "Write values: [...]"
    return similar(said, _TYPES)
