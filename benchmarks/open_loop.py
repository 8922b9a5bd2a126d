"""Several servers on one PostgreSQL under open-loop load: latencies at 70 % of what they can carry.

    python benchmarks/open_loop.py [--quick] [--json FILE] [--servers 2 4] [--workers 200 500]

First the capacity: trials a second that 100 workers get who ask again as soon as they are answered, over 50 studies.
Then rounds are due at random times, at 70 % of that rate, and latencies are counted from the moment when a call was due
(`open_load.py`): a server that stops for a second is charged with all the calls that came meanwhile. Wanted: suggest
p99 of at most ten times p50, and nothing refused. Workers, servers and the database share the machine's cores, so a
capacity says nothing about servers with cores of their own. `rate_of_due` is the share of rounds answered within the
window: if it is much less than 1, there was too much load, and the latencies do not tell all.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from pathlib import Path

import servers
from harness import parser, publish
from servers import HERE
from stored import SPEC
from windows import ME, Sample, Times, run

from wazir.clients.client import Client

STUDIES = 50
LOAD = 0.7
"""Of the capacity."""
CLOSED = 100
"""Workers by which the capacity is found. More would only wait longer for each other, and beyond the deadline."""
PROCESSES = 2
"""Of load: one would be busy before the servers are."""


def measured(folder: Path, number: int, workers: int, times: Times) -> dict[str, float]:
    name = f"open_loop.{number}_servers.{workers}_workers"
    with ExitStack() as stack:
        database = stack.enter_context(servers.postgres(folder / name))
        running = [
            stack.enter_context(servers.wazir(database.address, folder / f"{name}-{which}.log"))
            for which in range(number)
        ]
        with Client(running[0].address, timeout=60.0) as client:
            for study in range(STUDIES):
                client.create_study(f"load-{study}", SPEC)

        closed: list[list[str | Path]] = [
            [ME, HERE / "load.py", "wazir", server.address, str(STUDIES), str(which), str(CLOSED // number)]
            for which, server in enumerate(running)
        ]
        capacity = run(closed, running, times).rate

        rate = LOAD * capacity
        addresses = ",".join(server.address for server in running)
        share = workers // PROCESSES
        opened: list[list[str | Path]] = [
            [ME, HERE / "open_load.py", addresses, str(STUDIES), str(which * share), str(share), str(rate / PROCESSES)]
            for which in range(PROCESSES)
        ]
        sample = run(opened, [*running, database], times)

    good = Sample(sample.seconds, [call for call in sample.calls if call[1] >= 0], sample.cpu)
    suggest, end = good.latencies(1), good.latencies(2)
    return {
        f"{name}.capacity_per_s": capacity,
        f"{name}.rate_per_s": good.rate,
        f"{name}.rate_of_due": good.rate / rate,
        f"{name}.refused": float(len(sample.calls) - len(good.calls)),
        **{f"{name}.suggest_{p}": value for p, value in suggest.items()},
        **{f"{name}.end_{p}": value for p, value in end.items()},
        f"{name}.suggest_p99_to_p50": suggest["p99_ms"] / suggest["p50_ms"],
    }


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--servers", nargs="+", type=int, default=[2, 4], help="how many on one database")
    options.add_argument("--workers", nargs="+", type=int, default=[200, 500])
    given = options.parse_args()
    times = Times(2.0, 5.0, 1) if given.quick else Times(5.0, 30.0, 1)
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="wazir-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        for number in given.servers[:1] if given.quick else given.servers:
            for workers in given.workers[:1] if given.quick else given.workers:
                figures |= measured(folder, number, workers, times)
    publish(figures, given.json)


if __name__ == "__main__":
    main()
