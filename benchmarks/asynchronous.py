"""Whether four asynchronous workers of a service get points as good as the algorithm gives in process.

    python benchmarks/asynchronous.py [--quick] [--json FILE] [--algorithm gp] [--seeds 3]

Both ways take the same problems (`problems.py`, with what it needs), seeds, and times that trials take: log-normal
about a fifth of a second, so that trials end in another order than they began in. In process the clock is simulated;
through the service four threads ask a server over its socket, wait as long as their trials take, and report. The score
is that of `quality.py` after 48 trials.
"""

from __future__ import annotations

import heapq
import math
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from harness import parser, publish
from problems import Task, task
from quality import normalised

from wazir.app.local_service import LocalService
from wazir.clients.client import Client
from wazir.domain.attempt import Cause
from wazir.domain.metric import Goal, Objective
from wazir.domain.study import Algorithm, Budget, StudySpec
from wazir.suggestion.designer import New, Observation, Outcome, Problem
from wazir.suggestion.generator import generator
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.registry import make_designer

PROBLEMS = ("lcbench-3945-ce", "xgb-40981-logloss", "bbob-f8-d5-i1", "sgd-breast_cancer")
WORKERS = 4
TRIALS = 48
OBJECTIVE = Objective("loss", Goal.MINIMIZE)


def times(seed: int) -> list[float]:
    """Seconds that each trial takes."""
    return list(np.random.default_rng(seed).lognormal(math.log(0.2), 0.5, TRIALS + WORKERS))


def in_process(algorithm: str, on: Task, seed: int) -> list[float]:
    """Losses in the order in which trials end."""
    problem = Problem(on.space, (OBJECTIVE,), trials=TRIALS, parallel=WORKERS)
    designer, history, memo = make_designer(Algorithm(algorithm), problem), TrialHistory(), ""
    takes, running, losses = times(seed), list[tuple[float, int]](), list[float]()
    now, number = 0.0, 0
    while len(losses) < TRIALS:
        while len(running) < WORKERS and number < TRIALS:
            answer = designer.suggest(problem, history, 1, generator(seed, number), memo)
            memo, number = answer.memo, number + 1
            (proposal,) = answer.proposals
            assert isinstance(proposal, New)
            history.put(Observation(number, proposal.parameters, Outcome.PENDING))
            heapq.heappush(running, (now + takes[number], number))
        now, ended = heapq.heappop(running)
        known = history.get(ended)
        assert known is not None
        losses.append(on.evaluate(known.parameters))
        history.put(Observation(ended, known.parameters, Outcome.MEASURED, (losses[-1],)))
    return losses


def through_service(algorithm: str, on: Task, seed: int) -> tuple[list[float], int]:
    """Losses, and how many trials got a stand-in for the algorithm's point."""
    takes, losses, stand_ins = times(seed), list[float](), list[str]()
    spec = StudySpec((OBJECTIVE,), on.space, algorithm=Algorithm(algorithm, seed=seed), budget=Budget(TRIALS, WORKERS))

    def work(address: str, worker: int) -> None:
        with Client(address) as client:
            while True:
                trials = client.suggest("s", client_id=f"worker-{worker}", start=True, timeout=60.0).trials
                if not trials:
                    return
                (trial,) = trials
                time.sleep(takes[trial.id])
                loss = on.evaluate(trial.parameters)
                assert trial.attempt is not None
                client.end_attempt(trial.name, trial.attempt.number, Cause.SUCCEEDED, final={"loss": loss})
                losses.append(loss)
                if trial.provenance is None or trial.provenance.fallback:
                    stand_ins.append(trial.name.short)

    with tempfile.TemporaryDirectory() as folder, LocalService(Path(folder) / "wazir.db") as service:
        with Client(service.address) as client:
            client.create_study("s", spec)
        threads = [threading.Thread(target=work, args=(service.address, n)) for n in range(WORKERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return losses, len(stand_ins)


def main(arguments: Sequence[str]) -> None:
    found = parser(__doc__)
    found.add_argument("--algorithm", default="gp")
    found.add_argument("--seeds", type=int, default=3)
    options = found.parse_args(arguments)
    scores: dict[str, list[float]] = {"in process": [], "through the service": []}
    stand_ins = 0
    for name in PROBLEMS[:2] if options.quick else PROBLEMS:
        on = task(name)
        assert on.best_known is not None
        for seed in range(1 if options.quick else options.seeds):
            served, missed = through_service(options.algorithm, on, seed)
            stand_ins += missed
            for way, losses in (
                ("in process", in_process(options.algorithm, on, seed)),
                ("through the service", served),
            ):
                assert len(losses) == TRIALS
                scores[way].append(math.log10(normalised(name, min(losses), TRIALS, on.best_known)))
    figures = {f"score {way}": float(np.mean(of)) for way, of in scores.items()}
    differences = np.subtract(scores["through the service"], scores["in process"])
    figures["difference"] = float(differences.mean())
    figures["its standard error"] = float(differences.std(ddof=1) / math.sqrt(len(differences)))
    figures["stand-ins"] = stand_ins
    publish(figures, options.json)


if __name__ == "__main__":
    main(sys.argv[1:])
