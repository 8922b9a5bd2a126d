"""Copies of a SQLite file: as of one moment, while others write to it, looked into before they get their name."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from ..domain.errors import FailedPrecondition
from .private import flush, make_private
from .sqlite_file import OpenFile, named
from .sqlite_look import writable

PAGES: Final = 2_000
"""Copied between two reports of how far it is: 8 MB."""

Progress = Callable[[float], object]
"""Is told which part of the copy is done, from 0 to 1."""


@contextmanager
def fresh(file: Path) -> Iterator[Path]:
    """An empty private file to write to; what is in it after the block is durable, and called `file`. Whatever goes
    wrong, what was called so stays. Raises FailedPrecondition."""
    part = file.with_name(file.name + ".part")
    try:
        make_private(part)
        yield part
        flush(part)
        part.replace(file)
        flush(file.parent)
    except OSError as error:
        raise FailedPrecondition(f"{file} cannot be written: {error.strerror}. Name another place") from error
    finally:
        for left in (part, *(part.with_name(part.name + end) for end in ("-wal", "-shm", "-journal"))):
            left.unlink(missing_ok=True)


def copy_file(source: Path, target: Path, progress: Progress = lambda done: None) -> None:
    """All pages of one moment; `target` is there, and private. Raises FailedPrecondition."""
    source = named(source)
    # Who may not write leaves the log there that reading makes.
    how = "rw" if writable(source) else "ro"

    def told(_: int, remaining: int, total: int) -> None:
        progress(1 - remaining / total if total else 1.0)

    try:
        with (
            closing(OpenFile(source, make=False)),
            closing(sqlite3.connect(f"{source.as_uri()}?mode={how}", uri=True, isolation_level=None)) as read,
            closing(sqlite3.connect(target)) as write,
        ):
            # One moment for all steps: a copy that meets a change begins again, and under steady writes never ends.
            read.execute("BEGIN")
            read.execute("SELECT 1 FROM sqlite_schema").fetchone()
            read.backup(write, pages=PAGES, progress=told, sleep=0.0)
            # One file, beside which nobody who reads it puts a log.
            write.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise FailedPrecondition(f"{source} cannot be copied to {target}: {error}") from error


def check_file(file: Path) -> None:
    """Raises FailedPrecondition if a copy is damaged, or its rows do not agree."""
    try:
        with closing(sqlite3.connect(file)) as connection:
            for problem in _problems(connection):
                raise FailedPrecondition(f"the copy {file} is no good ({problem}). See `wazir db check`")
    except sqlite3.DatabaseError as error:
        raise FailedPrecondition(f"the copy {file} is no good ({error}). See `wazir db check`") from error


def _problems(connection: sqlite3.Connection) -> Iterator[str]:
    yield from (words for (words,) in connection.execute("PRAGMA integrity_check(1)") if words != "ok")
    counted: dict[int, Counter[str]] = {}
    for study, state, number in connection.execute("SELECT study, state, count(*) FROM trials GROUP BY study, state"):
        counted.setdefault(study, Counter())[state] = number
    for key, owner, name, counts in connection.execute("SELECT key, owner, id, counts FROM studies"):
        kept = +Counter(json.loads(counts))
        if kept != counted.get(key, Counter()):
            yield f"{owner}/{name} counts {dict(kept)}, and its trials are {dict(counted.get(key, {}))}"
