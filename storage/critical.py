"""Threads and tasks that must not end while the process serves.

A process whose writer, exchange or duties are gone looks alive and does nothing, and whoever supervises it sees nothing
to restart. So if one of them ends by an exception, which is a defect, the process is told to end as by SIGTERM, and
ends with an exit code that says that it failed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)
_failed = threading.Event()


def failed() -> bool:
    """Whether one of them ended, so that this process ends."""
    return _failed.is_set()


def end_process(what: str, error: BaseException | None) -> None:
    """Tells this process to end because `what`, a thread or a task, has."""
    logger.critical(
        "%s ended, and this process cannot go on without it", what, exc_info=error, extra={"action": "loop_died"}
    )
    _failed.set()
    os.kill(os.getpid(), signal.SIGTERM)


class CriticalThread(threading.Thread):
    """Ends by returning, or the process ends."""

    def run(self) -> None:
        try:
            super().run()
        except BaseException as error:
            end_process(f"the thread {self.name}", error)
            raise


class CriticalTask:
    """A task that ends by `end`, or the process ends. Made on the event loop."""

    def __init__(self, work: Coroutine[Any, Any, None], name: str) -> None:
        self._name = name
        self._ended = False
        self._task = asyncio.create_task(work, name=name)
        self._task.add_done_callback(self._done)

    async def end(self) -> None:
        self._ended = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        # A loop that ends cancels its tasks without asking.
        if not self._ended and not task.cancelled():
            end_process(f"the task {self._name}", task.exception())
