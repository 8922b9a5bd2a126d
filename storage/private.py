"""Files that only their user may read and write, whatever the umask."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ..domain.errors import FailedPrecondition

PRIVATE: Final = 0o600


def make_private(file: Path) -> None:
    """An empty file that only this user may read and write; one that is there becomes so. No symbolic link is followed.

    Raises FailedPrecondition if it cannot be made.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE)
        try:
            os.fchmod(descriptor, PRIVATE)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise FailedPrecondition(f"{file} cannot be written: {error.strerror}. Name another place") from error


def flush(path: Path) -> None:
    """Sends a file, or what a folder says of its files, to the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
