"""Logging of the processes: the rooms only log, the entry points decide where to."""

from __future__ import annotations

import logging


def log_to_stderr(level: int) -> None:
    """One line a record, with the time."""
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("alembic").setLevel(max(level, logging.WARNING))


def log_to_file(path: str, level: int = logging.INFO) -> None:
    """For commands whose terminal shows something else."""
    # Where the log cannot be written, on a full disk for instance, the terminal stays as it is and the run goes on.
    logging.raiseExceptions = False
    logging.basicConfig(filename=path, level=level, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
