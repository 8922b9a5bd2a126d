"""The settings of an algorithm or a stopping rule: JSON values by name, whose meaning the algorithm alone knows."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping

from .errors import MISSING, InvalidArgument

MAX_LENGTH = 100_000
"""Characters of all settings as JSON."""
MAX_DEPTH = 20


def checked_settings(where: str, settings: Mapping[str, object], taken: Iterable[str]) -> dict[str, object]:
    """`settings` as JSON values of their own, tuples as lists. `taken`: keys that are no settings beside `where`."""
    for name in taken:
        if name in settings:
            raise InvalidArgument(f"{where}.{name}", settings[name], "is reserved", f"See `{where}`")
    plain = {name: _json(f"{where}.{name}", value, 1) for name, value in settings.items()}
    if any(not isinstance(name, str) for name in plain):
        raise InvalidArgument(where, list(plain), "a setting's name must be a text")
    # Settings are stored with the study, sent to those who look at it, and compared when it is run again.
    if (length := len(json.dumps(plain))) > MAX_LENGTH:
        raise InvalidArgument(where, f"{length} characters", f"settings have at most {MAX_LENGTH}")
    return plain


def _json(where: str, value: object, depth: int) -> object:
    if depth > MAX_DEPTH:
        raise InvalidArgument(where, MISSING, f"nests more than {MAX_DEPTH} levels deep")
    match value:
        case float() if not math.isfinite(value):
            raise InvalidArgument(where, value, "must be finite")
        case None | bool() | int() | float() | str():
            return value
        case list() | tuple():
            return [_json(f"{where}[{i}]", item, depth + 1) for i, item in enumerate(value)]
        case Mapping():
            if any(not isinstance(key, str) for key in value):
                raise InvalidArgument(where, list(value), "keys must be texts")
            return {key: _json(f"{where}.{key}", item, depth + 1) for key, item in value.items()}
    raise InvalidArgument(where, value, "must be made of numbers, texts, true, false, lists and mappings")
