"""scikit-optimize behind the contract: its settings arrive, and what it learns is used."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import pytest
from skopt import Optimizer

from wazir.domain.errors import InvalidArgument
from wazir.domain.metric import Goal, Objective
from wazir.domain.parameters import Parameters
from wazir.domain.space import Categorical, Double, Integer, Parameter, Space
from wazir.domain.study import Algorithm
from wazir.suggestion.designer import New, Observation, Outcome, Problem
from wazir.suggestion.designers import bayesian
from wazir.suggestion.generator import generator
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.registry import make_designer

SPACE = Space(
    (
        Parameter("x", Double(0.0, 1.0)),
        Parameter("n", Integer(1, 9)),
        Parameter("kind", Categorical(("a", "b", "c"))),
    )
)
PROBLEM = Problem(SPACE, (Objective("loss", Goal.MINIMIZE),))


def loss(point: Parameters) -> float:
    return (float(point["x"]) - 0.3) ** 2 + abs(int(point["n"]) - 7) / 8 + (point["kind"] != "b")


def play(trials: int, seed: int = 1, **settings: Any) -> list[Observation]:
    designer = make_designer(Algorithm("bayesian", settings=settings), PROBLEM)
    seen: list[Observation] = []
    memo = ""
    while len(seen) < trials:
        answer = designer.suggest(PROBLEM, TrialHistory(seen), 1, generator(seed, len(seen)), memo)
        memo = answer.memo
        (proposal,) = answer.proposals
        assert isinstance(proposal, New)
        value = loss(proposal.parameters)
        seen.append(Observation(len(seen) + 1, proposal.parameters, Outcome.MEASURED, (value,)))
    return seen


@pytest.mark.parametrize("model", ["GP", "RF", "ET", "GBRT"])
def test_what_it_learns_is_used(model: str) -> None:
    found = play(25, base_estimator=model, n_initial_points=8)
    values = [o.values[0] for o in found]
    assert np.mean(values[15:]) < np.mean(values[:8]) / 2
    assert min(values) < 0.15


@pytest.mark.parametrize("model", ["GP", "RF", "ET", "GBRT"])
@pytest.mark.parametrize("goal", Goal)
def test_why_says_what_is_expected_in_the_metrics_own_units(model: str, goal: Goal) -> None:
    sign = 1.0 if goal is Goal.MINIMIZE else -1.0
    problem = Problem(Space((Parameter("x", Double(0.0, 1.0)),)), (Objective("score", goal),))
    values = [sign * 1e6 * (3.0 + i / 30) for i in range(30)]
    history = TrialHistory(
        Observation(i + 1, {"x": i / 30}, Outcome.MEASURED, (value,)) for i, value in enumerate(values)
    )
    settings = {"base_estimator": model, "acq_func": "EI"}
    designer = make_designer(Algorithm("bayesian", settings=settings), problem)
    last = designer.suggest(problem, history, 2, generator(1, 0), "").proposals[-1]
    assert isinstance(last, New)
    at = float(last.parameters["x"])
    assert last.details["mean"] == pytest.approx(sign * 1e6 * (3.0 + at), rel=0.1)
    assert 0.0 <= last.details["deviation"] < 1e6
    kind = "exploits" if sign * last.details["mean"] < 3e6 else "explores"
    assert last.why.startswith(f"{kind}: score {last.details['mean']:.4g} ± ")
    assert last.why.endswith(f"{values[0]:.4g} is the best so far ({model} by EI, from 30 trials)")


@pytest.mark.parametrize("acq_func", ["gp_hedge", "EI", "LCB", "PI"])
@pytest.mark.parametrize(
    ("model", "search"),
    [("GP", "sampling"), ("GP", "lbfgs"), ("RF", "sampling"), ("ET", "sampling"), ("GBRT", "sampling")],
)
def test_all_settings_go_together(acq_func: str, model: str, search: str) -> None:
    found = make_designer(
        Algorithm("bayesian", settings={"base_estimator": model, "acq_func": acq_func, "acq_optimizer": search}),
        PROBLEM,
    )
    points: list[Parameters] = [{"x": i / 16, "n": 1 + i % 9, "kind": "abc"[i % 3]} for i in range(12)]
    history = TrialHistory(Observation(i + 1, p, Outcome.MEASURED, (loss(p),)) for i, p in enumerate(points))
    last = found.suggest(PROBLEM, history, 2, generator(1, 0), "").proposals[-1]
    assert isinstance(last, New)
    assert f"({model} by {acq_func}, from 12 trials)" in last.why


def test_a_model_that_cannot_be_fitted_falls_back_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    points: list[Parameters] = [{"x": i / 16, "n": 1 + i % 9, "kind": "a"} for i in range(12)]
    history = TrialHistory(
        Observation(i + 1, p, Outcome.MEASURED, (math.nan if i == 7 else 1.0,)) for i, p in enumerate(points)
    )
    with caplog.at_level(logging.WARNING):
        answer = make_designer(Algorithm("bayesian"), PROBLEM).suggest(PROBLEM, history, 3, generator(1, 0), "")
    new = [p for p in answer.proposals if isinstance(p, New)]
    assert len(new) == 3
    assert all("fallback: the model cannot be fitted" in p.why for p in new[1:])
    assert not new[0].stand_in
    assert all(p.stand_in.startswith("the model cannot be fitted: ") for p in new[1:])
    assert "bayesian answers with quasi-random points" in caplog.text


def test_the_library_gets_the_settings_and_every_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[dict[str, Any]] = []
    told: list[int] = []

    class Watched(Optimizer):  # type: ignore[misc]
        def __init__(self, dimensions: Any, **settings: Any) -> None:
            made.append(settings)
            super().__init__(dimensions, **settings)

        def tell(self, x: Any, y: Any, fit: bool = True) -> Any:
            told.append(len(y) if isinstance(y, list) else 1)
            return super().tell(x, y, fit)

    monkeypatch.setattr(bayesian, "Optimizer", Watched)
    play(6, base_estimator="RF", n_initial_points=4, acq_func="EI", acq_optimizer="sampling", random_state=7)
    expected = {"base_estimator": "RF", "acq_func": "EI", "acq_optimizer": "sampling", "random_state": 7}
    assert made == [{**expected, "n_initial_points": 0}] * 2
    assert told == [4, 5]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"acq_func": "UCB"}, "gp_hedge, EI, LCB, PI"),
        ({"base_estimator": "gp"}, "GP, RF, ET, GBRT"),
        ({"n_initial_points": 1}, "n_initial_points"),
        ({"base_estimator": "RF", "acq_optimizer": "lbfgs"}, "RF has no gradient"),
    ],
)
def test_settings_that_are_none_of_the_librarys_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        make_designer(Algorithm("bayesian", settings=settings), PROBLEM)
