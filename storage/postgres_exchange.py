"""The exchange of servers on one PostgreSQL: LISTEN and NOTIFY for news, advisory locks for duties.

One connection listens, on a thread of its own, which also sends what is told, joined twice a second. Every second it
tells itself something: where that does not come back the connection has fallen silent, and is made anew.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..domain.errors import Unavailable, WazirError
from ..domain.pulse import Pulse
from .critical import CriticalThread
from .exchange import Claim, Exchange, Hear, News, Topic
from .postgres_claims import PostgresClaims
from .postgres_database import PostgresDatabase

if TYPE_CHECKING:
    from .postgres_link import LimitedConnection

CHANNEL = "wazir"
SEND_EVERY = 0.5
"""Seconds between two looks at what is to be told. Small beside any lease."""
MAX_PAYLOAD = 7_900
"""Bytes; PostgreSQL refuses 8000."""
RECONNECT_AFTER = 0.5
PULSE_LIMIT = 10.0
"""Seconds without an answer of the database after which the exchange is taken to have stopped."""
END_VANISHED = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name LIKE 'wazir%%'
  AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%%'
  AND state_change < clock_timestamp() - make_interval(secs => %s)
"""
"""Ends sessions of servers that have vanished, or are paused, within a transaction. PostgreSQL is told to do that
itself (`idle_in_transaction_session_timeout`), and has been seen not to."""
logger = logging.getLogger(__name__)


def payload(sender: str, topic: Topic, text: str) -> str:
    return f"{sender} {topic.value} {text}"


class PostgresExchange(Exchange):
    shared = True

    def __init__(self, database: PostgresDatabase) -> None:
        self.sender = database.sender
        self._database = database
        self._limits = database.limits
        self._claims = PostgresClaims(database)
        self._hear: Hear | None = None
        self._outbox: queue.SimpleQueue[tuple[Topic, str]] = queue.SimpleQueue()
        self._closing = threading.Event()
        self._pulse = Pulse("exchange", PULSE_LIMIT)
        self._thread = CriticalThread(target=self._run, name="wazir-exchange", daemon=True)

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
            self._say(News(Topic.RESTORED))

    def claim(self, duty: str) -> Claim | None:
        return self._claims.claim(duty)

    def close(self) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._claims.close()

    # On the thread

    def _run(self) -> None:
        import psycopg

        again = False
        while not self._closing.is_set():
            try:
                with contextlib.closing(self._connected()) as connection:
                    self._exchange(connection, again=again)
            except (psycopg.Error, WazirError) as error:
                # What it means `availability` finds out, and says.
                logger.debug("news of other servers are missed: %s", error)
            except Exception:
                logger.exception("news of other servers are missed", extra={"action": "exchange_failed"})
            if not self._closing.is_set():
                self._say(News(Topic.LOST))
                again = True
                self._closing.wait(RECONNECT_AFTER)

    def _connected(self) -> LimitedConnection:
        connection = self._database.connect_raw("listens", self._limits.silence)
        connection.execute(f'LISTEN {CHANNEL}; LISTEN "{self._own}"')
        return connection

    @property
    def _own(self) -> str:
        """The channel on which it hears itself."""
        return f"{CHANNEL}_{self.sender}"

    def _exchange(self, connection: LimitedConnection, *, again: bool) -> None:
        """Until the exchange is closed. Raises what ends the connection. `again`: whether there was one before."""
        # The first time too: whoever listens has looked at the store before.
        self._say(News(Topic.MISSED))
        try:
            if again:
                # What was told on the other connection may be lost.
                self._send(connection, payload(self.sender, Topic.MISSED, ""))
            sent = heard = looked = time.monotonic()
            while not self._closing.is_set():
                rest = sent + self._limits.pulse - time.monotonic()
                for notice in connection.notifies(timeout=min(max(rest, 0.05), SEND_EVERY)):
                    if notice.channel == CHANNEL:
                        self._heard(notice.payload)
                    else:
                        heard = time.monotonic()
                        self._pulse.beat()
                for text in self._to_send():
                    self._send(connection, text)
                sent = self._tell_itself(connection, sent, heard)
                if time.monotonic() - looked > self._limits.idle / 5:
                    looked = time.monotonic()
                    self._end_vanished(connection)
        except Exception as error:
            self._database.lose(connection, error)
            raise

    def _send(self, connection: LimitedConnection, text: str) -> None:
        connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, text))

    def _tell_itself(self, connection: LimitedConnection, sent: float, heard: float) -> float:
        """When it last told itself something. Raises Unavailable if that did not come back."""
        now = time.monotonic()
        if heard < sent and now - sent > self._limits.silence + SEND_EVERY:
            raise Unavailable(
                f"notifications of {self._database.name} do not arrive. Connect to PostgreSQL itself, or through a "
                "pooler that keeps a session for each connection"
            )
        if now - sent < self._limits.pulse or heard < sent:
            return sent
        connection.execute("SELECT pg_notify(%s, '')", (self._own,))
        return now

    def _end_vanished(self, connection: LimitedConnection) -> None:
        # A moment later than PostgreSQL should have done it.
        ended = connection.execute(END_VANISHED, (self._limits.idle * 1.1,)).fetchall()
        if ended:
            logger.warning(
                "%d sessions of servers that do not go on with a transaction were ended",
                len(ended),
                extra={"action": "vanished_ended"},
            )

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
