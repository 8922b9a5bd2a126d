"""Folders that other users can neither read nor write, whatever the umask."""

from __future__ import annotations

from pathlib import Path


def make_private(folder: Path) -> None:
    """Makes the folder, and those above it that are missing, with mode 700. One that is there stays as it is.

    Who could write to a folder above could put another one in its place. Raises OSError.
    """
    for above in reversed(folder.parents):
        if not above.exists():
            above.mkdir(mode=0o700, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
