"""What figures and logs say of scheduled backups, which the entry point makes (`app/backup_schedule.py`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Backups:
    """Written by one thread, read by any."""

    last: float | None = None
    """When the newest one was begun, Unix seconds; None if there is none."""
    failures: int = 0
    """Since the start."""
    trouble: str = ""
    """Why the last try failed; empty if it did not."""
