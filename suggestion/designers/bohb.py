"""BOHB: Falkner, Klein and Hutter, "BOHB: Robust and Efficient Hyperparameter Optimization at Scale" (ICML 2018).

The brackets are Hyperband's. Their new points come from a model of the most steps that enough trials have done
(their algorithm 2: N_min + 2 of them, with N_min = d + 1), but for a part of them, `random_fraction`, which is drawn
blindly: so a model that is wrong about few steps costs little.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...domain.parameters import Parameters, digest
from ..designer import Designer, History, New, Observation, Outcome, Problem, StartsWithoutModel, Suggestions
from ..first_points import LOOKED_AT
from ..memo import read_memo, write_memo
from ..settings import setting
from .gp import GaussianProcessBandit
from .hyperband import Hyperband
from .rungs import LadderSettings, check_rungs, losses_at
from .tpe import TreeParzen

_BY = "bohb points/1"


@dataclass(frozen=True)
class BohbSettings(LadderSettings):
    model: str = setting("tpe", "what learns from the trials of the present rung", choices=("tpe", "gp"))
    random_fraction: float = setting(1 / 3, "the part of new points that is drawn blindly", least=0.0, most=1.0)


class Bohb(Hyperband, StartsWithoutModel):
    """Memo: as Hyperband's, with that of the model beside that of the quasi-random sequence."""

    name = "bohb"
    version = 6
    cheap = False

    Settings = BohbSettings

    def __init__(self, settings: BohbSettings, problem: Problem) -> None:
        """Raises InvalidArgument for settings without a ladder, and for several objectives."""
        check_rungs(settings.min, settings.max, problem, self.name)
        super().__init__(settings, problem)
        self._random_fraction = settings.random_fraction
        self._enough = len(problem.space.parameters) + 3
        self._model: Designer = (
            TreeParzen(TreeParzen.Settings(startup=max(2, self._enough), candidates=64, gamma=0.15), problem)
            if settings.model == "tpe"
            else GaussianProcessBandit(GaussianProcessBandit.Settings(), problem)
        )

    def suggest_without_model(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions | None:
        if len(history.observations) > LOOKED_AT or self._modelled(problem, history) is not None:
            return None
        return self.suggest(problem, history, count, rng, memo)

    def _new_points(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        before = read_memo(_BY, memo)
        blind, learned = str(before.get("blind", "")), str(before.get("learned", ""))
        proposals: list[New] = []
        steps = self._modelled(problem, history)
        if steps is not None and count > 0:
            modelled = int(np.sum(rng.random(count) >= self._random_fraction))
            seen = _AtSteps(history, steps, problem)
            found = self._model.suggest(problem, seen, modelled, rng, learned) if modelled else Suggestions([], learned)
            learned = found.memo
            about = f"of what trials are worth at step {steps}"
            proposals = [replace(p, why=f"{p.why} ({about})") for p in found.proposals if isinstance(p, New)]
        rest = super()._new_points(problem, _Beside(history, proposals, problem), count - len(proposals), rng, blind)
        blind = rest.memo
        proposals += [p for p in rest.proposals if isinstance(p, New)]
        return Suggestions(proposals, write_memo(_BY, blind=blind, learned=learned), rest.exhausted)

    def _modelled(self, problem: Problem, history: History) -> int | None:
        """The most steps of a rung at which enough trials have a value; None where there is none."""
        rungs = sorted({steps for bracket in self._brackets for steps in bracket.steps}, reverse=True)
        counts = Counter[int]()
        for o in history.observations:
            last = max((step for step, _ in o.curve), default=0)
            counts.update(steps for steps in rungs if steps <= last)
        return next((steps for steps in rungs if counts[steps] >= self._enough), None)


class _AtSteps:
    """The trials as they stood when they had done so many steps; those that have not yet are pending."""

    def __init__(self, history: History, steps: int, problem: Problem) -> None:
        self._history = history
        self.observations: Sequence[Observation] = [_at(o, steps, problem) for o in history.observations]

    def times_tried(self, parameters: Parameters) -> int:
        return self._history.times_tried(parameters)

    @property
    def distinct(self) -> int:
        return self._history.distinct


def _at(o: Observation, steps: int, problem: Problem) -> Observation:
    if o.outcome in (Outcome.INFEASIBLE, Outcome.FAILED) or not o.counted:
        return o
    losses = losses_at(o, steps, math.inf, problem)
    if losses is None:
        over = o.outcome in (Outcome.MEASURED, Outcome.UNKNOWN)
        return replace(o, outcome=Outcome.UNKNOWN if over else Outcome.PENDING, values=())
    (loss,) = losses
    if math.isinf(loss):
        return replace(o, outcome=Outcome.INFEASIBLE, values=())
    # A loss is the value or its negative, so that the loss of one is the other.
    return replace(o, outcome=Outcome.MEASURED, values=(problem.objectives[0].loss(loss),))


class _Beside:
    """The history with points that this answer proposes already."""

    def __init__(self, history: History, proposals: Sequence[New], problem: Problem) -> None:
        self._history = history
        self._added = Counter(digest(p.parameters) for p in proposals)
        self._full = sum(
            history.times_tried(p) + self._added[digest(p)] >= problem.repeats
            for p in {digest(p.parameters): p.parameters for p in proposals}.values()
        )

    @property
    def observations(self) -> Sequence[Observation]:
        return self._history.observations

    def times_tried(self, parameters: Parameters) -> int:
        return self._history.times_tried(parameters) + self._added[digest(parameters)]

    @property
    def distinct(self) -> int:
        return self._history.distinct + self._full
