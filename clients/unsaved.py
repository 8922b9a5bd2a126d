"""Whether an attempt has reports that are in the memory of its processes alone: a sign that outlives them.

A disk may be full, and a process may end without a word. So the sign is a file beside the spool that whoever starts the
attempt makes in full size, and that is only ever written over, which takes no space. It is mapped into memory: to set a
byte costs no system call and never waits for the disk.

One byte for each process that reports:

    FREE     nobody's
    TAKEN    a process's that has, or had at its end, nothing but what the service or the spool has
    UNSAVED  a process's that has, or had at its end, something more
"""

from __future__ import annotations

import contextlib
import mmap
import os
from pathlib import Path

SIZE = 4096
"""Bytes of the file. If more processes report, some share a byte."""

FREE, TAKEN, UNSAVED = 0, 1, 2


def sign_of(spool: Path) -> Path:
    return spool.with_name(f"{spool.name}.unsaved")


class Sign:
    """One process's byte. Where no file was made there is nobody to look at it, and nothing is done."""

    def __init__(self, path: Path) -> None:
        self._bytes: mmap.mmap | None = None
        self._place = 0
        with contextlib.suppress(OSError, ValueError):
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                # A shorter file would end the process when it is touched beyond its end.
                if os.fstat(file).st_size >= SIZE:
                    self._bytes = mmap.mmap(file, SIZE)
            finally:
                os.close(file)

        if self._bytes is not None:
            free = [place for place, byte in enumerate(self._bytes[:SIZE]) if byte == FREE] or range(SIZE)
            # Not the first one: processes that start together would choose the same.
            self._place = free[int.from_bytes(os.urandom(4), "big") % len(free)]
            self._bytes[self._place] = TAKEN

    def set(self, unsaved: bool) -> None:
        if self._bytes is not None:
            self._bytes[self._place] = UNSAVED if unsaved else TAKEN


def any_unsaved(sign: bytes) -> bool:
    """Whether a sign, read when all processes are gone, says that something is lost."""
    return UNSAVED in sign
