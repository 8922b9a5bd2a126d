"""The algorithm of a study that names none."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..designer import Designer, History, New, Problem, Suggestions
from ..memo import read_memo, write_memo
from ..space.enumeration import enumeration
from .grid import ShuffledGrid
from .quasirandom import QuasiRandom


class Auto:
    """Every point of a finite space that the budget covers, in a shuffled order; else quasi-random search.

    It chooses once, in the first round: a budget that is raised later changes nothing about how a study is searched.
    Memo: the choice, and the memo of what was chosen.
    """

    name = "auto"
    version = 1
    cheap = True

    @dataclass(frozen=True)
    class Settings:
        """There are none."""

    def __init__(self, settings: Settings, problem: Problem) -> None:
        """Takes every problem."""

    def suggest(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        before = read_memo("auto/1", memo)
        chosen, reason = _choose(problem) if not before else (str(before["chosen"]), str(before["reason"]))
        designer: Designer = _made(chosen, problem)
        found = designer.suggest(problem, history, count, rng, str(before.get("memo", "")))
        proposals = [replace(p, why=f"{p.why} ({reason})") if isinstance(p, New) else p for p in found.proposals]
        return Suggestions(
            proposals, write_memo("auto/1", chosen=chosen, reason=reason, memo=found.memo), found.exhausted
        )


def _choose(problem: Problem) -> tuple[str, str]:
    points = enumeration(problem.space)
    if points is None:
        return QuasiRandom.name, "auto: the space is not finite"
    whole = points.size * problem.repeats
    if problem.trials is None:
        return QuasiRandom.name, f"auto: no budget.trials says that all {whole} points are to be tried"
    if whole <= problem.trials:
        return ShuffledGrid.name, f"auto: the budget of {problem.trials} trials covers all {whole} points"
    return QuasiRandom.name, f"auto: the space has {whole} points, more than the budget of {problem.trials} trials"


def _made(chosen: str, problem: Problem) -> Designer:
    if chosen == ShuffledGrid.name:
        return ShuffledGrid(ShuffledGrid.Settings(), problem)
    return QuasiRandom(QuasiRandom.Settings(), problem)
