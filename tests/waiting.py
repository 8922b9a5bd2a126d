"""Waits for what comes without news, with a limit that only a test which fails ever reaches."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from wazir.domain.errors import Unavailable

LIMIT = 60.0
"""Seconds. Generous: machines that run tests are busy."""

T = TypeVar("T")


def eventually(met: Callable[[], object]) -> None:
    end = time.monotonic() + LIMIT
    while not met():
        assert time.monotonic() < end, f"waited {LIMIT:g} s in vain"
        time.sleep(0.01)


async def until(met: Callable[[], Awaitable[object]]) -> None:
    """The same on an event loop."""
    async with asyncio.timeout(LIMIT):
        while not await met():  # noqa: ASYNC110 - another process may change it
            await asyncio.sleep(0.01)


def once_back(call: Callable[[], T]) -> T:
    """What it returns once the database is known to be back, for which a server looks now and then."""
    end = time.monotonic() + LIMIT
    while True:
        try:
            return call()
        except Unavailable:
            assert time.monotonic() < end, f"away for {LIMIT:g} s"
            time.sleep(0.05)
