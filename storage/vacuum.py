"""Gives back the room of what was deleted: to the file system from a SQLite file, to new rows in a PostgreSQL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..domain.errors import FailedPrecondition, InvalidArgument, Unavailable
from .revision import VERSION_TABLE
from .sqlite_file import OpenFile, named

LONGEST: Final = 24 * 3600.0
"""Seconds that one table of a PostgreSQL may take."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes that the database takes."""

    before: int
    after: int


def vacuum_file(path: Path) -> Sizes:
    """Writes a SQLite file anew without what is empty in it. Nobody may serve it meanwhile, because every other writer
    would have to wait.

    Raises FailedPrecondition if it is served or there is no room for a second one, InvalidArgument if it is no database
    of Wazir, Unavailable if another process writes to it.
    """
    file = named(path)
    with closing(OpenFile(file, make=False)) as opened, opened.alone():
        try:
            with closing(sqlite3.connect(file, isolation_level=None)) as connection:
                if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (VERSION_TABLE,)).fetchone():
                    raise InvalidArgument("--db", str(path), "holds no database of Wazir")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                before = file.stat().st_size
                connection.execute("VACUUM")
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise Unavailable(f"{file} is locked by another process. Try again") from error
            raise FailedPrecondition(
                f"{file} is left as it is: {error}. It takes as much room again beside it and where SQLite keeps "
                "temporary files (SQLITE_TMPDIR)"
            ) from error
        return Sizes(before, file.stat().st_size)


def vacuum_postgres(url: str) -> Sizes:
    """Makes the room of deleted rows free for new ones, and counts rows anew for the planner. Servers go on meanwhile.

    Raises Unavailable if the database is away, FailedPrecondition if it is no database of Wazir.
    """
    from .postgres import database_of
    from .schema import metadata

    database = database_of(url)
    tables = [table.name for table in metadata.sorted_tables]
    with database.errors(), database.connect_raw("vacuums", LONGEST) as connection:

        def size() -> int:
            query = "SELECT sum(pg_total_relation_size(c)) FROM unnest(%s::regclass[]) c"
            row = connection.execute(query, (tables,)).fetchone()
            return int(row[0]) if row else 0

        before = size()
        for table in tables:
            connection.execute(f"VACUUM (ANALYZE) {table}")
        return Sizes(before, size())
