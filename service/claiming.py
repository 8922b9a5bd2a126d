"""Claims are taken on a thread, because taking one may wait for the database."""

from __future__ import annotations

import asyncio

from ..storage.exchange import Claim, Exchange


async def claim(exchange: Exchange, duty: str) -> Claim | None:
    """The duty, where nobody has it. A caller that is cancelled leaves nothing claimed. Raises Unavailable."""
    claiming = asyncio.ensure_future(asyncio.to_thread(exchange.claim, duty))
    try:
        return await asyncio.shield(claiming)
    except asyncio.CancelledError:
        # The thread goes on, and what it gets must not be kept.
        if (got := await claiming) is not None:
            await asyncio.to_thread(got.release)
        raise
