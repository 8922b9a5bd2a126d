"""One backup of a database: copied as of one moment, looked into, flushed to the disk, and only then given its name."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

from ..domain.database import Database, without_password
from ..domain.errors import FailedPrecondition, InvalidArgument, Unavailable
from ..storage.revision import VERSION_TABLE
from ..storage.sqlite_file import OpenFile, named
from ..storage.sqlite_look import writable
from .private_files import make_private

PAGES: Final = 2_000
"""Of SQLite, copied between two reports of how far it is: 8 MB."""

TABLES: Final = ("studies", "trials", "attempts", "measurements")
"""Whose rows a dump of PostgreSQL must hold."""

Progress = Callable[[float], object]
"""Is told which part of the copy is done, from 0 to 1."""


def back_up(database: Database, file: Path, progress: Progress = lambda done: None) -> None:
    """Makes `file`, which only this user may read, or leaves what was there. Blocks; the database may be served.

    Raises FailedPrecondition if it cannot be copied or the copy is no good, Unavailable if a PostgreSQL is away.
    """
    fresh = file.with_name(file.name + ".part")
    try:
        make_private(fresh)
        if isinstance(database, Path):
            copy_file(database, fresh, progress)
            check_file(fresh)
        else:
            postgres_program("pg_dump", database, "--format=custom", "--no-owner", f"--file={fresh}")
            check_dump(fresh)
        _flush(fresh)
        fresh.replace(file)
        _flush(file.parent)
    finally:
        for left in (fresh, *(fresh.with_name(fresh.name + end) for end in ("-wal", "-shm", "-journal"))):
            left.unlink(missing_ok=True)


def copy_file(source: Path, target: Path, progress: Progress = lambda done: None) -> None:
    """All pages of one moment of a SQLite file, while others write; `target` is there, and private."""
    source = named(source)
    # Who may not write leaves the log there that reading makes.
    how = "rw" if writable(source) else "ro"

    def told(_: int, remaining: int, total: int) -> None:
        progress(1 - remaining / total if total else 1.0)

    try:
        with (
            closing(OpenFile(source, make=False)),
            closing(sqlite3.connect(f"{source.as_uri()}?mode={how}", uri=True, isolation_level=None)) as read,
            closing(sqlite3.connect(target)) as write,
        ):
            # One moment for all steps: a copy that meets a change begins again, and under steady writes never ends.
            read.execute("BEGIN")
            read.execute("SELECT 1 FROM sqlite_schema").fetchone()
            read.backup(write, pages=PAGES, progress=told, sleep=0.0)
            # One file, beside which nobody who reads it puts a log.
            write.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise FailedPrecondition(f"{source} cannot be copied to {target}: {error}") from error


def check_file(file: Path) -> None:
    """Raises FailedPrecondition if a copy is damaged, or its rows do not agree."""
    try:
        with closing(sqlite3.connect(file)) as connection:
            for problem in _problems(connection):
                raise FailedPrecondition(f"the copy {file} is no good ({problem}). See `wazir db check`")
    except sqlite3.DatabaseError as error:
        raise FailedPrecondition(f"the copy {file} is no good ({error}). See `wazir db check`") from error


def _problems(connection: sqlite3.Connection) -> Iterator[str]:
    yield from (words for (words,) in connection.execute("PRAGMA integrity_check(1)") if words != "ok")
    counted: dict[int, Counter[str]] = {}
    for study, state, number in connection.execute("SELECT study, state, count(*) FROM trials GROUP BY study, state"):
        counted.setdefault(study, Counter())[state] = number
    for key, owner, name, counts in connection.execute("SELECT key, owner, id, counts FROM studies"):
        kept = +Counter(json.loads(counts))
        if kept != counted.get(key, Counter()):
            yield f"{owner}/{name} counts {dict(kept)}, and its trials are {dict(counted.get(key, {}))}"


def check_dump(file: Path) -> None:
    """Raises FailedPrecondition if a dump of PostgreSQL lacks a table, or cannot be read to its end."""
    listed = _run("pg_restore", "--list", str(file))
    lacking = [table for table in TABLES if f" TABLE DATA public {table} " not in listed]
    if lacking:
        raise FailedPrecondition(f"{file} is no backup of Wazir: it lacks {', '.join(lacking)}")
    _run("pg_restore", f"--file={os.devnull}", str(file))


def check_backup(file: Path) -> None:
    """Refuses what is not a backup before anything is written: an empty file would be restored as no studies."""
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    except sqlite3.DatabaseError as error:
        raise FailedPrecondition(f"{file} cannot be read as a backup: {error}") from error
    if VERSION_TABLE not in tables:
        raise InvalidArgument(
            "FILE", str(file), "holds no database of Wazir", "Name a file that `wazir db backup` made"
        )


def postgres_program(name: str, url: str, *arguments: str) -> None:
    """Runs a program of PostgreSQL on the database. The password is not in its arguments, which everybody can read."""
    bare, password = without_password(url)
    environment = dict(os.environ)
    if password is not None:
        environment["PGPASSWORD"] = password
    _run(name, f"--dbname={bare}", *arguments, environment=environment)


def _run(name: str, *arguments: str, environment: dict[str, str] | None = None) -> str:
    path = shutil.which(name)
    if path is None:
        raise FailedPrecondition(f"{name} is not installed here (Debian, Ubuntu: apt install postgresql-client)")
    done = subprocess.run([path, *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise Unavailable(f"{name} failed: {' | '.join(words[:3])}")
    return done.stdout


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
