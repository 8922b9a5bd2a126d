"""What early stopping, pausing and resuming are worth: the best value after so many epochs, on learning curves.

    python benchmarks/multifidelity.py run RUNS --algorithms gp gp+curve hyperband --workers 1 --seeds 5
    python benchmarks/multifidelity.py table RUNS [--workers 8] [--each]
    python benchmarks/multifidelity.py rule [--seeds 5]
    python benchmarks/multifidelity.py reference
    python benchmarks/multifidelity.py [--quick] [--json FILE]

Trials are trained epoch by epoch on LCBench (Zimmer et al., 2021; the surrogate of YAHPO Gym), each epoch costs 1, and
a paused trial goes on for nothing. With several workers their epochs take turns. `NAME+RULE` is an algorithm with a
stopping rule. Without a verb our own algorithms are run and their nr published, on two tasks with `--quick`. `run` adds
to RUNS, a file with one run a line, what it does not hold yet. `rule` compares each stopping rule with no rule on the
same points of random search. Needs `pip install onnxruntime`, and for peers `optuna torch`.

**nr** after so many epochs: (best at any epoch so far - best known) / (median of what full-length random search finds
in as many epochs - best known), averaged over problems and seeds. Less is better; 1 is as good as random search.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import harness
import numpy as np
from epochs import Own, Peer, Training
from harness import publish
from problems import CurveTask, Floats, curve_task, curve_tasks

from wazir.domain.metric import Goal, Objective
from wazir.domain.study import Stopping
from wazir.suggestion.registry import make_rule
from wazir.suggestion.space.encoding import encoder
from wazir.suggestion.stopping.curves import CurveIndex

REFERENCES = Path(__file__).with_name("multifidelity_references.json")
"""Best values known at any epoch, where they are not stated, and what random search finds (`reference`)."""

BUDGETS = (520, 1300, 2600, 5200)
DRAWS = 100_000
STARTS = 30


@dataclass(frozen=True)
class Run:
    algorithm: str
    problem: str
    seed: int
    workers: int
    best: list[float]
    """The best loss so far, after each epoch of the run."""
    cpu: float
    """Seconds of asking, telling and deciding."""

    @property
    def key(self) -> tuple[str, str, int, int]:
        return self.algorithm, self.problem, self.seed, self.workers


class Tuner(Protocol):
    def start(self) -> Training | None: ...

    def report(self, training: Training, loss: float) -> bool: ...


def play(algorithm: str, problem: str, seed: int, workers: int, epochs: int) -> Run:
    """Workers take turns, an epoch each; one that has nothing to do waits for the others."""
    task = curve_task(problem)
    tuner = Peer(algorithm, task, seed) if algorithm.startswith("optuna") else Own(algorithm, task, seed, workers)
    curves: dict[int, Floats] = {}
    busy: list[Training | None] = [None] * workers
    best: list[float] = []
    cpu = 0.0
    while len(best) < epochs:
        moved = False
        for w in range(workers):
            began = time.process_time()
            training = busy[w] or tuner.start()
            cpu += time.process_time() - began
            if training is None:
                continue
            moved = True
            if training.number not in curves:
                curves[training.number] = task.curves([training.parameters])[0]
            loss = float(curves[training.number][training.done])
            training.done += 1
            best.append(min(loss, best[-1]) if best else loss)
            began = time.process_time()
            goes_on = tuner.report(training, loss)
            cpu += time.process_time() - began
            busy[w] = training if goes_on else None
        if not moved:
            break
    return Run(algorithm, problem, seed, workers, best[:epochs], round(cpu, 3))


def read(path: Path) -> list[Run]:
    return [Run(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def run_missing(options: argparse.Namespace) -> None:
    known = {r.key for r in read(options.runs)}
    for seed in range(options.seeds):
        for problem in curve_tasks()[: options.problems]:
            for algorithm in options.algorithms:
                if (algorithm, problem, seed, options.workers) in known:
                    continue
                arguments = [algorithm, problem, str(seed), str(options.workers), str(options.epochs)]
                command = [sys.executable, __file__, "one", *arguments]
                line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                with options.runs.open("a") as file:
                    file.write(line)


def references() -> dict[str, dict[str, float]]:
    return json.loads(REFERENCES.read_text()) if REFERENCES.exists() else {}


def table(options: argparse.Namespace) -> None:
    kept = references()
    found: dict[str, dict[str, dict[int, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    cpu: dict[str, list[float]] = defaultdict(list)
    chosen = set(curve_tasks()[: options.problems])
    for run in read(options.runs):
        if run.workers != options.workers or run.problem not in chosen:
            continue
        cpu[run.algorithm].append(run.cpu)
        for budget in BUDGETS:
            if len(run.best) >= budget:
                found[run.algorithm][run.problem][budget].append(
                    normalised(run.best[budget - 1], kept[run.problem], budget)
                )
    budgets = " | ".join(f"{b} epochs" for b in BUDGETS)
    print(f"| algorithm, workers: {options.workers} | {budgets} | problems, seeds | CPU s |")
    print(f"|---|{'---|' * (len(BUDGETS) + 2)}")
    for name, problems in sorted(found.items()):
        cells = []
        for budget in BUDGETS:
            values = [np.mean(of[budget]) for of in problems.values() if of[budget]]
            cells.append(f"{np.mean(values):.2f}" if values else "")
        seeds = min(len(of[BUDGETS[0]]) for of in problems.values())
        print(f"| {name} | {' | '.join(cells)} | {len(problems)}, {seeds} | {np.mean(cpu[name]):.1f} |")
    if options.each:
        for budget in BUDGETS[:3]:
            print(f"\n{budget} epochs\n| problem | {' | '.join(sorted(found))} |\n|{'---|' * (len(found) + 1)}")
            for problem in sorted({p for of in found.values() for p in of}):
                each = [found[a][problem][budget] for a in sorted(found)]
                print(f"| {problem} | {' | '.join(f'{np.mean(v):.2f}' if v else '' for v in each)} |")


def normalised(best: float, known: dict[str, float], epochs: int) -> float:
    return (best - known["best_known"]) / (known[f"random {epochs}"] - known["best_known"])


def rules(options: argparse.Namespace) -> None:
    """Each rule on the same 100 random points a problem and seed: epochs saved, and what was lost of nr by it."""
    print("| rule | epochs saved | nr lost | worst |\n|---|---|---|---|")
    for rule in options.rules:
        saved, lost = [], []
        for problem in curve_tasks()[: options.problems]:
            task, known = curve_task(problem), references()[problem]
            for seed in range(options.seeds):
                u = np.random.default_rng(seed).random((100, len(task.space.parameters)))
                curves = task.curves(encoder(task.space).decode(u))
                used, best = with_rule(rule, curves, task)
                saved.append(1 - used / curves.size)
                budget = 100 * task.epochs
                lost.append(normalised(best, known, budget) - normalised(float(curves.min()), known, budget))
        print(f"| {rule} | {np.mean(saved):.0%} | {np.mean(lost):.4f} | {np.max(lost):.3f} |", flush=True)


def with_rule(name: str, curves: Floats, task: CurveTask) -> tuple[int, float]:
    """Epochs used and the best loss, one trial after another."""
    objective = Objective("loss", Goal.MINIMIZE)
    settings = {"max": task.epochs} if name == "asha" else {}
    rule, index = make_rule(Stopping(name, settings), (objective,)), CurveIndex(objective)
    used, best = 0, np.inf
    for number, losses in enumerate(curves, 1):
        stop = None
        for epoch, loss in enumerate(losses, 1):
            used, best = used + 1, min(best, float(loss))
            index.report(number, 1, epoch, float(loss))
            stop = rule.decide(number, epoch, [index]) if epoch < task.epochs else None
            if stop is not None:
                break
        index.end(number, counts=True, whole=stop is None)
    return used, best


def reference(options: argparse.Namespace) -> None:
    """What random search finds, from 100,000 points at all epochs; and the least that local searches find, from the
    best of those and from points anywhere: some of the best places are too small for random points to meet."""
    kept = references()
    for name in curve_tasks():
        task, rng = curve_task(name), np.random.default_rng(0)
        entry = kept.get(name) or _drawn(task, rng)
        if task.best_known is not None:
            entry["best_known"] = task.best_known
        elif "starts" not in entry:
            starts = np.random.default_rng(1).random((STARTS, len(task.space.parameters)))
            entry["best_known"] = min(entry["best_known"], _refined(task, starts, rng))
            entry["starts"] = STARTS
        kept[name] = entry
        REFERENCES.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")
        print(name, entry, flush=True)


def _drawn(task: CurveTask, rng: np.random.Generator) -> dict[str, float]:
    u = rng.random((DRAWS, len(task.space.parameters)))
    best = np.concatenate([_bests(task, part) for part in np.array_split(u, 200)])
    entry = {f"random {b}": float(np.quantile(best, 1 - 0.5 ** (task.epochs / b))) for b in BUDGETS}
    return {**entry, "best_known": _refined(task, u[np.argsort(best)[:10]], rng)}


def _bests(task: CurveTask, u: Floats) -> Floats:
    best: Floats = task.curves(encoder(task.space).decode(u)).min(axis=1)
    return best


def _refined(task: CurveTask, starts: Floats, rng: np.random.Generator, rounds: int = 200) -> float:
    """The best of a (1 + 20) evolution with shrinking steps from each of these points."""
    found = math.inf
    for at in starts:
        least = math.inf
        for i in range(rounds):
            moved = rng.random((20, len(at))) < 0.3
            tries = np.clip(at + 0.3 * 0.001 ** (i / rounds) * moved * rng.standard_normal(moved.shape), 0, 1)
            losses = _bests(task, tries)
            if losses.min() <= least:
                at, least = tries[int(losses.argmin())], float(losses.min())
        found = min(found, least)
    return found


def own(options: argparse.Namespace) -> None:
    """nr of our own algorithms."""
    kept, figures = references(), dict[str, float]()
    problems, budget, seeds = (curve_tasks()[:2], 520, 1) if options.quick else (curve_tasks()[:10], 2600, 5)
    for algorithm in ("gp", "gp+curve", "bohb:gp", "freeze_thaw", "hyperband"):
        runs = [play(algorithm, problem, seed, 1, budget) for problem in problems for seed in range(seeds)]
        for epochs in (b for b in BUDGETS if b <= budget):
            values = [normalised(run.best[epochs - 1], kept[run.problem], epochs) for run in runs]
            figures[f"{algorithm} nr after {epochs} epochs"] = float(np.mean(values))
    publish(figures, options.json)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = harness.parser(__doc__)
    parser.set_defaults(act=own)
    verbs = parser.add_subparsers()
    one = verbs.add_parser("one", help="one run, printed as a line of JSON")
    for name, kind in (("algorithm", str), ("problem", str), ("seed", int), ("workers", int), ("epochs", int)):
        one.add_argument(name, type=kind)
    one.set_defaults(act=lambda o: print(json.dumps(asdict(play(o.algorithm, o.problem, o.seed, o.workers, o.epochs)))))
    run = verbs.add_parser("run", help="the runs that are missing")
    run.add_argument("runs", type=Path)
    run.add_argument("--algorithms", nargs="+", required=True)
    run.add_argument("--problems", type=int, default=10, help="how many, the open ones first")
    run.add_argument("--seeds", type=int, default=5)
    run.add_argument("--workers", type=int, default=1)
    run.add_argument("--epochs", type=int, default=2600)
    run.set_defaults(act=run_missing)
    shown = verbs.add_parser("table", help="what the runs say")
    shown.add_argument("runs", type=Path)
    shown.add_argument("--problems", type=int, default=100)
    shown.add_argument("--workers", type=int, default=1)
    shown.add_argument("--each", action="store_true", help="problem by problem")
    shown.set_defaults(act=table)
    compared = verbs.add_parser("rule", help="stopping rules on the same points")
    compared.add_argument("--rules", nargs="+", default=["median", "asha", "curve"])
    compared.add_argument("--problems", type=int, default=100)
    compared.add_argument("--seeds", type=int, default=5)
    compared.set_defaults(act=rules)
    verbs.add_parser("reference", help="write multifidelity_references.json").set_defaults(act=reference)
    options = parser.parse_args(arguments)
    options.act(options)


if __name__ == "__main__":
    main()
