"""The event loop of a process that serves calls."""

from __future__ import annotations

import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

COLLECT_EVERY = 50_000
"""New containers between two looks for garbage in cycles. After Python's own 700, every third call waits for one."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Like `asyncio.run`, for a process whose work is calls: with uvloop, and with few garbage collections over what is
    loaded once and stays. Together they are an eighth of what a trial costs (benchmarks/README.md)."""
    import uvloop

    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 20, 100)
    return uvloop.run(main)
