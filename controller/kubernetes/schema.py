"""What a manifest may hold: Kubernetes' own description of a Pod, as the official client carries it.

A value that `${name}` put there has the parameter's type; here it gets the field's where that loses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from kubernetes import client

from ...domain.arguments import as_argument
from ...domain.errors import InvalidArgument, nearest

_LIST = re.compile(r"(?:list|List)\[(.+)\]")
_DICT = re.compile(r"(?:dict|Dict)[\[(]str, (.+)[\])]")


def fitted(manifest: Mapping[str, object]) -> dict[str, Any]:
    """The manifest with each value in its field's type. Raises InvalidArgument on an unknown key or a value that does
    not fit."""
    fit: dict[str, Any] = _fit(manifest, "V1Pod", "trial.manifest")
    return fit


def _fit(value: object, kind: str, where: str) -> Any:
    if value is None:
        return None
    if match := _LIST.fullmatch(kind):
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise InvalidArgument(where, value, "must be a list")
        return [_fit(item, match[1], f"{where}[{i}]") for i, item in enumerate(value)]
    if match := _DICT.fullmatch(kind):
        return {key: _fit(entry, match[1], f"{where}.{key}") for key, entry in _mapping(value, where).items()}
    if kind in _SCALARS:
        return _SCALARS[kind](value, where)
    fields = _fields(kind)
    if fields is None:
        return value  # a type of free form, such as IntOrString
    fit: dict[str, Any] = {}
    for key, entry in _mapping(value, where).items():
        if key not in fields:
            raise InvalidArgument(f"{where}.{key}", entry, f"a {kind[2:]} has no such key", nearest(key, fields))
        fit[key] = _fit(entry, fields[key], f"{where}.{key}")
    return fit


def _mapping(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, Mapping):
        raise InvalidArgument(where, value, "must be a mapping (key: value)")
    return value


def _text(value: object, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return as_argument(value)
    raise InvalidArgument(where, value, "must be a text")


def _whole(value: object, where: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise InvalidArgument(where, value, "must be a whole number")


def _flag(value: object, where: str) -> bool:
    if isinstance(value, bool):
        return value
    raise InvalidArgument(where, value, "must be true or false")


def _number(value: object, where: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise InvalidArgument(where, value, "must be a number")


_SCALARS = {"str": _text, "datetime": _text, "int": _whole, "bool": _flag, "float": _number}


@cache
def _fields(kind: str) -> Mapping[str, str] | None:
    """Field names as they stand in a manifest, with their types; None for what the client does not describe."""
    model = getattr(client, kind, None)
    if model is None or not hasattr(model, "openapi_types"):
        return None
    return {model.attribute_map[name]: str(of) for name, of in model.openapi_types.items()}
