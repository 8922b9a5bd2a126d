"""What the study service costs and carries: trials a second, latencies, CPU, memory; beside a no-op call and its peers.

    python benchmarks/service.py [--quick] [--json FILE] [--peers FOLDER]

The load: clients that each ask for one trial and start it (random search, 8 double parameters), end it, and ask again,
with a connection each. 1, 8 and 50 of them, in one study and spread over 50; against `wazir serve` with its durable
SQLite file and with a PostgreSQL of its own (fsync on). In the same run: a no-op unary gRPC call from the same clients;
OSS Vizier's own server on an SQLite file;
Optuna's storage on a PostgreSQL of its own (fsync on), 32 processes.

A figure's window begins after a warm-up. Server CPU is what the kernel accounts to the server's process and all it
started, the database's is told beside it. On a small machine load and servers share the cores: CPU a trial, and ratios
within one run, tell more than trials a second.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import peers
import servers
from harness import parser, publish
from load import DIMENSIONS
from servers import HERE, Running
from stored import NAME, SPEC, fill

from wazir.clients.client import Client
from wazir.domain.attempt import Cause
from wazir.storage.sqlite import open_sqlite

STUDIES = 50
WORKERS = 32
"""Of Optuna, and of Wazir beside it."""

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


def described(name: str, sample: Sample, database: bool = False) -> dict[str, float]:
    """The figures of a load of trials."""
    figures = {f"{name}.trials_per_s": sample.rate, f"{name}.server_cpu_ms": sample.cpu_ms()}
    if database:
        figures[f"{name}.database_cpu_ms"] = sample.cpu_ms(1)
    for call, word in ((1, "suggest"), (2, "end")):
        figures |= {f"{name}.{word}_{p}": value for p, value in sample.latencies(call).items()}
    return figures


def noop(folder: Path, times: Times, sizes: Sequence[int]) -> dict[str, float]:
    figures: dict[str, float] = {}
    with servers.noop(folder / "noop.log") as server:
        for size in sizes:
            sample = run(clients("noop", server.address, size, 1), [server], times)
            figures[f"noop.{size}_clients.calls_per_s"] = sample.rate
            figures[f"noop.{size}_clients.server_cpu_ms"] = sample.cpu_ms()
            figures |= {f"noop.{size}_clients.{p}": value for p, value in sample.latencies(1).items()}
    return figures


def wazir(
    store: str, database: Path | str, beside: Sequence[Running], folder: Path, times: Times, sizes: Sequence[int]
) -> dict[str, float]:
    """`beside`: the database's own server, where it has one."""
    figures: dict[str, float] = {}
    with servers.wazir(database, folder / f"wazir-{store}.log") as server:
        with Client(server.address) as client:
            for number in range(STUDIES):
                client.create_study(f"load-{number}", SPEC)
        for studies in (1, STUDIES):
            for size in sizes:
                name = f"wazir.{store}.{size}_clients.{studies}_studies"
                if size == 1 and studies > 1:
                    continue  # it is the same load
                sample = run(clients("wazir", server.address, size, studies), [server, *beside], times)
                figures |= described(name, sample, bool(beside))
        figures[f"wazir.{store}.memory_mib"] = server.memory()
    return figures


def on_postgres(folder: Path, times: Times, sizes: Sequence[int]) -> dict[str, float]:
    """The same with PostgreSQL, and with as many workers as Optuna is given beside it."""
    with servers.postgres(folder / "wazir-postgres") as database:
        return wazir("postgres", database.address, (database,), folder, times, (*sizes, WORKERS))


def vizier(python: Path, folder: Path, times: Times, sizes: Sequence[int], spread: Sequence[int]) -> dict[str, float]:
    """`spread`: over how many studies, one after the other."""
    figures: dict[str, float] = {}
    for studies in spread:
        for size in sizes:
            if size == 1 and studies > 1:
                continue
            # A new file each time: what it has stored makes it slower.
            place = folder / f"vizier-{size}-{studies}"
            place.mkdir()
            with servers.vizier(python, place, studies) as server:
                sample = run(clients("vizier", server.address, size, studies, python), [server], times)
            figures |= described(f"vizier.{size}_clients.{studies}_studies", sample)
    return figures


def optuna(python: Path, folder: Path, times: Times) -> dict[str, float]:
    with servers.postgres(folder) as database:
        url = database.address.replace("postgresql:", "postgresql+psycopg2:")
        sample = run([[python, HERE / "optuna_load.py", url, str(WORKERS), str(DIMENSIONS)]], [database], times)
    name = f"optuna.{WORKERS}_workers"
    return {
        f"{name}.trials_per_s": sample.rate,
        f"{name}.database_cpu_ms": sample.cpu_ms(),
        **{f"{name}.ask_{p}": value for p, value in sample.latencies(1).items()},
        **{f"{name}.tell_{p}": value for p, value in sample.latencies(2).items()},
    }


def scale(folder: Path, times: Times, many: int, measurements: int) -> dict[str, float]:
    """CPU of a call with few and many trials stored, by one client, so that no two calls share a transaction. In turns,
    and of each the least, since a shared machine only ever adds."""
    stored = {
        "100_trials": (100, 0),
        f"{many}_trials": (many, 0),
        f"{many}_trials_of_{measurements}_measurements": (many, measurements),
    }
    figures: dict[str, float] = {}
    with ExitStack() as stack:
        running = {}
        for name, (trials, each) in stored.items():
            file = folder / f"{name}.db"
            store = open_sqlite(file)
            fill(store, trials, each)
            store.close()
            server = running[name] = stack.enter_context(servers.wazir(file, folder / f"{name}.log"))
            with Client(server.address, timeout=300.0) as client:
                # The first one reads the study; what is measured is every later one.
                (trial,) = client.suggest(NAME, client_id="client-0", start=True).trials
                client.end_attempt(trial.name, 1, Cause.SUCCEEDED, final={"loss": 0.5})
        for workload in ("wazir", "report", "get"):
            word = "trial" if workload == "wazir" else workload
            for _ in range(times.windows):
                for name, server in running.items():
                    cpu = run(clients(workload, server.address, 1, 1), [server], times).cpu_ms()
                    key = f"scale.{name}.{word}_cpu_ms"
                    figures[key] = min(cpu, figures.get(key, cpu))
        for name, server in running.items():
            figures[f"scale.{name}.memory_mib"] = server.memory()
    first, *others = stored
    for name in others:
        for word in ("trial", "report", "get"):
            ratio = figures[f"scale.{name}.{word}_cpu_ms"] / figures[f"scale.{first}.{word}_cpu_ms"]
            figures[f"scale.{name}.{word}_cpu_ratio"] = ratio
    return figures


def ratios(figures: Mapping[str, float]) -> dict[str, float]:
    """What the service is to reach beside its peers, where they were there."""
    found = {}
    for studies in (1, STUDIES):
        ours = figures.get(f"wazir.sqlite.50_clients.{studies}_studies.trials_per_s")
        theirs = figures.get(f"vizier.50_clients.{studies}_studies.trials_per_s")
        if ours and theirs:
            found[f"ratio.to_vizier.50_clients.{studies}_studies"] = ours / theirs
    ours = figures.get(f"wazir.postgres.{WORKERS}_clients.1_studies.trials_per_s")
    theirs = figures.get(f"optuna.{WORKERS}_workers.trials_per_s")
    if ours and theirs:
        found[f"ratio.to_optuna.{WORKERS}_workers"] = ours / theirs
    return found


def main() -> None:
    parts = ("noop", "sqlite", "postgres", "vizier", "optuna", "scale")
    options = parser(__doc__)
    options.add_argument("--peers", type=Path, default=peers.DEFAULT, help="where `peers.py` made their environments")
    options.add_argument("--only", nargs="+", choices=parts, default=parts, help="only these parts")
    given = options.parse_args()
    quick = given.quick
    times = Times(0.5, 1.0, 1) if quick else Times(3.0, 10.0, 3)
    sizes = (50,) if quick else (1, 8, 50)
    pythons = {peer: peers.python_of(peer, given.peers) for peer in peers.STEPS}
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="wazir-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        if "noop" in given.only:
            figures |= noop(folder, times, sizes)
        if "sqlite" in given.only:
            figures |= wazir("sqlite", folder / "wazir.db", (), folder, times, sizes)
        if "postgres" in given.only:
            figures |= on_postgres(folder, times, sizes)
        if "vizier" in given.only and (python := pythons["vizier"]):
            figures |= vizier(python, folder, times, sizes, (1,) if quick else (1, STUDIES))
        if "optuna" in given.only and (python := pythons["optuna"]):
            figures |= optuna(python, folder / "optuna", times)
        if "scale" in given.only:
            figures |= scale(folder, times, *((5_000, 20) if quick else (100_000, 200)))
    versions = {f"{peer} (peer)": peers.version_of(peer, given.peers) for peer in peers.STEPS}
    publish(figures | ratios(figures), given.json, versions)


if __name__ == "__main__":
    main()
