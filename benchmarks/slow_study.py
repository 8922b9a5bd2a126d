"""What a study whose algorithm takes 5 s a suggestion does to 50 fast ones beside it.

    python benchmarks/slow_study.py [--quick] [--json FILE]

A `wazir serve` on an SQLite file on disk; 50 studies with random search, one client each, which asks for a trial, ends
it and rests a while; and one study with an algorithm that waits (it does not compute) for 5 s, asked by 35 clients that
ask again as soon as they can. The fast ones' SuggestTrials is measured with and without the slow study, in turns,
several times over, and the medians are compared: a shared machine changes from one minute to the next.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median, quantiles

from harness import arguments, publish
from servers import wazir

from wazir.clients.client import Client
from wazir.domain.metric import Goal, Objective
from wazir.domain.space import Double, Parameter, Space
from wazir.domain.study import Algorithm, StudySpec

FAST, SLOW_CLIENTS = 50, 35
PAUSE = 0.5
"""Seconds between two rounds of a fast client, on average: 100 trials/s in all, with cores to spare."""
WAITS = 5.0
"""Seconds that a suggestion takes."""

ALGORITHM = """
import time
from dataclasses import dataclass

from wazir.suggestion.designer import New, Suggestions
from wazir.suggestion.settings import setting


class Waits:
    name, version, cheap = "waits", 1, False

    @dataclass(frozen=True)
    class Settings:
        seconds: float = setting(5.0, "how long a suggestion takes")

    def __init__(self, settings, problem):
        self.seconds = settings.seconds

    def suggest(self, problem, history, count, rng, memo):
        time.sleep(self.seconds)
        names = [p.name for p in problem.space.parameters]
        return Suggestions([New(dict(zip(names, map(float, row)))) for row in rng.random((count, len(names)))])
"""


def install(folder: Path) -> None:
    """The algorithm as a distribution with an entry point, where the server finds it."""
    (folder / "wazir_waits.py").write_text(ALGORITHM)
    info = folder / "wazir_waits-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wazir-waits\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[wazir.designers]\nwaits = wazir_waits:Waits\n")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))


def create(address: str) -> None:
    space = Space(tuple(Parameter(f"x{i}", Double(0.0, 1.0)) for i in range(8)))
    objectives = (Objective("loss", Goal.MINIMIZE),)
    with Client(address) as client:
        for i in range(FAST):
            client.create_study(f"fast-{i}", StudySpec(objectives, space, algorithm=Algorithm("random", seed=i)))
        slow = Algorithm("waits", settings={"seconds": WAITS}, seed=1)
        client.create_study("slow-0", StudySpec(objectives, space, algorithm=slow))


def clients(
    address: str, prefix: str, studies: int, number: int, pause: float, seconds: float
) -> subprocess.Popen[str]:
    numbers = map(str, (studies, number, pause, seconds))
    command = [sys.executable, str(Path(__file__).with_name("slow_load.py")), address, prefix, *numbers]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def outcome(process: subprocess.Popen[str]) -> tuple[list[float], int]:
    said, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the load ended with {process.returncode}")
    answer = json.loads(said)
    return answer["took"], answer["stand_ins"]


def p95_ms(took: list[float]) -> float:
    return 1000 * quantiles(took, n=100)[94]


def main() -> None:
    options = arguments(__doc__)
    rounds, seconds = (2, 8.0) if options.quick else (6, 20.0)
    alone: list[list[float]] = []
    beside: list[list[float]] = []
    slow: list[float] = []
    stand_ins = 0
    with tempfile.TemporaryDirectory(prefix="wazir-bench-", dir=Path.home()) as name:
        folder = Path(name)
        install(folder)
        with wazir(folder / "wazir.db", folder / "serve.log") as server:
            create(server.address)
            outcome(clients(server.address, "fast", FAST, FAST, PAUSE, 3.0))  # warm
            for _ in range(rounds):
                alone.append(outcome(clients(server.address, "fast", FAST, FAST, PAUSE, seconds))[0])
                # The slow ones begin before the fast ones and outlast them; they get two rounds of the algorithm more.
                crowd = clients(server.address, "slow", 1, SLOW_CLIENTS, 0.0, seconds + 2 * WAITS)
                time.sleep(WAITS)
                beside.append(outcome(clients(server.address, "fast", FAST, FAST, PAUSE, seconds))[0])
                took, stood_in = outcome(crowd)
                slow += took
                stand_ins += stood_in
            memory = server.memory()
    without, with_slow = median(map(p95_ms, alone)), median(map(p95_ms, beside))
    publish(
        {
            "fast_p95_ms_alone": without,
            "fast_p95_ms_beside": with_slow,
            "fast_p95_rise_percent": 100 * (with_slow / without - 1),
            "fast_p50_ms_alone": median(1000 * median(took) for took in alone),
            "fast_p50_ms_beside": median(1000 * median(took) for took in beside),
            "fast_trials": float(sum(map(len, alone + beside))),
            "slow_trials": float(len(slow)),
            "slow_longest_s": max(slow),
            "slow_stand_ins": float(stand_ins),
            "server_and_workers_mib": memory,
        },
        options.json,
    )


if __name__ == "__main__":
    main()
