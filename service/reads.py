"""Reads of the store for callers, on threads of their own.

A read may take long: it is large, or its database is silent until the store's limits notice. asyncio's own threads are
for what must go on meanwhile: claims of duties, leases, what is told to other servers, parsing.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from ..domain.errors import Unavailable
from ..storage.store import Store, View

T = TypeVar("T")

THREADS = min(32, (os.cpu_count() or 1) + 4)
"""Reads at a time, and so connections: the others wait. As many as asyncio has for everything else."""

CLOSING = 10.0
"""Seconds for which `close` waits for reads that have begun. A store gives up a database that is silent before that."""


class Reads:
    """Used on one event loop. `name`: of the threads."""

    def __init__(self, store: Store, name: str, threads: int = THREADS) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._closed = False

    async def read(self, work: Callable[[View], T]) -> T:
        """As `Store.read`, in order of arrival. One whose caller leaves before its turn is not made."""
        if self._closed:
            raise Unavailable("the service is ending; ask again")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._store.read, work)

    async def close(self, limit: float = CLOSING) -> None:
        """Drops the reads that wait, and waits `limit` seconds at most for those that have begun."""
        self._closed = True
        ending = threading.Thread(target=self._threads.shutdown, kwargs={"cancel_futures": True}, daemon=True)
        ending.start()
        await asyncio.to_thread(ending.join, limit)
