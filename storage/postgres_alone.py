"""A PostgreSQL for one command alone, to put other contents into it: no server is on it, and none can begin."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..domain.errors import FailedPrecondition
from . import postgres_stamp
from .postgres import MIGRATION_LOCK, database_of

LEAVE_SECONDS = 3.0
"""For which a connection that was just closed may still be listed."""

_OTHERS = (
    "SELECT pid, coalesce(host(client_addr), 'this machine') FROM pg_stat_activity "
    "WHERE datname = current_database() AND application_name LIKE 'wazir%' AND pid <> pg_backend_pid() ORDER BY pid"
)


@contextmanager
def alone(url: str, leave_seconds: float = LEAVE_SECONDS) -> Iterator[None]:
    """Keeps servers and other commands out meanwhile; afterwards the database is another store to those that come.

    Raises FailedPrecondition if a process of Wazir is connected, Unavailable if the database is away.
    """
    database = database_of(url)
    limits = database.limits
    connection = database.connect_raw("restores", limits.long_statement)
    with database.errors(), connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        _check_nobody(connection, database.name, leave_seconds)
        connection.execute("SELECT pg_advisory_lock(%s)", (postgres_stamp.WRITE_LOCK,))
        yield
        postgres_stamp.make(connection.cursor(), anew=True)


def _check_nobody(connection: Any, name: str, leave_seconds: float) -> None:
    until = time.monotonic() + leave_seconds
    while others := connection.execute(_OTHERS).fetchall():
        if time.monotonic() > until:
            pid, address = others[0]
            raise FailedPrecondition(
                f"{name} is in use: {len(others)} connections of Wazir, the first from {address} (process {pid} of "
                "PostgreSQL). End all servers and commands on it, or restore to another database (createdb)"
            )
        time.sleep(0.05)
