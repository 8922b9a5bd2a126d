"""The store on PostgreSQL: several servers on one database, each with one writer and one commit for all who wait.

    submit ──> queue ──> writer thread:  BEGIN
                                         one unit after the other
                                         what all of them wrote
                                         NOTIFY what changed
                                         COMMIT  ──> the futures of all of them
    read   ──> a connection of its own, on the caller's thread, REPEATABLE READ

Units of one study meet at its row's lock, whichever server they come from. A group holds the locks of all its units,
and two servers whose groups want each other's would wait forever. So a group never waits: a unit that finds a lock
taken leaves the group, and waits in a line of its study (`lines.py`), holding nothing itself.

A connection that is lost fails the units it carried with Unavailable, those too whose COMMIT was under way and may have
succeeded: they are not run again here, because nothing tells whether they were. The caller repeats the call, and its
`request_id`, or the call's nature, makes that harmless.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.engine import URL, make_url

from ..domain.database import read_database
from ..domain.errors import AWAY, InvalidArgument, Unavailable
from . import postgres_stamp as stamps
from .committer import Committer
from .group import GroupStore, Outcome, Unit
from .limits import STANDARD, Limits
from .lines import Lines
from .migration import migrate, newer
from .postgres_database import PostgresDatabase
from .postgres_exchange import PostgresExchange
from .postgres_stamp import Stamp
from .postgres_transaction import LockMet
from .revision import REVISION
from .store import Store, View
from .view import SqlView

if TYPE_CHECKING:
    from .postgres_link import Link

T = TypeVar("T")
logger = logging.getLogger(__name__)
_READS = "ISOLATION LEVEL REPEATABLE READ READ ONLY"
RESTORING = 1.0
"""Seconds after which a caller may look if a restore is over."""
MIGRATION_LOCK = 0x5741_5A49_5200
"""The advisory lock under which schemas are made and brought up to date."""


def open_postgres(url: str, *, limits: Limits = STANDARD, upgrade: bool = False) -> Store:
    """The store in that database, `postgresql://user@host:port/database`.

    An empty database is made ready. An older schema is brought to the newest one with `upgrade`, and refused without:
    other servers may be running on it. Raises InvalidArgument for a URL that is none, FailedPrecondition where the
    database does not exist, the password is wrong, or it is another program's or of another version; Unavailable where
    it is away.
    """
    database = database_of(url, limits)
    try:
        with database.errors():
            _prepare(database, upgrade=upgrade)
    except BaseException:
        database.availability.close()
        raise
    database.serves = True
    return _PostgresStore(database)


def _prepare(database: PostgresDatabase, *, upgrade: bool) -> None:
    link = database.connect("opens")
    try:
        link.execute("BEGIN")
        link.wait_for_locks(database.limits.statement)
        link.execute(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
        with link.long_statement() if upgrade else contextlib.nullcontext():
            migrate(
                link.connection,
                database.name,
                upgrade=upgrade,
                # From here on no running server commits.
                before=lambda _: link.execute(f"SELECT pg_advisory_xact_lock({stamps.WRITE_LOCK})"),
            )
        stamps.make(link.cursor)
        link.execute("COMMIT")
    finally:
        link.close()


def database_of(url: str, limits: Limits = STANDARD) -> PostgresDatabase:
    """How to connect to it, without a store. Raises InvalidArgument for a URL that is none."""
    return PostgresDatabase(_parse(url), limits)


def _parse(url: str) -> URL:
    """Raises InvalidArgument unless it is a URL of PostgreSQL."""
    if not isinstance(read_database(url, "db"), str):
        raise InvalidArgument("db", url, "must be postgresql://USER@HOST:PORT/DATABASE")
    return make_url(url).set(drivername="postgresql+psycopg")


class _PostgresStore(GroupStore):
    def __init__(self, database: PostgresDatabase) -> None:
        self._database = database
        self._lines = Lines(
            database.name,
            committer=lambda: Committer(database, "waits for locks", lambda study: False, self._check),
            blockers=database.blockers,
            limits=database.limits,
        )
        self._committer = Committer(database, "writes", self._lines.parked, self._check)
        self._stamp: Stamp | None = None
        """What the database held at the last commit."""
        self._stamping = threading.Lock()
        self._readers: list[Link] = []
        """Connections that nobody uses. To append to a list and to pop from it are atomic."""
        self._news = PostgresExchange(database)
        super().__init__("wazir-postgres-writer", self._news)

    def read(self, work: Callable[[View], T]) -> T:
        self._check_open()
        with self._database.errors():
            link = self._begun()
            try:
                result = work(SqlView(link.session))
                link.execute("COMMIT")
            except BaseException as error:
                self._give_back(link, error)
                raise
            self._give_back(link)
            return result

    def close(self) -> None:
        super().close()
        self._close_readers()
        self._database.availability.close()

    def _begun(self) -> Link:
        """A connection with a transaction begun. One that was cut while nobody used it is passed over."""
        with contextlib.suppress(IndexError):
            while True:
                link = self._readers.pop()
                try:
                    if not link.lost:
                        link.begin(_READS)
                        return link
                except Exception as error:
                    if not link.lost or link.raw.silent:
                        self._give_back(link, error)
                        raise
                self._give_back(link)

        link = self._database.connect("reads")
        link.begin(_READS)
        return link

    def _give_back(self, link: Link, error: object = "") -> None:
        link.roll_back()
        if link.lost:
            self._database.lose(link.raw, error)
            link.close()
            return
        self._readers.append(link)
        if self._closed:
            self._close_readers()

    def _close_readers(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._readers.pop().close()

    # On the threads that write

    def _check(self, stamp: Stamp | None) -> None:
        """Raises Unavailable if the database is another store than this one was opened on."""
        name = self._database.name
        if stamp is None:
            raise Unavailable(f"{name} is being upgraded or restored. Try again", retry_after=RESTORING)

        if stamp.revision != REVISION:
            self.lost = newer(name, stamp.revision)
            raise Unavailable(self.lost, details=AWAY)

        with self._stamping:
            before, self._stamp = self._stamp, stamp
        if before is not None and stamp != before:
            logger.warning("%s was restored; all is read anew", name, extra={"action": "restored"})
            self._news.restored()
            raise Unavailable(f"{name} was restored from a backup a moment ago. Try again", retry_after=RESTORING)

    def _commit(self, units: Sequence[Unit]) -> Sequence[Outcome | None]:
        outcomes: list[Outcome | None] = list(self._committer.commit(units))
        self._reached = self._committer.reached
        for at, (unit, outcome) in enumerate(zip(units, outcomes, strict=True)):
            if outcome is not None and isinstance(outcome[1], LockMet):
                self._lines.put(unit, outcome[1])
                outcomes[at] = None
        return outcomes

    def _end(self) -> None:
        self._lines.close()
        self._committer.close()
