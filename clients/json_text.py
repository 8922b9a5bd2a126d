"""JSON that every reader of JSON takes: the one place that writes it for scripts and for logs."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Final

from ..domain.visible import visible_document

_NAMES: Final = {math.inf: "Infinity", -math.inf: "-Infinity"}


def json_text(data: object, *, indent: int | None = None, default: Callable[[object], object] | None = None) -> str:
    """`data` (mappings, lists, texts, numbers, booleans, None) as JSON.

    JSON has no NaN and no infinities: they are the texts "NaN", "Infinity" and "-Infinity", as in protobuf's JSON.
    Control characters are escaped, so that readers get them back and terminals do not. `default`: makes plain data of
    anything else.
    """
    text = json.dumps(_finite(data), indent=indent, default=default, ensure_ascii=False, allow_nan=False)
    return visible_document(text)


def _finite(data: object) -> object:
    if isinstance(data, float):
        return data if math.isfinite(data) else _NAMES.get(data, "NaN")
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(item) for item in data]
    return data
