"""Signs of life for the trials that this process evaluates: one thread for all of them.

Independent of reports, so a trial may compute for hours between two of them. The answers say whether to stop.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections.abc import Callable

from ..domain.errors import NotFound, StaleAttempt, WazirError
from ..domain.names import TrialName
from .client import Client

CALL_TIMEOUT = 10.0

logger = logging.getLogger(__name__)

Tell = Callable[[str], None]
"""Takes the reason for which a trial is to end."""


class Heartbeats:
    """Beats four times a lease for every attempt held. The thread runs while there are any.

    In a forked child nothing is held: the parent goes on beating.
    """

    def __init__(self, client: Client, lease: float) -> None:
        """`lease`: seconds."""
        self._client = client.patient(0.0, min(CALL_TIMEOUT, lease / 2))
        self._interval = lease / 4
        self._reset()
        _all.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[tuple[TrialName, int], Tell] = {}
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def hold(self, trial: TrialName, attempt: int, tell: Tell) -> None:
        """From now on beats for the attempt; `tell` is called when it is to end, with the reason."""
        with self._lock:
            self._held[trial, attempt] = tell
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wazir-heartbeats", daemon=True)
                self._thread.start()

    def release(self, trial: TrialName, attempt: int) -> None:
        with self._lock:
            self._held.pop((trial, attempt), None)

    def close(self) -> None:
        """Beats no more."""
        with self._lock:
            self._held.clear()
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            with self._lock:
                if not self._held:
                    self._thread = None
                    return
                held = list(self._held.items())
            for (trial, attempt), tell in held:
                self._beat(trial, attempt, tell)

    def _beat(self, trial: TrialName, attempt: int, tell: Tell) -> None:
        try:
            instruction = self._client.heartbeat(trial, attempt)
        except (StaleAttempt, NotFound) as error:
            with self._lock:
                # Released meanwhile: it ended as it should.
                lost = self._held.pop((trial, attempt), None) is not None
            if lost:
                tell(str(error))
                extra = {"action": "attempt_stale", "trial": str(trial), "attempt": attempt}
                logger.warning("lost a trial: %s", error, extra=extra)
        except WazirError as error:
            extra = {"action": "heartbeat_failed", "trial": str(trial), "attempt": attempt}
            logger.warning("no heartbeat for %s: %s", trial.short, error, extra=extra)
        else:
            if instruction.stop is not None:
                tell(instruction.reason or f"the service asks to {instruction.stop.value}")


_all: weakref.WeakSet[Heartbeats] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for heartbeats in list(_all):
        heartbeats._reset()


os.register_at_fork(after_in_child=_after_fork_in_child)
