"""Whether a database can be reached: the one place that knows, and says so once.

    there ── a connection is lost ──> doubted ── one can be made ──> there
                                         └─ none can be ──> away ── one can be made ──> there: "is back after 3 s"

While it is away a thread tries to reach it, and everybody else is refused at once: a hundred callers that each wait for
a time-out would wait for nothing, and use up the threads.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..domain.errors import Unavailable, WazirError
from .limits import Limits

FIRST_PAUSE = 0.1
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hindrance:
    """What prevents connections. `silent`: no answer came, so connections made before will have none either."""

    error: WazirError
    silent: bool = False


class Availability:
    """May be used from every thread. `attempt` makes a connection and closes it again, or says what prevents it."""

    def __init__(self, name: str, attempt: Callable[[], Hindrance | None], limits: Limits) -> None:
        self._name = name
        self._attempt = attempt
        self._limits = limits
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._away: Hindrance | None = None
        self._closing = threading.Event()
        self.epoch = 0
        """Rises when the database has fallen silent: connections of an earlier one are to be given up."""

    def check(self) -> None:
        """Raises what prevents connections, if the database is known to be away."""
        away = self._away
        if away is not None:
            error = away.error
            raise type(error).restore(error.message, error.field, dict(error.details))

    def doubt(self, why: object) -> None:
        """A connection was lost, or could not be made. Finds out what that means, and does not wait for it. `why`: to
        be told if it means nothing more; not told if empty."""
        with self._lock:
            if self._thread is None and not self._closing.is_set():
                self._thread = threading.Thread(target=self._look, args=(why,), name="wazir-availability", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Ends the looking, without waiting for a look that is under way."""
        self._closing.set()

    # On its thread

    def _look(self, why: object) -> None:
        began, pause = time.monotonic(), FIRST_PAUSE
        while (hindrance := self._try()) is not None and not self._closing.is_set():
            self._note_away(hindrance)
            self._closing.wait(pause)
            pause = min(2 * pause, self._limits.retry)

        with self._lock:
            self._thread = None
        if hindrance is None:
            self._note_there(why, time.monotonic() - began)

    def _try(self) -> Hindrance | None:
        try:
            return self._attempt()
        except Exception as error:
            logger.exception("trying to reach %s failed", self._name, extra={"action": "availability_failed"})
            return Hindrance(Unavailable(f"{self._name} cannot be reached: {error}", retry_after=self._limits.retry))

    def _note_away(self, hindrance: Hindrance) -> None:
        if self._away is None:
            logger.warning("%s", hindrance.error.message, extra={"action": "database_away"})
        if hindrance.silent and not (self._away is not None and self._away.silent):
            self.epoch += 1
        self._away = hindrance

    def _note_there(self, why: object, seconds: float) -> None:
        if self._away is not None:
            self._away = None
            logger.warning("%s is back after %.3g s", self._name, seconds, extra={"action": "database_back"})
        elif why:
            logger.info("%s: a connection was lost: %s", self._name, why, extra={"action": "connection_lost"})
