"""Messages that nobody means well with, for every type of the API: made from its descriptor alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

F = FieldDescriptor
DEPTH = 5
"""Messages within messages; deeper ones are left empty."""

WORDS = [
    "", " ", "/", "//", "..", "../../etc/passwd", "\0", "a\0b", "\r\n", "%s%n%x", "{0}", "${x}", "$(id)",
    "'; DROP TABLE studies;--", "owners/", "owners//studies/", "owners/default/studies/",
    "owners/default/studies/s/trials/", "s/0", "s/-1", "s/01", "s/9999999999999999999999", "a/b/c/d", "*", "owners/*",
    "ß", "\u202e", "\U0001f600", "x" * 300, "y" * 70_000, "nan", "-1", "1e999", "9" * 400, "x", "x * x",
    "x <= 1e999", "(" * 200, "[" * 5_000, '{"a":' * 2_000, "{}", "[]", '{"points": -1}', "null", "loss", "median",
    "random", "spec.budget", "spec.space", "metadata", "name", "val/loss", "local", "python",
]  # fmt: skip
"""Words that have broken parsers, and words that mean something here."""

INTEGERS = [0, 1, 2, 3, -1, 7, 255, 1_001, 10**6]
DOUBLES = [0.0, -0.0, 0.5, 1.0, -1.0, 5e-324, 1.8e308, 1e-300, float("nan"), float("inf"), float("-inf"), 1e18]
BOUNDS = {
    F.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    F.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    F.CPPTYPE_UINT32: (0, 2**32 - 1),
    F.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def messages(kind: Descriptor, names: Sequence[str], depth: int = DEPTH) -> SearchStrategy[Any]:
    """Any message of that kind. `names`: such as mean something to the service."""
    fields = {field.name: _field(field, names, depth) for field in kind.fields}

    @st.composite
    def build(draw: st.DrawFn) -> Any:
        message: Any = GetMessageClass(kind)()
        for name, strategy in fields.items():
            # More often there than not, or most messages would be refused for what they lack.
            if draw(st.integers(0, 3)):
                _put(message, name, draw(strategy))
        if draw(st.integers(0, 9)) == 0:
            # Fields of a newer client: a number in field 1000, a text in field 1001.
            message.MergeFromString(b"\xc0\x3e\x96\x01\xca\x3e\x04evil")
        return message

    return build()


def spoilt(good: Any, names: Sequence[str]) -> SearchStrategy[Any]:
    """A message that is good but for a few parts, so that it comes further than one that is hostile throughout."""

    @st.composite
    def spoil(draw: st.DrawFn) -> Any:
        message = GetMessageClass(good.DESCRIPTOR)()
        message.CopyFrom(good)
        for _ in range(draw(st.integers(1, 3))):
            part, depth = message, DEPTH
            while depth > 1:
                inner = _messages_in(part)
                # Down again and again: what lies deep is checked last.
                if not inner or not draw(st.integers(0, 2)):
                    break
                part, depth = draw(st.sampled_from(inner)), depth - 1
            field = draw(st.sampled_from(fields_of(part)))
            part.ClearField(field.name)
            if draw(st.integers(0, 4)):
                _put(part, field.name, draw(_field(field, names, 3)))
        return message

    return spoil()


def fields_of(message: Any) -> list[FieldDescriptor]:
    return list(message.DESCRIPTOR.fields)


def _messages_in(message: Any) -> list[Any]:
    found: list[Any] = []
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            found += [item for item in value.values() if hasattr(item, "DESCRIPTOR")]
        else:
            found += list(value) if field.is_repeated else [value]
    return found


def _put(message: Any, name: str, value: Any) -> None:
    field = message.DESCRIPTOR.fields_by_name[name]
    target = getattr(message, name)
    if isinstance(value, dict):
        for key, item in value.items():
            if hasattr(item, "DESCRIPTOR"):
                target[key].CopyFrom(item)
            else:
                target[key] = item
    elif isinstance(value, list):
        target.extend(value)
    elif field.cpp_type == F.CPPTYPE_MESSAGE:
        target.CopyFrom(value)
    else:
        setattr(message, name, value)


def _field(field: FieldDescriptor, names: Sequence[str], depth: int) -> SearchStrategy[Any]:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entry = field.message_type.fields_by_name
        return st.dictionaries(_one(entry["key"], names, 0), _one(entry["value"], names, depth - 1), max_size=3)
    one = _one(field, names, depth - 1)
    return st.lists(one, max_size=3) if field.is_repeated else one


def _one(field: Any, names: Sequence[str], depth: int) -> SearchStrategy[Any]:
    match field.cpp_type:
        case F.CPPTYPE_MESSAGE:
            if depth <= 0:
                return st.just(GetMessageClass(field.message_type)())
            return st.deferred(lambda: messages(field.message_type, names, depth))
        case F.CPPTYPE_STRING if field.type == F.TYPE_BYTES:
            return st.binary(max_size=100)
        case F.CPPTYPE_STRING:
            return st.sampled_from(names) | st.sampled_from(names) | st.sampled_from(WORDS) | st.text(max_size=20)
        case F.CPPTYPE_BOOL:
            return st.booleans()
        case F.CPPTYPE_ENUM:
            known = [value.number for value in field.enum_type.values]
            return st.sampled_from(known) | st.sampled_from([-1, 99, 2**31 - 1])
        case F.CPPTYPE_DOUBLE:
            return st.sampled_from(DOUBLES) | st.floats()
        case F.CPPTYPE_FLOAT:
            return st.floats(width=32)
        case kind:
            low, high = BOUNDS[kind]
            usual = [number for number in INTEGERS if low <= number <= high]
            return st.sampled_from([*usual, low, high]) | st.integers(low, high)
