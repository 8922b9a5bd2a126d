"""Units that have met a lock wait here, in a line for each study and in order of submission, on connections of their
own. The writer goes on without them.

    writer ──a unit meets a lock──> line of its study ──> waiter: waits for the lock, then commits the line
       └── and those behind it that are about the same study ──^

PostgreSQL grants a lock to who has waited longest, so a waiter really waits, where to look again and again would be
overtaken by other servers. A unit that has not got its locks after `Limits.lock` fails with Unavailable, and hears who
has them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from ..domain.errors import Internal, Unavailable
from ..domain.names import StudyName
from .committer import Committer
from .critical import CriticalThread
from .group import MAX_GROUP, Outcome, Unit, settle
from .limits import Limits
from .postgres_transaction import LockMet

WAITERS = 4
"""Connections that wait for locks at once. Where more lines are open they take turns."""
SHORT_TURN = 0.25
LINGER = 5.0
"""Seconds for which a waiter without a line waits for the next one."""
Key = StudyName | Unit
logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    unit: Unit
    met: LockMet
    until: float
    """By the monotonic clock."""


@dataclass(slots=True)
class _Line:
    key: Key
    since: float
    """When its first unit met the lock, Unix seconds."""
    units: deque[_Waiting] = field(default_factory=deque)
    served: bool = False
    turns: int = 0
    blockers: str = ""


class Lines:
    """`committer` makes one for a waiter; `blockers` says who holds what a session waits for."""

    def __init__(
        self, name: str, committer: Callable[[], Committer], blockers: Callable[[int], str], limits: Limits
    ) -> None:
        self._name = name
        self._committer = committer
        self._blockers = blockers
        self._limits = limits
        self._lines: dict[Key, _Line] = {}
        self._changed = threading.Condition()
        """Guards all that follows, and the lines."""
        self._idle = 0
        self._threads: set[threading.Thread] = set()
        self._closing = False

    def parked(self, study: StudyName) -> bool:
        """Whether units of the study wait here."""
        return study in self._lines

    def put(self, unit: Unit, met: LockMet) -> None:
        """Takes the unit over, with its future."""
        key: Key = met.study or unit
        with self._changed:
            line = self._lines.get(key)
            if line is None:
                line = self._lines[key] = _Line(key, time.time())
            line.units.append(_Waiting(unit, met, time.monotonic() + self._limits.lock))
            unserved = sum(not line.served for line in self._lines.values())
            if unserved <= self._idle:
                self._changed.notify_all()
            elif len(self._threads) < WAITERS:
                thread = CriticalThread(target=self._wait, name="wazir-postgres-waiter", daemon=True)
                self._threads.add(thread)
                thread.start()

    def close(self) -> None:
        """Once nothing is put any more: when all that wait are done."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            threads = list(self._threads)
        for thread in threads:
            thread.join()

    # A waiter

    def _wait(self) -> None:
        committer = self._committer()
        while (line := self._take()) is not None:
            try:
                self._serve(line, committer)
            except Exception as error:  # a defect, of which those who wait must hear
                logger.exception("waiting for a lock failed", extra={"action": "waiter_failed"})
                said = Internal(f"{type(error).__name__} in a waiter; the server's log has the details")
                self._end(line, len(line.units), said)
            self._leave(line)
        committer.close()

    def _take(self) -> _Line | None:
        """A line that nobody serves; None when the waiter is to end."""
        with self._changed:
            while True:
                self._end_overdue()
                line = min((one for one in self._lines.values() if not one.served), key=_turns, default=None)
                if line is not None:
                    line.served = True
                    return line

                self._idle += 1
                lasts = not self._closing and self._changed.wait(LINGER)
                self._idle -= 1
                if not lasts and all(line.served for line in self._lines.values()):
                    self._threads.discard(threading.current_thread())
                    return None

    def _leave(self, line: _Line) -> None:
        with self._changed:
            line.served = False
            line.turns += 1
            if not line.units:
                del self._lines[line.key]

    def _serve(self, line: _Line, committer: Committer) -> None:
        """One try to get the line's lock, and to commit those that wait for it."""
        with self._changed:
            waiting = [line.units[i] for i in range(min(len(line.units), MAX_GROUP))]
            crowded = len(self._lines) > WAITERS
        if not waiting:
            return

        rest = waiting[0].until - time.monotonic()
        turn = min(rest, SHORT_TURN if crowded else self._limits.lock_turn)
        outcomes = committer.commit_patiently(
            [one.unit for one in waiting], max(turn, 0.01), partial(self._ask, line, committer)
        )

        kept: list[_Waiting] = []
        now = time.monotonic()
        for one, outcome in zip(waiting, outcomes, strict=True):
            if isinstance(outcome[1], LockMet):
                one.met = outcome[1]
                if one.until > now:
                    kept.append(one)
                    continue
                outcome = (None, self._overdue(line, one))
            settle(one.unit, outcome)
        with self._changed:
            for _ in waiting:
                line.units.popleft()
            line.units.extendleft(reversed(kept))

    def _ask(self, line: _Line, committer: Committer) -> None:
        line.blockers = self._blockers(committer.pid) or line.blockers

    def _end_overdue(self) -> None:
        """Ends units of lines that wait for a waiter."""
        now = time.monotonic()
        for key, line in list(self._lines.items()):
            if line.served:
                continue
            while line.units and line.units[0].until <= now:
                one = line.units.popleft()
                settle(one.unit, (None, self._overdue(line, one)))
            if not line.units:
                del self._lines[key]

    def _end(self, line: _Line, number: int, error: Exception) -> None:
        with self._changed:
            ended = [line.units.popleft() for _ in range(number)]
        for one in ended:
            outcome: Outcome = (None, error)
            settle(one.unit, outcome)

    def _overdue(self, line: _Line, one: _Waiting) -> Unavailable:
        what = "what the call needs"
        if isinstance(line.key, StudyName):
            what = f"the row of study {line.key.short}" if one.met.row else f"what study {line.key.short} needs"
        since = datetime.fromtimestamp(line.since, UTC).strftime("%H:%M:%S UTC")
        by = f" by {line.blockers}" if line.blockers else ""
        return Unavailable(
            f"{what} in {self._name} has been locked since {since}{by}; the call has waited {self._limits.lock:g} s. "
            "Try again; if it stays so, end that transaction (pg_stat_activity shows it, pg_terminate_backend ends it)",
            retry_after=self._limits.retry,
        )


def _turns(line: _Line) -> int:
    return line.turns
