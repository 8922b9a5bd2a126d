"""Reads what training code may have replaced. A pipe, a device or a link in the place of a file is refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path


class NotAFile(Exception):
    """What is there is no regular file any more."""


def read_part(path: Path, offset: int, size: int) -> bytes:
    """At most `size` bytes from `offset` on, from the end if it is negative. Raises FileNotFoundError, OSError and
    NotAFile."""
    file = open_regular(path)
    try:
        if offset < 0:
            offset = max(0, os.fstat(file).st_size + offset)
        return os.pread(file, size, offset)
    finally:
        os.close(file)


def open_regular(path: Path) -> int:
    """A descriptor to read the file by. Raises FileNotFoundError, OSError, NotAFile."""
    if path.is_symlink():
        raise NotAFile(f"{path} is a link, which Wazir did not make")
    # Opening a pipe that nobody writes to would wait for ever.
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise NotAFile(f"{path} is no regular file any more")
    return file
