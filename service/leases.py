"""The lease keeper: ends attempts whose holders have gone silent.

Beats are kept in memory, by a monotonic clock. An attempt is expired only after this process has itself waited a whole
lease without a beat since it took the duty, so nothing expires within one lease of a service start.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from ..domain.names import TrialName
from ..domain.trial import Trial
from .feed import Change, Feed

Key = tuple[str, TrialName, int]
"""Study uid, trial and attempt number: a study recreated under the same name has another uid."""


class LeaseKeeper:
    """Used on the event loop only."""

    def __init__(self, feed: Feed, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[Key, tuple[float, float]] = {}
        feed.listen(self._hear)

    def watch(self, uid: str, trial: Trial) -> None:
        """Starts or stops to wait for beats, as the trial's latest attempt asks for."""
        attempt = trial.attempt
        if attempt is None:
            return
        key = (uid, trial.name, attempt.number)
        if attempt.live and attempt.leased:
            self._held.setdefault(key, (self._clock(), attempt.lease_seconds))
        else:
            self._held.pop(key, None)

    def beat(self, uid: str, name: TrialName, attempt: int) -> None:
        """A sign of life: a heartbeat or a report."""
        key = (uid, name, attempt)
        if key in self._held:
            self._held[key] = (self._clock(), self._held[key][1])

    def restart(self) -> None:
        """Waits a whole lease again for everybody: signs of life may have been missed."""
        now = self._clock()
        self._held = {key: (now, lease) for key, (_, lease) in self._held.items()}

    def forget(self) -> None:
        """Waits for nobody until told to."""
        self._held.clear()

    def overdue(self) -> list[tuple[str, TrialName, int, float]]:
        """Attempts silent for a whole lease: uid, trial, number and the lease in seconds."""
        now = self._clock()
        return [(*key, lease) for key, (beat, lease) in self._held.items() if now - beat > lease]

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
