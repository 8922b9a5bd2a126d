"""Says where the event loop is stuck, from a thread of its own: the loop itself could not."""

from __future__ import annotations

import logging
import sys
import threading
import time
import traceback
from typing import Final

from ..domain.pulse import Pulse

LOOK_EVERY: Final = 1.0

logger = logging.getLogger(__name__)


class Watchdog:
    """`start` it on the event loop, by whose pulse it goes."""

    def __init__(self, pulse: Pulse, look_every: float = LOOK_EVERY) -> None:
        self._pulse = pulse
        self._look_every = look_every
        self._watched = 0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wazir-watchdog", daemon=True)

    def start(self) -> None:
        self._watched = threading.get_ident()
        self._thread.start()

    def close(self) -> None:
        self._closing.set()

    def _run(self) -> None:
        stuck = False
        looked = time.monotonic()
        while not self._closing.wait(self._look_every):
            since, looked = looked, time.monotonic()
            if looked - since > 2 * self._look_every:
                # This thread did not run either: the whole process was stopped, and the loop is about to turn.
                continue
            if stuck and self._pulse.fresh:
                logger.warning("the event loop turns again", extra={"action": "loop_turns"})
            elif not stuck and not self._pulse.fresh:
                logger.warning(
                    "the event loop has not turned for %.1f s; it is at\n%s",
                    self._pulse.age,
                    self._stack(),
                    extra={"action": "loop_stuck"},
                )
            stuck = not self._pulse.fresh

    def _stack(self) -> str:
        frame = sys._current_frames().get(self._watched)
        return "".join(traceback.format_stack(frame)) if frame is not None else "(its thread has ended)"
