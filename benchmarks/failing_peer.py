"""A peer's sampler in an environment of its own: asked for points and told losses or failures, a line of JSON each.

    python benchmarks/failing_peer.py optuna-tpe SEED TRIALS     its first line in is the space

It imports nothing of ours: it runs with the peer's own Python.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

Point = dict[str, Any]


class Optuna:
    """Failures are told as trials of state FAIL, and with `constraints` as violated constraints of trials that ended as
    badly as the worst: what its documentation offers for either."""

    def __init__(self, name: str, space: Sequence[Mapping[str, Any]], seed: int, trials: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._optuna, self._space = optuna, space
        sampler = {"tpe": "TPESampler", "gp": "GPSampler"}[name.split("-")[1]]
        self._constrained = name.endswith("-constraints")
        more = {"constraints_func": lambda trial: (trial.user_attrs["failed"],)} if self._constrained else {}
        self._study = optuna.create_study(sampler=getattr(optuna.samplers, sampler)(seed=seed, **more))
        self._worst = 0.0

    def ask(self) -> Point:
        self._trial = trial = self._study.ask()
        point: Point = {}
        for p in self._space:
            if any(point.get(parent) not in values for parent, values in p["when"]):
                continue
            if p["kind"] == "categorical":
                point[p["name"]] = trial.suggest_categorical(p["name"], p["values"])
            else:
                suggest = trial.suggest_int if p["kind"] == "integer" else trial.suggest_float
                point[p["name"]] = suggest(p["name"], p["min"], p["max"], log=p["log"])
        return point

    def tell(self, loss: float | None) -> None:
        if loss is not None:
            self._worst = max(self._worst, loss)
        if self._constrained:
            self._trial.set_user_attr("failed", 1.0 if loss is None else -1.0)
            self._study.tell(self._trial, self._worst if loss is None else loss)
        elif loss is None:
            self._study.tell(self._trial, state=self._optuna.trial.TrialState.FAIL)
        else:
            self._study.tell(self._trial, loss)


class Smac:
    """SMAC3's HyperparameterOptimizationFacade; a failure is a trial with StatusType.CRASHED, as bad as the worst."""

    def __init__(self, name: str, space: Sequence[Mapping[str, Any]], seed: int, trials: int) -> None:
        import tempfile
        from pathlib import Path

        from ConfigSpace import (  # type: ignore[import-not-found]
            Categorical,
            ConfigurationSpace,
            Float,
            InCondition,
            Integer,
        )
        from smac import HyperparameterOptimizationFacade, Scenario  # type: ignore[import-not-found]
        from smac.runhistory.dataclasses import TrialValue  # type: ignore[import-not-found]
        from smac.runhistory.enumerations import StatusType  # type: ignore[import-not-found]

        self._value, self._status, self._worst = TrialValue, StatusType, 0.0
        made = ConfigurationSpace(seed=seed)
        for p in space:
            if p["kind"] == "categorical":
                made.add(Categorical(p["name"], p["values"]))
            else:
                number = Integer if p["kind"] == "integer" else Float
                made.add(number(p["name"], (p["min"], p["max"]), log=p["log"]))
        for p in space:
            for parent, values in p["when"]:
                made.add(InCondition(made[p["name"]], made[parent], list(values)))
        folder = Path(tempfile.mkdtemp())
        scenario = Scenario(made, deterministic=True, n_trials=trials, seed=seed, output_directory=folder)
        self._smac = HyperparameterOptimizationFacade(scenario, lambda config, seed=0: 0.0, logging_level=50)

    def ask(self) -> Point:
        self._info = self._smac.ask()
        return {k: (v.item() if hasattr(v, "item") else v) for k, v in dict(self._info.config).items()}

    def tell(self, loss: float | None) -> None:
        if loss is None:
            # Its own default for a crash, infinity, ends the run: the forest refuses to learn from it.
            value = self._value(cost=self._worst, status=self._status.CRASHED)
        else:
            self._worst = max(self._worst, loss)
            value = self._value(cost=loss)
        self._smac.tell(self._info, value)


def main() -> None:
    warnings.simplefilter("ignore")
    name, seed, trials = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    space = json.loads(sys.stdin.readline())
    peer = (Smac if name == "smac" else Optuna)(name, space, seed, trials)
    for _ in range(trials):
        print(json.dumps(peer.ask()), flush=True)
        peer.tell(json.loads(sys.stdin.readline()))


if __name__ == "__main__":
    main()
