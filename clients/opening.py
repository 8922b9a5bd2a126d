"""Which service `create_study` and its like talk to, by arguments that people of other tuners know."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..domain.database import Database, database_of, read_database
from ..domain.errors import MISSING, InvalidArgument
from .client import Client
from .endpoint import ADDRESS_VARIABLE, check_address

Storage = str | os.PathLike[str]

Serve = Callable[[Database], str]
"""Sees to it that a service serves that database; returns its address."""

FILES = (".db", ".sqlite", ".sqlite3")
"""How a `storage` ends that is taken for a file."""


def open_client(
    address: str | None = None,
    *,
    database: str | os.PathLike[str] | None = None,
    storage: Storage | None = None,
    serve: Serve | None = None,
) -> Client:
    """A client of the service of `address`; else of `storage`, `database`, WAZIR_ADDRESS, WAZIR_DB or this folder's
    `.wazir/wazir.db`, whichever is named first.

    `serve` is called if a database is meant and not an address. Without it, a service has to be there already.
    Raises InvalidArgument if two are named or one is malformed.
    """
    named = [what for what, given in (("address", address), ("database", database), ("storage", storage)) if given]
    if len(named) > 1:
        raise InvalidArgument(named[1], MISSING, f"is given beside {named[0]}", "Give one of them")

    if storage is not None:
        address, database = place_of(storage)
    if address is not None or serve is None:
        return Client(address, database=database)

    if database is None and os.environ.get(ADDRESS_VARIABLE):
        return Client()
    return Client(serve(read_database(database, "database") if database else database_of(os.environ)))


def place_of(storage: Storage) -> tuple[str | None, Database | None]:
    """The address or the database that a `storage` means, as Optuna writes it: `sqlite:///studies.db` and
    `postgresql://user@host/database` are databases, `host:port` and `unix:/path` are a service. Raises InvalidArgument.
    """
    if isinstance(storage, os.PathLike):
        return None, Path(storage)

    # Optuna's RDBStorage object says which database it is for.
    text = storage if isinstance(storage, str) else getattr(storage, "url", None)
    if not isinstance(text, str):
        raise InvalidArgument(
            "storage",
            type(storage).__name__,
            "is not a storage that Wazir knows",
            'Write storage="sqlite:///studies.db", or leave it out: studies are kept in .wazir/wazir.db',
        )
    if text in ("sqlite://", "sqlite:///:memory:"):
        raise InvalidArgument(
            "storage", text, "names no file", "Leave it out: studies are kept in this folder, in .wazir/wazir.db"
        )
    if "://" in text or text.endswith(FILES):
        return None, read_database(text.replace("postgresql+psycopg2://", "postgresql://"), "storage")
    if ":" not in text:
        raise InvalidArgument(
            "storage",
            text,
            "is neither a database nor an address",
            f'For a SQLite file write "sqlite:///{text}", for a service "host:port"',
        )
    return check_address(text, "storage"), None
