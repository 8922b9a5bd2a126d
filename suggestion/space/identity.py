"""Keeping what was computed from a space, for as long as the space is in use."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Concatenate, ParamSpec, TypeVar

from ...domain.space import Space

T = TypeVar("T")
P = ParamSpec("P")

KEPT = 64
"""Spaces whose results are kept, the least recently used dropped first."""


class _Same:
    """A space as a key that is compared by identity: hashing its contents would cost more than what is kept saves."""

    __slots__ = ("space",)

    def __init__(self, space: Space) -> None:
        self.space = space

    def __hash__(self) -> int:
        return id(self.space)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.space is self.space


def once_per_space(compute: Callable[Concatenate[Space, P], T]) -> Callable[Concatenate[Space, P], T]:
    """`compute`, a pure function of a space and hashable arguments, run once for each space object and arguments."""

    @lru_cache(maxsize=KEPT)
    def kept(key: _Same, *args: Hashable) -> T:
        return compute(key.space, *args)  # type: ignore[call-arg, arg-type]

    def look_up(space: Space, /, *args: P.args, **kwargs: P.kwargs) -> T:
        # A kept key holds its space, so that the id cannot become that of another one.
        assert not kwargs
        return kept(_Same(space), *args)

    return look_up
