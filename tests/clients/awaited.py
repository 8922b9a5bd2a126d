"""The asynchronous client with the blocking one's face, so that one set of tests is for both."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any, cast

from wazir.clients.aio import AsyncClient
from wazir.clients.client import Client


@contextmanager
def awaited(address: str) -> Iterator[Client]:
    """An AsyncClient on a loop of its own; its lists and watches are iterators, and `cancel` ends one that waits."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    client = AsyncClient(address, retry_for=5.0)
    try:
        yield cast(Client, _Awaited(client, loop))
    finally:
        asyncio.run_coroutine_threadsafe(client.close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class _Awaited:
    def __init__(self, client: AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            result = method(*args, **kwargs)
            if inspect.iscoroutine(result):
                return asyncio.run_coroutine_threadsafe(result, self._loop).result()
            return _Items(result, self._loop)

        return call


class _Items(Iterator[Any]):
    def __init__(self, items: AsyncIterator[Any], loop: asyncio.AbstractEventLoop) -> None:
        self._items = items
        self._loop = loop
        self._waiting: Any = None

    def __next__(self) -> Any:
        self._waiting = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
        try:
            return self._waiting.result()
        except (StopAsyncIteration, CancelledError):
            raise StopIteration from None

    def cancel(self) -> None:
        self._waiting.cancel()

    def _next(self) -> Coroutine[Any, Any, Any]:
        async def following() -> Any:
            return await anext(self._items)

        return following()
