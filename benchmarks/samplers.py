"""The algorithms that are compared, each asked for points and told their losses."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from wazir.domain.metric import Goal, Objective
from wazir.domain.parameters import Parameters, Value
from wazir.domain.space import Categorical, Discrete, Double, Integer, Kind, Scale, Space
from wazir.domain.study import Algorithm
from wazir.suggestion.designer import New, Observation, Outcome, Problem
from wazir.suggestion.generator import generator
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.registry import make_designer


class Sampler(Protocol):
    """One run of one algorithm."""

    def ask(self, count: int) -> Sequence[Parameters]:
        """So many points, fewer where there are no more; they are pending until told."""

    def tell(self, losses: Sequence[float]) -> None:
        """Of the points of the last `ask`, in its order."""


class Own:
    """A designer of ours, as the service would ask it."""

    def __init__(self, name: str, space: Space, trials: int, seed: int, **settings: Any) -> None:
        self._problem = Problem(space, (Objective("loss", Goal.MINIMIZE),), trials=trials)
        self._designer = make_designer(Algorithm(name, settings=settings), self._problem)
        self._history, self._memo, self._seed, self._round = TrialHistory(), "", seed, 0
        self._asked: list[Observation] = []

    def ask(self, count: int) -> list[Parameters]:
        rng = generator(self._seed, self._round)
        answer = self._designer.suggest(self._problem, self._history, count, rng, self._memo)
        self._memo, self._round = answer.memo, self._round + 1
        first = len(self._history) + 1
        points = [p.parameters for p in answer.proposals if isinstance(p, New)]
        self._asked = [Observation(first + i, p, Outcome.PENDING) for i, p in enumerate(points)]
        for observation in self._asked:
            self._history.put(observation)
        return points

    def know(self, points: Sequence[Parameters], losses: Sequence[float]) -> None:
        """Trials that are over before the run begins."""
        for number, (point, loss) in enumerate(zip(points, losses, strict=True), 1):
            self._history.put(Observation(number, point, Outcome.MEASURED, (loss,)))

    def tell(self, losses: Sequence[float]) -> None:
        for asked, loss in zip(self._asked, losses, strict=True):
            self._history.put(Observation(asked.trial_id, asked.parameters, Outcome.MEASURED, (loss,)))


class Optuna:
    """One of Optuna's samplers, by its define-by-run interface."""

    def __init__(self, sampler: str, space: Space, trials: int, seed: int) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore")
        made = getattr(optuna.samplers, sampler)(seed=seed)
        self._space, self.study, self.asked = space, optuna.create_study(sampler=made), list[Any]()

    def ask(self, count: int) -> list[Parameters]:
        self.asked = [self.study.ask() for _ in range(count)]
        return [self._suggested(trial) for trial in self.asked]

    def know(self, points: Sequence[Parameters], losses: Sequence[float]) -> None:
        """Trials that are over before the run begins. For spaces of real numbers."""
        import optuna

        ranges = {
            p.name: optuna.distributions.FloatDistribution(p.kind.min, p.kind.max)
            for p in self._space.parameters
            if isinstance(p.kind, Double)
        }
        for point, loss in zip(points, losses, strict=True):
            self.study.add_trial(optuna.trial.create_trial(params=dict(point), distributions=ranges, value=loss))

    def tell(self, losses: Sequence[float]) -> None:
        for trial, loss in zip(self.asked, losses, strict=True):
            self.study.tell(trial, loss)

    def _suggested(self, trial: Any) -> Parameters:
        point: dict[str, Value] = {}
        for p in self._space.parameters:
            if not self._space.is_active(p, point):
                continue
            kind = p.kind
            if isinstance(kind, Double):
                log = kind.scale is Scale.LOG
                point[p.name] = trial.suggest_float(p.name, kind.min, kind.max, log=log, step=kind.step)
            elif isinstance(kind, Integer):
                log = kind.scale is Scale.LOG
                point[p.name] = trial.suggest_int(p.name, kind.min, kind.max, log=log, step=kind.step)
            else:
                assert isinstance(kind, Discrete | Categorical)
                point[p.name] = trial.suggest_categorical(p.name, kind.values)
        return point


class ScikitOptimize:
    """scikit-optimize's `Optimizer` with its own defaults. It knows no conditions: what is not active is left out of
    its points."""

    def __init__(self, space: Space, trials: int, seed: int) -> None:
        import skopt

        warnings.simplefilter("ignore")
        self._space, self._asked = space, list[list[Any]]()
        self._optimizer = skopt.Optimizer([self._dimension(p.kind) for p in space.parameters], random_state=seed)

    def ask(self, count: int) -> list[Parameters]:
        self._asked = self._optimizer.ask(count)
        return [self._point(values) for values in self._asked]

    def tell(self, losses: Sequence[float]) -> None:
        self._optimizer.tell(self._asked, list(losses))

    @staticmethod
    def _dimension(kind: Kind) -> Any:
        import skopt.space

        if isinstance(kind, Double | Integer):
            made = skopt.space.Real if isinstance(kind, Double) else skopt.space.Integer
            return made(kind.min, kind.max, prior="log-uniform" if kind.scale is Scale.LOG else "uniform")
        return skopt.space.Categorical(kind.values)

    def _point(self, values: Sequence[Any]) -> Parameters:
        point: dict[str, Value] = {}
        for p, value in zip(self._space.parameters, values, strict=True):
            if self._space.is_active(p, point):
                # The library's integers are numpy's.
                point[p.name] = int(value) if isinstance(p.kind, Integer) else value
        return point


OPTUNA: dict[str, str] = {
    "optuna-cmaes": "CmaEsSampler",
    "optuna-gp": "GPSampler",
    "optuna-tpe": "TPESampler",
}


def sampler(name: str) -> Callable[[Space, int, int], Sampler]:
    """What makes a run of the algorithm from space, number of trials and seed: a peer's, or the designer so named."""
    if name in OPTUNA:
        return lambda space, trials, seed: Optuna(OPTUNA[name], space, trials, seed)
    if name == "skopt":
        return ScikitOptimize
    return lambda space, trials, seed: Own(name, space, trials, seed)
