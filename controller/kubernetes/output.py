"""What a pod printed, through the API server.

A follower copies the log to a file while the pod lives. Each line carries the time at which the kubelet wrote it, so a
follower whose connection broke asks again from the last second it has seen and leaves out what it has: nothing is lost
and nothing counted twice, though lines may bear the same time.
"""

from __future__ import annotations

import logging
import os
import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from typing import IO

from .api import Api, ApiError, Stream, Unreachable, pods_path

log = logging.getLogger(__name__)

MAX_READ = 8 * 1024 * 1024
"""Bytes of a log that are looked at after the fact, from its end."""
MAX_KEPT = 1 << 30
"""Bytes of the log of one running pod that are kept: endless output of one must not fill the disk for all."""
MAX_LINE = 1 << 20
"""Bytes of one line that are kept."""
TAIL_LINES = 5_000
SILENCE = 600.0
"""Seconds after which a followed log without a word is asked for again: the connection may be dead."""
FIRST_PAUSE, LAST_PAUSE = 0.2, 5.0
GIVE_UP = 5
"""Refusals in a row after which a log counts as gone: a node that is away keeps it."""


class _Full(Exception):
    """No more of the log can be kept. Its words say why."""


class Follower:
    """Follows the log of one container from its first line, from a thread of its own.

    `over` tells it that the pod has ended: the next end of the log is the last.
    """

    def __init__(self, api: Api, namespace: str, pod: str, container: str, wake: Callable[[], None]) -> None:
        self._api = api
        self._path = pods_path(namespace, pod, "log")
        self._container = container
        self._wake = wake
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="wazir-log-")  # noqa: SIM115 - lives as long as this
        self._size = 0
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._stream: Stream | None = None
        self._since = ""
        """The time of the last line, and how many lines of that time there were."""
        self._same = 0
        self._news = threading.Event()
        self.over = False
        self.lost = ""
        """Why the log could not be read to its end, where that is so once it is `finished`."""
        self.finished = threading.Event()
        """All that there was is there, or no more can be had."""
        threading.Thread(target=self._run, name=f"wazir-log {pod}", daemon=True).start()

    def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset` on; from the end where it is negative."""
        with self._lock:
            start = max(0, self._size + offset) if offset < 0 else offset
            return os.pread(self._file.fileno(), min(size, max(0, self._size - start)), start)

    def hurry(self) -> None:
        """There is news of the pod. A node that was away may be back, and have little patience with logs."""
        self._news.set()

    def end(self) -> None:
        """The pod has ended."""
        self.over = True
        self._news.set()

    def close(self) -> None:
        self._closed.set()
        self._news.set()
        if self._stream is not None:
            self._stream.close()
        with self._lock:
            self._size = 0
            self._file.close()

    def _run(self) -> None:
        pause, refusals = FIRST_PAUSE, 0
        try:
            while not self._closed.is_set():
                # Asked before, so that what is printed before the end is followed by one more look.
                last = self.over
                before = self._size
                try:
                    self._follow()
                except Unreachable as error:
                    log.debug("%s: %s", self._path, error, extra={"action": "log_broken"})
                    last = False
                except _Full as error:
                    self.lost = str(error)
                    log.warning("%s: %s", self._path, error, extra={"action": "log_not_kept"})
                    return
                except ApiError as error:
                    # 400: its container has not started yet. 404: it is gone.
                    refusals += 1
                    last = (last and refusals >= GIVE_UP) or error.status == 404
                    if last:
                        self.lost = str(error)
                except Exception as error:
                    log.exception("%s", self._path, extra={"action": "log_defect"})
                    self.lost = repr(error)
                    return
                else:
                    refusals = 0
                if last:
                    return
                pause = FIRST_PAUSE if self._size > before else min(pause * 2, LAST_PAUSE)
                if self._news.wait(pause * random.uniform(0.5, 1.5)):
                    self._news.clear()
        finally:
            self.finished.set()
            self._wake()

    def _follow(self) -> None:
        query = {"sinceTime": self._since} if self._since else {}
        self._stream = self._api.stream(
            self._path, SILENCE, container=self._container, follow="true", timestamps="true", **query
        )
        seen, skip = self._since, self._same
        try:
            if self._closed.is_set():
                return
            for line in self._lines(self._stream):
                time, _, text = line.partition(b" ")
                stamp = time.decode("ascii", "replace")
                if seen and (_order(stamp) < _order(seen) or (stamp == seen and skip > 0)):
                    skip -= stamp == seen
                    continue
                self._append(stamp, text)
        finally:
            self._stream.close()

    def _lines(self, stream: Stream) -> Iterator[bytes]:
        """Lines with their ends. The last may lack one: it is not taken before the pod has ended."""
        rest = b""
        for chunk in stream.chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            yield from (line + b"\n" for line in whole)
            # One that never ends must not fill the memory; nobody reads lines of that length.
            rest = rest[:MAX_LINE]
        if rest and self.over:
            yield rest

    def _append(self, stamp: str, text: bytes) -> None:
        with self._lock:
            if self._closed.is_set():
                return
            if self._size + len(text) > MAX_KEPT:
                raise _Full(f"it is longer than {MAX_KEPT >> 20} MiB, and the rest is not read")
            try:
                os.pwrite(self._file.fileno(), text, self._size)
            except OSError as error:
                raise _Full(f"the controller cannot keep it in {tempfile.gettempdir()}: {error.strerror}") from error
            self._size += len(text)
            self._same = self._same + 1 if stamp == self._since else 1
            self._since = stamp


def last_part(api: Api, namespace: str, pod: str, container: str) -> bytes:
    """The last part of a log, in whole lines, at most MAX_READ bytes. Raises ApiError and Unreachable."""
    stream = api.stream(pods_path(namespace, pod, "log"), 30.0, container=container, tailLines=TAIL_LINES)
    data = b""
    try:
        for chunk in stream.chunks():
            data = (data + chunk)[-MAX_READ:]
    finally:
        stream.close()
    return data


def _order(stamp: str) -> tuple[str, str]:
    """RFC 3339 with nanoseconds drops zeros at the end, so texts alone do not sort."""
    seconds, _, fraction = stamp.rstrip("Z").partition(".")
    return seconds, fraction.ljust(9, "0")
