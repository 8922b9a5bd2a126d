"""What the process table says, read from /proc."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

MARKER = "WAZIR_MARKER"
"""The environment variable that tells whose process one is: `{study uid}/{trial}/{attempt}`."""


def open_process(pid: int, start: int, boot: str) -> int | None:
    """A file descriptor (pidfd) that stands for this process and no other; None where it is gone.

    `start` in clock ticks since boot tells it from a later process with its number, `boot` from one after a reboot.
    The descriptor becomes readable when the process ends, and signals sent through it never reach another one.
    """
    if boot != boot_id():
        return None
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    # Looked at after the handle was taken: if it is the right one now, the handle stands for it.
    if start_time(pid) == start:
        return handle
    os.close(handle)
    return None


def send(handle: int, number: signal.Signals) -> None:
    """Signals the process behind a pidfd; one that is gone is left alone."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, number)


def start_time(pid: int) -> int | None:
    """Clock ticks since boot; None for a process that is gone, or dead and only not collected by its parent yet."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def boot_id() -> str:
    """Changes with every boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def open_marked(marker: str) -> list[int]:
    """Handles (pidfds) of the processes that were started with this marker. Dead ones are not seen."""
    handles = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _has_marker(entry, marker):
            try:
                handle = os.pidfd_open(int(entry.name))
            except ProcessLookupError:
                continue
            # Looked at again: the handle stands for what has the number now.
            if _has_marker(entry, marker):
                handles.append(handle)
            else:
                os.close(handle)
    return handles


def _has_marker(entry: Path, marker: str) -> bool:
    try:
        environment = (entry / "environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return False  # gone meanwhile, or another user's
    return f"{MARKER}={marker}".encode() in environment.split(b"\0")
