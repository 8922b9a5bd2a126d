"""Writes to the API server: a few at a time, those about one pod in order, again and again until they are done."""

from __future__ import annotations

import heapq
import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable

from ..execution import Key

log = logging.getLogger(__name__)

FIRST = -1.0
FIRST_PAUSE, LAST_PAUSE = 0.2, 15.0


class Later(Exception):
    """The write could not be made now and is to be made again. `pause`: not before so many seconds."""

    def __init__(self, words: str, pause: float = 0.0) -> None:
        super().__init__(words)
        self.pause = pause


class Writer:
    """Runs writes on at most `threads` threads. A write raises `Later` to be run again. If it raises anything else,
    `on_defect` is told, and it is run again as well: it is one pod's, and the others go on.

    `allowed` is asked before each: while it says no, they wait.
    """

    def __init__(
        self,
        threads: int = 8,
        on_defect: Callable[[Key, Exception], None] = lambda key, error: None,
        allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        self._most = threads
        self._on_defect = on_defect
        self._allowed = allowed
        self._queues: dict[Key, deque[Callable[[], None]]] = {}
        self._due: list[tuple[float, int, Key, float]] = []
        """Keys with work: when, a counter that keeps the order, the key, its last pause."""
        self._count = 0
        self._idle = 0
        self._threads: list[threading.Thread] = []
        self._ready = threading.Condition()
        self._closed = False

    def submit(self, key: Key, write: Callable[[], None], *, first: bool = False) -> None:
        """Has it written after all that was submitted for the key. `first`: before what waits for other keys."""
        with self._ready:
            waiting = self._queues.setdefault(key, deque())
            waiting.append(write)
            if len(waiting) == 1:
                self._push(FIRST if first else 0.0, key, 0.0)

    def hurry(self, key: Key) -> None:
        """What waits for its pause to be over is tried at once."""
        with self._ready:
            for i, (_, count, waiting, pause) in enumerate(self._due):
                if waiting == key:
                    self._due[i] = (0.0, count, key, pause)
                    heapq.heapify(self._due)
                    self._ready.notify()
                    return

    def close(self, patience: float = 0.0) -> None:
        """Waits at most `patience` seconds for writes that are due; what is not begun then is left undone."""
        until = time.monotonic() + patience
        with self._ready:
            # A write that has failed before waits for its pause, and nobody waits for it.
            while self._queues.keys() - {key for _, _, key, pause in self._due if pause} and time.monotonic() < until:
                self._ready.wait(0.05)
            self._closed = True
            self._ready.notify_all()

    def _push(self, at: float, key: Key, pause: float) -> None:
        self._count += 1
        heapq.heappush(self._due, (at, self._count, key, pause))
        if not self._idle and len(self._threads) < self._most:
            name = f"wazir-writer-{len(self._threads)}"
            self._threads.append(threading.Thread(target=self._run, name=name, daemon=True))
            self._threads[-1].start()
        self._ready.notify()

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            key, write, pause = taken
            again: float | None = None
            try:
                if not self._allowed():
                    raise Later("another controller may lead by now")
                write()
            except Later as later:
                pause = max(later.pause, min(LAST_PAUSE, pause * 2 or FIRST_PAUSE))
                again = time.monotonic() + pause * random.uniform(0.8, 1.2)
                log.debug("%s: again in %.1f s: %s", key, pause, later, extra={"action": "write_later"})
            except Exception as error:  # noqa: BLE001 - told
                self._on_defect(key, error)
                pause = LAST_PAUSE
                again = time.monotonic() + pause
            with self._ready:
                waiting = self._queues[key]
                if again is None:
                    waiting.popleft()
                    pause = 0.0
                if waiting:
                    self._push(again or 0.0, key, pause)
                else:
                    del self._queues[key]

    def _take(self) -> tuple[Key, Callable[[], None], float] | None:
        with self._ready:
            while not self._closed:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is not None and wait <= 0:
                    _, _, key, pause = heapq.heappop(self._due)
                    return key, self._queues[key][0], pause
                self._idle += 1
                self._ready.wait(wait)
                self._idle -= 1
            return None
