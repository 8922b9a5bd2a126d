"""`auto` says what it chooses before the first round, and keeps to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from wazir.domain.metric import Goal, Objective
from wazir.domain.space import Categorical, Double, Parameter, Space
from wazir.domain.study import Algorithm
from wazir.suggestion.designer import Problem, choice_of
from wazir.suggestion.generator import generator
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.registry import make_designer

LOSS, SIZE = Objective("loss", Goal.MINIMIZE), Objective("size", Goal.MINIMIZE)
LINE = Space((Parameter("x", Double(0.0, 1.0)),))
FEW = Space((Parameter("kind", Categorical(("a", "b", "c"))),))
AUTO = Algorithm("auto")


@pytest.mark.parametrize(
    ("problem", "algorithm", "because"),
    [
        (Problem(LINE, (LOSS,)), "gp", "the space is not finite"),
        (Problem(FEW, (LOSS,), trials=5), "shuffled_grid", "the budget of 5 trials covers all 3 points"),
        (Problem(FEW, (LOSS,), trials=2), "gp", "the space has 3 points, more than the budget of 2 trials"),
        (Problem(LINE, (LOSS, SIZE)), "quasirandom", "the space is not finite, and gp has one objective"),
    ],
)
def test_it_says_what_it_will_choose(problem: Problem, algorithm: str, because: str) -> None:
    designer = make_designer(AUTO, problem)
    before = choice_of(designer, problem, "")
    assert before is not None
    assert (before.algorithm, before.because) == (algorithm, because)
    memo = designer.suggest(problem, TrialHistory(), 1, generator(1, 0), "").memo
    assert choice_of(designer, problem, memo) == before


def test_a_budget_that_is_raised_later_changes_nothing() -> None:
    problem = Problem(FEW, (LOSS,), trials=2)
    memo = make_designer(AUTO, problem).suggest(problem, TrialHistory(), 1, generator(1, 0), "").memo
    raised = replace(problem, trials=5)
    kept = choice_of(make_designer(AUTO, raised), raised, memo)
    assert kept is not None
    assert kept.algorithm == "gp"


def test_other_algorithms_choose_nothing() -> None:
    problem = Problem(LINE, (LOSS,))
    assert choice_of(make_designer(Algorithm("gp"), problem), problem, "") is None
