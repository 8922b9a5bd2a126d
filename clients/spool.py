"""Reports on disk while the service is away, one JSON object a line:

    {"step": 12, "metrics": {"val/loss": 0.31}, "time": 1753000000.25}
    {"infeasible": "the loss is not a number"}

They are delivered from there when the service is back, and what a process leaves behind, its parent delivers. So
reports outlive the process, also if it is killed. Several processes of one trial may share a file.

If no file outlives the process, as in a pod, the place is `stderr:`: the same lines, marked, go into its log.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..domain.trial import Measurement

Item = Measurement | str
"""A measurement, or the reason for which the training code calls its parameters infeasible."""

LOCK_PATIENCE = 2.0
"""Seconds to wait for another process that delivers from the file; appending is safe enough without the lock, and what
a process knows must be on disk before it ends."""

CHUNK = 1_000

TO_LOG = "stderr:"
MARK = b"wazir-report: "
"""Before each line that goes into the log."""

TERMINATION_LOG = "/dev/termination-log"
"""Where a container leaves its last words, which its pod's status keeps; see the documentation of Kubernetes."""
UNSENT = b"wazir-unsent: "

logger = logging.getLogger(__name__)


def spool_at(place: Path) -> Spool | LogSpool:
    return LogSpool() if str(place) == TO_LOG else Spool(place)


class LogSpool:
    """Writes reports to standard error at once and keeps them in memory, to be delivered when the service is back. What
    is delivered and stands in the log, too, is reported twice, which is harmless."""

    def __init__(self) -> None:
        self._items: list[Item] = []

    def __len__(self) -> int:
        """How many reports stand in the log and were not delivered."""
        return len(self._items)

    @property
    def pending(self) -> bool:
        return bool(self._items)

    @pending.setter
    def pending(self, value: bool) -> None:
        if not value:
            self._items.clear()

    def append(self, items: Sequence[Item]) -> None:
        """Raises OSError; then none of them counts as written."""
        # At the start of a line, whatever has been printed before, and past all buffers: the process may be killed.
        lines = b"".join(b"\n" + MARK + _line(item).rstrip() for item in items) + b"\n"
        while lines:
            lines = lines[os.write(2, lines) :]
        self._items.extend(items)

    def deliver(self, send: Callable[[list[Item]], None]) -> None:
        """As `Spool.deliver`."""
        for start in range(0, len(self._items), CHUNK):
            send(self._items[start : start + CHUNK])
        self._items.clear()


def tell_unsent(count: int) -> None:
    """At the end of a process in a pod: how many of its reports nobody has but the log, if that. It is told where the
    log is not needed to read it, so that a log that is lost is missed."""
    try:
        file = os.open(TERMINATION_LOG, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    except OSError:
        return  # no pod
    try:
        os.write(file, b"%s%d\n" % (UNSENT, count))
    except OSError as error:
        logger.error("cannot tell of %d reports in the log: %s", count, error, extra={"action": "unsent_untold"})
    finally:
        os.close(file)


class Spool:
    """One process's hold on the file. For one thread at a time. `pending`: whether it may hold what is undelivered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pending = False

    def append(self, items: Sequence[Item]) -> None:
        """Adds lines at the end, in one write. Raises OSError; then none of them counts as written."""
        lines = b"".join(_line(item) for item in items)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            with _locked(file):
                _append(file, lines)
                self.pending = True
        finally:
            os.close(file)

    def deliver(self, send: Callable[[list[Item]], None]) -> None:
        """Sends all lines in order, in chunks, then empties the file. Where `send` raises the file stays as it is:
        what was sent before is sent again, which is harmless. Raises OSError."""
        with self.path.open("r+b") as file, _locked(file.fileno()):
            chunk: list[Item] = []
            for line in file:
                item = _item(line)
                if item is None:
                    logger.warning("left out a broken line of %s", self.path, extra={"action": "spool_line_broken"})
                    continue
                chunk.append(item)
                if len(chunk) == CHUNK:
                    send(chunk)
                    chunk = []
            if chunk:
                send(chunk)
            file.truncate(0)
        self.pending = False


def _append(file: int, lines: bytes) -> None:
    """All of it or, as far as that can be had, nothing: a disk that is full takes a part."""
    before = size = os.lseek(file, 0, os.SEEK_END)
    if size and os.pread(file, 1, size - 1) != b"\n":
        # What somebody else could not write to its end must not spoil this.
        lines = b"\n" + lines
    try:
        while lines:
            written = os.write(file, lines)
            size, lines = size + written, lines[written:]
    except OSError:
        if os.fstat(file).st_size == size:
            os.ftruncate(file, before)
        raise


def _line(item: Item) -> bytes:
    if isinstance(item, str):
        record: dict[str, object] = {"infeasible": item}
    else:
        record = {"step": item.step, "metrics": dict(item.metrics), "time": item.time}
    return json.dumps(record).encode() + b"\n"


def _item(line: bytes) -> Item | None:
    """None for a line that a sudden end cut off."""
    try:
        record = json.loads(line)
        if "infeasible" in record:
            return str(record["infeasible"])
        return Measurement(record["step"], record["metrics"], record["time"])
    except (ValueError, KeyError, TypeError):
        return None


@contextmanager
def _locked(file: int) -> Iterator[None]:
    until = time.monotonic() + LOCK_PATIENCE
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                break
            time.sleep(0.02)
        except OSError:
            # A file system without locks; then only one process of a trial may report.
            break
        else:
            break
    # Closing the file lets the lock go.
    yield
