"""The store on one SQLite file: WAL, one writer thread, one commit for all units that wait.

    submit ──> queue ──> writer thread:  BEGIN IMMEDIATE
                                         one unit after the other
                                         COMMIT  ──> the futures of all of them
    read   ──> a connection of its own, on the caller's thread, with one snapshot for the whole of `work`

A commit waits for the disk, which takes as long for fifty units as for one; those that arrive meanwhile share the next.
`synchronous=FULL` makes a commit survive the loss of power.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from sqlalchemy import Connection, NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from ..domain.errors import AWAY, FailedPrecondition, ResourceExhausted, Unavailable, WazirError
from .exchange import LocalExchange
from .group import GroupStore, Outcome, Unit
from .known import Known
from .migration import migrate, newer
from .pending import Shared
from .revision import REVISION, VERSION_TABLE
from .session import Session
from .sql import SqlTransaction
from .sqlite_copy import check_file, copy_file, fresh
from .sqlite_file import OpenFile, named
from .store import Store, View
from .view import SqlView

T = TypeVar("T")
logger = logging.getLogger(__name__)
SETTINGS = ("synchronous=FULL", "foreign_keys=ON", "temp_store=MEMORY")
"""Pragmas of every connection."""
OF_THE_DISK = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    }
)
"""Result codes after which the next unit will hardly fare better."""
LOCK_SECONDS = 5.0
"""How long to wait for another process that writes. It holds the lock for one commit at a time, unless it hangs."""


def open_sqlite(path: str | os.PathLike[str], *, lock_seconds: float = LOCK_SECONDS, serve: bool = False) -> Store:
    """The store in that file: made with its folders where it is not there, brought to the newest schema where it is.
    With `serve` no other process may serve it until the store is closed.

    Raises FailedPrecondition where the file or its folder cannot be written, has several names, is served by another
    process that must not be, is no Wazir database, or was written by a newer Wazir; Unavailable where another process
    locks it for `lock_seconds`; ResourceExhausted on a full disk.
    """
    file = named(path)
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FailedPrecondition(
            f"{file.parent}, the folder of the database, cannot be made: {error.strerror}. "
            "Name another place for the database"
        ) from error
    if file.is_dir():
        raise FailedPrecondition(f"{file} is a folder; name a file for the database, for instance {file / 'wazir.db'}")
    opened = OpenFile(file, serve=serve)
    try:
        database = _Database(opened, lock_seconds)
        return _SqliteStore(database, _ready(database))
    except BaseException:
        opened.close()
        raise


def _ready(database: _Database) -> _Link:
    """A connection for the writer, to a file with the newest schema."""
    opened, file = database.opened, database.opened.file
    with database.errors(), ExitStack() as stack:
        link = database.connect()
        try:
            link.raw.execute("BEGIN IMMEDIATE")

            def before(found: str) -> None:
                if found:
                    stack.enter_context(opened.alone())
                    _keep_copy(link, file)

            migrate(link.connection, str(file), before=before)
            # Changes nothing, and is refused where the file is read-only; to begin is not.
            link.raw.execute("DELETE FROM studies WHERE FALSE")
            link.raw.execute("COMMIT")
            # Not before: another program's file is left as it is.
            _use_wal(link, file, database.lock_seconds)
        except BaseException:
            link.connection.close()
            raise
    return link


def _keep_copy(link: _Link, file: Path) -> None:
    """Beside a file with studies that is about to be changed; nobody else writes meanwhile. Raises FailedPrecondition
    if there is no room."""
    if link.raw.execute("SELECT 1 FROM studies").fetchone() is None:
        return
    copy = file.with_name(f"{file.name}.before-{REVISION}")
    try:
        with fresh(copy) as part:
            copy_file(file, part)
            check_file(part)
    except FailedPrecondition as error:
        raise FailedPrecondition(
            f"{file} is left as it is, because no copy of it could be kept before it is brought to the schema "
            f"{REVISION}: {error}. Make room, or move the database to where there is some"
        ) from error
    logger.warning(
        "%s is kept as it was in %s; remove that when all is well with this version of Wazir",
        file,
        copy,
        extra={"action": "copy_kept"},
    )


def _use_wal(link: _Link, file: Path, lock_seconds: float) -> None:
    # SQLite does not wait for a lock here, so two processes that make the same file would disturb each other.
    until = time.monotonic() + lock_seconds
    while True:
        try:
            (mode,) = link.raw.execute("PRAGMA journal_mode=WAL").fetchone()
        except sqlite3.Error as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
            continue
        if mode != "wal":
            raise FailedPrecondition(
                f"{file} lies where SQLite's write-ahead log does not work, for instance on a network file system. "
                "Name a place on a local disk for the database"
            )
        return


@dataclass(frozen=True, slots=True)
class _Link:
    """One connection as SQLAlchemy knows it, as the driver does, and as views do. Transactions begin and end through
    `raw`, because SQLAlchemy cannot tell BEGIN IMMEDIATE from BEGIN."""

    connection: Connection
    raw: sqlite3.Connection
    session: Session


class _Database:
    """How to connect to the file, and what its errors mean."""

    def __init__(self, opened: OpenFile, lock_seconds: float) -> None:
        self.opened = opened
        self.lock_seconds = lock_seconds
        self._engine = create_engine("sqlite://", creator=self._open, poolclass=NullPool, isolation_level="AUTOCOMMIT")

    def _open(self) -> sqlite3.Connection:
        # It is there since it was opened; a connection that made it anew would put an empty file in the place of one
        # that was taken away.
        return sqlite3.connect(
            f"{self.opened.file.absolute().as_uri()}?mode=rw",
            uri=True,
            timeout=self.lock_seconds,
            isolation_level=None,
            check_same_thread=False,  # used by one thread at a time all the same
            cached_statements=256,
        )

    def connect(self) -> _Link:
        connection = self._engine.connect()
        raw = cast(sqlite3.Connection, connection.connection.dbapi_connection)
        try:
            for setting in SETTINGS:
                raw.execute(f"PRAGMA {setting}")
        except sqlite3.Error:
            connection.close()
            raise
        return _Link(connection, raw, Session(connection))

    def meaning(self, error: BaseException) -> BaseException:
        """The error of Wazir that an error of SQLite stands for, with the way out; itself where it is none of these."""
        cause = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(cause, sqlite3.Error):
            return error
        meaning = self._meaning(_code(cause), str(cause))
        if meaning is None:
            return error
        meaning.__cause__ = error
        return meaning

    def _meaning(self, code: int, words: str) -> WazirError | None:
        file = self.opened.file
        match code:
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return Unavailable(
                    f"{file} has been locked by another process for {self.lock_seconds:g} s. Try again, or end that "
                    f"process (`fuser {file}` finds it)"
                )
            case sqlite3.SQLITE_FULL:
                return ResourceExhausted(f"{file} cannot grow: {words}. Make room on its disk, then try again")
            case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
                return FailedPrecondition(
                    f"{file} cannot be written ({words}). Make the file and its folder writable for user "
                    f"{os.geteuid()}, or name another place for the database"
                )
            case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
                return FailedPrecondition(
                    f"{file} is not a valid database ({words}). Name another file, or restore this one from a copy"
                )
            case sqlite3.SQLITE_IOERR:
                return Unavailable(f"reading or writing {file} failed ({words}). Check its disk, then try again")
        return None

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Raises what an error of SQLite means."""
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            meaning = self.meaning(error)
            if meaning is error:
                raise
            raise meaning from error


def _code(error: sqlite3.Error) -> int:
    """SQLite's primary result code; the extended ones only say more of the same."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _is_of_the_disk(error: BaseException) -> bool:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(cause, sqlite3.Error) and _code(cause) in OF_THE_DISK


class _TransactionLost(Exception):
    """The transaction must be rolled back, or SQLite has done so, and with it the units before the one that failed."""


class _SqliteStore(GroupStore):
    def __init__(self, database: _Database, writer: _Link) -> None:
        self._database = database
        self._writer = writer
        self._known = Known()
        self._version = 0
        """SQLite's `data_version` at the last commit."""
        self._readers: list[_Link] = []
        """Connections that nobody uses. To append to a list and to pop from it are atomic."""
        super().__init__("wazir-sqlite-writer", LocalExchange())

    def read(self, work: Callable[[View], T]) -> T:
        self._check_open()
        with self._database.errors():
            link = self._reader()
            try:
                link.raw.execute("BEGIN")
                return work(SqlView(link.session))
            finally:
                if link.raw.in_transaction:
                    link.raw.execute("ROLLBACK")
                self._readers.append(link)
                if self._closed:
                    self._close_readers()

    def close(self) -> None:
        super().close()
        self._close_readers()
        opened = self._database.opened
        moved = not self._writer.connection.closed and bool(opened.moved)
        if moved:
            # SQLite leaves the log of such a file where it is, without what is in it.
            with contextlib.suppress(sqlite3.Error):
                self._writer.raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        # The last connection to be closed moves the log into the file.
        self._writer.connection.close()
        if moved:
            opened.remove_log()
        opened.close()

    def _reader(self) -> _Link:
        try:
            return self._readers.pop()
        except IndexError:
            try:
                link = self._database.connect()
            except (sqlite3.Error, DBAPIError) as error:
                if moved := self._database.opened.moved:
                    raise Unavailable(moved, details=AWAY) from error
                raise
            link.raw.execute("PRAGMA query_only=ON")
            if moved := self._database.opened.moved:
                # It may have opened the file that is there now.
                link.connection.close()
                raise Unavailable(moved, details=AWAY) from None
            return link

    def _close_readers(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._readers.pop().connection.close()

    # On the writer thread

    def _commit(self, units: Sequence[Unit]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        if self._moved():
            return self._refused(units)
        try:
            self._writer.raw.execute("BEGIN IMMEDIATE")
            self._look_where_others_wrote()
        except sqlite3.Error as error:
            self._reached = False
            return [(None, self._database.meaning(error)) for _ in units]
        if self.lost:
            self._writer.raw.execute("ROLLBACK")
            return self._refused(units)
        shared = Shared(exclusive=True)
        try:
            if not self._reached:
                self._write_something()
            outcomes.extend(self._run(unit, shared) for unit in units)
            shared.flush(self._writer.session)
            self._writer.raw.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - the callers get it from their futures
            self._known.forget_all()
            if self._writer.raw.in_transaction:
                self._writer.raw.execute("ROLLBACK")
            if len(units) == 1:
                cause = error.__cause__ or error
                self._reached = not _is_of_the_disk(cause)
                return [(None, self._database.meaning(cause))]
            if not isinstance(error, _TransactionLost):
                # What they wrote together was refused. Each on its own, none takes another with it.
                return [outcome for unit in units for outcome in self._commit([unit])]
            # Those before the one that failed, that one, and those behind it.
            at = len(outcomes)
            parts = (units[:at], units[at : at + 1], units[at + 1 :])
            return [outcome for part in parts if part for outcome in self._commit(part)]
        self._reached = True
        # What was written to a file that is no longer there is not acknowledged.
        return self._refused(units) if self._moved() else outcomes

    def _moved(self) -> bool:
        self.lost = self.lost or self._database.opened.moved
        return bool(self.lost)

    def _refused(self, units: Sequence[Unit]) -> list[Outcome]:
        return [(None, Unavailable(self.lost, details=AWAY)) for _ in units]

    def _write_something(self) -> None:
        """After a failure, because a commit of nothing succeeds on a full disk too."""
        (version,) = self._writer.raw.execute("PRAGMA user_version").fetchone()
        self._writer.raw.execute(f"PRAGMA user_version={version}")

    def _look_where_others_wrote(self) -> None:
        # It is another number where another connection has committed since; this one's own commits do not count.
        (version,) = self._writer.raw.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return
        self._known.forget_all()
        self._version = version

        (schema,) = self._writer.raw.execute(f"SELECT max(version_num) FROM {VERSION_TABLE}").fetchone()
        if schema != REVISION:
            self.lost = newer(str(self._database.opened.file), schema)

    def _run(self, unit: Unit, shared: Shared) -> Outcome:
        """Raises _TransactionLost where the unit failed and left something in the transaction, or ended it."""
        transaction = SqlTransaction(self._writer.session, self._known, shared)
        try:
            result = unit.work(transaction)
            transaction.finish()
        except BaseException as error:  # the caller gets it from the future
            # No SAVEPOINT for each unit: almost all that are refused are refused before they send anything.
            if transaction.sent or shared.broken or not self._writer.raw.in_transaction:
                raise _TransactionLost from error
            return None, self._database.meaning(error)
        return result, None
