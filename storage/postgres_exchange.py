"""The exchange of servers on one PostgreSQL: LISTEN and NOTIFY for news, advisory locks for duties.

One connection listens, on a thread of its own, which also sends what is told, joined twice a second. Another holds the
advisory locks: they belong to its session, so a server that is killed or cut off gives up its duties by that alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ..domain.errors import Unavailable, WazirError
from ..domain.pulse import Pulse
from .exchange import Claim, Exchange, Hear, News, Topic
from .lasting import LastingThread

if TYPE_CHECKING:
    import psycopg

CHANNEL = "wazir"
SEND_EVERY = 0.5
"""Seconds between two looks at what is to be told. Small beside any lease."""
MAX_PAYLOAD = 7_900
"""Bytes; PostgreSQL refuses 8000."""
RECONNECT_AFTER = 1.0
PULSE_LIMIT = 10.0
"""Seconds without an answer of the database after which the exchange is taken to have stopped."""
PROBE_AFTER = 1.0
"""Seconds for which a connection that was well is taken to be so."""
logger = logging.getLogger(__name__)


def payload(sender: str, topic: Topic, text: str) -> str:
    return f"{sender} {topic.value} {text}"


class PostgresExchange(Exchange):
    """`connect` opens a psycopg connection in autocommit mode; `sender` marks this process's own news."""

    shared = True

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], sender: str | None = None) -> None:
        self.sender = sender or uuid.uuid4().hex[:12]
        self._connect = connect
        self._hear: Hear | None = None
        self._outbox: queue.SimpleQueue[tuple[Topic, str]] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._pulse = Pulse("exchange", PULSE_LIMIT)
        self._thread = LastingThread(target=self._run, name="wazir-exchange", daemon=True)
        self._lock = threading.Lock()
        self._session: psycopg.Connection[Any] | None = None
        """Holds the advisory locks. Guarded by `_lock`, as are the next two."""
        self._claims: dict[str, _PostgresClaim] = {}
        self._probed = 0.0

    def listen(self, hear: Hear) -> None:
        self._hear = hear
        self._pulse.beat()
        self._thread.start()

    @property
    def pulses(self) -> Sequence[Pulse]:
        return (self._pulse,) if self._thread.ident is not None else ()

    def tell(self, topic: Topic, text: str) -> None:
        self._outbox.put((topic, text))

    def restored(self) -> None:
        """Says so to who listens here; each server finds out by itself."""
        if self._hear is not None:
            self._hear(News(Topic.RESTORED))

    def claim(self, duty: str) -> Claim | None:
        import psycopg

        with self._lock:
            if self._closing.is_set() or duty in self._claims:
                return None
            try:
                session = self._alive()
                row = session.execute("SELECT pg_try_advisory_lock(%s)", (_key(duty),)).fetchone()
            except psycopg.Error as error:
                raise Unavailable(f"the database is away: {error}") from error
            if row is None or not row[0]:
                return None
            claim = self._claims[duty] = _PostgresClaim(self, duty)
            return claim

    def holds(self, claim: _PostgresClaim) -> bool:
        import psycopg

        with self._lock:
            if self._session is None or self._claims.get(claim.duty) is not claim:
                return False
            if time.monotonic() - self._probed > PROBE_AFTER:
                try:
                    self._session.execute("SELECT 1")
                except psycopg.Error:
                    self._drop_session()
                    return False
                self._probed = time.monotonic()
            return True

    def release(self, claim: _PostgresClaim) -> None:
        import psycopg

        with self._lock:
            if self._session is None or self._claims.get(claim.duty) is not claim:
                return
            del self._claims[claim.duty]
            try:
                self._session.execute("SELECT pg_advisory_unlock(%s)", (_key(claim.duty),))
            except psycopg.Error:
                # The session is gone, and its locks with it.
                self._drop_session()

    def close(self) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            self._drop_session()

    def _alive(self) -> psycopg.Connection[Any]:
        if self._session is not None and (self._session.closed or self._session.broken):
            self._drop_session()
        if self._session is None:
            self._session = self._connect()
            self._probed = time.monotonic()
        return self._session

    def _drop_session(self) -> None:
        self._claims.clear()
        if self._session is not None:
            self._session.close()
            self._session = None

    # On the thread

    def _run(self) -> None:
        import psycopg

        while not self._closing.is_set():
            try:
                self._listen()
            except (psycopg.Error, WazirError) as error:
                logger.warning("news of other servers are missed: %s", error, extra={"action": "exchange_lost"})
                self._closing.wait(RECONNECT_AFTER)
            except Exception:
                logger.exception("news of other servers are missed", extra={"action": "exchange_failed"})
                self._closing.wait(RECONNECT_AFTER)

    def _listen(self) -> None:
        """Until the exchange is closed. Raises what ends the connection."""
        with self._connect() as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            # The first time too: whoever listens has looked at the store before.
            self._say(News(Topic.MISSED))
            while not self._closing.is_set():
                self._pulse.beat()
                for notice in connection.notifies(timeout=SEND_EVERY):
                    self._heard(notice.payload)
                for text in self._to_send():
                    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, text))

    def _heard(self, text: str) -> None:
        sender, _, rest = text.partition(" ")
        topic, _, said = rest.partition(" ")
        if sender != self.sender:
            with contextlib.suppress(ValueError):  # a newer server's topic, of no concern here
                self._say(News(Topic(topic), said, sender))

    def _say(self, news: News) -> None:
        assert self._hear is not None
        try:
            self._hear(news)
        except Exception:
            logger.exception("news of other servers were not taken", extra={"action": "hear_failed"})

    def _to_send(self) -> Iterator[str]:
        """What waits, joined by line within a topic into as few messages as may be."""
        waiting: dict[Topic, list[str]] = {}
        with contextlib.suppress(queue.Empty):
            while True:
                topic, text = self._outbox.get_nowait()
                waiting.setdefault(topic, []).append(text)
        for topic, texts in waiting.items():
            joined = ""
            for text in dict.fromkeys(texts):
                longer = f"{joined}\n{text}" if joined else text
                if joined and len(payload(self.sender, topic, longer).encode()) > MAX_PAYLOAD:
                    yield payload(self.sender, topic, joined)
                    longer = text
                joined = longer
            yield payload(self.sender, topic, joined)


class _PostgresClaim(Claim):
    def __init__(self, exchange: PostgresExchange, duty: str) -> None:
        self._exchange = exchange
        self.duty = duty

    @property
    def held(self) -> bool:
        return self._exchange.holds(self)

    def release(self) -> None:
        self._exchange.release(self)


def _key(duty: str) -> int:
    """A signed number of 64 bits, as advisory locks are named by."""
    return int.from_bytes(hashlib.blake2b(duty.encode(), digest_size=8).digest(), signed=True)
