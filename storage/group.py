"""One writer thread, and one commit for all units that wait.

    submit ──> queue ──> writer thread:  commit(all units that wait) ──> the futures of all of them

A commit waits for the disk, which takes as long for fifty units as for one; those that arrive meanwhile share the next.
"""

from __future__ import annotations

import abc
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from ..domain.errors import AWAY, Internal, Unavailable
from ..domain.pulse import Pulse
from .critical import CriticalThread
from .exchange import Exchange
from .store import Store, Transaction

T = TypeVar("T")
MAX_GROUP = 256
"""Units in one commit, so that the first of them need not wait long for the last."""
TRY_AGAIN = 1.0
"""Seconds after which the writer of a database that failed looks if it is there again, though nobody writes."""
WRITER_LIMIT = 15.0
"""Seconds that a turn of the writer may take until it is taken to have stopped."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Unit:
    work: Callable[[Transaction], Any]
    future: Future[Any]


Outcome = tuple[Any, BaseException | None]
"""What a unit's work returned, or the error that it is to fail with."""


def settle(unit: Unit, outcome: Outcome) -> None:
    """Tells who waits for the unit."""
    result, error = outcome
    if error is None:
        unit.future.set_result(result)
    else:
        unit.future.set_exception(error)


class GroupStore(Store):
    """The queue and the thread; a database supplies `_commit`. Its own parts must be there before `__init__`."""

    def __init__(self, thread: str, exchange: Exchange) -> None:
        self.exchange = exchange
        self.commits = self.units = 0
        self.commit_seconds = 0.0
        """How many commits there were, of how many units, and how long they took in all, since the start."""
        self._queue: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._reached = True
        """Whether the last turn reached the database; `_commit` sets it."""
        self._pulse = Pulse("writer", WRITER_LIMIT)
        self._thread = CriticalThread(target=self._write, name=thread, daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._gate:  # so that no unit comes after the end of the queue
            self._check_open()
            self._queue.put(Unit(work, future))
        return future

    def close(self) -> None:
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        self._thread.join()
        self._end()
        self.exchange.close()

    @property
    def pulses(self) -> Sequence[Pulse]:
        return (self._pulse, *self.exchange.pulses)

    def _check_open(self) -> None:
        if self._closed:
            raise Unavailable("the store is closed; open it again")
        if self.lost:
            raise Unavailable(self.lost, details=AWAY)

    def _write(self) -> None:
        ended = False
        while not ended:
            group = self._next()
            ended = None in group
            self._settle([u for u in group if u is not None and u.future.set_running_or_notify_cancel()])

    def _next(self) -> list[Unit | None]:
        """The units that wait. None of them where the database failed and it is time to try it again."""
        try:
            if self._reached:
                self._pulse.rest()
                first = self._queue.get()
                self._pulse.beat()
            else:
                first = self._queue.get(timeout=TRY_AGAIN)
        except queue.Empty:
            return []
        group = [first]
        while len(group) < MAX_GROUP and not self._queue.empty():
            group.append(self._queue.get())
        return group

    def _settle(self, units: Sequence[Unit]) -> None:
        """Commits the units, then tells all of them."""
        began = time.perf_counter()
        outcomes = self._outcomes(units)
        if units:
            self.commit_seconds += time.perf_counter() - began
            self.commits += 1
            self.units += len(units)
        if self._reached:
            self._pulse.beat()
        for unit, outcome in zip(units, outcomes, strict=True):
            if outcome is not None:
                settle(unit, outcome)

    def _outcomes(self, units: Sequence[Unit]) -> Sequence[Outcome | None]:
        try:
            return self._commit(units)
        except BaseException as error:  # a defect, of which those who wait must hear, and those to come must not
            logger.exception("the writer failed", extra={"action": "writer_failed"})
            self._reached = False
            said = Internal(f"{type(error).__name__} in the writer; the server's log has the details")
            return [(None, said) for _ in units]

    def _end(self) -> None:
        """After the last commit: finishes the units that are settled elsewhere."""

    @abc.abstractmethod
    def _commit(self, units: Sequence[Unit]) -> Sequence[Outcome | None]:
        """Runs the units in order and makes them durable, on the writer thread. Never raises; there may be none. None
        for a unit that is settled elsewhere. Sets `_reached`."""
