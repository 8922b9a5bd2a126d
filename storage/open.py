"""Which store a database is for: a file is SQLite's, a URL is PostgreSQL's."""

from __future__ import annotations

from pathlib import Path

from ..domain.database import Database
from .store import Store


def open_store(database: Database, *, upgrade: bool = False, serve: bool = False) -> Store:
    """The store in a file (a path) or behind a URL. Opening a file brings it to the newest schema, a URL with `upgrade`
    alone. With `serve` no other process may serve a file; a URL's database any number may. Raises as `open_sqlite`
    and `open_postgres` do."""
    if isinstance(database, Path):
        from .sqlite import open_sqlite

        return open_sqlite(database, serve=serve)
    from .postgres import open_postgres

    return open_postgres(database, upgrade=upgrade)
