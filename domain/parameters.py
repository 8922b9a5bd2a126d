"""Parameter values: the four types they may have, and the canonical form that tells two points apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache

Value = bool | int | float | str
"""A parameter's value. Types are kept: 1, 1.0, True and "1" are four different values."""

Parameters = Mapping[str, Value]
"""The active parameters of one point, by name."""


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode


def canonical(parameters: Parameters) -> str:
    """JSON with sorted names, the same text for the same point and no other. -0.0 counts as 0.0."""
    return _encode({n: 0.0 if isinstance(v, float) and v == 0 else v for n, v in parameters.items()})


def digest(parameters: Parameters) -> str:
    """32 hexadecimal digits that stand for the point: BLAKE2b-128 of its canonical form."""
    values = parameters.values()
    # With the types, because 1, 1.0 and True are equal.
    return _digest(tuple(parameters), tuple(values), tuple(map(type, values)))


# From its proposal to its row a point is asked about four times.
@lru_cache(maxsize=256)
def _digest(names: tuple[str, ...], values: tuple[Value, ...], _types: tuple[type, ...]) -> str:
    form = canonical(dict(zip(names, values, strict=True)))
    return hashlib.blake2b(form.encode(), digest_size=16).hexdigest()


def same(a: Value, b: Value) -> bool:
    """Equal in value and in type (True is not 1)."""
    return type(a) is type(b) and a == b


def is_number(value: Value) -> bool:
    """Whether it is an int or a float; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)
