"""What stopping rules cost: CPU for each report in a study of 10,000 trials, and for a round of 100 running trials.

    python benchmarks/rules.py [--quick] [--json FILE] [--trials 10000] [--steps 52] [--rules median asha curve]

A study from its first trial to its last, 100 of them running: in each round every running trial reports one step, and
the rule decides. The first trials begin at steps of their own, so that ends come in every round, and others follow.
Nobody is stopped here, because what is stopped costs nothing more. A report counts with what the study's curves do to
take it in and with the decision, without the call that brought it; figures are those of the last tenth of the trials.
"""

from __future__ import annotations

import math
import time

import harness
import numpy as np
from harness import publish

from wazir.domain.metric import Goal, Objective
from wazir.domain.study import Stopping
from wazir.suggestion.registry import make_rule
from wazir.suggestion.stopping.curves import CurveIndex

RUNNING = 100
OBJECTIVE = Objective("loss", Goal.MINIMIZE)


def play(name: str, trials: int, steps: int) -> tuple[list[float], list[float]]:
    """CPU seconds of each report, and of each round, among the last tenth of the trials."""
    settings = {"max": steps} if name == "asha" else {}
    rule, index = make_rule(Stopping(name, settings), (OBJECTIVE,)), CurveIndex(OBJECTIVE)
    rng = np.random.default_rng(0)
    running: dict[int, int] = {}
    """Steps done, by trial."""
    level = rng.random(trials + RUNNING)
    begun = 0
    reports: list[float] = []
    rounds: list[float] = []
    while begun < trials:
        while len(running) < RUNNING:
            begun += 1
            running[begun] = 0 if begun > RUNNING else int(rng.integers(steps))
        took = []
        for trial in list(running):
            running[trial] = step = running[trial] + 1
            loss = level[trial] + math.exp(-step / 10) + 0.01 * rng.standard_normal()
            began = time.thread_time()
            index.report(trial, 1, step, loss)
            rule.decide(trial, step, [index])
            took.append(time.thread_time() - began)
            if step == steps:
                del running[trial]
                began = time.thread_time()
                index.end(trial, counts=True, whole=True)
                took[-1] += time.thread_time() - began
        if begun >= 0.9 * trials:
            reports += took
            rounds.append(sum(took))
    return reports, rounds


def main() -> None:
    parser = harness.parser(__doc__)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=52)
    parser.add_argument("--rules", nargs="+", default=["median", "asha", "curve"])
    options = parser.parse_args()
    if options.quick:
        options.trials = 1_000
    figures: dict[str, float] = {}
    for name in options.rules:
        reports, rounds = play(name, options.trials, options.steps)
        for what, values in (("report", reports), (f"round of {RUNNING}", rounds)):
            milliseconds = 1000 * np.array(values)
            figures[f"{name}, ms a {what}: mean"] = float(milliseconds.mean())
            figures[f"{name}, ms a {what}: 99 %"] = float(np.quantile(milliseconds, 0.99))
            figures[f"{name}, ms a {what}: most"] = float(milliseconds.max())
    publish(figures, options.json)


if __name__ == "__main__":
    main()
