"""How soon many workers get as far as whole trainings do, on a simulated clock with epochs that take unequal times.

    python benchmarks/simulated_clock.py [--quick] [--json FILE] [--runs RUNS]
        [--algorithms gp gp+curve asha hyperband bohb:gp] [--workers 4 32 256] [--problems 4] [--seeds 2]

The learning curves are those of `multifidelity.py`, from the same data. An epoch of a trial takes a time of its own:
log-normal with deviation 0.5 from trial to trial and 0.1 from epoch to epoch, 1 in the median. Whoever is free asks at
once; deciding takes no time on this clock. A problem's target is what `gp` has come to after 50 whole trials, one at a
time, in the median over the seeds.

**time ratio**: simulated time until an algorithm reaches the target, divided by the time that `gp` takes with as many
workers and whole trials; the median over problems and seeds. A run ends at that time, so 1 means no sooner. `gp` is
given up after 100 trials and two more for each worker, and the ratio is to that time then.
**idle**: the share of the workers' time in which they had nothing to do, the greatest of any run.

`--runs` keeps what was run in a file, one run a line, and goes on from there.
"""

from __future__ import annotations

import heapq
import json
import math
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import harness
import numpy as np
from epochs import Own, Training
from harness import publish
from problems import Floats, curve_task, curve_tasks

TARGET_TRIALS = 50
MOST_TRIALS, MOST_FOR_EACH = 100, 2
"""Whole trials, and trials for each worker beside them, after which `gp` has had its chance."""
BETWEEN_TRIALS, BETWEEN_EPOCHS = 0.5, 0.1
"""Deviations of the logarithms of the times."""


@dataclass(frozen=True)
class Run:
    algorithm: str
    problem: str
    seed: int
    workers: int
    bests: list[tuple[float, float]]
    """When the best loss fell, and to what."""
    ended: float
    """When the run was over."""
    idle: float
    """The part of all workers' time in which they had nothing to do."""
    epochs: int
    cpu: float
    """Seconds of asking, telling and deciding."""
    over: bool
    """Whether all the trials that it was given have ended."""

    @property
    def key(self) -> tuple[str, str, int, int]:
        return self.algorithm, self.problem, self.seed, self.workers

    def reached(self, target: float) -> float | None:
        """When the best loss was the target or less; None where it never was."""
        return next((when for when, best in self.bests if best <= target), None)

    def answers(self, target: float, until: float) -> bool:
        """Whether it went on for long enough to say when it came to `target`, or that it did not `until` then."""
        return self.over or self.ended >= until or self.reached(target) is not None


class Clock:
    """Times of epochs: the same for the same seed, trial and epoch, whoever asks and when."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def epoch(self, training: Training) -> float:
        rng = np.random.default_rng((self._seed, training.number, training.done))
        trial = np.random.default_rng((self._seed, training.number)).standard_normal()
        return float(np.exp(BETWEEN_TRIALS * trial + BETWEEN_EPOCHS * rng.standard_normal()))


def play(algorithm: str, problem: str, seed: int, workers: int, trials: int, target: float, until: float) -> Run:
    """A study until a loss of `target`, until that time, or until so many trials have been begun and have ended."""
    task, clock = curve_task(problem), Clock(seed)
    tuner = Own(algorithm, task, seed, workers)
    curves: dict[int, Floats] = {}
    running: list[tuple[float, int, Training]] = []
    """Epochs under way, by their ends."""
    bests: list[tuple[float, float]] = []
    now = idle = cpu = 0.0
    begun, epochs = 0, 0

    def go_on(training: Training) -> None:
        heapq.heappush(running, (now + clock.epoch(training), training.number, training))

    while now < until and (not bests or bests[-1][1] > target):
        while len(running) < workers and begun < trials:
            began = time.process_time()
            training = tuner.start()
            cpu += time.process_time() - began
            if training is None:
                break
            if training.number not in curves:
                begun += 1
                curves[training.number] = task.curves([training.parameters])[0]
            go_on(training)
        if not running:
            break
        free = workers - len(running) if begun < trials else 0
        before, (now, number, training) = now, heapq.heappop(running)
        idle += free * (now - before)
        loss = float(curves[number][training.done])
        training.done, epochs = training.done + 1, epochs + 1
        if not bests or loss < bests[-1][1]:
            bests.append((now, loss))
        began = time.process_time()
        goes_on = tuner.report(training, loss)
        cpu += time.process_time() - began
        if goes_on:
            go_on(training)
    over = not running and begun == trials
    return Run(algorithm, problem, seed, workers, bests, now, idle / (workers * now), epochs, round(cpu, 2), over)


class Runs:
    """What was run, kept in a file where one is given."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        lines = path.read_text().splitlines() if path is not None and path.exists() else []
        self._known = {run.key: run for run in (Run(**json.loads(line)) for line in lines)}

    def get(
        self,
        algorithm: str,
        problem: str,
        seed: int,
        workers: int,
        trials: int = sys.maxsize,
        target: float = -math.inf,
        until: float = math.inf,
    ) -> Run:
        found = self._known.get((algorithm, problem, seed, workers))
        if found is None or not found.answers(target, until):
            found = play(algorithm, problem, seed, workers, trials, target, until)
            self._known[found.key] = found
            if self._path is not None:
                with self._path.open("a") as file:
                    file.write(json.dumps(asdict(found)) + "\n")
        return found


def targets(runs: Runs, problems: Sequence[str], seeds: int) -> dict[str, float]:
    """What `gp` comes to after 50 whole trials, one at a time."""
    return {
        problem: statistics.median(
            runs.get("gp", problem, seed, 1, TARGET_TRIALS).bests[-1][1] for seed in range(seeds)
        )
        for problem in problems
    }


def compare(
    runs: Runs, algorithms: Sequence[str], problems: Sequence[str], seeds: int, workers: int
) -> Iterator[tuple[str, float]]:
    """The figures for that many workers."""
    aims = targets(runs, problems, seeds)
    ratios: dict[str, list[float]] = {name: [] for name in algorithms}
    idle = dict.fromkeys(["gp", *algorithms], 0.0)
    came = 0
    for problem in problems:
        for seed in range(seeds):
            most = MOST_TRIALS + MOST_FOR_EACH * workers
            whole = runs.get("gp", problem, seed, workers, most, target=aims[problem])
            idle["gp"] = max(idle["gp"], whole.idle)
            there = whole.reached(aims[problem])
            took, came = there or whole.ended, came + (there is not None)
            for name in algorithms:
                run = runs.get(name, problem, seed, workers, target=aims[problem], until=took)
                ratios[name].append(min(run.reached(aims[problem]) or took, took) / took)
                idle[name] = max(idle[name], run.idle)
    yield f"gp, {workers} workers: runs that reached it", came
    for name in algorithms:
        yield f"{name}, {workers} workers: time ratio", statistics.median(ratios[name])
        yield f"{name}, {workers} workers: runs that came sooner", sum(r < 1.0 for r in ratios[name])
    for name, share in idle.items():
        yield f"{name}, {workers} workers: idle", share


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--runs", type=Path, help="a file with what was run, to be added to")
    parser.add_argument("--algorithms", nargs="+", default=["gp+curve", "asha", "hyperband", "bohb:gp"])
    parser.add_argument("--workers", nargs="+", type=int, default=[4, 32, 256])
    parser.add_argument("--problems", type=int, default=4, help="how many, the open ones first")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    if options.quick:
        options.algorithms, options.workers, options.problems, options.seeds = ["asha", "hyperband"], [4, 32], 1, 1
    runs, figures = Runs(options.runs), dict[str, float]()
    for workers in options.workers:
        figures |= compare(runs, options.algorithms, curve_tasks()[: options.problems], options.seeds, workers)
    publish(figures, options.json)


if __name__ == "__main__":
    main()
