"""A PostgreSQL database: how to connect to it, and what its errors mean."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, NoSuchModuleError

from ..domain.database import shown
from ..domain.errors import AWAY, FailedPrecondition, InvalidArgument, ResourceExhausted, Unavailable, WazirError
from .availability import Availability, Hindrance
from .limits import Limits
from .session import Session

if TYPE_CHECKING:
    from .postgres_link import LimitedConnection, Link

LOCK_TAKEN = "55P03"
_LACKING = ("42P01", "42703", "3F000")
"""Tables, columns, schemas."""
_BLOCKERS = """
SELECT a.pid, a.application_name, a.usename, a.state, EXTRACT(EPOCH FROM now() - a.xact_start)
FROM unnest(pg_blocking_pids(%s)) AS blocking (pid) JOIN pg_stat_activity a USING (pid)
"""
_END_ABANDONED = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = ANY(%s) AND application_name LIKE %s AND usename = current_user
"""


class PostgresDatabase:
    """May be used from every thread."""

    def __init__(self, url: URL, limits: Limits) -> None:
        """`url`: with the driver's name. Raises FailedPrecondition if the driver is not installed."""
        self.name = shown(url.render_as_string(hide_password=False))
        self.limits = limits
        self.sender = uuid.uuid4().hex[:12]
        """Marks this process's news and sessions."""
        self.availability = Availability(self.name, self._attempt, limits)
        self._conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
        self._abandoned: list[int] = []
        """Process ids of sessions that may not know yet that their connection is given up."""
        self.serves = False
        """Whether it was opened. What prevents connections from then on passes, or is to be seen to by whoever runs the
        server: callers may try again."""
        try:
            import psycopg  # noqa: F401

            self._engine = create_engine(
                url,
                creator=self._open,
                poolclass=NullPool,
                pool_reset_on_return=None,
                isolation_level="AUTOCOMMIT",
                # The session's own: it would ask for what is known.
                use_native_hstore=False,
            )
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise FailedPrecondition("PostgreSQL needs the extra `postgres`: pip install 'wazir[postgres]'") from error

    # Connections

    def connect(self, role: str, **settings: str) -> Link:
        """A connection for statements. `role`: what it is for, as pg_stat_activity will show. `settings`: of its
        session, beside the limits. Raises what the database's error means, at once if it is known to be away."""
        from .postgres_link import Link

        with self._connecting():
            connection = self._engine.connect()
            raw = cast("LimitedConnection", connection.connection.dbapi_connection)
            raw.prepare_threshold = 2
            self._tell_limits(raw, role, settings)
            return Link(connection, Session(connection), raw, raw.cursor(), self.limits)

    def connect_raw(self, role: str, answer: float, **settings: str) -> LimitedConnection:
        """A connection of the driver itself, in autocommit mode, whose answers come within `answer` seconds."""
        with self._connecting():
            raw = self._open()
            raw.answer = answer
            self._tell_limits(raw, role, settings)
            return raw

    def lose(self, raw: LimitedConnection, why: object) -> None:
        """Gives a connection up that failed."""
        if raw.silent or raw.abandoned():
            # Its session may not know yet, and keep its locks.
            self._abandoned.append(raw.pid)
        raw.close()
        self.availability.doubt(why)

    @contextlib.contextmanager
    def _connecting(self) -> Iterator[None]:
        self.availability.check()
        try:
            yield
        except Exception as error:
            self.availability.doubt(error)
            meaning = self.meaning(error)
            if meaning is error:
                raise
            raise self._passing(meaning) from error

    def _passing(self, meaning: BaseException) -> BaseException:
        if self.serves and isinstance(meaning, FailedPrecondition):
            return Unavailable(meaning.message, details=AWAY, retry_after=self.limits.retry)
        return meaning

    def _open(self) -> LimitedConnection:
        from .postgres_link import connect

        epoch = self.availability.epoch
        return connect(self._conninfo, self.limits, lambda: self.availability.epoch != epoch)

    def _tell_limits(self, raw: LimitedConnection, role: str, others: dict[str, str]) -> None:
        from .postgres_link import settings

        raw.execute(*settings(self.limits, f"wazir {self.sender} {role}", **others))

    def _attempt(self) -> Hindrance | None:
        """Tries if a connection can be made, and ends the sessions of those that were given up."""
        import psycopg

        raw: LimitedConnection | None = None
        try:
            raw = self._open()
            raw.answer = self.limits.connect
            raw.execute("SELECT 1")
            abandoned, self._abandoned = self._abandoned, []
            if abandoned:
                raw.execute(_END_ABANDONED, (abandoned, f"wazir {self.sender} %"))
        except psycopg.Error as error:
            meaning = self._passing(self.meaning(error))
            if not isinstance(meaning, WazirError):
                raise
            silent = isinstance(error, psycopg.errors.ConnectionTimeout) or (raw is not None and raw.silent)
            return Hindrance(meaning, silent)
        finally:
            if raw is not None:
                raw.close()
        return None

    # Errors

    def meaning(self, error: BaseException) -> BaseException:
        """The error of Wazir that an error of the driver stands for, with the way out; itself where it is none."""
        import psycopg

        cause = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(cause, psycopg.Error):
            return error
        meaning = self._meaning(cause)
        if meaning is None:
            return error
        meaning.__cause__ = error
        return meaning

    def _meaning(self, error: Any) -> WazirError | None:
        import psycopg

        words = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        state = error.sqlstate or ""
        if state == LOCK_TAKEN:
            return Unavailable(
                f"{self.name}: what the call needs is locked. Try again; if it stays so, a server or a person holds a "
                "transaction open (look at pg_stat_activity)",
                retry_after=self.limits.retry,
            )
        if state in ("40001", "40P01"):
            return Unavailable(
                f"{self.name} could not run the transaction concurrently with others ({words}). Try again"
            )
        if state == "57014":
            return Unavailable(
                f"{self.name} took longer than {self.limits.statement:g} s for one statement ({words}). Try again; if "
                "it stays so, see what the database is busy with (pg_stat_activity)",
                retry_after=self.limits.retry,
            )
        if state in _LACKING:
            return Unavailable(
                f"{self.name} lacks what Wazir keeps there ({words}). Restore it from a backup; an empty database is "
                "made ready when a server starts",
                retry_after=self.limits.retry,
            )
        if state.startswith("53"):
            return ResourceExhausted(f"{self.name} has no room: {words}. Make room or raise its limits, then try again")
        if state.startswith("28") or "authentication failed" in words or "no password supplied" in words:
            return FailedPrecondition(
                f"{self.name} does not let this user in: {words}. Give the right user and password"
            )
        if state == "3D000" or ("database" in words and "does not exist" in words):
            return FailedPrecondition(f"{self.name} does not exist. Make it (createdb), or name another one")
        if state in ("25006", "42501"):
            return FailedPrecondition(f"{self.name} cannot be written: {words}. Use a user and a server that may write")
        if any(f"invalid {what}" in words for what in ("connection option", "URI query parameter", "sslmode")):
            return InvalidArgument("db", self.name, f"cannot be used to connect: {words}", "Fix what follows the ?")
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return Unavailable(
                f"{self.name} is away: {words}. Start it, or see to the network, then try again",
                details=AWAY,
                retry_after=self.limits.retry,
            )
        return None

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Raises what an error of the database means."""
        import psycopg

        try:
            yield
        except (DBAPIError, psycopg.Error) as error:
            meaning = self.meaning(error)
            if meaning is error:
                raise
            raise meaning from error

    # Locks

    def blockers(self, pid: int) -> str:
        """Who holds what that session waits for, in words; empty if nothing tells."""
        try:
            with self.connect_raw("looks for locks", self.limits.silence) as raw:
                return ", and ".join(_blocker(*row) for row in raw.execute(_BLOCKERS, (pid,)).fetchall())
        except Exception:  # noqa: BLE001 - who waits is told less, and still told
            return ""


def _blocker(pid: int, program: str, user: str | None, state: str | None, seconds: float | None) -> str:
    """pg_stat_activity shows less of other users' sessions."""
    said = [program or "no application name"]
    if user:
        said.append(f"user {user}")
    if state:
        said.append(state)
    if seconds is not None:
        said.append(f"its transaction began {float(seconds):.0f} s ago")
    return f"pid {pid} ({', '.join(said)})"
