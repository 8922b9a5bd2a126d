"""The controller's end of the zygote: starts it, sends it requests, reads its events."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PATIENCE = 5.0
"""Seconds for the zygote to end."""

_PROGRAM = Path(__file__).with_name("zygote.py")


class Launcher:
    """One zygote, which ends when this end of its pipe is closed, by `close` or by the death of this process.

    `events` becomes readable when there is an event; `process` (a pidfd) when the zygote has died.
    """

    def __init__(self) -> None:
        # Isolated and without site: nothing of the controller's Python path is needed, and it starts in 10 ms.
        self._zygote = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
        )
        assert self._zygote.stdin is not None
        assert self._zygote.stdout is not None
        self._requests = self._zygote.stdin
        self._events = self._zygote.stdout
        os.set_blocking(self._events.fileno(), False)
        # It may be stopped, by a person or by training code of the same user: then a pipe takes so much and no more.
        os.set_blocking(self._requests.fileno(), False)
        self._unsent = bytearray()
        self._unanswered = 0
        self._heard = time.monotonic()
        self.events = self._events.fileno()
        self.process = os.pidfd_open(self._zygote.pid)
        self._rest = b""

    @property
    def pid(self) -> int:
        return self._zygote.pid

    def request(self, request: dict[str, Any]) -> None:
        """Raises BrokenPipeError where the zygote is gone."""
        if not self._unanswered:
            self._heard = time.monotonic()
        self._unanswered += 1
        self._unsent += json.dumps(request).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Writes what the pipe takes now. Raises BrokenPipeError where the zygote is gone."""
        while self._unsent:
            try:
                del self._unsent[: os.write(self._requests.fileno(), self._unsent)]
            except BlockingIOError:
                return

    @property
    def silence(self) -> float | None:
        """Seconds for which it has answered nothing, although there is something to answer; None if there is not."""
        return time.monotonic() - self._heard if self._unanswered else None

    def kill(self) -> None:
        self._zygote.kill()

    def read(self) -> Iterator[dict[str, Any]]:
        """The events that have come, without waiting."""
        while True:
            try:
                data = os.read(self.events, 1 << 16)
            except BlockingIOError:
                return
            if not data:
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._unanswered = max(0, self._unanswered - 1)
                self._heard = time.monotonic()
                yield json.loads(line)

    def close(self) -> None:
        """Lets the zygote end, and waits for it; what it has started goes on."""
        self._requests.close()
        try:
            self._zygote.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            # Somebody has stopped it, perhaps. What it has started goes on also then.
            self._zygote.kill()
            self._zygote.wait()
        self._events.close()
        os.close(self.process)
