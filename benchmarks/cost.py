"""What a suggestion costs after so many trials, in 8 dimensions: CPU of the process with all its threads, and memory.

    python benchmarks/cost.py [--quick] [--json FILE] [--peers]

Each case is a process of its own: it is told a history of random points of Rosenbrock's function, then asked for points
one by one, each told at once, so that refits of a model are shared out among them. Libraries have one thread, as in the
service's workers: several would spin while they wait for each other. `--peers` adds Optuna's samplers (`pip install
optuna torch`) in the same run. Memory is the most that the process ever held.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from harness import parser, publish
from samplers import Optuna, Own, sampler

from wazir.domain.parameters import Parameters
from wazir.domain.space import Double, Parameter, Space
from wazir.service.compute.process import ONE_THREAD
from wazir.suggestion.space.encoding import encoder

SPACE = Space(tuple(Parameter(f"x{i}", Double(-2.0, 2.0)) for i in range(8)))

CASES = {
    "gp": (0, 300, 1_000, 3_000, 10_000),
    "tpe": (0, 300, 1_000, 10_000),
    "cmaes": (0, 1_000),
    "random": (0, 10_000),
}
PEERS = {"optuna-gp": (0, 300), "optuna-tpe": (0, 300, 1_000)}
ASKED = {"optuna-gp": 10}
"""Points that are asked for, where they are not 50: the slow ones."""


def rosenbrock(point: Parameters) -> float:
    x = np.array([float(v) for v in point.values()])
    return float(np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2))


def measure(algorithm: str, known: int, asked: int) -> dict[str, float]:
    run = sampler(algorithm)(SPACE, known + asked, 1)
    assert isinstance(run, Own | Optuna)
    points = encoder(SPACE).decode(np.random.default_rng(1).random((known, len(SPACE.parameters))))
    run.know(points, [rosenbrock(p) for p in points])
    start = time.process_time()
    for _ in range(asked):
        run.tell([rosenbrock(p) for p in run.ask(1)])
    cpu = (time.process_time() - start) / asked
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"cpu_ms": 1000 * cpu, "memory_mib": peak}


def main(arguments: Sequence[str]) -> None:
    if arguments[:1] == ["one"]:
        print(json.dumps(measure(arguments[1], int(arguments[2]), int(arguments[3]))))
        return
    found = parser(__doc__)
    found.add_argument("--peers", action="store_true", help="Optuna's samplers too")
    options = found.parse_args(arguments)
    environment = {**os.environ, **ONE_THREAD}
    figures: dict[str, float] = {}
    for algorithm, sizes in {**CASES, **(PEERS if options.peers else {})}.items():
        for known in sizes if not options.quick else sizes[:2]:
            asked = 50 if known == 0 else ASKED.get(algorithm, 10 if options.quick else 50)
            command = [sys.executable, str(Path(__file__)), "one", algorithm, str(known), str(asked)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
            case = json.loads(done.stdout)
            when = "over the first 50" if known == 0 else f"after {known}"
            figures[f"{algorithm} {when}, CPU ms a point"] = case["cpu_ms"]
            figures[f"{algorithm} {when}, MiB"] = case["memory_mib"]
    publish(figures, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
