"""One backup of a database: copied as of one moment, looked into, flushed to the disk, and only then given its name."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from ..domain.database import Database, without_password
from ..domain.errors import FailedPrecondition, InvalidArgument, Unavailable
from ..storage.revision import VERSION_TABLE
from ..storage.sqlite_copy import Progress, check_file, copy_file, fresh

TABLES: Final = ("studies", "trials", "attempts", "measurements")
"""Whose rows a dump of PostgreSQL must hold."""


class Cancelled(Exception):
    """Raised by the callback that is told of progress, to end a backup that is not wanted any more."""


def back_up(database: Database, file: Path, progress: Progress = lambda done: None) -> None:
    """Makes `file`, which only this user may read, or leaves what was there. Blocks; the database may be served.

    Raises FailedPrecondition if it cannot be copied or the copy is damaged, Unavailable if a PostgreSQL is away.
    """
    with fresh(file) as part:
        if isinstance(database, Path):
            copy_file(database, part, progress)
            check_file(part)
        else:
            postgres_program("pg_dump", database, "--format=custom", "--no-owner", f"--file={part}", progress=progress)
            check_dump(part, progress)


def check_dump(file: Path, progress: Progress = lambda done: None) -> None:
    """Raises FailedPrecondition if a dump of PostgreSQL lacks a table, or cannot be read to its end."""
    listed = _run("pg_restore", "--list", str(file))
    lacking = [table for table in TABLES if f" TABLE DATA public {table} " not in listed]
    if lacking:
        raise FailedPrecondition(f"{file} is not a backup of Wazir: it lacks {', '.join(lacking)}")
    _run("pg_restore", f"--file={os.devnull}", str(file), progress=progress)


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


def postgres_program(name: str, url: str, *arguments: str, progress: Progress = lambda done: None) -> None:
    """Runs a program of PostgreSQL on the database. The password is not in its arguments, which everybody can read.
    `progress` is called now and then, and may raise Cancelled; how far the program is nobody knows."""
    bare, password = without_password(url)
    environment = dict(os.environ)
    if password is not None:
        environment["PGPASSWORD"] = password
    _run(name, f"--dbname={bare}", *arguments, environment=environment, progress=progress)


def _run(
    name: str,
    *arguments: str,
    environment: dict[str, str] | None = None,
    progress: Progress = lambda done: None,
) -> str:
    path = shutil.which(name)
    if path is None:
        raise FailedPrecondition(f"{name} is not installed here (Debian, Ubuntu: apt install postgresql-client)")
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([path, *arguments], env=environment, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            said, wrong = _communicate(process, progress)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        words = wrong.strip().splitlines() or [f"exit code {process.returncode}"]
        raise Unavailable(f"{name} failed: {' | '.join(words[:3])}")
    return said


def _communicate(process: subprocess.Popen[str], progress: Progress) -> tuple[str, str]:
    while True:
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=0.5)
        progress(0.0)
