"""A look at a file of SQLite: read only, quick to begin, and without the right to write.

`open_sqlite` is for who serves a file: it loads SQLAlchemy, which takes longer than most looks, brings the file to the
newest schema and must be able to write. Here the same reads (`view.py`) run on plain statements, and a file that cannot
be read as it is is refused.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections import namedtuple
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, ClassVar

from ..domain.errors import FailedPrecondition, Unavailable
from .revision import REVISION, VERSION_TABLE
from .sqlite_file import OpenFile, named
from .store import View
from .view import SqlView

LOCK_SECONDS = 5.0


class NotReadable(FailedPrecondition):
    """Another schema, or none yet: who may write to the file has to open it first."""


@contextmanager
def look(file: Path) -> Iterator[View]:
    """A view of the file as it is at one moment, even if others write to it.

    Raises NotReadable if it has not the newest schema, FailedPrecondition if this user may not read it, or if it has
    another name by which it may be written to, Unavailable if it stays locked.
    """
    file = named(file)
    with closing(OpenFile(file, make=False)), _meanings(file), _connected(file) as connection:
        _check_schema(connection, file)
        connection.execute("BEGIN")
        yield SqlView(_Session(connection))


@contextmanager
def _connected(file: Path) -> Iterator[sqlite3.Connection]:
    if writable(file):
        with closing(_connect(file, "mode=rw")) as connection:
            connection.execute("PRAGMA query_only=ON")
            yield connection
    elif _readable_beside_a_writer(file):
        with closing(_connect(file, "mode=ro")) as connection:
            yield connection
    elif not _log_of(file).exists():
        # Nobody has it open. SQLite would make a log, which it may not, unless it is told that nothing changes.
        with closing(_connect(file, "mode=ro&immutable=1")) as connection:
            yield connection
    else:
        # Whoever wrote the log was killed, and to read it takes the right to write beside it.
        with tempfile.TemporaryDirectory(prefix="wazir-look-") as folder:
            copy = Path(folder) / file.name
            _copy(file, copy)
            with closing(_connect(copy, "mode=rw")) as connection:
                yield connection


def _readable_beside_a_writer(file: Path) -> bool:
    """While somebody has the file open, a reader finds the log and its index, and needs to make neither."""
    try:
        with closing(_connect(file, "mode=ro")) as connection:
            connection.execute("SELECT 1 FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError:
        return False
    return True


def _copy(file: Path, copy: Path) -> None:
    try:
        for source, target in ((file, copy), (_log_of(file), _log_of(copy))):
            shutil.copyfile(source, target)
    except OSError as error:
        raise _unreadable(file, error) from error


def writable(file: Path) -> bool:
    """Whether this user may change the database: the file, and what SQLite puts beside it."""
    return os.access(file, os.W_OK) and os.access(file.absolute().parent, os.W_OK | os.X_OK)


def _connect(file: Path, how: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.as_uri()}?{how}", uri=True, timeout=LOCK_SECONDS, isolation_level=None)


def _log_of(file: Path) -> Path:
    return file.with_name(file.name + "-wal")


@contextmanager
def _meanings(file: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise Unavailable(f"{file} is locked by another process. Try again") from error
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY):
            raise _unreadable(file, error) from error
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise FailedPrecondition(
                f"{file} is not a valid database ({error}). Name another file, or restore this one from a copy"
            ) from error
        raise NotReadable(f"{file} cannot be read as a database of Wazir: {error}") from error


def _unreadable(file: Path, error: Exception) -> FailedPrecondition:
    return FailedPrecondition(
        f"{file} cannot be read by user {os.geteuid()} ({error}). Ask its owner for the right to read the file and its "
        "folder"
    )


def _check_schema(connection: sqlite3.Connection, file: Path) -> None:
    (found,) = connection.execute(f"SELECT max(version_num) FROM {VERSION_TABLE}").fetchone()
    if found != REVISION:
        raise NotReadable(
            f"{file} has the schema {found}, and this version of Wazir reads {REVISION}. Who may write to it "
            "brings it up to date with any command"
        )


class _Reads:
    """`statements.py` in SQLite's words, as far as commands look."""

    STUDY = "SELECT * FROM studies WHERE owner = :owner AND id = :id"
    KEY_OF_UID = "SELECT key FROM studies WHERE uid = :uid"
    IDS_OF_OWNER = "SELECT id FROM studies WHERE owner = :owner ORDER BY id LIMIT :limit"
    STUDIES = "SELECT * FROM studies WHERE (owner, id) > (:after_owner, :after_id) ORDER BY owner, id LIMIT :limit"
    STUDIES_OF_OWNER = "SELECT * FROM studies WHERE owner = :owner AND id > :after_id ORDER BY owner, id LIMIT :limit"
    _USAGE = (
        "SELECT owner, count(*) AS studies, coalesce(sum(trials), 0) AS trials, coalesce(sum(bytes), 0) AS bytes, "
        "coalesce(sum(value), 0) AS values_reported FROM studies JOIN sequences ON study = key "
    )
    USAGE = _USAGE + "GROUP BY owner ORDER BY owner"
    USAGE_OF_OWNER = _USAGE + "WHERE owner = :owner GROUP BY owner"
    TRIAL = (
        "SELECT trials.* FROM trials JOIN studies ON studies.key = trials.study "
        "WHERE studies.owner = :owner AND studies.id = :study_id AND trials.id = :trial"
    )
    EARLIER = "SELECT attempt FROM attempts WHERE study = :study AND trial = :trial ORDER BY number"
    BEST = "SELECT * FROM trials WHERE study = :study AND loss IS NOT NULL ORDER BY loss, id LIMIT :limit OFFSET :skip"
    CURVE = "SELECT * FROM measurements WHERE study = :study AND trial = :trial ORDER BY step, attempt, sequence"
    CURVE_BEYOND = (
        "SELECT * FROM measurements WHERE study = :study AND trial = :trial AND step > :after "
        "ORDER BY step, attempt, sequence LIMIT :limit"
    )
    STEP = (
        "SELECT * FROM measurements WHERE study = :study AND trial = :trial AND step = :step "
        "ORDER BY step, attempt, sequence"
    )
    AUDIT_FLOOR = (
        "SELECT id FROM audit_records WHERE id >= :since AND id < :before ORDER BY id DESC LIMIT 1 OFFSET :scan"
    )
    AUDIT_RECORDS = (
        "SELECT * FROM audit_records WHERE id >= :since AND id < :before AND (:owner = '' OR owner = :owner) "
        "AND (:study = '' OR name = :study OR name LIKE :of_study) AND (:caller = '' OR caller = :caller) "
        "AND (:method = '' OR method = :method) AND outcome IN (:outcome0, :outcome1, :outcome2, :outcome3) "
        "ORDER BY id DESC LIMIT :limit"
    )
    TRIALS: ClassVar = {
        (state, since, descending): "SELECT * FROM trials WHERE study = :study"
        + (" AND state = :state" if state else "")
        + (" AND create_time >= :since" if since else "")
        + (" AND id < :after ORDER BY id DESC" if descending else " AND id > :after ORDER BY id")
        + " LIMIT :limit"
        for state in (False, True)
        for since in (False, True)
        for descending in (False, True)
    }


class _Session:
    """Runs them; see `view.ReadSession`."""

    reads = _Reads

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def all(self, statement: str, values: Mapping[str, object]) -> list[Any]:
        cursor = self._connection.execute(statement, dict(values))
        row: Any = namedtuple("Row", [column[0] for column in cursor.description])  # type: ignore[misc]
        return list(map(row._make, cursor.fetchall()))

    def one(self, statement: str, values: Mapping[str, object]) -> Any:
        rows = self.all(statement, values)
        return rows[0] if rows else None
