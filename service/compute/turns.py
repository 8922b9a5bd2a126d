"""One computation for a study at a time, on all servers of a database together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from ...storage.exchange import Exchange
from ..claiming import claim


class Turns:
    """A server that computes for a study holds a claim. One that dies loses it with its connection."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    @asynccontextmanager
    async def take(self, uid: str) -> AsyncIterator[bool]:
        """Whether it is this server's turn, at once. Held until the end of the block. Raises Unavailable."""
        turn = await claim(self._exchange, f"compute {uid}")
        try:
            yield turn is not None
        finally:
            if turn is not None:
                await asyncio.shield(asyncio.to_thread(turn.release))
