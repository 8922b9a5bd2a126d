"""`wazir db`: the database as such. All of it works on the database itself, not through a server."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click

from ..clients.cli.errors import Exit, reported
from ..clients.cli.output import counted
from ..clients.cli.terminal import say
from ..domain.database import Database, shown
from ..domain.errors import FailedPrecondition, InvalidArgument
from ..storage.open import open_store
from ..storage.problems import problems
from ..storage.revision import REVISION
from ..storage.sqlite_copy import Progress
from ..storage.sqlite_file import OpenFile, named
from ..storage.store import StudyFilter
from ..storage.vacuum import vacuum_file, vacuum_postgres
from .audited import record_if_possible, record_of
from .backup import back_up, check_backup, postgres_program
from .claim import make_folder
from .options import database_option
from .quotas import usage
from .thin import thin

FILE = click.Path(path_type=Path, dir_okay=False)


@click.group()
def db() -> None:
    """Upgrade, check, measure, thin, vacuum, back up and restore a database."""


db.add_command(thin)
db.add_command(usage)


@db.command()
@database_option
@reported
def upgrade(db: Database) -> None:
    """Bring a database to the schema of this version.

    There is no way back, so make a backup first. A PostgreSQL may be served meanwhile: servers of an older version end
    by themselves, and say which one to install.
    """
    with closing(open_store(db, upgrade=True)) as store:
        store.write(lambda tx: tx.add_audit_records([record_of("UpgradeDatabase")]))
        say(f"{shown(db)} has the schema {REVISION}.")


@db.command()
@database_option
@reported
def check(db: Database) -> None:
    """Check that a database is sound and that its rows agree. May be served meanwhile."""
    if isinstance(db, Path) and not all(map(_writable, (there(db), named(db).parent))):
        raise FailedPrecondition(
            f"{db} and its folder must be writable to be checked. Ask its owner, or check a copy of it"
        )
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
    if isinstance(db, Path):
        there(db)
    with _shown_progress() as progress:
        back_up(db, file, progress)
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
        check_backup(file)
        make_folder(db.parent)
        back_up(file, db)
    else:
        with closing(open_store(db)) as store:
            if store.read(lambda view: view.studies("", StudyFilter(), "", 1)):
                raise FailedPrecondition(f"{shown(db)} holds studies. Restore to an empty database (createdb)")
        from ..storage.postgres_alone import alone

        with alone(db):
            how = ("--clean", "--if-exists", "--no-owner", "--single-transaction")
            postgres_program("pg_restore", db, *how, str(file))
    with closing(open_store(db)) as store:
        store.write(lambda tx: tx.add_audit_records([record_of("RestoreDatabase")]))
        studies = store.read(lambda view: len(view.studies("", StudyFilter(), "", 1_000_000)))
    say(f"{shown(db)} is restored from {file}: {studies} {'study' if studies == 1 else 'studies'}.")


@db.command()
@database_option
@reported
def vacuum(db: Database) -> None:
    """Give back the room of what was deleted.

    A SQLite file becomes smaller, and must not be served meanwhile. In a PostgreSQL, which may be served, the room is
    used for new rows.
    """
    if isinstance(db, Path):
        sizes = vacuum_file(there(db))
        say(f"{shown(db)} took {in_megabytes(sizes.before)} and takes {in_megabytes(sizes.after)}.")
    else:
        sizes = vacuum_postgres(db)
        freed = f", {in_megabytes(sizes.before - sizes.after)} less" if sizes.after < sizes.before else ""
        say(f"{shown(db)} takes {in_megabytes(sizes.after)}{freed}; the room of deleted rows is free for new ones.")


def in_megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def there(file: Path) -> Path:
    """The one name of a database file. Raises InvalidArgument if it does not exist."""
    if not file.exists():
        raise InvalidArgument("--db", str(file), "does not exist", "Name a database with --db or WAZIR_DB")
    return named(file)


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=True)


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


@contextmanager
def _shown_progress() -> Iterator[Progress]:
    """On a terminal, how far a copy is that takes more than a moment."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    with click.progressbar(length=1000, label="Copying", file=sys.stderr) as bar:
        yield lambda done: bar.update(round(1000 * done) - bar.pos)
