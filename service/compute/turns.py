"""One computation for a study at a time, on all servers of a database together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ...storage.exchange import Exchange


class Turns:
    """A server that computes for a study holds a claim. One that dies loses it with its connection."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @asynccontextmanager
    async def take(self, uid: str) -> AsyncIterator[bool]:
        """Whether it is this server's turn, at once. Held until the end of the block. Raises Unavailable."""
        claiming = asyncio.ensure_future(asyncio.to_thread(self._exchange.claim, f"compute {uid}"))
        try:
            claim = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            # The thread goes on, and what it gets must not be kept.
            if (got := await claiming) is not None:
                await asyncio.to_thread(got.release)
            raise
        try:
            yield claim is not None
        finally:
            if claim is not None:
                await asyncio.shield(asyncio.to_thread(claim.release))
