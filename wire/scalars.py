"""Values, times and enums on the wire."""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from ..domain.errors import InvalidArgument
from ..domain.parameters import Value
from ..domain.space import MAX_INTEGER
from ..proto.v1 import types_pb2 as types

E = TypeVar("E", bound=enum.Enum)


class EnumTable(Generic[E]):
    """A domain enum beside the wire enum whose members carry the same names behind a prefix.

    `number` gives the wire number of a member's name, as the generated enum's `Value` does. The unspecified member (0)
    stands for None, or for `default` where one is given.
    """

    def __init__(self, domain: type[E], prefix: str, number: Callable[[str], int], default: E | None = None) -> None:
        self._to_wire = {member: number(f"{prefix}_{member.name}") for member in domain}
        self._from_wire = {number: member for member, number in self._to_wire.items()}
        self._default = default

    def to_wire(self, member: E | None) -> Any:
        """The number. Any, because each enum has a type of its own in the stubs of the generated code."""
        return 0 if member is None else self._to_wire[member]

    def from_wire(self, number: int, where: str) -> E | None:
        """Raises InvalidArgument on a number that this build does not know."""
        if number == 0:
            return self._default
        try:
            return self._from_wire[number]
        except KeyError:
            raise InvalidArgument(
                where, number, "is an enum value that this version does not know", "Upgrade the older side"
            ) from None

    def required(self, number: int, where: str) -> E:
        member = self.from_wire(number, where)
        if member is None:
            known = ", ".join(m.name for m in self._to_wire)
            raise InvalidArgument(where, "unspecified", f"must be one of {known}")
        return member


def value_to_wire(value: Value) -> types.Value:
    message = types.Value()
    set_value(message, value)
    return message


def set_value(message: types.Value, value: Value) -> None:
    """Where the message is there already: a trial has many values, and to copy each costs more than to set it."""
    match value:
        case bool():
            message.bool_value = value
        case int():
            if abs(value) > MAX_INTEGER:
                raise InvalidArgument("value", value, "an integer must fit into 64 bits")
            message.int_value = value
        case float():
            message.double_value = value
        case str():
            message.string_value = value
        case _:
            raise InvalidArgument("value", value, "must be a boolean, an integer, a number or a string")


def value_from_wire(message: types.Value, where: str) -> Value:
    kind = message.WhichOneof("kind")
    if kind is None:
        raise InvalidArgument(where, None, "has no value")
    value: Value = getattr(message, kind)
    return value


def timestamp(seconds: float) -> Timestamp:
    """From Unix seconds; to the nearest nanosecond, which a double of our times survives unchanged."""
    message = Timestamp()
    set_time(message, seconds)
    return message


def set_time(message: Timestamp | Duration, seconds: float) -> None:
    """`timestamp` or `duration`, where the message is there already."""
    whole = int(seconds // 1)
    nanos = round((seconds - whole) * 1e9)
    message.seconds = whole + nanos // 1_000_000_000
    message.nanos = nanos % 1_000_000_000


def seconds_of(message: Timestamp | Duration) -> float:
    return message.seconds + message.nanos / 1e9


def duration(seconds: float) -> Duration:
    stamp = timestamp(seconds)
    return Duration(seconds=stamp.seconds, nanos=stamp.nanos)


def settings_to_wire(settings: Mapping[str, object]) -> str:
    return json.dumps(dict(settings), sort_keys=True) if settings else ""


def settings_from_wire(text: str, where: str) -> dict[str, object]:
    if not text:
        return {}
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(where, text[:100], f"is not valid JSON: {error}") from None
    if not isinstance(settings, dict):
        raise InvalidArgument(where, text[:100], "must be a JSON object")
    return settings
