"""What a PostgreSQL holds: which store, since which restore, and with which schema. Each commit looks at it first.

Somebody may restore a backup under running servers, or bring the schema to a newer version. A server that went on
would write what it remembers over what is there. So a group of units begins with a look at the stamp, under a lock that
`wazir db upgrade` and `wazir db restore` hold alone: no group is half before and half after such a change.

The store's uid is made with the database and again by each `wazir db restore`. Whoever restores without Wazir changes
no uid, but makes the tables anew or empties them, and with that the number of the file that PostgreSQL keeps them in.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from .revision import VERSION_TABLE

WRITE_LOCK = 0x5741_5A49_5201
"""The advisory lock that each group of units shares, and that a change of the schema or a restore has alone."""
NAME = "store"
"""Of the uid, among the secrets."""

# Statements of their own, so that the last sees what was committed before the lock was granted; sent at once.
_BEGIN = f"""
BEGIN;
SELECT pg_try_advisory_xact_lock_shared({WRITE_LOCK});
SELECT version_num, value, pg_relation_filenode('studies') FROM {VERSION_TABLE} LEFT JOIN secrets ON name = '{NAME}'
"""


@dataclass(frozen=True, slots=True)
class Stamp:
    revision: str
    """Of the schema."""
    uid: str
    filenode: int | None


def begin(cursor: Any) -> Stamp | None:
    """Begins a transaction and looks; None if somebody changes the schema or restores just now."""
    cursor.execute(_BEGIN, prepare=False)
    cursor.nextset()
    (free,) = cursor.fetchone()
    cursor.nextset()
    revision, uid, filenode = cursor.fetchone()
    return Stamp(revision, uid or "", filenode) if free else None


def make(cursor: Any, *, anew: bool = False) -> None:
    """Gives the store a uid if it has none, or another one."""
    cursor.execute("SELECT 1 FROM secrets WHERE name = %s", (NAME,))
    if anew or cursor.fetchone() is None:
        cursor.execute(
            "INSERT INTO secrets (name, value) VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            (NAME, uuid.uuid4().hex),
        )
