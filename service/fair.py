"""One after the other, owners in turn: for work that shares the interpreter with the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .compute.shares import Shares


class FairTurns:
    """A lock that goes to the owner who has had it for the least time. For one event loop."""

    def __init__(self) -> None:
        self._shares = Shares()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []
        self._taken = False

    @asynccontextmanager
    async def turn(self, owner: str) -> AsyncIterator[None]:
        await self._begin(owner)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            yield
        finally:
            self._end(owner, loop.time() - began)

    async def _begin(self, owner: str) -> None:
        if not self._taken:
            self._taken = True
            self._shares.begin(owner)
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((owner, granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self._end(owner, 0.0)
            raise

    def _end(self, owner: str, seconds: float) -> None:
        self._shares.end(owner, seconds)
        self._waiting = [(other, granted) for other, granted in self._waiting if not granted.done()]
        if not self._waiting:
            self._taken = False
            return
        following = min(self._waiting, key=lambda waiting: self._shares.rank(waiting[0]))
        self._waiting.remove(following)
        self._shares.begin(following[0])
        following[1].set_result(None)
