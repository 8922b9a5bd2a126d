"""Arguments that have two names."""

from __future__ import annotations

from typing import TypeVar

from ..domain.errors import MISSING, InvalidArgument

N = TypeVar("N")


def either(name: str, value: N | None, other: str, alias: N | None) -> N | None:
    """The argument under one of its two names. Raises InvalidArgument if both are given."""
    refuse_both(name, value, other, alias)
    return value if alias is None else alias


def refuse_both(name: str, value: object, other: str, alias: object) -> None:
    if value is not None and alias is not None:
        raise InvalidArgument(other, MISSING, f"is given beside {name}", "Both mean the same: give one")
