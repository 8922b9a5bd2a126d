"""The algorithm of a study that names none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from ..designer import (
    Choice,
    Chooses,
    Designer,
    History,
    New,
    Problem,
    StartsWithoutModel,
    Suggestions,
    suggest_at_once,
)
from ..memo import read_memo, write_memo
from ..space.enumeration import enumeration
from .gp import CostSettings, GaussianProcessBandit
from .grid import ShuffledGrid
from .quasirandom import QuasiRandom

_BY: Final = "auto/2"
"""Of the memo, whose form is still that of the second version."""


class Auto(Chooses, StartsWithoutModel):
    """Every point of a finite space that the budget covers, in a shuffled order; else `gp`, or quasi-random search for
    several objectives.

    How many trials run at once does not matter: in batches of a hundred `gp` still gives better points than `tpe`.
    It chooses once, in the first round: a budget that is raised later changes nothing about how a study is searched.
    Memo: the choice, and the memo of what was chosen.
    """

    name = "auto"
    version = 5
    cheap = False

    Settings = CostSettings

    def __init__(self, settings: CostSettings, problem: Problem) -> None:
        """Takes every problem."""
        self._settings = settings

    def choice(self, problem: Problem, memo: str) -> Choice:
        before = read_memo(_BY, memo)
        chosen, reason = _choose(problem) if not before else (str(before["chosen"]), str(before["reason"]))
        return Choice(chosen, reason.removeprefix(f"{self.name}: "))

    def suggest(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        by = _begun(problem, self._settings, memo)
        return by.explained(by.designer.suggest(problem, history, count, rng, by.memo))

    def suggest_without_model(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions | None:
        by = _begun(problem, self._settings, memo)
        found = suggest_at_once(by.designer, problem, history, count, rng, by.memo)
        return None if found is None else by.explained(found)


@dataclass(frozen=True)
class _Begun:
    """A round of the algorithm that was chosen, and what that one's memo is."""

    designer: Designer
    reason: str
    memo: str

    def explained(self, found: Suggestions) -> Suggestions:
        """Its answer as that of `auto`."""
        proposals = [replace(p, why=f"{p.why} ({self.reason})") if isinstance(p, New) else p for p in found.proposals]
        memo = write_memo(_BY, chosen=self.designer.name, reason=self.reason, memo=found.memo)
        return Suggestions(proposals, memo, found.exhausted)


def _begun(problem: Problem, settings: CostSettings, memo: str) -> _Begun:
    before = read_memo(_BY, memo)
    chosen, reason = _choose(problem) if not before else (str(before["chosen"]), str(before["reason"]))
    return _Begun(_made(chosen, settings, problem), reason, str(before.get("memo", "")))


def _choose(problem: Problem) -> tuple[str, str]:
    points = None if problem.growing else enumeration(problem.space)
    if problem.growing:
        # What covers all points that are known now would not know what to do with the others.
        about = "the space may still grow"
    elif points is None:
        about = "the space is not finite"
    else:
        whole = points.size * problem.repeats
        if problem.trials is None:
            about = f"no budget.trials says that all {whole} points are to be tried"
        elif whole <= problem.trials:
            return ShuffledGrid.name, f"auto: the budget of {problem.trials} trials covers all {whole} points"
        else:
            about = f"the space has {whole} points, more than the budget of {problem.trials} trials"
    if len(problem.objectives) > 1:
        return QuasiRandom.name, f"auto: {about}, and gp has one objective"
    return GaussianProcessBandit.name, f"auto: {about}"


def _made(chosen: str, settings: CostSettings, problem: Problem) -> Designer:
    if chosen == ShuffledGrid.name:
        return ShuffledGrid(ShuffledGrid.Settings(), problem)
    if chosen == QuasiRandom.name:
        return QuasiRandom(QuasiRandom.Settings(), problem)
    return GaussianProcessBandit(settings, problem)
