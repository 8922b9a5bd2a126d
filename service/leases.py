"""The lease keeper: ends attempts whose holders have gone silent.

Beats are kept in memory, by a monotonic clock. An attempt is expired only after this process has itself waited a whole
lease without a beat since it took the duty, so nothing expires within one lease of a service start. Time in which
nobody could be heard (this process was stopped, or the server that a holder beats at is) is nobody's silence.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from ..domain.names import TrialName
from ..domain.trial import Trial
from .feed import Change, Feed

Key = tuple[str, TrialName, int]
"""Study uid, trial and attempt number: a study recreated under the same name has another uid."""

BEATS_A_LEASE: Final = 4
"""As many as clients send."""


@dataclass(slots=True)
class _Held:
    since: float
    """When the last sign of life was heard, or waiting began."""
    lease: float
    heard_by: str | None = None
    """The server that heard it: empty for this one, None if nobody has yet."""


LastWord = Callable[[str | None], float]
"""When a server (as in `_Held.heard_by`) said last that it is there, by the keeper's clock; inf if it always does."""


def _always_there(server: str | None) -> float:
    return math.inf


def _silent(held: _Held, now: float, last_word: LastWord) -> bool:
    """Whether a whole lease has passed, and whoever would have told of a beat was there to the end of it."""
    due = held.since + held.lease
    return now > due and last_word(held.heard_by) > due


class LeaseKeeper:
    """Used on the event loop only, but for `is_overdue`."""

    def __init__(self, feed: Feed, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[Key, _Held] = {}
        feed.listen(self._hear)

    def watch(self, uid: str, trial: Trial) -> None:
        """Starts or stops to wait for beats, as the trial's latest attempt asks for."""
        attempt = trial.attempt
        if attempt is None:
            return
        key = (uid, trial.name, attempt.number)
        if not (attempt.live and attempt.leased):
            self._held.pop(key, None)
        elif key not in self._held:
            self._held[key] = _Held(self._clock(), attempt.lease_seconds)

    def beat(self, uid: str, name: TrialName, attempt: int, heard_by: str = "") -> None:
        """A sign of life, a heartbeat or a report. `heard_by`: the other server that was given it."""
        held = self._held.get((uid, name, attempt))
        if held is not None:
            held.since, held.heard_by = self._clock(), heard_by

    def restart(self) -> None:
        """Waits a whole lease again for everybody: signs of life may have been missed."""
        now = self._clock()
        for held in self._held.values():
            held.since = now

    def skip(self, seconds: float, heard_by: str | None = None) -> None:
        """For so long, up to now, nobody could be heard, or nobody by that other server: that is no silence. If it was
        a good part of a lease, signs of life may have been lost, and a whole lease is waited for again."""
        now = self._clock()
        for held in self._held.values():
            if heard_by is None or held.heard_by in (None, heard_by):
                lost = seconds * BEATS_A_LEASE > held.lease
                held.since = now if lost else min(now, held.since + seconds)

    def forget(self) -> None:
        """Waits for nobody until told to."""
        self._held.clear()

    def overdue(self, last_word: LastWord = _always_there) -> list[tuple[str, TrialName, int, float]]:
        """Attempts silent for a whole lease: uid, trial, number and the lease in seconds."""
        now = self._clock()
        return [(*key, held.lease) for key, held in self._held.items() if _silent(held, now, last_word)]

    def is_overdue(self, uid: str, name: TrialName, attempt: int, last_word: LastWord = _always_there) -> bool:
        held = self._held.get((uid, name, attempt))
        return held is not None and _silent(held, self._clock(), last_word)

    def drop(self, uid: str, name: TrialName, attempt: int) -> None:
        self._held.pop((uid, name, attempt), None)

    def __len__(self) -> int:
        return len(self._held)

    def _hear(self, change: Change) -> None:
        if change.deleted:
            gone: Iterable[Key] = [key for key in self._held if key[0] == change.study.uid]
            for key in gone:
                del self._held[key]
        for trial in change.trials:
            self.watch(change.study.uid, trial)
