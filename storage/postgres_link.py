"""One connection to PostgreSQL, on which nothing waits without a limit.

TCP notices a peer that acknowledges nothing. It does not notice one that acknowledges and never answers: a proxy that
lost its other side, a server that hangs. So a statement is also given up when no byte of its answer has come for a
while, or when the database is known to be away; its connection is closed then, because nothing tells what became of it.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import psycopg
from sqlalchemy import Connection

from . import postgres_stamp as stamps
from .limits import Limits
from .postgres_stamp import Stamp
from .session import Session

R = TypeVar("R")
_TIMEOUT: type[Exception] | None = getattr(psycopg.errors, "_WaitTimeout", None)
"""What the driver raises if it was told how long to wait, from its version 3.3 on."""
_AT_ONCE = 0.05
SMALL = 1_000
"""Rows of a table that is analyzed each time that plans are made again: that takes milliseconds."""


class LimitedConnection(psycopg.Connection[Any]):
    """`answer`: seconds without a byte after which a statement is given up. `abandoned`: whether all connections made
    when this one was are to be given up. `slow`: what to call once a statement has taken `SLOW` seconds."""

    SLOW = 0.5
    answer: float = math.inf
    silent = False
    """Whether it was given up for want of an answer."""
    pid = 0
    """Of its session's process, which is not known any more once the connection is closed."""

    @staticmethod
    def abandoned() -> bool:
        return False

    slow: Callable[[], None] | None = None

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs or _TIMEOUT is None:
            return super().wait(self._limited(gen, started=False), *args, **kwargs)
        # Nearly every answer comes at once, and the driver's own loop costs a third less.
        try:
            return super().wait(gen, timeout=_AT_ONCE)
        except _TIMEOUT:
            return super().wait(self._limited(gen, started=True))

    def _limited(self, gen: Generator[Any, Any, R], *, started: bool) -> Generator[Any, Any, R]:
        try:
            wanted = gen.send(0) if started else next(gen)
        except StopIteration as done:
            return cast(R, done.value)

        began = heard = time.monotonic()
        slow = self.slow
        while True:
            ready = yield wanted
            if ready:
                heard = time.monotonic()
            else:
                now = time.monotonic()
                if now - heard > self.answer or self.abandoned():
                    self._give_up(now - heard)
                if slow is not None and now - began > self.SLOW:
                    slow()
                    slow = None
            try:
                wanted = gen.send(ready)
            except StopIteration as done:
                return cast(R, done.value)

    def _give_up(self, seconds: float) -> None:
        self.silent = True
        self.close()
        raise psycopg.OperationalError(f"no answer for {seconds:.1f} s")


def connect(conninfo: str, limits: Limits, abandoned: Callable[[], bool]) -> LimitedConnection:
    """A new connection in autocommit mode. What the conninfo says about time-outs goes before `limits`."""
    given = psycopg.conninfo.conninfo_to_dict(conninfo)
    every = max(1, round(limits.network / 4))
    standard: dict[str, Any] = {
        "connect_timeout": max(2, math.ceil(limits.connect)),
        "tcp_user_timeout": round(limits.network * 1000),
        "keepalives": 1,
        "keepalives_idle": every,
        "keepalives_interval": every,
        "keepalives_count": 3,
        "application_name": "wazir",
    }
    raw = LimitedConnection.connect(
        conninfo, autocommit=True, **{name: value for name, value in standard.items() if name not in given}
    )
    raw.pid = raw.info.backend_pid
    raw.answer = limits.answer
    raw.abandoned = abandoned  # type: ignore[method-assign]  # one for each connection
    return raw


_SETTINGS = """
SELECT set_config(name, value, false)
FROM pg_settings JOIN unnest(%s::text[], %s::text[]) AS wanted (name, value) USING (name)
"""
"""Settings that this version does not have are left out."""


def settings(limits: Limits, name: str, **others: str) -> tuple[str, list[list[str]]]:
    """The statement that tells PostgreSQL the limits of a session with that name, with its values."""
    every = str(max(1, round(limits.network / 4)))
    wanted = {
        "application_name": name,
        "search_path": "public",
        # Every statement finds its rows by an index (tests/storage/test_plans.py). To read all of a table seems cheaper
        # only while it is small, and it does not stay so.
        "enable_seqscan": "off",
        "statement_timeout": _milliseconds(limits.statement),
        "lock_timeout": _milliseconds(limits.lock_turn),
        "idle_in_transaction_session_timeout": _milliseconds(limits.idle),
        "tcp_user_timeout": _milliseconds(limits.network),
        "tcp_keepalives_idle": every,
        "tcp_keepalives_interval": every,
        "tcp_keepalives_count": "3",
        # From version 14 on.
        "client_connection_check_interval": _milliseconds(limits.network / 4),
        **others,
    }
    return _SETTINGS, [list(wanted), list(wanted.values())]


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))


@dataclass(slots=True)
class Link:
    """One connection as SQLAlchemy knows it and as views do. Transactions begin and end by statements."""

    connection: Connection
    session: Session
    raw: LimitedConnection
    cursor: Any
    limits: Limits
    transactions: int = 0

    def begin(self, mode: str = "") -> None:
        """Begins a transaction.

        PostgreSQL keeps the plan of a prepared statement. One that was made when the table was empty reads a whole
        study to find a trial, and is used until autovacuum has looked at the table. So plans are made again each time
        that this connection has been used twice as often.
        """
        self._plan_anew()
        self.execute(f"BEGIN {mode}")

    def begin_stamped(self) -> Stamp | None:
        """Begins a transaction of a writer; None if somebody changes the schema or restores just now."""
        self._plan_anew()
        return stamps.begin(self.cursor)

    def _plan_anew(self) -> None:
        self.transactions += 1
        if self.transactions & (self.transactions - 1) == 0:
            self.execute("DISCARD PLANS")
            # Somebody may have locked them; who needs them waits then, and this can be done another time.
            with contextlib.suppress(psycopg.errors.LockNotAvailable):
                self._analyze_small_tables()

    def _analyze_small_tables(self) -> None:
        """Counts rows, which autovacuum does once a minute at most. As long as a table counts as almost empty, all its
        indexes that begin with the study seem equally good."""
        for table in ("trials", "measurements"):
            self.execute(
                f"SELECT reltuples < {SMALL} AND EXISTS (SELECT FROM {table}) FROM pg_class "
                f"WHERE oid = '{table}'::regclass"
            )
            (small,) = self.cursor.fetchone()
            if small:
                self.execute(f"ANALYZE (SKIP_LOCKED) {table}")

    def execute(self, statement: str, values: Sequence[object] = ()) -> None:
        self.cursor.execute(statement, values or None)

    def wait_for_locks(self, seconds: float) -> None:
        """Until the end of the transaction, a statement waits for a lock so long."""
        self.execute(f"SET LOCAL lock_timeout = {_milliseconds(seconds)}")

    @contextlib.contextmanager
    def long_statement(self) -> Iterator[None]:
        """For what takes its time, inside a transaction."""
        self.raw.answer, answer = self.limits.long_statement, self.raw.answer
        try:
            self.execute(f"SET LOCAL statement_timeout = {_milliseconds(self.limits.long_statement)}")
            yield
            self.execute(f"SET LOCAL statement_timeout = {_milliseconds(self.limits.statement)}")
        finally:
            self.raw.answer = answer

    @property
    def lost(self) -> bool:
        return bool(self.raw.closed or self.raw.broken or self.raw.abandoned())

    @property
    def in_transaction(self) -> bool:
        return self._status != 0

    @property
    def failed(self) -> bool:
        """Whether nothing but a ROLLBACK is possible."""
        return self._status == 3

    @property
    def _status(self) -> int:
        """libpq's PGTransactionStatusType."""
        return int(self.raw.info.transaction_status)

    def roll_back(self) -> None:
        """Ends the transaction, if there is one; the connection may be lost by it."""
        if not self.lost and self.in_transaction:
            with contextlib.suppress(Exception):
                self.execute("ROLLBACK")

    def close(self) -> None:
        # First the driver's, which waits for nothing: SQLAlchemy would ask a silent server to roll back.
        self.raw.close()
        with contextlib.suppress(Exception):  # it may be lost, and then there is nothing to close
            self.connection.close()
