"""Duties as advisory locks of one session, which beats.

A session that ends gives its locks up. PostgreSQL notices at once that a process was killed, and only after hours that
a machine vanished or that a network fell silent. So the holder beats every second, and PostgreSQL ends the session
(`idle_session_timeout`, version 14 or newer) when no beat has come for `Limits.idle`, whatever the network does. The
holder counts from when it sent a beat that was answered, and takes its duties to be lost `Limits.held` later, which
is earlier.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from typing import TYPE_CHECKING

from .critical import CriticalThread
from .exchange import Claim
from .postgres_database import PostgresDatabase

if TYPE_CHECKING:
    from .postgres_link import LimitedConnection

logger = logging.getLogger(__name__)


class PostgresClaims:
    """May be used from every thread."""

    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._limits = database.limits
        self._lock = threading.Lock()
        """Held while the session is used."""
        self._session: LimitedConnection | None = None
        self._held: dict[str, _PostgresClaim] = {}
        self._beaten = 0.0
        """When the last beat was sent that was answered, by the monotonic clock."""
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def claim(self, duty: str) -> Claim | None:
        """Raises Unavailable where the database is away."""
        with self._lock:
            known = self._held.get(duty)
            if self._closing.is_set() or (known is not None and not known.lost):
                return None
            with self._database.errors():
                session = self._connected()
                if self._held.pop(duty, None) is not None:
                    # Its holder was told that it is lost, and the session lives on and would keep it from everybody.
                    self._ask(session, "SELECT pg_advisory_unlock(%s)", _key(duty))
                row = self._ask(session, "SELECT pg_try_advisory_lock(%s)", _key(duty))
            if row is None or not row[0]:
                return None
            claim = self._held[duty] = _PostgresClaim(self, duty)
            return claim

    def holds(self, claim: _PostgresClaim) -> bool:
        """Waits for nothing. A claim that was lost once stays so, though its session may live on."""
        if self._held.get(claim.duty) is not claim or time.monotonic() - self._beaten >= self._limits.held:
            claim.lost = True
        return not claim.lost

    def release(self, claim: _PostgresClaim) -> None:
        with self._lock:
            if self._session is None or self._held.get(claim.duty) is not claim:
                return
            del self._held[claim.duty]
            try:
                self._ask(self._session, "SELECT pg_advisory_unlock(%s)", _key(claim.duty))
            except Exception as error:  # noqa: BLE001 - the session is gone, and its locks with it
                logger.debug("a duty was given up with its session: %s", error)

    def close(self) -> None:
        self._closing.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            self._held.clear()
            if self._session is not None:
                self._session.close()
                self._session = None

    def _connected(self) -> LimitedConnection:
        if self._session is not None and (self._session.closed or self._session.broken or self._session.abandoned()):
            self._drop("the session with duties")
        if self._session is None:
            sent = time.monotonic()
            idle = str(round(self._limits.idle * 1000))
            self._session = self._database.connect_raw("duties", self._limits.silence, idle_session_timeout=idle)
            self._beaten = sent
        if self._thread is None:
            self._thread = CriticalThread(target=self._beat, name="wazir-duties", daemon=True)
            self._thread.start()
        return self._session

    def _ask(self, session: LimitedConnection, statement: str, *values: object) -> tuple[object, ...] | None:
        sent = time.monotonic()
        try:
            row: tuple[object, ...] | None = session.execute(statement, values or None).fetchone()
        except Exception as error:
            self._drop(error)
            raise
        self._beaten = sent
        return row

    def _drop(self, why: object) -> None:
        self._held.clear()
        if self._session is not None:
            self._database.lose(self._session, why)
            self._session = None

    def _beat(self) -> None:
        while not self._closing.wait(self._limits.pulse):
            with self._lock:
                if self._session is None:
                    continue
                try:
                    self._ask(self._session, "SELECT 1")
                except Exception as error:  # noqa: BLE001 - `availability` finds out what it means, and says so
                    logger.debug("the session with duties is lost: %s", error)


class _PostgresClaim(Claim):
    def __init__(self, claims: PostgresClaims, duty: str) -> None:
        self._claims = claims
        self.duty = duty
        self.lost = False

    @property
    def held(self) -> bool:
        return self._claims.holds(self)

    def release(self) -> None:
        self._claims.release(self)


def _key(duty: str) -> int:
    """A signed number of 64 bits, as advisory locks are named by."""
    return int.from_bytes(hashlib.blake2b(duty.encode(), digest_size=8).digest(), signed=True)
