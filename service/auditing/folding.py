"""Like calls, one after the other, as one record: what is called every few seconds, and what a stranger could call
without an end, must not fill a disk."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import replace

from ...domain.audit import AuditRecord
from .ids import new_id


class _Open:
    """Calls like `first`, which has a record of its own; those after it are counted."""

    __slots__ = ("began", "count", "first", "first_time", "last_time")

    def __init__(self, first: AuditRecord) -> None:
        self.first = first
        self.began = first.time
        self.count = 0
        self.first_time = self.last_time = first.time


class Folding:
    """The first of like calls has a record at once, and those of the `window` after it have one together when it ends.

    `capacity`: kinds of calls that are followed at a time; beyond it the window of the oldest ends early. Times in Unix
    seconds. Not for two threads at a time.
    """

    def __init__(self, window: float, capacity: int, emit: Callable[[AuditRecord], None]) -> None:
        self._window = window
        self._capacity = capacity
        self._emit = emit
        self._open: dict[Hashable, _Open] = {}
        """By what makes calls alike, the window that ends next first."""

    def __contains__(self, key: Hashable) -> bool:
        return key in self._open

    def count(self, key: Hashable, now: float) -> bool:
        """Whether the call is like one before it, and is counted with it. If not, `begin` with its record."""
        known = self._open.get(key)
        if known is None:
            return False
        if not known.count:
            known.first_time = now
        known.count += 1
        known.last_time = now
        return True

    def begin(self, key: Hashable, record: AuditRecord) -> None:
        while len(self._open) >= self._capacity:
            oldest = next(iter(self._open))
            self._close(self._open.pop(oldest), record.time)
        self._open[key] = _Open(record)
        self._emit(record)

    def turn(self, now: float) -> None:
        """Ends the windows that are over. Calls that go on get another one, without a first record of its own."""
        for key in list(self._over(now)):
            known = self._open.pop(key)
            if known.count:
                self._close(known, now)
                known.began, known.count = now, 0
                self._open[key] = known

    def close(self, now: float) -> None:
        """Ends all windows."""
        for known in self._open.values():
            self._close(known, now)
        self._open.clear()

    def _over(self, now: float) -> Iterator[Hashable]:
        for key, known in self._open.items():
            # A clock that was set back must not keep it open for longer.
            if 0 <= now - known.began < self._window:
                return
            yield key

    def _close(self, known: _Open, now: float) -> None:
        if known.count:
            self._emit(
                replace(
                    known.first,
                    id=new_id(now),
                    time=known.first_time,
                    last_time=known.last_time,
                    count=known.count,
                )
            )
