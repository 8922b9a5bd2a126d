"""What algorithms learn from failures: how likely points are to succeed, and where they therefore look."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.special import ndtr

from wazir.domain.metric import Goal, Objective
from wazir.domain.parameters import Parameters
from wazir.domain.space import Double, Integer, Parameter, Space
from wazir.domain.study import Algorithm
from wazir.suggestion.answer import Seen
from wazir.suggestion.designer import New, Observation, Outcome, Problem
from wazir.suggestion.generator import generator
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.models.kernel import Array, Mask, centred, matern, squared_distance
from wazir.suggestion.models.success import SuccessLikelihood, SuccessModel, SuccessPrior, centre, fit
from wazir.suggestion.registry import make_designer
from wazir.suggestion.space.rows import Rows
from wazir.suggestion.success import success_of

PRIOR = SuccessPrior()
MIXED = np.array([False, False, True])
PLAIN = np.zeros(2, dtype=bool)
SQUARE = Space((Parameter("x", Double(0.0, 1.0)), Parameter("y", Double(0.0, 1.0))))

MODELS = [
    pytest.param(Algorithm("gp"), id="gp"),
    pytest.param(Algorithm("auto"), id="auto"),
    pytest.param(Algorithm("tpe"), id="tpe"),
    pytest.param(Algorithm("cmaes"), id="cmaes"),
    pytest.param(Algorithm("bohb", settings={"max": 9, "random_fraction": 0.0}), id="bohb, tpe"),
    pytest.param(Algorithm("bohb", settings={"max": 9, "random_fraction": 0.0, "model": "gp"}), id="bohb, gp"),
    pytest.param(Algorithm("freeze_thaw", settings={"max": 9}), id="freeze_thaw"),
]


def labelled(n: int, seed: int = 0) -> tuple[Array, Array]:
    """Points with a category, and what a slanted wall makes of them."""
    x = np.random.default_rng(seed).random((n, 3))
    x[:, 2] = np.where(x[:, 2] < 0.5, 0.25, 0.75)
    return x, np.where(x[:, 0] + x[:, 1] > 1.2, -1.0, 1.0)


def modelled(x: Array, y: Array, categorical: Mask) -> SuccessModel:
    theta = fit(x, y, categorical, PRIOR, [centre(x.shape[1], PRIOR)], 20)
    return SuccessModel(x, y, categorical, theta, PRIOR)


def slopes(function: Callable[[Array], float], at: Array, step: float) -> Array:
    return np.array([(function(at + h) - function(at - h)) / (2.0 * step) for h in step * np.eye(len(at))])


def test_the_fit_climbs_along_the_gradient() -> None:
    x, y = labelled(25)
    theta = centre(3, PRIOR) + np.array([0.3, -0.2, 0.1, 0.4])
    gradient = SuccessLikelihood(x, y, MIXED, PRIOR)(theta)[1]
    by_differences = slopes(lambda t: SuccessLikelihood(x, y, MIXED, PRIOR)(t)[0], theta, 1e-4)
    assert gradient == pytest.approx(by_differences, rel=1e-3, abs=1e-4)


def test_the_evidence_is_that_of_labels_drawn_from_the_prior() -> None:
    x, y = labelled(4)
    likelihood, theta = SuccessLikelihood(x, y, MIXED, PRIOR), centre(3, PRIOR)
    c = centred(x, MIXED)
    covariance = np.exp(theta[3]) * matern(squared_distance(x, x, np.exp(-2.0 * theta[:3]), MIXED))[0]
    covariance += PRIOR.mean + PRIOR.trend * c @ c.T
    f = PRIOR.level + np.random.default_rng(1).multivariate_normal(np.zeros(4), covariance, size=200_000)
    drawn = float(np.log(ndtr(y * f).prod(axis=1).mean()))
    assert likelihood.unlikeliness(theta) - likelihood(theta)[0] == pytest.approx(drawn, abs=0.05)


def test_what_improvement_is_multiplied_by_has_its_gradient() -> None:
    x, y = labelled(25)
    model = modelled(x, y, MIXED)
    at = labelled(8, seed=1)[0]
    worth, gradient = model.with_gradient(at)
    assert worth == pytest.approx(model.value(at))
    for row, slope in zip(at, gradient, strict=True):
        by_differences = slopes(lambda u: float(model.value(u[None, :])[0]), row, 1e-6)
        assert slope[:2] == pytest.approx(by_differences[:2], rel=1e-4, abs=1e-4)
        assert slope[2] == 0.0


def test_probabilities_are_as_high_as_points_succeed() -> None:
    """Of points between which a wall lies, those called likely succeed and those called unlikely fail."""
    model = modelled(*labelled(60), MIXED)
    x, y = labelled(2_000, seed=2)
    p = model.probability(x)
    well = y > 0
    assert well[p > 0.9].mean() > 0.97
    assert well[p < 0.1].mean() < 0.03
    between = (p > 0.3) & (p < 0.7)
    assert 0.2 < well[between].mean() < 0.8
    # Better than to know the rate alone.
    assert np.mean((p - well) ** 2) < 0.25 * well.mean() * (1.0 - well.mean())


def test_any_number_of_successes_make_their_place_safe() -> None:
    x = 0.3 + 0.02 * np.random.default_rng(0).random((20, 2))
    failure = np.array([[0.9, 0.9]])
    model = modelled(np.concatenate([x, failure]), np.array([1.0] * 20 + [-1.0]), PLAIN)
    assert model.probability(np.array([[0.31, 0.31]]))[0] > 0.95


def test_failures_that_are_spread_evenly_are_not_explained() -> None:
    rng = np.random.default_rng(3)
    x = rng.random((60, 2))
    y = np.where(np.arange(60) % 20 == 7, -1.0, 1.0)
    model = modelled(x, y, PLAIN)
    assert model.explained < 0.4
    p = model.probability(rng.random((200, 2)))
    assert p.min() > 0.75
    assert p.max() - p.min() < 0.2


def test_without_failures_there_is_no_model() -> None:
    seen = Seen([Observation(1, {"x": 0.5, "y": 0.5}, Outcome.MEASURED, (1.0,))])
    assert success_of(seen, Rows(SQUARE), SQUARE) is None


def loss(p: Parameters) -> float:
    return (float(p["x"]) - 0.9) ** 2 + (float(p["y"]) - 0.5) ** 2


def study(fails: Callable[[int, Parameters], bool], trials: int) -> TrialHistory:
    """Points all over the square, each at the end of a training of nine steps."""
    rows = np.random.default_rng(5).random((trials, 2))
    points = [{"x": float(x), "y": float(y)} for x, y in rows]
    history = TrialHistory()
    for number, p in enumerate(points, 1):
        history.put(ended(number, p, fails(number, p)))
    return history


def ended(number: int, p: Parameters, failed: bool) -> Observation:
    if failed:
        return Observation(number, p, Outcome.FAILED, counted=False)
    curve = tuple((step, loss(p)) for step in (1, 3, 9))
    return Observation(number, p, Outcome.MEASURED, (loss(p),), curve=curve)


def asked(algorithm: Algorithm, history: TrialHistory, count: int, fails: Callable[[int, Parameters], bool]) -> Array:
    """So many new points, (count, 2), each told before the next."""
    problem = Problem(SQUARE, (Objective("loss", Goal.MINIMIZE),))
    designer, memo, found = make_designer(algorithm, problem), "", list[Parameters]()
    for number in range(count):
        answer = designer.suggest(problem, history, 1, generator(7, number), memo)
        memo = answer.memo
        for proposal in answer.proposals:
            assert isinstance(proposal, New)
            found.append(proposal.parameters)
            trial = len(history) + 1
            history.put(ended(trial, proposal.parameters, fails(trial, proposal.parameters)))
    return np.array([[float(p["x"]), float(p["y"])] for p in found])


def beyond(number: int, p: Parameters) -> bool:
    """A wall with the best point behind it."""
    return float(p["x"]) > 0.5


@pytest.mark.parametrize("algorithm", MODELS)
def test_where_trials_fail_few_are_proposed(algorithm: Algorithm) -> None:
    points = asked(algorithm, study(beyond, 24), 12, beyond)
    assert np.mean(points[:, 0] > 0.5) <= 0.25


@pytest.mark.parametrize("algorithm", MODELS)
def test_failures_that_are_spread_evenly_change_little(algorithm: Algorithm) -> None:
    """The best of twelve points comes about as near, and they lie about as near, as where nothing failed."""

    def never(number: int, p: Parameters) -> bool:
        return False

    def flaky(number: int, p: Parameters) -> bool:
        return number % 8 == 3

    undisturbed = asked(algorithm, study(never, 24), 12, never)
    disturbed = asked(algorithm, study(flaky, 24), 12, flaky)
    near, as_near = (np.hypot(p[:, 0] - 0.9, p[:, 1] - 0.5) for p in (undisturbed, disturbed))
    assert np.median(as_near) < np.median(near) + 0.15
    assert as_near.min() < near.min() + 0.05


@pytest.mark.parametrize("algorithm", [Algorithm("gp"), Algorithm("tpe")], ids=lambda a: a.name)
def test_while_all_have_failed_points_are_drawn_where_none_was(algorithm: Algorithm) -> None:
    failures = [{"x": 0.55 + 0.04 * i, "y": 0.1 + 0.08 * i} for i in range(11)]
    history = TrialHistory(Observation(i, p, Outcome.FAILED, counted=False) for i, p in enumerate(failures, 1))
    problem = Problem(SQUARE, (Objective("loss", Goal.MINIMIZE),))
    answer = make_designer(algorithm, problem).suggest(problem, history, 8, generator(1, 0), "")
    new = [p for p in answer.proposals if isinstance(p, New)]
    assert len(new) == 8
    # The first one is the middle of the space, whatever is known.
    assert sum(float(p.parameters["x"]) < 0.5 for p in new[1:]) >= 6


def test_a_finite_space_is_tried_to_its_end_though_much_of_it_fails() -> None:
    space = Space((Parameter("a", Integer(1, 12)),))
    problem = Problem(space, (Objective("loss", Goal.MINIMIZE),))
    designer, history, memo = make_designer(Algorithm("gp"), problem), TrialHistory(), ""
    for number in range(30):
        answer = designer.suggest(problem, history, 1, generator(1, number), memo)
        memo = answer.memo
        for p in answer.proposals:
            assert isinstance(p, New)
            a, trial = int(p.parameters["a"]), len(history) + 1
            if a > 6:
                history.put(Observation(trial, p.parameters, Outcome.FAILED, counted=False))
            else:
                history.put(Observation(trial, p.parameters, Outcome.MEASURED, (float(a),)))
        if answer.exhausted:
            break
    assert answer.exhausted
    assert sorted(int(o.parameters["a"]) for o in history.observations) == list(range(1, 13))


def test_a_point_says_how_likely_it_is_to_fail() -> None:
    history = study(beyond, 24)
    problem = Problem(SQUARE, (Objective("loss", Goal.MINIMIZE),))
    memo = make_designer(Algorithm("gp"), problem).suggest(problem, TrialHistory(), 1, generator(1, 0), "").memo
    (point,) = make_designer(Algorithm("gp"), problem).suggest(problem, history, 1, generator(1, 1), memo).proposals
    assert isinstance(point, New)
    failing = 1.0 - point.details["success"]
    assert 0.0 < failing < 0.5
    assert (f", {100 * failing:.0f} % likely to fail" in point.why) == (failing >= 0.05)
    assert math.isfinite(point.details["log_expected_improvement"])
