"""Settings of algorithms and rules: a frozen dataclass is their schema, and one function reads what a study says.

@dataclass(frozen=True)
class Settings:
    points: int = setting(10, "levels of a real-valued parameter without a step", least=2)

read_settings(Settings, {"points": 5}, "algorithm")     -> Settings(points=5)
read_settings(Settings, {"pionts": 5}, "algorithm")     raises: algorithm.pionts = 5: no such setting. Did you mean …
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import Field, field, fields
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from ..domain.document.keys import meant
from ..domain.errors import InvalidArgument, similar

S = TypeVar("S")

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", NoneType: "null"}


def setting(
    default: Any, doc: str, *, least: float | None = None, most: float | None = None, choices: Sequence[str] = ()
) -> Any:
    """A field of a settings dataclass: its default, what it means, and the values it may have, both ends included."""
    return field(default=default, metadata={"doc": doc, "least": least, "most": most, "choices": tuple(choices)})


def read_settings(schema: type[S], given: Mapping[str, object], where: str, beside: Collection[str] = ()) -> S:
    """`schema` filled with what is given and its defaults.

    Its fields are bool, int, float or str, or one of these or None. Raises InvalidArgument for a name that `schema`
    does not have, a value of another type (an integer does for a float) and one out of bounds; `where` stands before
    the name, as in `algorithm.points`, and `beside` are names that may stand there too, for people who misspelt those.
    """
    known = {f.name: f for f in fields(schema)}  # type: ignore[arg-type]
    types = get_type_hints(schema)
    values: dict[str, object] = {}
    for name, value in given.items():
        if name not in known:
            raise InvalidArgument(f"{where}.{name}", value, "no such setting", meant(name, {*known, *beside}))
        values[name] = _read(known[name], types[name], value, f"{where}.{name}")
    return schema(**values)


def _read(known: Field[Any], annotation: Any, value: object, where: str) -> object:
    doc = known.metadata.get("doc", "")
    hint = f"It says: {doc}" if doc else ""
    types = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    if float in types and type(value) is int:
        value = _as_float(value)
    # By type and not by isinstance: true is no number here.
    if type(value) not in types:
        raise InvalidArgument(where, value, f"must be {' or '.join(_WORDS[t] for t in types)}", hint)
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidArgument(where, value, "must be a finite number", hint)
    least, most, choices = (known.metadata.get(key) for key in ("least", "most", "choices"))
    if isinstance(value, int | float):
        if least is not None and value < least:
            raise InvalidArgument(where, value, f"must be {least!r} or more", hint)
        if most is not None and value > most:
            raise InvalidArgument(where, value, f"must be at most {most!r}", hint)
    if isinstance(value, str) and choices and value not in choices:
        raise InvalidArgument(where, value, _one_of(choices), similar(value, choices) or hint)
    return value


def _one_of(choices: Sequence[str]) -> str:
    return f"must be one of {', '.join(choices)}" if len(choices) > 1 else f"must be {choices[0]}, or left out"


def _as_float(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf
