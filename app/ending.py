"""The end of a server's process: as told at the first signal, at once at the second, and never later than it may be.

What hangs then is of no use any more: a database that does not answer, a client that takes its time, a thread. Whatever
was acknowledged is durable, so to cut the rest off is what a crash is, from which everything recovers.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import Final

from ..clients.cli.errors import Exit
from ..clients.cli.terminal import say

SLACK: Final = 5.0
"""Seconds that an end may take beyond its drain."""

logger = logging.getLogger(__name__)


class Ending:
    """`heard` is called with each signal, on any thread."""

    def __init__(self, limit: float, leave: Callable[[int], object] = os._exit) -> None:
        """`limit`: seconds from the first signal on. `leave`: ends the process at once, with an exit code."""
        self._limit = limit
        self._leave = leave
        self._lock = threading.Lock()
        self._begun = False
        self._then: list[Callable[[], object]] = []

    def then(self, act: Callable[[], object]) -> None:
        """Calls `act` when the end begins: at once if it has."""
        with self._lock:
            if not self._begun:
                self._then.append(act)
                return
        act()

    def heard(self, number: int) -> None:
        with self._lock:
            again, self._begun = self._begun, True
            acts, self._then = self._then, []
        if again:
            say("Ended at once.", err=True)
            self._leave(Exit.INTERRUPTED)
            return

        say("Ending: calls in flight are answered first. Once more (Ctrl-C) ends at once ...", err=True)
        timer = threading.Timer(self._limit, self._too_late)
        timer.daemon = True
        timer.start()
        for act in acts:
            act()

    def _too_late(self) -> None:
        # Also if all is done but for a thread that Python waits for.
        logger.warning(
            "the end took longer than %g s, and what was still under way is cut off",
            self._limit,
            extra={"action": "end_cut_off"},
        )
        logging.shutdown()
        self._leave(Exit.FAILED)
