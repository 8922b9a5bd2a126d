"""Who may use a worker next: the owner that has had the least, and of its studies the one whose callers' patience ends
first."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from ...domain.pulse import Pulse
from .process import Worker
from .shares import Shares

GIVING_UP: Final = 60.0
"""Seconds that giving a computation up may take. While workers are busy, and none was given back for so long after all
that began then should have ended, the pool is taken to have stopped."""


def default_workers() -> int:
    """All cores that this process may use but one, which is for calls; at least one."""
    return max(1, len(os.sched_getaffinity(0)) - 1)


@dataclass(eq=False, slots=True)
class Ticket:
    """A study's place in the queue. `deadline` (seconds, the loop's clock) may change while it waits; inf: nobody does.

    The order is fair: owners take turns, and a deadline stays where it is while time passes, so whoever waits is first
    at last.
    """

    uid: str
    deadline: float = math.inf
    owner: str = ""
    granted: asyncio.Future[Worker] | None = field(default=None)


class Pool:
    """At most `most` workers, started as they are needed. Used on one event loop."""

    def __init__(self, most: int, longest: float = 600.0) -> None:
        """`longest`: seconds after which a computation is given up by whoever waits for it."""
        self._most = most
        self.pulse = Pulse("computations", longest + GIVING_UP)
        self.pulse.rest()
        self._idle: list[Worker] = []
        self._busy: set[Worker] = set()
        self._waiting: list[Ticket] = []
        self._ending: set[asyncio.Task[None]] = set()
        self._shares = Shares()

    @property
    def workers(self) -> list[Worker]:
        return [*self._idle, *self._busy]

    @asynccontextmanager
    async def seat(self, ticket: Ticket) -> AsyncIterator[Worker]:
        """A worker for one computation, the one that knows the study where that is free. It is ended, and another one
        takes its place, where it is given back with a question unanswered."""
        granted = ticket.granted = asyncio.get_running_loop().create_future()
        self._waiting.append(ticket)
        self._dispatch()
        try:
            worker = await granted
        except asyncio.CancelledError:
            if not granted.cancelled():
                self._shares.end(ticket.owner, 0.0)
                self._give_back(granted.result())
            elif ticket in self._waiting:
                self._waiting.remove(ticket)
            raise
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            yield worker
        finally:
            self._shares.end(ticket.owner, loop.time() - began)
            self._give_back(worker)

    async def close(self) -> None:
        """Ends all workers. Nobody may ask for a seat any more."""
        for worker in self.workers:
            self._end(worker)
        self._idle.clear()
        await asyncio.gather(*self._ending)

    def _give_back(self, worker: Worker) -> None:
        self._busy.discard(worker)
        self.pulse.beat()
        if not self._busy:
            self.pulse.rest()
        if worker.settled:
            self._idle.append(worker)
        else:
            self._end(worker)
        self._dispatch()

    def _dispatch(self) -> None:
        for worker in [w for w in self._idle if w.gone]:
            self._idle.remove(worker)
            self._end(worker)
        while self._waiting and (self._idle or len(self._busy) < self._most):
            ticket = min(self._waiting, key=lambda t: (*self._shares.rank(t.owner), t.deadline))
            self._waiting.remove(ticket)
            # Given up in this very moment, and not yet told.
            if ticket.granted is None or ticket.granted.done():
                continue
            worker = self._choose(ticket.uid)
            if not self._busy:
                self.pulse.beat()
            self._busy.add(worker)
            self._shares.begin(ticket.owner)
            ticket.granted.set_result(worker)

    def _choose(self, uid: str) -> Worker:
        """The worker that knows the study, else the one that has been idle longest, else a new one."""
        found = next((w for w in self._idle if w.knows(uid)), None) or next(iter(self._idle), None)
        if found is None:
            return Worker()
        self._idle.remove(found)
        return found

    def _end(self, worker: Worker) -> None:
        task = asyncio.get_running_loop().create_task(worker.end())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
