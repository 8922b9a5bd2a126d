"""The controller's end of the zygote: starts it, sends it requests, reads its events."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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
        self.events = self._events.fileno()
        self.process = os.pidfd_open(self._zygote.pid)
        self._rest = b""

    @property
    def pid(self) -> int:
        return self._zygote.pid

    def request(self, request: dict[str, Any]) -> None:
        """Raises BrokenPipeError where the zygote is gone."""
        data = memoryview(json.dumps(request).encode() + b"\n")
        while data:
            data = data[self._requests.write(data) or 0 :]

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
            yield from map(json.loads, lines)

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
