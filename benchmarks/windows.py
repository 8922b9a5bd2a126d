"""Windows of load: processes of clients are started, told to begin and to end, and servers watched meanwhile."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from servers import HERE, Running

ME = Path(sys.executable)


@dataclass(frozen=True)
class Times:
    """Seconds of a warm-up, of a window, and how often the smallest of several windows is taken."""

    warm_up: float
    window: float
    windows: int


@dataclass(frozen=True)
class Sample:
    """What clients and servers did in one window. `calls`: (end, seconds of the first call, seconds of the second)."""

    seconds: float
    calls: Sequence[tuple[float, float, float]]
    cpu: Sequence[float]
    """Seconds of each server watched."""

    @property
    def rate(self) -> float:
        return len(self.calls) / self.seconds

    def cpu_ms(self, server: int = 0) -> float:
        """A trial's, or a call's where there is one in a round."""
        return 1000 * self.cpu[server] / len(self.calls)

    def latencies(self, call: int) -> dict[str, float]:
        """Milliseconds of the first (1) or the second (2) call of a round."""
        ordered = sorted(row[call] for row in self.calls)
        return {f"p{p}_ms": 1000 * ordered[min(len(ordered) - 1, len(ordered) * p // 100)] for p in (50, 95, 99)}


def run(commands: Sequence[Sequence[str | Path]], watched: Sequence[Running], times: Times) -> Sample:
    """One window of the load that these processes make."""
    processes = [subprocess.Popen(c, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for c in commands]
    try:
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise RuntimeError("the load did not start; its own words stand above")
        _tell(processes)
        time.sleep(times.warm_up)
        start, before = time.monotonic(), [server.cpu() for server in watched]
        time.sleep(times.window)
        end, after = time.monotonic(), [server.cpu() for server in watched]
        _tell(processes)
        done = [row for process in processes for row in json.loads(process.communicate()[0])]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    calls = [row for row in done if start < row[0] <= end]
    if not calls:
        raise RuntimeError(f"not one round of calls ended within {times.window:g} s")
    return Sample(end - start, calls, [b - a for a, b in zip(before, after, strict=True)])


def _tell(processes: Sequence[subprocess.Popen[str]]) -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def clients(workload: str, address: str, number: int, studies: int, python: Path = ME) -> list[list[str | Path]]:
    """The load's commands: two processes, because one would be busy before the server is."""
    shares = [share for share in (number - number // 2, number // 2) if share]
    firsts = [0, shares[0]]
    return [
        [python, HERE / "load.py", workload, address, str(studies), str(first), str(share)]
        for first, share in zip(firsts, shares, strict=False)
    ]
