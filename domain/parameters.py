"""Parameter values: the four types they may have, and the canonical form that tells two points apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

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
    return digest_of(canonical(parameters))


def digest_of(canonical_form: str) -> str:
    """`digest`, where the canonical form is known."""
    return hashlib.blake2b(canonical_form.encode(), digest_size=16).hexdigest()


def same(a: Value, b: Value) -> bool:
    """Equal in value and in type (True is not 1)."""
    return type(a) is type(b) and a == b
