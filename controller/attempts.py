"""What the controller keeps of attempts, and the calls that are under way for them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from ..domain.errors import NotFound, StaleAttempt, WazirError
from ..domain.trial import Trial, TrialState
from .collecting import Collector
from .errands import Errands
from .execution import Execution, Key
from .plan import Told
from .service import AWAY

log = logging.getLogger(__name__)


class Unfinished(Exception):
    """A call for an attempt has done a part of its work, and is to be made again when others have had their turn."""


@dataclass(slots=True)
class Remembered:
    """What the controller keeps of one attempt; see `Snapshot` for the words. All of it can be rebuilt."""

    told: float | None = None
    announced: Told | None = None
    busy: bool = False
    later: float = 0.0
    stale: bool = False
    collected: float | None = None
    collector: Collector | None = None
    token: str | None = None
    """What its code calls with; empty where it needs none, None where that is not known."""


class Attempts:
    """All attempts that are live or of which there is an execution. `clock`: Unix seconds. `retry_after`: seconds until
    a call that has failed is made again. `tokens`: whether the service gives attempts tokens, as far as is known."""

    def __init__(self, errands: Errands, clock: Callable[[], float], retry_after: float, *, tokens: bool) -> None:
        self._errands = errands
        self._clock = clock
        self._retry_after = retry_after
        self._tokens = tokens
        self._known: dict[Key, Remembered] = {}

    @property
    def busy(self) -> bool:
        """Whether a call is under way."""
        return any(attempt.busy for attempt in self._known.values())

    def refresh(
        self, live: Mapping[Key, Trial], executions: Mapping[Key, Execution], now: float
    ) -> Mapping[Key, Remembered]:
        """What is kept of each attempt, when there are just these."""
        self._known = {key: a for key, a in self._known.items() if a.busy or key in live or key in executions}
        for key, trial in live.items():
            attempt = self._of(key)
            if trial.state is TrialState.STOPPING and attempt.told is None:
                attempt.told = now
        return self._known

    def begun(self, key: Key, token: str) -> None:
        """The service has handed out the attempt; its code calls with `token`, which is empty where it needs none."""
        self._of(key).token = token
        self._tokens = bool(token)

    def token(self, key: Key) -> str | None:
        """What its code calls with; None where that is to be asked for first."""
        token = self._of(key).token
        return "" if token is None and not self._tokens else token

    def call(self, key: Key, job: Callable[[Remembered], None]) -> None:
        """Does the job on another thread. Until it is done the attempt is busy, so it alone touches its entry."""
        attempt = self._of(key)
        attempt.busy = True

        def call() -> None:
            try:
                job(attempt)
                later, stale, self._errands.trouble = 0.0, False, ""
            except Unfinished:
                later, stale = 0.0, False
            except (StaleAttempt, NotFound) as error:
                log.info("%s: %s", key, error, extra={"action": "stale", "attempt": str(key)})
                later, stale = 0.0, True
            except WazirError as error:
                # Whatever it is, training goes on and its end is kept; it is told as soon as the service takes it.
                level = logging.INFO if isinstance(error, AWAY) else logging.ERROR
                log.log(level, "%s: %s", key, error, extra={"action": "call_failed", "attempt": str(key)})
                self._errands.trouble = str(error)
                later, stale = self._clock() + self._retry_after, False
            except Exception as error:
                # A defect of ours, or something in this attempt that nobody thought of: the others go on.
                log.exception("%s: %r", key, error, extra={"action": "call_defect", "attempt": str(key)})
                self._errands.trouble = repr(error)
                later, stale = self._clock() + self._retry_after, False
            self._errands.tell(partial(_called, attempt, later, stale))

        self._errands.send(call)

    def _of(self, key: Key) -> Remembered:
        return self._known.setdefault(key, Remembered())


def _called(attempt: Remembered, later: float, stale: bool) -> None:
    attempt.busy = False
    attempt.later = later
    attempt.stale |= stale
