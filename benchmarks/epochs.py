"""Tuners that train epoch by epoch: our algorithms with their rules, as the service plays them, and Optuna's."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

from problems import CurveTask
from samplers import Optuna

from wazir.domain.metric import Goal, Objective
from wazir.domain.parameters import Parameters
from wazir.domain.study import Algorithm, Stopping
from wazir.suggestion.designer import New, Observation, Outcome, Problem
from wazir.suggestion.generator import generator
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.registry import make_designer, make_rule
from wazir.suggestion.stopping.curves import CurveIndex

LADDERS = ("asha", "bohb", "freeze_thaw", "hyperband")
OBJECTIVE = Objective("loss", Goal.MINIMIZE)


@dataclass(slots=True)
class Training:
    """A trial that runs. `done`: its epochs so far."""

    number: int
    parameters: Parameters
    done: int = 0


class Own:
    """`NAME`, `NAME+RULE`, or `NAME:MODEL` for bohb. A trial's value is its best so far (`pick: best`)."""

    def __init__(self, algorithm: str, task: CurveTask, seed: int, workers: int) -> None:
        name, _, rule = algorithm.partition("+")
        name, _, model = name.partition(":")
        settings: dict[str, Any] = {"max": task.epochs} if name in LADDERS else {}
        if model:
            settings["model" if name == "bohb" else "max"] = model if name == "bohb" else task.epochs
        self._problem = Problem(task.space, (OBJECTIVE,), parallel=workers)
        self._designer = make_designer(Algorithm(name, settings=settings), self._problem)
        self._rule = make_rule(Stopping(rule), (OBJECTIVE,)) if rule else None
        self._history, self._index, self._epochs = TrialHistory(), CurveIndex(OBJECTIVE), task.epochs
        self._seed, self._round, self._memo = seed, 0, ""

    def start(self) -> Training | None:
        rng = generator(self._seed, self._round)
        answer = self._designer.suggest(self._problem, self._history, 1, rng, self._memo)
        self._round, self._memo = self._round + 1, answer.memo
        if not answer.proposals:
            return None
        (proposal,) = answer.proposals
        if isinstance(proposal, New):
            number = len(self._history) + 1
            bracket = proposal.details.get("bracket")
            self._history.put(
                Observation(
                    number,
                    proposal.parameters,
                    Outcome.PENDING,
                    until_step=proposal.until_step,
                    bracket=None if bracket is None else int(bracket),
                )
            )
            return Training(number, proposal.parameters)
        known = self._at(proposal.trial)
        self._history.put(replace(known, outcome=Outcome.PENDING, values=(), until_step=proposal.until_step))
        return Training(known.trial_id, known.parameters, len(known.curve))

    def report(self, training: Training, loss: float) -> bool:
        number, known = training.number, self._at(training.number)
        self._index.report(number, 1, training.done, loss)
        best = self._index.best(number, training.done)
        assert best is not None
        known = replace(known, curve=(*known.curve, (training.done, loss)))
        whole = training.done >= self._epochs
        stopped = self._rule is not None and not whole and self._rule.decide(number, training.done, [self._index])
        if whole or stopped:
            self._index.end(number, counts=True, whole=whole)
            known = replace(known, outcome=Outcome.MEASURED, values=(best,), until_step=None)
        elif training.done == known.until_step:
            known = replace(known, outcome=Outcome.PAUSED, values=(best,))
        self._history.put(known)
        return known.outcome is Outcome.PENDING

    def _at(self, number: int) -> Observation:
        known = self._history.get(number)
        assert known is not None
        return known


class Peer:
    """`optuna-gp`, `optuna-tpe+hyperband`, `optuna-tpe+median`."""

    def __init__(self, algorithm: str, task: CurveTask, seed: int) -> None:
        import optuna

        name, _, pruner = algorithm.partition("+")
        sampler = {"optuna-gp": "GPSampler", "optuna-tpe": "TPESampler"}[name]
        warnings.simplefilter("ignore")
        self._inner = Optuna(sampler, task.space, 0, seed)
        pruners = optuna.pruners
        self._inner.study.pruner = {
            "": pruners.NopPruner,
            "hyperband": lambda: pruners.HyperbandPruner(1, task.epochs, 3),
            "median": pruners.MedianPruner,
        }[pruner]()
        self._running: dict[int, Any] = {}
        self._best: dict[int, float] = {}
        self._epochs = task.epochs

    def start(self) -> Training | None:
        (parameters,) = self._inner.ask(1)
        (trial,) = self._inner.asked
        self._running[trial.number] = trial
        self._best[trial.number] = float("inf")
        return Training(trial.number, parameters)

    def report(self, training: Training, loss: float) -> bool:
        import optuna

        trial = self._running[training.number]
        trial.report(loss, training.done)
        best = self._best[training.number] = min(loss, self._best[training.number])
        if training.done >= self._epochs:
            self._inner.study.tell(trial, best)
            return False
        if trial.should_prune():
            self._inner.study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            return False
        return True
