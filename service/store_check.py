"""Whether the store may still be used: its database may be replaced, or brought to a newer schema, under the server.

The store finds that out with each unit. So that it is found out while nobody writes too, a unit that changes nothing is
sent once a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from ..domain.errors import WazirError
from ..storage.store import Store
from .writer import Writer

LOOK_EVERY = 1.0
"""Seconds between two looks."""

logger = logging.getLogger(__name__)


async def until_lost(store: Store, on_lost: Callable[[str], Awaitable[None]], every: float = LOOK_EVERY) -> None:
    """Returns after it has called `on_lost` with the reason, in words, why the store can be used no more."""
    writer = Writer(store)
    while not store.lost:
        await asyncio.sleep(every)
        try:
            await writer.submit(lambda tx: None)
        except WazirError as error:
            # Away for the moment, or lost.
            logger.debug("a look at the store failed: %s", error)
        except Exception:
            logger.exception("a look at the store failed", extra={"action": "look_failed"})

    logger.error("%s", store.lost, extra={"action": "store_lost"})
    await on_lost(store.lost)
