"""Improvement by the second: what is expected of durations, and what trials that timed out say of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from wazir.domain.errors import InvalidArgument
from wazir.domain.metric import Goal, Objective
from wazir.domain.space import Double, Parameter, Space
from wazir.domain.study import Algorithm
from wazir.suggestion.designer import New, Observation, Outcome, Problem
from wazir.suggestion.duration import Duration
from wazir.suggestion.generator import generator
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.models.input_warping import InputWarping
from wazir.suggestion.models.warped_lattice import axes
from wazir.suggestion.registry import make_designer
from wazir.suggestion.space.rows import Rows

SPACE = Space((Parameter("x", Double(0.0, 1.0)), Parameter("y", Double(0.0, 1.0))))
PROBLEM = Problem(SPACE, (Objective("loss", Goal.MINIMIZE),))


def timed(number: int, x: float, y: float, seconds: float, limit: float = math.inf) -> Observation:
    point = {"x": x, "y": y}
    if seconds > limit:
        return Observation(number, point, Outcome.FAILED, counted=False, seconds=limit, timed_out=True)
    return Observation(number, point, Outcome.MEASURED, ((x - 0.5) ** 2,), seconds=seconds)


def observations(limit: float = math.inf) -> list[Observation]:
    """Trials that take e^(6 y) seconds."""
    rows = np.random.default_rng(0).random((30, 2))
    return [timed(i, float(x), float(y), math.exp(6.0 * y), limit) for i, (x, y) in enumerate(rows, 1)]


def modelled(seen: list[Observation]) -> Duration:
    known = axes(SPACE)
    return Duration(seen, Rows(SPACE), SPACE, InputWarping.read(known.shapes, known.categorical), {})


def test_durations_are_expected_as_they_were() -> None:
    words, numbers = modelled(observations()).explained(np.array([[0.4, 0.5]]))
    assert numbers["seconds"] == pytest.approx(math.exp(3.0), rel=0.15)
    assert words == f", about {numbers['seconds']:.3g} s long"


def test_the_cost_has_its_gradient() -> None:
    model = modelled(observations(limit=100.0))
    at = np.random.default_rng(1).random((5, 2))
    value, gradient = model.with_gradient(at)
    assert value == pytest.approx(model.value(at))
    for j in range(2):
        step = 1e-6 * np.eye(2)[j]
        by_differences = (model.value(at + step) - model.value(at - step)) / 2e-6
        assert gradient[:, j] == pytest.approx(by_differences, rel=1e-4, abs=1e-4)


def test_a_trial_that_timed_out_would_have_run_longer() -> None:
    at = np.array([[0.5, 0.98]])
    cut_off = observations(limit=60.0)
    censored = modelled(cut_off).explained(at)[1]["seconds"]
    believed = [replace(o, timed_out=False) for o in cut_off]
    assert censored > 60.0
    assert censored > 1.2 * modelled(believed).explained(at)[1]["seconds"]


def test_of_points_that_are_as_good_the_short_ones_are_proposed() -> None:
    """What a trial takes depends on y alone, what it is worth on x alone."""

    def proposed(settings: dict[str, object]) -> list[New]:
        designer = make_designer(Algorithm("gp", settings=settings), PROBLEM)
        memo, history, found = (
            designer.suggest(PROBLEM, TrialHistory(), 1, generator(1, 0), "").memo,
            TrialHistory(),
            [],
        )
        for o in observations()[:10]:
            history.put(o)
        for number in range(1, 9):
            answer = designer.suggest(PROBLEM, history, 1, generator(1, number), memo)
            memo = answer.memo
            (point,) = answer.proposals
            assert isinstance(point, New)
            found.append(point)
            x, y = float(point.parameters["x"]), float(point.parameters["y"])
            history.put(timed(len(history) + 1, x, y, math.exp(6.0 * y)))
        return found

    by_time = proposed({"cost": "time"})
    assert np.mean([float(p.parameters["y"]) for p in by_time]) < 0.3
    assert all(" s long" in p.why and p.details["seconds"] > 0.0 for p in by_time)
    plain = proposed({})
    assert np.mean([float(p.parameters["y"]) for p in plain]) > np.mean([float(p.parameters["y"]) for p in by_time])
    assert all("seconds" not in p.details for p in plain)


@pytest.mark.parametrize("name", ["gp", "auto"])
def test_another_cost_is_refused_by_name(name: str) -> None:
    with pytest.raises(
        InvalidArgument,
        match=r'algorithm\.cost = "money": must be time, or left out. It says: improvement counts by the second',
    ):
        make_designer(Algorithm(name, settings={"cost": "money"}), PROBLEM)
    make_designer(Algorithm(name, settings={"cost": "time"}), PROBLEM)
