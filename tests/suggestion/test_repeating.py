"""Points tried before, for a growing space in which nothing new is left for now."""

from __future__ import annotations

import numpy as np
import pytest

from wazir.domain.metric import Goal, Objective
from wazir.domain.space import Integer, Parameter, Space
from wazir.suggestion.designer import New, Observation, Outcome, Problem, Suggestions
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.repeating import repeated

LOSS = (Objective("loss", Goal.MINIMIZE),)
FOUND = New({"x": 1}, "by the algorithm")


def problem(*constraints: str) -> Problem:
    space = Space((Parameter("x", Integer(1, 3)), Parameter("y", Integer(1, 3))), constraints)
    return Problem(space, LOSS, growing=True)


def filled(found: Suggestions, outcome: Outcome, *constraints: str) -> Suggestions:
    history = TrialHistory([Observation(1, {"x": 1}, outcome, (1.0,))], partial=True)
    return repeated(problem(*constraints), history, found, 3, np.random.default_rng(1))


@pytest.mark.parametrize(
    ("found", "outcome", "proposals"),
    [
        pytest.param(Suggestions([FOUND]), Outcome.MEASURED, 1, id="it found fewer"),
        pytest.param(Suggestions([]), Outcome.PENDING, 0, id="it waits for a result"),
        pytest.param(Suggestions([]), Outcome.MEASURED, 3, id="there is nothing to wait for"),
        pytest.param(Suggestions([FOUND], exhausted=True), Outcome.PENDING, 3, id="it is at its end"),
    ],
)
def test_it_fills_up_what_the_algorithm_cannot(found: Suggestions, outcome: Outcome, proposals: int) -> None:
    answer = filled(found, outcome)
    assert not answer.exhausted
    assert len(answer.proposals) == proposals
    assert list(answer.proposals[: len(found.proposals)]) == list(found.proposals)


def test_it_keeps_to_constraints_if_it_can() -> None:
    found = filled(Suggestions([]), Outcome.MEASURED, "x < y").proposals
    assert all(isinstance(p, New) and p.parameters["x"] < p.parameters["y"] for p in found)  # type: ignore[operator]
    assert len(filled(Suggestions([]), Outcome.MEASURED, "x > 9").proposals) == 3
