"""How algorithms learn where trials fail: walls in two to six dimensions, with the best point at or near each of them.

    python benchmarks/failures.py [--quick] [--json FILE] [--algorithms gp tpe ...] [--runs RUNS] [--walls memory ...]

Each algorithm is played on each wall of `walls.py` in three ways, told of failures as it expects:

    plain    60 trials in all, those that fail among them
    told     the same algorithm with the wall as a constraint of the space, so that none fails (ours alone)
    flaky    as told, but one trial in twenty fails wherever it is, until 60 have succeeded: such failures are not
             counted by `budget.trials` (ours alone)

Published: `failed`, the part of the trials 31 to 60 that failed; `regret`, (best - best possible) / (median of random
points - best possible) after the last trial, in the geometric mean and the median over seeds and walls, none counted
below FLOOR; the same of the runs told and flaky; and `ended`, the number of studies that the default `budget.failed`
would have ended before their last trial. Peers, made by `benchmarks/peers.py`, run in environments of their own.
`--runs` is a file with one run a line, which is gone on with where it was left.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from harness import parser, publish
from peers import DEFAULT, python_of, version_of
from walls import CHECKS, WALLS, Wall, reference

from wazir.domain.attempt import Cause
from wazir.domain.document.study import FAILED_DEFAULT
from wazir.domain.failures import Case, common, too_many
from wazir.domain.metric import Goal, Objective
from wazir.domain.parameters import Parameters
from wazir.domain.space import Categorical, Discrete, Double, Integer, Parameter, Scale, Space
from wazir.domain.study import Algorithm
from wazir.suggestion.designer import New, Observation, Outcome, Problem
from wazir.suggestion.generator import generator
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.registry import make_designer

TRIALS = 60
SEEDS = 5
FLAKY = 0.05
"""Of trials, those that fail wherever they are."""

FLOOR = 1e-3
"""Regrets below this part of a random point's count as this."""

OURS = ("gp", "tpe", "cmaes", "random")
PEERS = {"optuna-tpe": "optuna", "optuna-gp": "optuna", "optuna-tpe-constraints": "optuna", "smac": "smac"}


class Player(Protocol):
    """One run of one algorithm, a trial at a time."""

    def ask(self) -> Parameters | None: ...

    def tell(self, loss: float | None, seconds: float | None) -> None:
        """Of the point last asked for; None: it failed by its own fault, and was killed after so many seconds if these
        are given."""


class Own:
    """A designer of ours, as the service asks it."""

    def __init__(self, name: str, space: Space, seed: int) -> None:
        name, _, cost = name.partition("/")
        self._problem = Problem(space, (Objective("loss", Goal.MINIMIZE),), trials=TRIALS)
        self._designer = make_designer(Algorithm(name, settings={"cost": cost} if cost else {}), self._problem)
        self._history, self._memo, self._seed, self._round = TrialHistory(), "", seed, 0

    def ask(self) -> Parameters | None:
        rng = generator(self._seed, self._round)
        found = self._designer.suggest(self._problem, self._history, 1, rng, self._memo)
        self._memo, self._round = found.memo, self._round + 1
        points = [p.parameters for p in found.proposals if isinstance(p, New)]
        if not points:
            return None
        self._asked = points[0]
        return self._asked

    def tell(self, loss: float | None, seconds: float | None) -> None:
        number = len(self._history) + 1
        if loss is None:
            seen = Observation(number, self._asked, Outcome.FAILED, counted=False)
            if seconds is not None:
                seen = replace(seen, seconds=seconds, timed_out=True)
        else:
            seen = Observation(number, self._asked, Outcome.MEASURED, (loss,), seconds=seconds)
        self._history.put(seen)


class Peer:
    """`failing_peer.py` with the peer's own Python."""

    def __init__(self, name: str, space: Space, seed: int, folder: Path) -> None:
        python = python_of(PEERS[name], folder)
        assert python is not None
        script = Path(__file__).with_name("failing_peer.py")
        command = [str(python), str(script), name, str(seed), str(TRIALS)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._say([_described(p) for p in space.parameters])

    def _say(self, what: object) -> None:
        assert self._process.stdin is not None
        print(json.dumps(what), file=self._process.stdin, flush=True)

    def ask(self) -> Parameters | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None

    def tell(self, loss: float | None, seconds: float | None) -> None:
        self._say(loss)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def _described(p: Parameter) -> dict[str, Any]:
    when = [(c.parent, list(c.values)) for c in p.when]
    kind = p.kind
    if isinstance(kind, Double | Integer):
        name = "double" if isinstance(kind, Double) else "integer"
        return {
            "name": p.name,
            "kind": name,
            "min": kind.min,
            "max": kind.max,
            "log": kind.scale is Scale.LOG,
            "when": when,
        }
    assert isinstance(kind, Categorical | Discrete)
    return {"name": p.name, "kind": "categorical", "values": list(kind.values), "when": when}


@dataclass(frozen=True)
class Run:
    """`losses`: as they are without noise, None for those that failed."""

    algorithm: str
    wall: str
    how: str
    seed: int
    losses: list[float | None]
    points: list[dict[str, Any]]

    @property
    def key(self) -> tuple[str, str, str, int]:
        return self.algorithm, self.wall, self.how, self.seed

    @property
    def failed(self) -> float:
        """Of the second half."""
        half = self.losses[len(self.losses) // 2 :]
        return sum(loss is None for loss in half) / len(half)

    @property
    def regret(self) -> float:
        best, scale = reference(self.wall)
        found = min((loss for loss in self.losses if loss is not None), default=math.inf)
        return max(min((found - best) / scale, 1.0), FLOOR)


def play(algorithm: str, wall: Wall, how: str, seed: int, folder: Path) -> Run:
    space = wall.space if how == "plain" else wall.told
    player: Own | Peer = Peer(algorithm, space, seed, folder) if algorithm in PEERS else Own(algorithm, space, seed)
    # A wall, its noise and what is flaky are the same for all algorithms.
    rng = np.random.default_rng([seed, *wall.name.encode()])
    losses: list[float | None] = []
    points: list[dict[str, Any]] = []
    succeeded = 0
    while (succeeded if how == "flaky" else len(losses)) < TRIALS:
        point = player.ask()
        if point is None:
            break
        well = wall.succeeds(point, rng) if how == "plain" else True
        if how == "flaky":
            well = bool(rng.random() >= FLAKY)
        # What else a run of the same seed draws does not depend on what failed before.
        measured = wall.measured(point, rng)
        if well:
            player.tell(measured, wall.seconds(point))
        else:
            player.tell(None, wall.limit if how == "plain" and math.isfinite(wall.limit) else None)
        losses.append(wall.loss(point) if well else None)
        points.append(dict(point))
        succeeded += well
    if isinstance(player, Peer):
        player.close()
    return Run(algorithm, wall.name, how, seed, losses, points)


def read(path: Path | None) -> list[Run]:
    if path is None or not path.exists():
        return []
    return [Run(**json.loads(line)) for line in path.read_text().splitlines()]


def run_all(walls: Sequence[Wall], algorithms: Sequence[str], seeds: int, runs: Path | None, folder: Path) -> list[Run]:
    known = read(runs)
    keys = {r.key for r in known}
    # Seed by seed, so that a table can be read before the last one is done.
    for seed in range(seeds):
        for algorithm in algorithms:
            for wall in walls:
                for how in ("plain",) if algorithm in PEERS else ("plain", "told", "flaky"):
                    if (algorithm, wall.name, how, seed) in keys:
                        continue
                    run = play(algorithm, wall, how, seed, folder)
                    known.append(run)
                    if runs is not None:
                        with runs.open("a") as file:
                            print(json.dumps(asdict(run)), file=file)
    return known


def figures(runs: Iterable[Run], walls: Sequence[Wall], algorithms: Sequence[str]) -> dict[str, float]:
    """By algorithm, and by wall where it has a meaning for one."""
    names = [w.name for w in walls]
    of = {r.key: r for r in runs}
    found: dict[str, float] = {}
    for algorithm in algorithms:
        plain = [r for r in of.values() if r.algorithm == algorithm and r.how == "plain" and r.wall in names]
        if not plain:
            continue
        for name in names:
            found[f"{algorithm}: failed, {name}"] = mean(r.failed for r in plain if r.wall == name)
        found[f"{algorithm}: failed"] = mean(r.failed for r in plain)
        found[f"{algorithm}: ended"] = float(sum(ended(r) for r in plain))
        found[f"{algorithm}: regret"] = geometric(r.regret for r in plain)
        found[f"{algorithm}: regret, median"] = float(np.median([r.regret for r in plain]))
        for how in ("told", "flaky"):
            alike = [of[key] for r in plain if (key := (algorithm, r.wall, how, r.seed)) in of]
            if len(alike) == len(plain):
                found[f"{algorithm}: regret, {how}"] = geometric(r.regret for r in alike)
                found[f"{algorithm}: regret, {how}, median"] = float(np.median([r.regret for r in alike]))
    return found


def ended(run: Run) -> bool:
    """Whether the default `budget.failed` would have ended the study before its last trial, by the service's rule."""
    space = next(w.space for w in (*WALLS, *CHECKS) if w.name == run.wall)
    limit, failed = FAILED_DEFAULT, 0
    told: list[Case] = []
    for number, (point, loss) in enumerate(zip(run.points, run.losses, strict=True), 1):
        if loss is not None:
            told.append(Case(number, point))
            continue
        told.append(Case(number, point, Cause.CODE_FAILED, "exit code 1", own=True))
        failed += 1
        if failed > limit and too_many(common(told, space), failed, limit):
            return number < len(run.losses)
    return False


def mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def geometric(values: Iterable[float]) -> float:
    return float(np.exp(np.mean(np.log(list(values)))))


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--algorithms", nargs="+", default=[*OURS, *PEERS], metavar="NAME")
    options.add_argument("--walls", nargs="+", default=[w.name for w in WALLS], metavar="NAME")
    options.add_argument("--seeds", type=int, default=SEEDS)
    options.add_argument("--runs", type=Path, metavar="RUNS")
    options.add_argument("--peers", type=Path, default=DEFAULT, metavar="FOLDER")
    given: argparse.Namespace = options.parse_args()
    walls = [w for w in (*WALLS, *CHECKS) if w.name in given.walls]
    algorithms, seeds = list(given.algorithms), given.seeds
    if given.quick:
        walls, algorithms, seeds = list(WALLS[:2]), ["gp", "tpe"], 1
    others = {peer: version_of(peer, given.peers) for peer in sorted({PEERS[a] for a in algorithms if a in PEERS})}
    algorithms = [a for a in algorithms if a not in PEERS or python_of(PEERS[a], given.peers) is not None]
    runs = run_all(walls, algorithms, seeds, given.runs, given.peers)
    publish(figures(runs, walls, algorithms), given.json, others)


if __name__ == "__main__":
    main()
