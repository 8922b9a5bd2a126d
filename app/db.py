"""`wazir db`: the database as such. All of it works on the database itself, not through a server."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click

from ..clients.cli.errors import Exit, reported
from ..clients.cli.output import counted
from ..clients.cli.terminal import say
from ..domain.database import Database, shown, without_password
from ..domain.errors import FailedPrecondition, InvalidArgument, Unavailable
from ..storage.audit import problems
from ..storage.open import open_store
from ..storage.revision import REVISION, VERSION_TABLE
from ..storage.sqlite_file import OpenFile, named
from ..storage.store import StudyFilter
from .audited import record_if_possible, record_of
from .options import database_option
from .quotas import usage
from .thin import thin

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def db() -> None:
    """Upgrade, check, back up, restore and thin a database."""


db.add_command(thin)
db.add_command(usage)


@db.command()
@database_option
@reported
def upgrade(db: Database) -> None:
    """Bring a database to the schema of this version. End all servers on it first."""
    with closing(open_store(db, upgrade=True)) as store:
        store.write(lambda tx: tx.add_audit_records([record_of("UpgradeDatabase")]))
        say(f"{shown(db)} has the schema {REVISION}.")


@db.command()
@database_option
@reported
def check(db: Database) -> None:
    """Check that a database is sound and that its rows agree. May be served meanwhile."""
    found = list(_file_problems(there(db))) if isinstance(db, Path) else []
    if not found:
        with closing(open_store(db)) as store:
            found = store.read(lambda view: list(problems(view)))
    for problem in found:
        say(problem)
    if found:
        say(f"{shown(db)}: {counted(len(found), 'problem')}. Restore it from a backup, or ask for help", err=True)
        raise click.exceptions.Exit(Exit.FAILED)
    say(f"{shown(db)} is sound, with the schema {REVISION}.")


@db.command()
@database_option
@click.argument("file", type=FILE)
@click.option("--force", is_flag=True, help="Overwrite FILE if it exists.")
@reported
def backup(db: Database, file: Path, force: bool) -> None:
    """Copy a database to FILE as it is at one moment, while it is served or not."""
    if file.exists() and not force:
        raise FailedPrecondition(f"{file} is there already. Name another file, or overwrite it with --force")
    fresh = file.with_name(file.name + ".part")
    try:
        if isinstance(db, Path):
            _copy(there(db), fresh)
        else:
            _program("pg_dump", db, "--format=custom", "--no-owner", f"--file={fresh}")
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
    record_if_possible(db, "BackUpDatabase")
    say(f"{shown(db)} is copied to {file}.")


@db.command()
@database_option
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@reported
def restore(db: Database, file: Path) -> None:
    """Fill an empty or new database from the backup in FILE."""
    if isinstance(db, Path):
        if db.exists():
            raise FailedPrecondition(f"{db} is there already. Restore to a new file, and serve that with --db")
        _hold_studies(file)
        db.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _copy(file, db)
    else:
        with closing(open_store(db)) as store:
            if store.read(lambda view: view.studies("", StudyFilter(), "", 1)):
                raise FailedPrecondition(f"{shown(db)} holds studies. Restore to an empty database (createdb)")
        from ..storage.postgres_alone import alone

        with alone(db):
            _program("pg_restore", db, "--clean", "--if-exists", "--no-owner", "--single-transaction", str(file))
    with closing(open_store(db)) as store:
        store.write(lambda tx: tx.add_audit_records([record_of("RestoreDatabase")]))
        studies = store.read(lambda view: len(view.studies("", StudyFilter(), "", 1_000_000)))
    say(f"{shown(db)} is restored from {file}: {studies} {'study' if studies == 1 else 'studies'}.")


def there(file: Path) -> Path:
    """The one name of a database file. Raises InvalidArgument if it does not exist."""
    if not file.exists():
        raise InvalidArgument("--db", str(file), "does not exist", "Name a database with --db or WAZIR_DB")
    return named(file)


def _file_problems(file: Path) -> Iterator[str]:
    """What SQLite itself finds wrong."""
    try:
        with (
            closing(OpenFile(file, make=False)),
            closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)) as connection,
        ):
            for (words,) in connection.execute("PRAGMA integrity_check"):
                if words != "ok":
                    yield f"SQLite: {words}"
            for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
                yield f"row {row} of {table} belongs to a row of {parent} that is not there"
    except sqlite3.DatabaseError as error:
        yield f"SQLite: {error}"


def _hold_studies(file: Path) -> None:
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


def _copy(source: Path, target: Path) -> None:
    """All pages of one moment, while others write."""
    try:
        with (
            closing(OpenFile(named(source), make=False)),
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as read,
            closing(sqlite3.connect(target)) as write,
        ):
            read.backup(write)
    except sqlite3.Error as error:
        target.unlink(missing_ok=True)
        raise FailedPrecondition(f"{source} cannot be copied to {target}: {error}") from error


def _program(name: str, url: str, *arguments: str) -> None:
    """Runs a program of PostgreSQL on the database. The password is not in its arguments, which everybody can read."""
    path = shutil.which(name)
    if path is None:
        raise FailedPrecondition(f"{name} is not installed here (Debian, Ubuntu: apt install postgresql-client)")
    bare, password = without_password(url)
    environment = dict(os.environ)
    if password is not None:
        environment["PGPASSWORD"] = password
    done = subprocess.run([path, f"--dbname={bare}", *arguments], env=environment, capture_output=True, text=True)
    if done.returncode:
        words = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise Unavailable(f"{name} failed: {' | '.join(words[:3])}")
