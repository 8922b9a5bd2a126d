"""Units from the event loop to the store, and the end of each back to the loop.

A commit ends many units at once, on the store's thread, and they wake the loop once. `asyncio.wrap_future` would wake
it for each of them, and each wake-up is a system call that gives the interpreter lock away.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeVar

from ..storage.store import Store, Transaction
from .auditing.within import with_record
from .feed import Change, Feed

T = TypeVar("T")


class Writer:
    """For one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._done: deque[asyncio.Future[None]] = deque()
        self._waking = False

    async def submit(self, work: Callable[[Transaction], T]) -> T:
        """`Store.submit`, waited for: durable when it returns. Cancelled before the unit has begun, it never will."""
        future = self._store.submit(work)
        if not future.done():
            loop = asyncio.get_running_loop()
            waiter = loop.create_future()

            def done(_: object) -> None:
                # On the store's thread. A wake-up that is on its way finds this one, because it resets `_waking` before
                # it looks for what is done.
                self._done.append(waiter)
                if not self._waking and not loop.is_closed():
                    self._waking = True
                    loop.call_soon_threadsafe(self._wake)

            future.add_done_callback(done)
            try:
                await waiter
            except asyncio.CancelledError:
                future.cancel()
                raise
        return future.result()

    def _wake(self) -> None:
        self._waking = False
        while self._done:
            waiter = self._done.popleft()
            if not waiter.done():
                waiter.set_result(None)


class Units:
    """Units of work of which the feed is told. `clock`: Unix seconds."""

    def __init__(self, writer: Writer, feed: Feed, clock: Callable[[], float]) -> None:
        self._writer = writer
        self._feed = feed
        self.clock = clock

    async def submit(self, work: Callable[[Transaction], T]) -> T:
        return await self._writer.submit(work)

    async def write(self, work: Callable[[Transaction, float], tuple[T, Change | None]]) -> T:
        """One unit; tells the feed what it changed once that is durable."""
        now = self.clock()
        result, change = await self._writer.submit(with_record(lambda tx: work(tx, now)))
        if change is not None:
            self._feed.publish(change)
        return result
