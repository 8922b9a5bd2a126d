"""Logging of the processes: the rooms only log, the entry points decide where to."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from ..clients.json_text import json_text
from ..domain.errors import FailedPrecondition
from ..domain.visible import visible
from ..storage.private import make_private

_OF_EVERY_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and whatever the record is about: action, study, trial,
    attempt, method."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _OF_EVERY_RECORD}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json_text(line, default=str)


class VisibleFormatter(logging.Formatter):
    """Control characters in what others wrote are escaped: the log may go to a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record))


def log_to_stderr(level: int, *, as_json: bool = False) -> None:
    """One line a record, with the time."""
    handler = logging.StreamHandler()
    if as_json:
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(VisibleFormatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("alembic").setLevel(max(level, logging.WARNING))


def log_to_file(path: str, level: int = logging.INFO) -> None:
    """For commands whose terminal shows something else."""
    # If the log cannot be written, on a full disk for instance, the terminal stays as it is and the run goes on.
    logging.raiseExceptions = False
    with suppress(FailedPrecondition):
        make_private(Path(path))
    handler = logging.FileHandler(path)
    handler.setFormatter(VisibleFormatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
    logging.getLogger("alembic").setLevel(logging.WARNING)
