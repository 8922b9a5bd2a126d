"""A third party's algorithm, installed as an entry point, that does what a test has written down for it.

In its folder: `script` says what it does next, `calls` gets a line for each call (process, round, count, trials in its
history). A script that waits calls the test at the port written in `gate`, and goes on when the test hangs up.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from wazir.domain.study import Algorithm
from wazir.suggestion import registry

SOURCE = """
import json, os, signal, socket
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wazir.suggestion.designer import New, PausesAll, Suggestions
from wazir.suggestion.settings import setting


class Scripted:
    name = "scripted"
    version = 7
    cheap = False

    @dataclass(frozen=True)
    class Settings:
        folder: str = setting("", "where its script lies")

    def __init__(self, settings, problem):
        self.folder = Path(settings.folder)
        self.called = 0

    def suggest(self, problem, history, count, rng, memo):
        self.called += 1
        with (self.folder / "calls").open("a") as calls:
            seen = len(history.observations)
            note = dict(pid=os.getpid(), made=self.called, round=int(memo or 0), count=count, seen=seen)
            calls.write(json.dumps(note) + "\\n")
        points = [{"x": float(u), "kind": "ab"[int(v < 0.5)]} for u, v in rng.random((count, 2))]
        script = (self.folder / "script").read_text().split()
        if "wait" in script:
            with socket.create_connection(("127.0.0.1", int((self.folder / "gate").read_text()))) as gate:
                gate.recv(1)
        if "kill" in script:
            os.kill(os.getpid(), signal.SIGKILL)
        if "exit" in script:
            os._exit(3)
        if "raise" in script:
            raise ValueError("no  luck\\n" + 1000 * "at all ")
        if "nothing" in script:
            return None
        if "many" in script:
            points += points
        if "outside" in script:
            points[-1]["x"] = 1.5
        if "tried" in script:
            points[0] = dict(history.observations[0].parameters)
        if "numpy" in script:
            points[0]["x"] = np.int64(1)
        if "detail" in script:
            return Suggestions([New(p, "because", {"n": np.array([1, 2])}) for p in points])
        if "fallback" in script:
            return Suggestions([New(p, "because", stand_in="its model cannot be fitted") for p in points], memo)
        if "print" in script:
            print("said by the algorithm", flush=True)
        return Suggestions([New(p, f"the model said so, of {seen} trials") for p in points], str(int(memo or 0) + 1))


class Cheap(Scripted):
    name = "scripted_cheap"
    cheap = True


class Rungs(Scripted, PausesAll):
    name = "scripted_rungs"
    first_rung = 3
"""


@dataclass(frozen=True)
class Note:
    """One call."""

    pid: int
    made: int
    """How many rounds this instance has been asked for."""
    round: int
    count: int
    seen: int


class Script:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._gate = socket.create_server(("127.0.0.1", 0))
        self._gate.settimeout(60.0)  # a test that waits in vain fails, and says so
        self._waiting: deque[socket.socket] = deque()
        (folder / "gate").write_text(str(self._gate.getsockname()[1]))
        self.say("answer")

    def say(self, words: str) -> None:
        (self.folder / "script").write_text(words)

    def algorithm(self, *, cheap: bool = False, rungs: bool = False, seed: int = 1) -> Algorithm:
        name = "scripted_cheap" if cheap else "scripted_rungs" if rungs else "scripted"
        return Algorithm(name, settings={"folder": str(self.folder)}, seed=seed)

    @property
    def calls(self) -> list[Note]:
        file = self.folder / "calls"
        return [Note(**json.loads(line)) for line in file.read_text().splitlines()] if file.exists() else []

    async def started(self) -> None:
        """Until one more script that waits has begun."""
        connection, _ = await asyncio.to_thread(self._gate.accept)
        self._waiting.append(connection)

    def go(self) -> None:
        """Lets the first of those that began go on."""
        self._waiting.popleft().close()

    def close(self) -> None:
        while self._waiting:
            self._waiting.popleft().close()
        self._gate.close()


@contextmanager
def installed(folder: Path) -> Iterator[Script]:
    """The algorithm in a distribution of its own, on `sys.path` while this lasts."""
    with pytest.MonkeyPatch.context() as patch:
        (folder / "wazir_scripted.py").write_text(SOURCE)
        info = folder / "wazir_scripted-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wazir-scripted\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(
            "[wazir.designers]\nscripted = wazir_scripted:Scripted\nscripted_cheap = wazir_scripted:Cheap\n"
            "scripted_rungs = wazir_scripted:Rungs\n"
        )
        patch.syspath_prepend(str(folder))
        registry._others.cache_clear()
        with closing(Script(folder)) as script:
            yield script
    registry._others.cache_clear()
