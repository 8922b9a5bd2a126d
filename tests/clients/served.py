"""A real study service to call: on threads of this process, or as a process that can be killed."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wazir.domain.metric import Goal, Objective
from wazir.domain.space import Categorical, Double, Integer, Parameter, Space
from wazir.domain.study import Algorithm, StudySpec
from wazir.service.server import Server
from wazir.service.settings import ServiceSettings
from wazir.storage.memory import MemoryStore
from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Store

SPACE = Space(
    (Parameter("x", Double(0.0, 1.0)), Parameter("n", Integer(1, 8)), Parameter("kind", Categorical(("a", "b", True))))
)


def spec(**changes: object) -> StudySpec:
    parts: dict[str, object] = {
        "objectives": (Objective("loss", Goal.MINIMIZE),),
        "space": SPACE,
        "algorithm": Algorithm("random", seed=1),
    }
    return StudySpec(**{**parts, **changes})  # type: ignore[arg-type]


@contextmanager
def serving(kind: str, folder: Path, settings: ServiceSettings | None = None) -> Iterator[str]:
    """The address of a service on a store of that kind, "memory" or "sqlite"."""
    store: Store = MemoryStore() if kind == "memory" else open_sqlite(folder / "wazir.db")
    address = f"unix:{folder}/service.sock"
    server = Server(store, [address], settings)
    started = threading.Event()
    ends: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def main() -> None:
        stopped = asyncio.Event()
        ends.append((asyncio.get_running_loop(), stopped))
        await server.start()
        started.set()
        await stopped.wait()
        await server.stop(0)

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    assert started.wait(30), "the service did not start"
    try:
        yield address
    finally:
        loop, stopped = ends[0]
        loop.call_soon_threadsafe(stopped.set)
        thread.join()
        store.close()


class ServerProcess:
    """A service on an SQLite file, in a process of its own, always at the same address."""

    def __init__(self, folder: Path) -> None:
        self.address = f"unix:{folder}/process.sock"
        self._folder = folder
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        (self._folder / "process.sock").unlink(missing_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(self._folder / "process.db"), self.address],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "serving\n"

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.communicate()
            self._process = None


async def _serve(database: str, address: str) -> None:
    server = Server(open_sqlite(Path(database)), [address])
    await server.start()
    print("serving", flush=True)
    await server.wait()


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
