"""Which store a database is for: a file is SQLite's, a URL says whose it is."""

from __future__ import annotations

from pathlib import Path

from .store import Store

SCHEMES = ("postgresql://", "postgres://", "postgresql+psycopg://")


def is_url(database: Path | str) -> bool:
    return isinstance(database, str)


def shown(database: Path | str) -> str:
    """For people and logs: without a password. Raises InvalidArgument for a URL that is none."""
    if isinstance(database, Path):
        return str(database)
    from .postgres import shown as without_password

    return without_password(database)


def open_store(database: Path | str, *, upgrade: bool = False) -> Store:
    """The store in a file (a path) or behind a URL. Opening a file brings it to the newest schema, a URL with `upgrade`
    alone. Raises as `open_sqlite` and `open_postgres` do."""
    if isinstance(database, Path):
        from .sqlite import open_sqlite

        return open_sqlite(database)
    from .postgres import open_postgres

    return open_postgres(database, upgrade=upgrade)
