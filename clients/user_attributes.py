"""User attributes of trials and studies: JSON values, kept as the metadata of the same key.

Text is kept as it is, unless it would be read back as something else; so metadata that others have set reads as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..domain.errors import InvalidArgument


def to_metadata(key: str, value: object) -> dict[str, str]:
    """The attribute as metadata. Raises InvalidArgument if the value has no JSON, or the key is empty."""
    if not isinstance(key, str) or not key:
        raise InvalidArgument("key", key, "must be text that is not empty")
    try:
        text = json.dumps(value, ensure_ascii=False, default=_plain)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(
            f"user_attrs.{key}", type(value).__name__, f"must be a JSON value ({error})", "Store str(value), or a path"
        ) from None
    if isinstance(value, str) and _read(value) == value:
        text = value
    return {key: text}


def from_metadata(metadata: Mapping[str, str]) -> dict[str, object]:
    """All attributes by key."""
    return {key: _read(text) for key, text in metadata.items()}


def _read(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _plain(value: object) -> object:
    """A NumPy scalar or array, or a tensor, as Python's own numbers."""
    for method in ("tolist", "item"):
        if hasattr(value, method):
            return getattr(value, method)()
    raise TypeError(f"{type(value).__name__} has no form in JSON")
