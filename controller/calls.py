"""Threads that wait for the service, so that the loop never does."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class Calls:
    """Runs jobs on at most `threads` threads, started as needed.

    The threads are daemons: a process that stops does not wait for a service that is away. A job answers for its own
    errors; nothing that it raises is expected.
    """

    def __init__(self, threads: int) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._most = threads
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._waiting = 0

    def submit(self, job: Callable[[], None]) -> None:
        with self._lock:
            self._waiting += 1
            if self._waiting > len(self._threads) < self._most:
                thread = threading.Thread(target=self._work, name=f"wazir-call-{len(self._threads)}", daemon=True)
                self._threads.append(thread)
                thread.start()
        self._jobs.put(job)

    def close(self) -> None:
        """No more jobs; the threads end when they have done what is there."""
        for _ in self._threads:
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            finally:
                with self._lock:
                    self._waiting -= 1
