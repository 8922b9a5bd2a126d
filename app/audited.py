"""Audit records of commands that work on a database themselves: nobody but they can tell of it."""

from __future__ import annotations

import os
import platform
import time
from contextlib import closing
from pathlib import Path

from ..domain.access import EVERY_OWNER, Role
from ..domain.audit import AuditRecord, Outcome
from ..domain.database import Database
from ..domain.errors import FailedPrecondition
from ..service.auditing.ids import new_id
from ..storage.open import open_store
from ..storage.sqlite_look import look, writable

DATABASE = "database"
"""The name of what is done to all of it."""


def record_of(method: str, name: str = DATABASE, owner: str = EVERY_OWNER) -> AuditRecord:
    """Of something that this process has done just now, for the user that it runs as."""
    now = time.time()
    return AuditRecord(
        id=new_id(now),
        time=now,
        last_time=now,
        caller=f"local:{os.getuid()}",
        caller_owner=EVERY_OWNER,
        role=Role.ADMIN.value,
        address=f"machine:{platform.node()}",
        method=method,
        owner=owner,
        name=name,
        outcome=Outcome.DONE,
    )


def record_if_possible(db: Database, method: str) -> bool:
    """Records what needs no right to write, such as a backup; False if this user has none, or the schema is not the
    newest, which whoever makes a backup before an upgrade must not change."""
    try:
        if isinstance(db, Path):
            with look(db):
                pass
            if not writable(db):
                return False
        with closing(open_store(db)) as store:
            store.write(lambda tx: tx.add_audit_records([record_of(method)]))
    except FailedPrecondition:
        return False
    return True
