"""A strict reader of the mappings that a document is made of."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import TypeVar

from ..arguments import as_argument
from ..errors import MISSING, InvalidArgument, nearest
from ..numbers import as_typed, suggestion
from .amounts import as_float, as_whole, parse_duration, parse_memory
from .keys import EXAMPLES, meant

E = TypeVar("E", bound=Enum)


class Section:
    """One mapping of a document. Reads its keys by kind, and names the path of what it refuses."""

    def __init__(self, where: str, value: object, known: Collection[str] | None) -> None:
        """`known`: the keys it may have; None where it may have any."""
        if not isinstance(value, Mapping):
            example = f"Allowed are: {', '.join(known)}" if known else "Write name: value"
            raise InvalidArgument(where, value, "must be a mapping (key: value)", example)
        before: object = None
        for key, entry in value.items():
            if not isinstance(key, str):
                raise InvalidArgument(_join(where, str(key)), key, "a key must be a text", "Put it into quotes")
            if known is not None and key not in known:
                hint = _fraction(before, key, entry) or meant(key, known)
                raise InvalidArgument(_join(where, key), entry, "unknown key", hint)
            before = entry
        self.where = where
        self.entries: Mapping[str, object] = value

    def __contains__(self, key: str) -> bool:
        return key in self.entries

    def path(self, key: str) -> str:
        return _join(self.where, key)

    def value(self, key: str) -> object:
        """Raises InvalidArgument where it is missing or null."""
        path = self.path(key)
        if key not in self.entries:
            raise InvalidArgument(path, MISSING, "is missing", EXAMPLES.get(key, ""))
        value = self.entries[key]
        if value is None:
            raise InvalidArgument(path, MISSING, "has no value", "Give it one, or leave the key out")
        return value

    def section(self, key: str, known: Collection[str] | None) -> Section:
        return Section(self.path(key), self.value(key), known)

    def items(self, key: str) -> Sequence[object]:
        """A list; empty where it is left out."""
        if key not in self:
            return ()
        value = self.value(key)
        if not isinstance(value, list | tuple):
            raise InvalidArgument(self.path(key), value, "must be a list", EXAMPLES.get(key, "Write [...]"))
        return value

    def sections(self, key: str, known: Collection[str]) -> list[Section]:
        return [Section(f"{self.path(key)}[{i}]", item, known) for i, item in enumerate(self.items(key))]

    def text(self, key: str, default: str | None = None) -> str:
        if default is not None and key not in self:
            return default
        value = self.value(key)
        if not isinstance(value, str):
            raise InvalidArgument(self.path(key), value, "must be a text", _quote(value))
        return value

    def word(self, key: str) -> str:
        """A text, or a number or boolean, which counts as the text it is written as."""
        return _word(self.path(key), self.value(key))

    def words(self, key: str) -> tuple[str, ...]:
        """A list of words; empty where it is left out."""
        return tuple(_word(f"{self.path(key)}[{i}]", item) for i, item in enumerate(self.items(key)))

    def words_by_name(self, key: str) -> dict[str, str]:
        """Empty where it is left out."""
        if key not in self:
            return {}
        section = self.section(key, None)
        return {name: section.word(name) for name in section.entries}

    def number(self, key: str) -> int | float:
        value = self.value(key)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InvalidArgument(self.path(key), value, "must be a number", _unquote(value))
        return value

    def real(self, key: str) -> float | None:
        """A number as a float; None where it is left out."""
        return as_float(self.number(key)) if key in self else None

    def whole(self, key: str) -> int:
        """A whole number; 1e3 is one, too."""
        number = self.number(key)
        whole = as_whole(number)
        if whole is None:
            raise InvalidArgument(self.path(key), number, "must be a whole number")
        return whole

    def flag(self, key: str, default: bool) -> bool:
        value = self.value(key) if key in self else default
        if not isinstance(value, bool):
            raise InvalidArgument(self.path(key), value, "must be true or false")
        return value

    def choice(self, key: str, kind: type[E], default: E) -> E:
        if key not in self:
            return default
        value = self.value(key)
        word = value.replace("-", "_") if isinstance(value, str) else value
        for member in kind:
            if member.value == word:
                return member
        words = [str(member.value) for member in kind]
        hint = nearest(value, words) if isinstance(value, str) else ""
        raise InvalidArgument(
            self.path(key), value, f"must be {either(words)}", hint if hint.startswith("Did you mean") else ""
        )

    def seconds(self, key: str, default: float) -> float:
        return parse_duration(self.path(key), self.value(key)) if key in self else default

    def memory(self, key: str) -> int:
        """Bytes; 0 where it is left out."""
        return parse_memory(self.path(key), self.value(key)) if key in self else 0

    def unlimited(self, key: str) -> bool:
        """Whether the key stands with null, or does not stand."""
        return self.entries.get(key) is None

    def forbid(self, keys: Iterable[str], rule: str) -> None:
        for key in keys:
            if key in self:
                raise InvalidArgument(self.path(key), self.entries[key], rule, "Leave one of them out")


def given(**entries: object) -> dict[str, object]:
    """A section that is written: those entries that are not None."""
    return {key: value for key, value in entries.items() if value is not None}


def either(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def _word(where: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return as_argument(value)
    raise InvalidArgument(where, value, "must be a text", 'Write "" for an empty one' if value is None else "")


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _quote(value: object) -> str:
    return "Put it into quotes" if isinstance(value, bool | int | float) else ""


def _unquote(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return "Write it without quotes" if as_typed(value) is not None else suggestion(value)


def _fraction(before: object, key: str, entry: object) -> str:
    """What to say of `{min: 0,01}`, which YAML reads as `min: 0` and a key `01`."""
    match = re.fullmatch(r"([0-9]+)([A-Za-z]*)", key)
    if entry is not None or match is None or isinstance(before, bool) or not isinstance(before, int):
        return ""
    return suggestion(f"{before},{match[1]}") + match[2]
