"""Brings a database to the newest schema, and refuses one that this version of Wazir does not know.

The steps are in `migrations/versions/`. Alembic is loaded only where there is something to do, so that opening a
database costs little.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, String, column, inspect, select, table
from sqlalchemy.exc import DBAPIError

from ..domain.errors import FailedPrecondition
from .revision import REVISION, VERSION_TABLE
from .schema import metadata

logger = logging.getLogger(__name__)
SCRIPTS = Path(__file__).parent / "migrations"


def newer(where: str, found: str) -> str:
    """What to say of a database whose schema was changed while this process had it open."""
    return (
        f"{where} has been brought to the schema {found} by a newer Wazir, and this process writes {REVISION}. Install "
        "that version of Wazir here (pip install --upgrade wazir), and start it again"
    )


def migrate(
    connection: Connection, where: str, *, upgrade: bool = True, before: Callable[[str], object] = lambda found: None
) -> None:
    """Runs the steps that are missing, on a connection whose transaction the caller ends. `where` names the database.
    `before` is told the schema that was found, empty in an empty database, once it is clear that it will be changed.

    Raises FailedPrecondition for a database of a newer version or of another program; without `upgrade`, for one of an
    older version as well, while an empty one is made ready all the same.
    """
    tables = set(inspect(connection).get_table_names())
    found = ""
    if VERSION_TABLE in tables:
        version = column("version_num", String)
        found = str(connection.execute(select(version).select_from(table(VERSION_TABLE, version))).scalar() or "")
    elif tables:
        raise FailedPrecondition(
            f"{where} holds the tables of another program ({', '.join(sorted(tables)[:3])}), and Wazir keeps to a "
            "database of its own. Name another one, or one that does not exist yet"
        )
    if found == REVISION:
        return

    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    config.attributes["metadata"] = metadata
    config.attributes["version_table"] = VERSION_TABLE
    known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
    if found and found not in known:
        raise FailedPrecondition(
            f"{where} was written by a newer Wazir: its schema is at revision {found}, and this version knows those up "
            f"to {REVISION}. Install that version of Wazir (pip install --upgrade wazir), or name another database",
            details={"revision": found, "known": REVISION},
        )
    if found and not upgrade:
        raise FailedPrecondition(
            f"{where} has the schema {found}, and this version of Wazir needs {REVISION}. End all servers on it, back "
            f"it up, and call `wazir db upgrade --db {where}`",
            details={"revision": found, "needed": REVISION},
        )
    before(found)
    logger.info(
        "bringing %s from schema %s to %s",
        where,
        found or "(none)",
        REVISION,
        extra={"action": "migrate", "revision": REVISION},
    )
    try:
        command.upgrade(config, "head")
    except DBAPIError as error:
        raise FailedPrecondition(
            f"{where} could not be brought from schema {found or '(none)'} to {REVISION}: {error.orig}. Somebody has "
            "changed its tables: restore a backup, or name another database"
        ) from error
