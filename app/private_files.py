"""Files that hold secrets: a server that asks for tokens uses none that others can read, or could have put there.

A database on SQLite keeps the key from which attempts' tokens are made. Without tokens nothing is secret, and its owner
may let others look (`docs/commands.md`).
"""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path
from typing import TextIO

from ..domain.errors import FailedPrecondition, InvalidArgument
from ..storage.sqlite_file import named

OTHERS = stat.S_IRWXG | stat.S_IRWXO


def check_database(database: Path) -> None:
    """Raises FailedPrecondition if others can read or change the file, its log or an old copy of them, or could put
    another file in its place."""
    file = named(database)
    parts = [file, *(file.with_name(file.name + end) for end in ("-wal", "-shm"))]
    open_to_others = [part for part in parts if part.exists() and part.stat().st_mode & OTHERS]
    if open_to_others:
        mode = stat.S_IMODE(open_to_others[0].stat().st_mode)
        raise FailedPrecondition(
            f"{open_to_others[0]} can be read or written by other users (mode {mode:o}), and holds the key that tokens "
            f"of attempts are made from. Type: chmod 600 {shlex.join(map(str, open_to_others))}"
        )

    folder = file.parent
    if folder.exists():
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise FailedPrecondition(
                f"everybody may replace the files in {folder} (mode {stat.S_IMODE(mode):o}), the database among them. "
                f"Type: chmod o-w {shlex.quote(str(folder))}"
            )


def keep_for_owner(stream: TextIO) -> None:
    """Takes the file that a secret is about to be written to from everybody but its owner: a shell makes `> token` as
    the umask says. Anything but a file (a terminal, a pipe) stays as it is.

    Raises FailedPrecondition if it is a file of somebody else.
    """
    try:
        descriptor = stream.fileno()
    except OSError:  # held in memory, by whoever runs the command within a program
        return
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return
    try:
        os.fchmod(descriptor, 0o600)
    except OSError as error:
        raise FailedPrecondition(
            f"the file that the token would be written to belongs to another user, who could read it "
            f"({error.strerror}). Write to a file of your own"
        ) from error


def check_key(option: str, file: Path) -> None:
    """Raises InvalidArgument if others can read or change a file with a key. One that belongs to root, as those that
    Kubernetes mounts, may be readable by its group."""
    found = file.stat()
    allowed = stat.S_IRGRP if found.st_uid == 0 and os.geteuid() != 0 else 0
    if found.st_mode & OTHERS & ~allowed:
        raise InvalidArgument(
            option,
            str(file),
            f"can be read or written by other users (mode {stat.S_IMODE(found.st_mode):o})",
            f"Type: chmod 600 {shlex.quote(str(file))}",
        )
