"""Server processes under load: started, waited for, their CPU and memory read, and ended."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

HERE = Path(__file__).parent
START_SECONDS = 120.0


@dataclass(frozen=True)
class Running:
    """A server that listens at `address`: `host:port`, or a URL for a database."""

    process: psutil.Process
    address: str

    def cpu(self) -> float:
        """Seconds of CPU that it has used so far, with all processes it started."""
        total = 0.0
        for process in self._tree():
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue  # its parent has its time from now on
            total += times.user + times.system + times.children_user + times.children_system
        return total

    def memory(self) -> float:
        """MiB: the most that it held at any time, and the same of the processes it started."""
        status = "".join(Path(f"/proc/{process.pid}/status").read_text() for process in self._tree())
        return sum(map(int, re.findall(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE))) / 1024

    def _tree(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]


@contextmanager
def wazir(database: Path | str, log: Path) -> Iterator[Running]:
    """`wazir serve` as a user starts it."""
    command = [sys.executable, "-c", "from wazir.app.main import main; main()", "serve"]
    with _started([*command, "--db", str(database), "--listen", "127.0.0.1:0"], log, r" at 127\.0\.0\.1:(\d+)") as it:
        yield it


@contextmanager
def noop(log: Path) -> Iterator[Running]:
    with _started([sys.executable, HERE / "noop_server.py"], log, r"^(\d+)$") as it:
        yield it


@contextmanager
def vizier(python: Path, folder: Path, studies: int) -> Iterator[Running]:
    """OSS Vizier's own server on an SQLite file, with its studies."""
    command: list[str | Path] = [python, HERE / "vizier_server.py", folder / "vizier.db", str(studies)]
    with _started(command, folder / "vizier.log", r"^(\d+)$") as it:
        yield it


@contextmanager
def postgres(folder: Path) -> Iterator[Running]:
    """A PostgreSQL of its own with its default settings, fsync on; `address` is the URL of an empty database.

    Only its Unix socket is open. As root it runs as the user `postgres`, because it refuses to run as root.
    """
    user = "postgres" if os.geteuid() == 0 else None
    data = folder / "data"
    data.mkdir(parents=True)
    if user is not None:
        for part in (folder, data):
            shutil.chown(part, user)
    subprocess.run(
        [_tool("initdb"), "-D", data, "-U", "wazir", "--auth=trust", "--encoding=UTF8"],
        check=True, user=user, stdout=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    command: list[str | Path] = [
        _tool("postgres"),
        "-D",
        data,
        "-k",
        folder,
        "-c",
        "listen_addresses=",
        "-c",
        "max_connections=120",
    ]
    # SIGINT is its fast end: connections are cut. SIGTERM would wait for them.
    ready = "database system is ready to accept connections"
    with _started(command, folder / "postgres.log", ready, user=user, end=signal.SIGINT) as it:
        yield Running(it.process, f"postgresql://wazir@/postgres?host={folder}")


def _tool(name: str) -> str:
    """On the path, or where Debian keeps it. Raises FileNotFoundError."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, places)]))
    if found is None:
        raise FileNotFoundError(f"{name} of PostgreSQL: install its server, on Debian `apt-get install postgresql`")
    return found


@contextmanager
def _started(
    command: Sequence[str | Path],
    log: Path,
    ready: str,
    *,
    user: str | None = None,
    end: signal.Signals = signal.SIGTERM,
) -> Iterator[Running]:
    """The process, once a line of its output matches `ready`; a group there is its port of 127.0.0.1."""
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, user=user, cwd=log.parent)
    try:
        found, until = None, time.monotonic() + START_SECONDS
        while (found := re.search(ready, log.read_text(), re.MULTILINE)) is None:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[0]} did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield Running(psutil.Process(process.pid), f"127.0.0.1:{found[1]}" if found.re.groups else "")
    finally:
        process.send_signal(end)
        process.wait()
