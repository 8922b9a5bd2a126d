"""Search spaces on the wire."""

from __future__ import annotations

from collections.abc import Iterable

from ..domain.errors import InvalidArgument
from ..domain.parameters import Value
from ..domain.space import Categorical, Condition, Discrete, Double, Integer, Kind, Parameter, Scale, Space
from ..proto.v1 import types_pb2 as types
from .scalars import EnumTable, value_from_wire, value_to_wire

SCALES = EnumTable(Scale, "SCALE", types.Scale.Value, default=Scale.LINEAR)


def space_to_wire(space: Space) -> types.Space:
    return types.Space(parameters=[parameter_to_wire(p) for p in space.parameters], constraints=space.constraints)


def space_from_wire(message: types.Space) -> Space:
    parameters = tuple(parameter_from_wire(p) for p in message.parameters)
    return Space(parameters, tuple(message.constraints))


def parameter_to_wire(parameter: Parameter) -> types.Parameter:
    message = types.Parameter(name=parameter.name)
    match parameter.kind:
        case Double(low, high, scale, step):
            message.double_range.CopyFrom(types.DoubleRange(min=low, max=high, scale=SCALES.to_wire(scale), step=step))
        case Integer(low, high, scale, step):
            message.integer_range.CopyFrom(
                types.IntegerRange(min=low, max=high, scale=SCALES.to_wire(scale), step=step)
            )
        case Discrete(values, scale):
            message.discrete.CopyFrom(
                types.DiscreteValues(values=map(value_to_wire, values), scale=SCALES.to_wire(scale))
            )
        case Categorical(values):
            message.categorical.CopyFrom(types.CategoricalValues(values=map(value_to_wire, values)))
    if parameter.default is not None:
        message.default_value.CopyFrom(value_to_wire(parameter.default))
    for condition in parameter.when:
        message.when.add(
            parent=condition.parent,
            values=map(value_to_wire, condition.values),
            min=condition.min,
            max=condition.max,
        )
    return message


def parameter_from_wire(message: types.Parameter) -> Parameter:
    where = f"parameters.{message.name}"
    default = value_from_wire(message.default_value, f"{where}.default") if message.HasField("default_value") else None
    return Parameter(
        message.name, _kind(message, where), default, tuple(_condition(c, f"{where}.when") for c in message.when)
    )


def _kind(message: types.Parameter, where: str) -> Kind:
    match message.WhichOneof("kind"):
        case "double_range":
            double = message.double_range
            step = double.step if double.HasField("step") else None
            return Double(double.min, double.max, _scale(double.scale, where), step)
        case "integer_range":
            integer = message.integer_range
            return Integer(integer.min, integer.max, _scale(integer.scale, where), integer.step or 1)
        case "discrete":
            numbers: list[int | float] = []
            for value in _values(message.discrete.values, where):
                if isinstance(value, str):
                    raise InvalidArgument(
                        f"{where}.values", value, "must be a number", "For anything else use categorical"
                    )
                numbers.append(value)
            return Discrete(tuple(numbers), _scale(message.discrete.scale, where))
        case "categorical":
            return Categorical(_values(message.categorical.values, where))
    raise InvalidArgument(where, None, "has neither a range nor values")


def _scale(number: int, where: str) -> Scale:
    return SCALES.required(number, f"{where}.scale")


def _values(messages: Iterable[types.Value], where: str) -> tuple[Value, ...]:
    return tuple(value_from_wire(m, f"{where}.values") for m in messages)


def _condition(message: types.Condition, where: str) -> Condition:
    return Condition(
        message.parent,
        tuple(value_from_wire(v, f"{where}.{message.parent}") for v in message.values),
        message.min if message.HasField("min") else None,
        message.max if message.HasField("max") else None,
    )
