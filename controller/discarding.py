"""The removal of checkpoints that nobody needs any more, which may take its time."""

from __future__ import annotations

import logging

from .errands import Errands
from .runtime import Runtime

log = logging.getLogger(__name__)


class Discarding:
    """What cannot be removed now is tried again by the next controller, which knows no more than that these trials
    have ended."""

    def __init__(self, runtime: Runtime, errands: Errands) -> None:
        self.under_way = 0
        """Removals that are not over."""
        self._runtime = runtime
        self._errands = errands

    def begin(self, uid: str, trials: frozenset[int] | None) -> None:
        """Has the checkpoints of these trials of the study removed; None: of all."""
        self.under_way += 1

        def discard() -> None:
            try:
                self._runtime.discard(uid, trials)
            except Exception as error:  # noqa: BLE001 - nothing waits for it
                log.warning("cannot remove checkpoints: %s", error, extra={"action": "discard_failed", "uid": uid})
            self._errands.tell(self._done)

        self._errands.send(discard)

    def _done(self) -> None:
        self.under_way -= 1
