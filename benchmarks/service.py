"""What the study service costs and carries: trials a second, latencies, CPU, memory; beside a no-op call and its peers.

    python benchmarks/service.py [--quick] [--json FILE] [--peers FOLDER]

The load: clients that each ask for one trial and start it (random search, 8 double parameters), end it, and ask again,
with a connection each. 1, 8 and 50 of them, in one study and spread over 50; against `wazir serve` with its durable
SQLite file and with a PostgreSQL of its own (fsync on). In the same run: a no-op unary gRPC call from the same clients;
OSS Vizier's own server on an SQLite file;
Optuna's storage on a PostgreSQL of its own (fsync on), 32 processes.

`--only scale`: what calls cost beside 1,000 trials and beside 100,000 (SQLite) and 1,000,000 (PostgreSQL), each with 20
measurements; how long a start and the first calls take, and a deletion.

A figure's window begins after a warm-up. Server CPU is what the kernel accounts to the server's process and all it
started, the database's is told beside it. On a small machine load and servers share the cores: CPU a trial, and ratios
within one run, tell more than trials a second.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import peers
import scale
import servers
from harness import parser, publish
from load import DIMENSIONS
from servers import HERE, Running
from stored import SPEC
from windows import Sample, Times, clients, run

from wazir.clients.client import Client

STUDIES = 50
WORKERS = 32
"""Of Optuna, and of Wazir beside it."""


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
            figures |= scale.measured(folder, quick=quick)
    versions = {f"{peer} (peer)": peers.version_of(peer, given.peers) for peer in peers.STEPS}
    publish(figures | ratios(figures), given.json, versions)


if __name__ == "__main__":
    main()
