"""How good the points of algorithms are, and what they cost, on problems of several families and the same seeds.

    python benchmarks/quality.py run RUNS --algorithms gp optuna-gp --problems open --seeds 3 --trials 100 [--batch 8]
    python benchmarks/quality.py table RUNS [--trials 25 50 100] [--batch 8] [--against optuna-gp] [--each]
    python benchmarks/quality.py worse RUNS [--algorithm gp] [--than random] [--trials 50]
    python benchmarks/quality.py reference [--problems validation]
    python benchmarks/quality.py [--quick] [--json FILE]

Without a verb our own algorithms are run and their scores published, on three problems with `--quick`. `run` adds to
RUNS, a file with one run a line, what it does not hold yet, each run in a process of its own; `table` reads it, and
`worse` tests whether an algorithm is worse than another on any problem.
Needs `pip install ioh onnxruntime scikit-learn`, and for the peers, named in `samplers.py`, `optuna torch cmaes
scikit-optimize`; the data is that of `problems.py`.

**Score** of an algorithm: the mean over problems of log10(max(nr, 0.01)), with nr = (best found - best known) / (median
of random search after as many trials - best known). Less is better; 0 is as good as random search. CPU is that of
asking for a point, with the process's other threads included.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import harness
import numpy as np
from harness import publish
from problems import REFERENCES, Task, names, open_problems, references, task
from samplers import sampler
from scipy import stats

from wazir.suggestion.space.encoding import encoder

FLOOR = 0.01
"""Normalised regrets below this count as this."""

DRAWS = {"sklearn": 3_000, "others": 100_000}


@dataclass(frozen=True)
class Run:
    algorithm: str
    problem: str
    seed: int
    batch: int
    losses: list[float]
    cpu: list[float]
    """Seconds of asking, a trial's share of its batch."""

    @property
    def key(self) -> tuple[str, str, int, int]:
        return self.algorithm, self.problem, self.seed, self.batch


def play(algorithm: str, problem: str, seed: int, trials: int, batch: int) -> Run:
    made = task(problem)
    run = sampler(algorithm)(made.space, trials, seed)
    losses: list[float] = []
    cpu: list[float] = []
    while len(losses) < trials:
        start = time.process_time()
        points = run.ask(min(batch, trials - len(losses)))
        cost = time.process_time() - start
        if not points:
            break
        told = [made.evaluate(p) for p in points]
        start = time.process_time()
        run.tell(told)
        cost += time.process_time() - start
        losses += told
        cpu += [cost / len(points)] * len(points)
    return Run(algorithm, problem, seed, batch, losses, [round(c, 6) for c in cpu])


def read(path: Path) -> list[Run]:
    if not path.exists():
        return []
    return [Run(**json.loads(line)) for line in path.read_text().splitlines()]


def run_missing(options: argparse.Namespace) -> None:
    known = {(r.key, len(r.losses)) for r in read(options.runs)}
    # Seed by seed, so that a table can be read before the last one is done.
    for seed in range(options.first, options.first + options.seeds):
        for problem in names(options.problems):
            for algorithm in options.algorithms:
                key = algorithm, problem, seed, options.batch
                if any(k == key and n >= options.trials for k, n in known):
                    continue
                arguments = [algorithm, problem, str(seed), str(options.trials), str(options.batch)]
                command = [sys.executable, __file__, "one", *arguments]
                line = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                with options.runs.open("a") as file:
                    file.write(line)


def _random_best(problem: str, trials: int) -> float:
    """The median of the best of so many random points."""
    quantiles = references()[problem]["random"]
    return float(quantiles[str(trials)])


def normalised(problem: str, best: float, trials: int, known: float) -> float:
    regret = (best - known) / (_random_best(problem, trials) - known)
    return max(regret, FLOOR)


def scores(runs: Iterable[Run], trials: int) -> dict[str, dict[str, dict[int, float]]]:
    """Algorithm -> problem -> seed -> log10 of the normalised regret."""
    known: dict[str, float] = {}
    found: dict[str, dict[str, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for run in runs:
        if len(run.losses) < trials:
            continue
        if run.problem not in known:
            best = task(run.problem).best_known
            assert best is not None
            known[run.problem] = best
        best = min(run.losses[:trials])
        found[run.algorithm][run.problem][run.seed] = math.log10(
            normalised(run.problem, best, trials, known[run.problem])
        )
    return found


def mean_over_problems(of: Mapping[str, Mapping[int, float]]) -> float:
    return float(np.mean([np.mean(list(seeds.values())) for seeds in of.values()]))


def paired(
    mine: Mapping[str, Mapping[int, float]], other: Mapping[str, Mapping[int, float]]
) -> tuple[float, float, int]:
    """The mean difference over the problems and seeds of both, half its 95 % interval, and the number of seeds.

    Each problem counts the same. The interval is for other seeds of these problems: variances within problems.
    """
    means: list[float] = []
    variances: list[float] = []
    fewest = 10**9
    for problem in mine.keys() & other.keys():
        common = sorted(mine[problem].keys() & other[problem].keys())
        if not common:
            continue
        differences = [mine[problem][s] - other[problem][s] for s in common]
        means.append(float(np.mean(differences)))
        variances.append(float(np.var(differences, ddof=1)) / len(common) if len(common) > 1 else math.nan)
        fewest = min(fewest, len(common))
    if not means:
        return math.nan, math.nan, 0
    return float(np.mean(means)), 1.96 * math.sqrt(float(np.sum(variances))) / len(means), fewest


@dataclass(frozen=True)
class Suspicion:
    """How sure it is that an algorithm is worse than another on a problem."""

    problem: str
    chance: float
    """That of seeing such a difference if it is not: one-sided Mann-Whitney test."""
    adjusted: float
    """The same for all problems together, after Holm: below 0.05 it is worse there."""


def suspicions(mine: Mapping[str, Mapping[int, float]], other: Mapping[str, Mapping[int, float]]) -> list[Suspicion]:
    """For each problem of both, the most suspicious first. Holm, "A Simple Sequentially Rejective Multiple Test
    Procedure" (1979)."""
    chances = sorted(
        (float(stats.mannwhitneyu(list(mine[p].values()), list(other[p].values()), alternative="greater").pvalue), p)
        for p in mine.keys() & other.keys()
    )
    found: list[Suspicion] = []
    adjusted = 0.0
    for i, (chance, problem) in enumerate(chances):
        adjusted = max(adjusted, min(1.0, chance * (len(chances) - i)))
        found.append(Suspicion(problem, chance, adjusted))
    return found


def worse(options: argparse.Namespace) -> None:
    """Prints whether an algorithm is worse than another on any problem."""
    chosen = set(names(options.problems))
    runs = [r for r in read(options.runs) if r.problem in chosen and r.batch == options.batch]
    for trials in options.trials:
        found = scores(runs, trials)
        mine, other = found[options.algorithm], found[options.than]
        seeds = min(len(of[p]) for of in (mine, other) for p in mine.keys() & other.keys())
        print(f"\nIs {options.algorithm} worse than {options.than} after {trials} trials? {seeds} seeds of each\n")
        print(f"| problem | {options.algorithm} | {options.than} | p | p, Holm |\n|---|---|---|---|---|")
        for s in suspicions(mine, other):
            means = [float(np.mean(list(of[s.problem].values()))) for of in (mine, other)]
            print(f"| {s.problem} | {means[0]:.2f} | {means[1]:.2f} | {s.chance:.2g} | {s.adjusted:.2g} |")
        guilty = [s.problem for s in suspicions(mine, other) if s.adjusted < 0.05]
        print(f"\nWorse on {', '.join(guilty) or 'none'} at 5 %.")


def table(options: argparse.Namespace) -> None:
    chosen = set(names(options.problems))
    runs = [r for r in read(options.runs) if r.problem in chosen and r.batch == options.batch]
    if options.seeds is not None:
        runs = [r for r in runs if r.seed < options.seeds]
    for trials in options.trials:
        found = scores(runs, trials)
        print(f"\n{trials} trials, batches of {options.batch}: mean of log10 normalised regret, less is better\n")
        print(f"| algorithm | score | CPU ms a point | less {options.against} (95 %) | problems, seeds |")
        print("|---|---|---|---|---|")
        for name, of in sorted(found.items(), key=lambda item: mean_over_problems(item[1])):
            cost = 1000 * float(np.mean([r.cpu[:trials] for r in runs if r.algorithm == name and len(r.cpu) >= trials]))
            seeds = min(map(len, of.values()))
            difference, error, _ = paired(of, found.get(options.against, {}))
            compared = "" if name == options.against or math.isnan(difference) else f"{difference:+.2f} ± {error:.2f}"
            score = mean_over_problems(of)
            print(f"| {name} | {score:.2f} | {cost:.1f} | {compared} | {len(of)}, {seeds} |")
        if options.each:
            _print_each(found)


def _print_each(found: Mapping[str, Mapping[str, Mapping[int, float]]]) -> None:
    algorithms = sorted(found)
    print(f"\n| problem | {' | '.join(algorithms)} |\n|{'---|' * (len(algorithms) + 1)}")
    for problem in sorted({p for of in found.values() for p in of}):
        cells = [f"{np.mean(list(found[a][problem].values())):.2f}" if problem in found[a] else "" for a in algorithms]
        print(f"| {problem} | {' | '.join(cells)} |")


def reference(options: argparse.Namespace) -> None:
    """Random search, and for a problem whose best value nobody states, a local search from its best points."""
    kept = dict(references())
    for name in names(options.problems):
        if name in kept:
            continue
        made = task(name)
        rng = np.random.default_rng(0)
        slow = name.partition("-")[0] in ("sgd", "gb", "mlp")
        u = rng.random((DRAWS["sklearn" if slow else "others"], len(made.space.parameters)))
        losses = np.array([made.evaluate(p) for p in encoder(made.space).decode(u)])
        entry: dict[str, object] = {}
        if made.best_known is None:
            entry["best_known"] = _refined(made, u, losses, rng)
        entry["random"] = {str(n): _median_best(losses, n) for n in (16, 24, 25, 48, 50, 100, 200, 300)}
        kept[name] = entry
        REFERENCES.write_text(json.dumps(dict(sorted(kept.items())), indent=1) + "\n")
        print(name, entry, flush=True)


def _median_best(losses: np.ndarray, n: int) -> float:
    return float(np.quantile(losses, 1 - 0.5 ** (1 / n)))


def _refined(made: Task, u: np.ndarray, losses: np.ndarray, rng: np.random.Generator, rounds: int = 400) -> float:
    """The best of a (1 + 20) evolution with shrinking steps from each of the ten best points."""
    best = float(losses.min())
    for start in np.argsort(losses)[:10]:
        at, value = u[start], float(losses[start])
        for i in range(rounds):
            step = 0.3 * 0.001 ** (i / rounds)
            moved = rng.random((20, u.shape[1])) < max(0.2, 1 / u.shape[1])
            tries = np.clip(at + step * moved * rng.standard_normal(moved.shape), 0, 1)
            found = [made.evaluate(p) for p in encoder(made.space).decode(tries)]
            if min(found) <= value:
                at, value = tries[int(np.argmin(found))], min(found)
        best = min(best, value)
    return best


def own(options: argparse.Namespace) -> None:
    """Scores and costs of our own algorithms."""
    problems = list(open_problems())[:3] if options.quick else list(open_problems())
    trials, seeds = (25, 1) if options.quick else (50, 3)
    figures: dict[str, float] = {}
    for algorithm in ("gp", "tpe", "random"):
        runs = [play(algorithm, problem, seed, trials, 1) for problem in problems for seed in range(seeds)]
        figures[f"{algorithm} score after {trials}"] = mean_over_problems(scores(runs, trials)[algorithm])
        figures[f"{algorithm} CPU ms a point"] = 1000 * float(np.mean([r.cpu for r in runs]))
    publish(figures, options.json)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = harness.parser(__doc__)
    parser.set_defaults(act=own)
    verbs = parser.add_subparsers()
    one = verbs.add_parser("one", help="one run, printed as a line of JSON")
    for name, kind in (("algorithm", str), ("problem", str), ("seed", int), ("trials", int), ("batch", int)):
        one.add_argument(name, type=kind)
    one.set_defaults(act=lambda o: print(json.dumps(asdict(play(o.algorithm, o.problem, o.seed, o.trials, o.batch)))))
    run = verbs.add_parser("run", help="the runs that are missing")
    run.add_argument("runs", type=Path)
    run.add_argument("--algorithms", nargs="+", required=True)
    run.add_argument("--problems", nargs="+", default=["open"])
    run.add_argument("--seeds", type=int, default=3)
    run.add_argument("--first", type=int, default=0, help="the first seed")
    run.add_argument("--trials", type=int, default=50)
    run.add_argument("--batch", type=int, default=1)
    run.set_defaults(act=run_missing)
    shown = verbs.add_parser("table", help="what the runs say")
    shown.add_argument("runs", type=Path)
    shown.add_argument("--problems", nargs="+", default=["open"])
    shown.add_argument("--trials", type=int, nargs="+", default=[25, 50])
    shown.add_argument("--batch", type=int, default=1)
    shown.add_argument("--seeds", type=int, help="only those below")
    shown.add_argument("--against", default="optuna-gp")
    shown.add_argument("--each", action="store_true", help="problem by problem")
    shown.set_defaults(act=table)
    test = verbs.add_parser("worse", help="whether an algorithm is worse than another on any problem")
    test.add_argument("runs", type=Path)
    test.add_argument("--algorithm", default="gp")
    test.add_argument("--than", default="random")
    test.add_argument("--problems", nargs="+", default=["open"])
    test.add_argument("--trials", type=int, nargs="+", default=[50])
    test.add_argument("--batch", type=int, default=1)
    test.set_defaults(act=worse)
    refer = verbs.add_parser("reference", help="write quality_references.json")
    refer.add_argument("--problems", nargs="+", default=["open", "validation"])
    refer.set_defaults(act=reference)
    options = parser.parse_args(arguments)
    options.act(options)


if __name__ == "__main__":
    main()
