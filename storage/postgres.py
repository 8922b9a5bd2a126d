"""The store on PostgreSQL: several servers on one database, each with one writer and one commit for all who wait.

    submit ──> queue ──> writer thread:  BEGIN
                                         one unit after the other
                                         what all of them wrote
                                         NOTIFY what changed
                                         COMMIT  ──> the futures of all of them
    read   ──> a connection of its own, on the caller's thread, REPEATABLE READ

Units of one study meet at its row's lock, whichever server they come from. A group holds the locks of all its units,
and two servers whose groups want each other's would wait forever. So a group never waits: a unit that finds a lock
taken ends the group, which is committed without it, and then waits holding nothing itself. Only units that must send
something before the commit get a SAVEPOINT; of the others nothing is in the database that could be undone.

A connection that is lost fails the units it carried with Unavailable, those too whose COMMIT was under way and may have
succeeded: they are not run again here, because nothing tells whether they were. The caller repeats the call, and its
`request_id`, or the call's nature, makes that harmless.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, NoSuchModuleError

from ..domain.database import read_database, shown
from ..domain.errors import FailedPrecondition, InvalidArgument, ResourceExhausted, Unavailable
from ..domain.names import StudyName
from ..domain.study import Study
from ..domain.trial import Measurement, Trial
from . import postgres_stamp as stamps
from .exchange import Topic
from .group import GroupStore, Outcome, Unit
from .known import Known
from .migration import migrate
from .pending import Shared
from .postgres_exchange import CHANNEL, PostgresExchange, payload
from .postgres_stamp import Stamp
from .revision import REVISION
from .session import Session
from .sql import SqlTransaction
from .statements import FREE_REVISION, SAME_POINTS
from .store import Store, View
from .view import SqlView

T = TypeVar("T")
logger = logging.getLogger(__name__)
LOCK_SECONDS = 10.0
"""How long to wait for a study that another server writes to. It holds the lock for one commit, unless it hangs."""
CONNECT_SECONDS = 10
GROUP_LOCK_MILLISECONDS = 2
"""How long a group waits for a lock before it is committed without those that want it."""
SMALL = 1_000
"""Rows of a table that is analyzed each time that plans are made again: that takes milliseconds."""
MIGRATION_LOCK = 0x5741_5A49_5200
"""The advisory lock under which schemas are made and brought up to date."""


def open_postgres(url: str, *, lock_seconds: float = LOCK_SECONDS, upgrade: bool = False) -> Store:
    """The store in that database, `postgresql://user@host:port/database`.

    An empty database is made ready. An older schema is brought to the newest one with `upgrade`, and refused without:
    other servers may be running on it. Raises InvalidArgument for a URL that is none, FailedPrecondition where the
    database does not exist, the password is wrong, or it is another program's or of another version; Unavailable where
    it is away.
    """
    database = _Database(_parse(url), lock_seconds)
    with database.errors():
        link = database.connect()
        try:
            link.execute("BEGIN")
            link.execute(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")
            migrate(
                link.connection,
                database.name,
                upgrade=upgrade,
                # From here on no running server commits.
                before=lambda _: link.execute(f"SELECT pg_advisory_xact_lock({stamps.WRITE_LOCK})"),
            )
            stamps.make(link.cursor)
            link.execute("COMMIT")
        except BaseException:
            link.close()
            raise
    return _PostgresStore(database, link)


def database_of(url: str) -> _Database:
    """How to connect to it, without a store. Raises InvalidArgument for a URL that is none."""
    return _Database(_parse(url), LOCK_SECONDS)


def _parse(url: str) -> URL:
    """Raises InvalidArgument unless it is a URL of PostgreSQL."""
    if not isinstance(read_database(url, "db"), str):
        raise InvalidArgument("db", url, "must be postgresql://USER@HOST:PORT/DATABASE")
    return make_url(url).set(drivername="postgresql+psycopg")


@dataclass(slots=True)
class _Link:
    """One connection as SQLAlchemy knows it and as views do. Transactions begin and end by statements."""

    connection: Connection
    session: Session
    cursor: Any
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
        """Begins a transaction of the writer; None if somebody changes the schema or restores just now."""
        self._plan_anew()
        return stamps.begin(self.cursor)

    def _plan_anew(self) -> None:
        self.transactions += 1
        if self.transactions & (self.transactions - 1) == 0:
            self._analyze_small_tables()
            self.execute("DISCARD PLANS")

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

    @property
    def lost(self) -> bool:
        raw = cast(Any, self.connection.connection.dbapi_connection)
        return bool(raw.closed or raw.broken)

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
        raw = cast(Any, self.connection.connection.dbapi_connection)
        return int(raw.info.transaction_status)

    def close(self) -> None:
        with contextlib.suppress(Exception):  # it may be lost, and then there is nothing to close
            self.connection.close()


class _Database:
    """How to connect, and what the database's errors mean."""

    def __init__(self, url: URL, lock_seconds: float) -> None:
        self.name = shown(url.render_as_string(hide_password=False))
        self._url = url
        self._lock_seconds = lock_seconds
        try:
            self._engine = create_engine(
                url,
                poolclass=NullPool,
                isolation_level="AUTOCOMMIT",
                connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": "wazir"},
                # The session's own: it would ask for what is known.
                use_native_hstore=False,
            )
        except (ModuleNotFoundError, NoSuchModuleError) as error:
            raise FailedPrecondition("PostgreSQL needs the extra `postgres`: pip install 'wazir[postgres]'") from error

    def connect(self) -> _Link:
        connection = self._engine.connect()
        raw = cast(Any, connection.connection.dbapi_connection)
        raw.prepare_threshold = 2
        link = _Link(connection, Session(connection), raw.cursor())
        link.execute("SET search_path TO public")
        # Every statement finds its rows by an index (tests/storage/test_plans.py). To read all of a table seems cheaper
        # only while it is small, and it does not stay so.
        link.execute("SET enable_seqscan TO off")
        return link

    def connect_raw(self) -> Any:
        """A connection of psycopg itself, in autocommit mode. Raises Unavailable where the database is away."""
        import psycopg

        url = self._url.set(drivername="postgresql").render_as_string(hide_password=False)
        with self.errors():
            return psycopg.connect(url, autocommit=True, connect_timeout=CONNECT_SECONDS, application_name="wazir")

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

    def _meaning(self, error: Any) -> Exception | None:
        import psycopg

        words = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        state = error.sqlstate or ""
        if state == "55P03":
            return Unavailable(
                f"a row in {self.name} has been locked for {self._lock_seconds:g} s. Try again; if it stays so, a "
                "server or a person holds a transaction open (look at pg_stat_activity)"
            )
        if state in ("40001", "40P01"):
            return Unavailable(
                f"{self.name} could not run the transaction concurrently with others ({words}). Try again"
            )
        if state.startswith("53"):
            return ResourceExhausted(f"{self.name} has no room: {words}. Make room or raise its limits, then try again")
        if state.startswith("28") or "authentication failed" in words or "no password supplied" in words:
            return FailedPrecondition(
                f"{self.name} does not let this user in: {words}. Give the right user and password"
            )
        if state == "3D000" or ("database" in words and "does not exist" in words):
            return FailedPrecondition(f"{self.name} does not exist. Make it (createdb), or name another one")
        if state in ("3F000", "42P01"):
            return Unavailable(
                f"{self.name} lacks a table: {words}. If it is being restored, try again; otherwise restore a backup"
            )
        if state in ("25006", "42501"):
            return FailedPrecondition(f"{self.name} cannot be written: {words}. Use a user and a server that may write")
        if "invalid connection option" in words or "invalid sslmode" in words:
            return InvalidArgument("db", self.name, f"cannot be used to connect: {words}", "Fix what follows the ?")
        if isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
            return Unavailable(f"{self.name} is away: {words}. Start it, or see to the network, then try again")
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


class _LockTaken(Exception):
    """Another transaction holds a row that the unit wants."""


class PostgresTransaction(SqlTransaction):
    """Notes what other servers are to hear of once it is committed. Waits for locks only where it `waits`."""

    def __init__(self, link: _Link, known: Known, shared: Shared, *, waits: bool) -> None:
        super().__init__(link.session, known, shared)
        self._link = link
        self._waits = waits
        self.news: set[tuple[Topic, StudyName]] = set()

    def _lock_row(self, name: StudyName) -> Any:
        if self._waits:
            return super()._lock_row(name)
        row = self._one(FREE_REVISION, owner=name.owner, id=name.study)
        if row is None:
            self.study(name)
            raise _LockTaken
        return row

    def _at_points(self, key: int, points: set[str]) -> Iterable[Any]:
        return self._all(SAME_POINTS, study=key, digests=list(points))

    def _begin_sending(self) -> None:
        if not self.sent:
            # What earlier units wrote is not this one's to undo.
            self._shared.flush(self._session)
            self._link.execute("SAVEPOINT unit")
        super()._begin_sending()

    def insert_study(self, study: Study) -> None:
        super().insert_study(study)
        self.news.add((Topic.STUDY, study.name))

    def update_study(self, study: Study) -> None:
        super().update_study(study)
        self.news.add((Topic.STUDY, study.name))

    def delete_study(self, study: Study) -> None:
        super().delete_study(study)
        self.news.add((Topic.STUDY, study.name))

    def add_measurements(self, trial: Trial, attempt: int, measurements: Iterable[Measurement]) -> None:
        super().add_measurements(trial, attempt, measurements)
        self.news.add((Topic.POINTS, trial.study))


class _PostgresStore(GroupStore):
    def __init__(self, database: _Database, writer: _Link) -> None:
        self._database = database
        self._writer: _Link | None = _impatient(writer)
        self._known = Known()
        self._stamp: Stamp | None = None
        """What the database held at the last commit."""
        self._readers: list[_Link] = []
        """Connections that nobody uses. To append to a list and to pop from it are atomic."""
        self._news = PostgresExchange(database.connect_raw)
        super().__init__("wazir-postgres-writer", self._news)

    def read(self, work: Callable[[View], T]) -> T:
        self._check_open()
        with self._database.errors():
            link = self._reader()
            try:
                link.begin("ISOLATION LEVEL REPEATABLE READ READ ONLY")
                result = work(SqlView(link.session))
                link.execute("COMMIT")
            except BaseException:
                self._give_back(link)
                raise
            self._give_back(link)
            return result

    def close(self) -> None:
        super().close()
        self._close_readers()
        if self._writer is not None:
            self._writer.close()

    def _reader(self) -> _Link:
        with contextlib.suppress(IndexError):
            while True:
                link = self._readers.pop()
                if not link.lost:
                    return link
        return self._database.connect()

    def _give_back(self, link: _Link) -> None:
        if not link.lost and link.in_transaction:
            with contextlib.suppress(Exception):  # lost meanwhile; then it is not given back
                link.execute("ROLLBACK")
        if link.lost:
            link.close()
            return
        self._readers.append(link)
        if self._closed:
            self._close_readers()

    def _close_readers(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._readers.pop().close()

    # On the writer thread

    def _commit(self, units: Sequence[Unit]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        if not units:
            self._commit_group(units)
        while len(outcomes) < len(units):
            done = len(outcomes)
            group = self._commit_group(units[done:])
            # The first unit of the rest found its lock taken: it waits alone, holding nothing.
            outcomes.extend(group or self._commit_group(units[done : done + 1], waits=True))
        return outcomes

    def _commit_group(self, units: Sequence[Unit], *, waits: bool = False) -> list[Outcome]:
        """Commits units in order, up to the first that finds a lock taken unless it `waits`; the outcomes of those."""
        outcomes: list[Outcome] = []
        shared = Shared()
        news: set[tuple[Topic, StudyName]] = set()

        try:
            link = self._connected()
            self._begin(link)
            if waits:
                link.execute(f"SET LOCAL lock_timeout = {round(self._database._lock_seconds * 1000)}")
            for unit in units:
                try:
                    outcomes.append(self._run(link, unit, shared, news, waits=waits))
                except _LockTaken:
                    break
            shared.flush(link.session)
            if news:
                self._notify(link, news)
            link.execute("COMMIT")
            self._reached = True
        except Exception as error:  # noqa: BLE001 - the callers get it from their futures
            self._reached = self._writer is not None and not self._writer.lost
            self._known.forget_all()
            meaning = self._database.meaning(error)
            if self._writer is not None and not self._writer.lost and self._writer.in_transaction:
                with contextlib.suppress(Exception):  # lost meanwhile; the next group reconnects
                    self._writer.execute("ROLLBACK")
            reached = max(1, len(outcomes))
            if self._writer is not None and not self._writer.lost and len(units) > 1:
                # One of them is too much for the database, perhaps. Each on its own, it takes no other with it.
                return [outcome for unit in units[:reached] for outcome in self._commit_group([unit], waits=True)]
            return [(None, meaning) for _ in units[:reached]]
        return outcomes

    def _begin(self, link: _Link) -> None:
        """Begins a transaction in the store that this one was opened on. Raises Unavailable if it is another one."""
        stamp = link.begin_stamped()
        name = self._database.name
        if stamp is None:
            raise Unavailable(f"{name} is being upgraded or restored. Try again")

        if stamp.revision != REVISION:
            self.lost = (
                f"{name} has been brought to the schema {stamp.revision} by a newer Wazir, and this server writes "
                f"{REVISION}. Install that version of Wazir here (pip install --upgrade wazir), and start it again"
            )
            raise Unavailable(self.lost)

        before, self._stamp = self._stamp, stamp
        if before is not None and stamp != before:
            logger.warning("%s was restored; all is read anew", name, extra={"action": "restored"})
            self._news.restored()
            raise Unavailable(f"{name} was restored from a backup a moment ago. Try again")

    def _connected(self) -> _Link:
        if self._writer is None or self._writer.lost:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            self._writer = _impatient(self._database.connect())
        return self._writer

    def _run(
        self, link: _Link, unit: Unit, shared: Shared, news: set[tuple[Topic, StudyName]], *, waits: bool
    ) -> Outcome:
        """Raises _LockTaken, having undone the unit, and what broke the whole transaction."""
        transaction = PostgresTransaction(link, self._known, shared, waits=waits)
        try:
            result = unit.work(transaction)
        except BaseException as error:  # the caller gets it from the future
            if link.lost or shared.broken:
                raise
            if transaction.sent:
                link.execute("ROLLBACK TO SAVEPOINT unit")
                link.execute("RELEASE SAVEPOINT unit")
            elif link.failed:
                raise
            if not waits and _lock_taken(error):
                raise _LockTaken from error
            return None, self._database.meaning(error)
        if transaction.sent:
            link.execute("RELEASE SAVEPOINT unit")
        transaction.finish()
        news |= transaction.news
        return result, None

    def _notify(self, link: _Link, news: set[tuple[Topic, StudyName]]) -> None:
        for topic, name in news:
            text = payload(self._news.sender, topic, f"{name.owner}/{name.study}")
            link.execute("SELECT pg_notify(%s, %s)", (CHANNEL, text))


def _impatient(link: _Link) -> _Link:
    """The link, which from now on waits for no lock longer than a group may."""
    link.execute(f"SET lock_timeout = {GROUP_LOCK_MILLISECONDS}")
    return link


def _lock_taken(error: BaseException) -> bool:
    if isinstance(error, _LockTaken):
        return True
    cause = error.orig if isinstance(error, DBAPIError) else error
    return getattr(cause, "sqlstate", None) == "55P03"
