"""What was read a moment ago, so that most calls need not read it again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """Values by key, at most `max_age` seconds old. Callers that miss the same key together share one read.

    For one event loop. `size`: most keys kept; the one read longest ago goes first. What is absent is kept as well
    (`read` says how), so that asking for nothing costs no more than asking for something.
    """

    def __init__(self, read: Callable[[K], Awaitable[V]], max_age: float, size: int) -> None:
        self._read = read
        self._max_age = max_age
        self._size = size
        self._kept: dict[K, tuple[float, V]] = {}
        self._reading: dict[K, asyncio.Task[V]] = {}

    def last(self, key: K) -> V | None:
        """What was read last, however old; None where that is not known."""
        kept = self._kept.get(key)
        return None if kept is None else kept[1]

    def forget(self, key: K) -> None:
        """The next `get` reads again, even if a read is under way: it may have begun before what is to be seen."""
        self._kept.pop(key, None)
        self._reading.pop(key, None)

    def forget_all(self) -> None:
        self._kept.clear()
        self._reading.clear()

    async def get(self, key: K) -> V:
        """Raises what reading raises; that is not kept."""
        kept = self._kept.get(key)
        if kept is not None and asyncio.get_running_loop().time() < kept[0]:
            return kept[1]
        task = self._reading.get(key)
        if task is None:
            task = self._reading[key] = asyncio.create_task(self._renew(key))
        # A caller that goes away must not take the others' answer with it.
        return await asyncio.shield(task)

    async def _renew(self, key: K) -> V:
        # From before the read: what changes while it goes on is not missed for longer than `max_age`.
        until = asyncio.get_running_loop().time() + self._max_age
        task = asyncio.current_task()
        try:
            value = await self._read(key)
        finally:
            # Otherwise it was forgotten meanwhile, and perhaps another read has begun.
            wanted = self._reading.get(key) is task
            if wanted:
                del self._reading[key]
        if wanted:
            self._keep(key, until, value)
        return value

    def _keep(self, key: K, until: float, value: V) -> None:
        self._kept.pop(key, None)
        while len(self._kept) >= self._size:
            del self._kept[next(iter(self._kept))]
        self._kept[key] = until, value
