"""Optuna's workers on a shared database, as a team runs them: processes that ask, sample and tell.

    python benchmarks/optuna_load.py URL WORKERS DIMENSIONS     in Optuna's environment

One study, the random sampler, a `suggest_float` for each dimension. Speaks as `load.py` does: prints `ready`, starts
and ends at a line each on standard input, and prints the moment each trial was told, with the seconds of its ask (all
of `ask` and `suggest_float`) and of its tell.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import time
from multiprocessing.synchronize import Event
from typing import Any

import optuna  # only in Optuna's environment


def worker(url: str, dimensions: int, go: Event, stop: Event, results: Any, ready: Any) -> None:
    study = optuna.load_study(study_name="load", storage=url, sampler=optuna.samplers.RandomSampler())
    done: list[tuple[float, float, float]] = []
    ready.release()
    go.wait()
    while not stop.is_set():
        begin = time.monotonic()
        trial = study.ask()
        for i in range(dimensions):
            trial.suggest_float(f"x{i}", 0.0, 1.0)
        middle = time.monotonic()
        study.tell(trial, 0.5)
        end = time.monotonic()
        done.append((end, middle - begin, end - middle))
    results.put(done)


def main(url: str, workers: int, dimensions: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study(study_name="load", storage=url)
    # Forked after the import, which costs a second of CPU in each process that does it itself.
    fork = multiprocessing.get_context("fork")
    go, stop, results, ready = fork.Event(), fork.Event(), fork.Queue(), fork.Semaphore(0)
    processes = [fork.Process(target=worker, args=(url, dimensions, go, stop, results, ready)) for _ in range(workers)]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    print("ready", flush=True)
    sys.stdin.readline()
    go.set()
    sys.stdin.readline()
    stop.set()
    json.dump([row for _ in processes for row in results.get()], sys.stdout)
    for process in processes:
        process.join()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
