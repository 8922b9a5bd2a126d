"""The Gaussian process of several tasks: against its definition, finite differences and the process of one task."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal

from wazir.suggestion.models.gaussian_process import GaussianProcess, Hyperparameters, Prior
from wazir.suggestion.models.input_warping import Axes, InputWarping
from wazir.suggestion.models.kernel import Array, Mask, matern
from wazir.suggestion.models.multi_task import (
    MultiTaskProcess,
    TaskHyperparameters,
    TaskLikelihood,
    TaskPrior,
    Tasks,
    centre,
    fit,
)
from wazir.suggestion.models.normal import NotPositive

ORDERED = np.zeros(3, dtype=bool)
MIXED = np.array([False, True, False])
SHAPES = np.array([-1.0, 0.0, 0.2, 0.0, 0.4, -0.3])
PRIOR = TaskPrior(mean=0.7, trend=1.3)
PLAIN = InputWarping(np.ones(3), np.ones(3))
BENT = InputWarping(np.array([0.4, 1.7, 1.0]), np.array([1.3, 1.0, 0.6]))
H = TaskHyperparameters(np.array([4.0, 0.5, 30.0]), np.array([1.2, 0.5, 0.3]), np.array([0.8, -0.4]), 1e-2, PLAIN)


def rows(n: int) -> tuple[Array, Tasks, Array]:
    """Points, (n, 3), the second coordinate of three values, so that it may be taken for categorical; tasks; values."""
    rng = np.random.default_rng(0)
    x, task = rng.random((n, 3)), rng.integers(3, size=n)
    x[:, 1] = np.round(x[:, 1] * 2) / 2
    return x, task, np.sin(5 * x[:, 0]) + x[:, 1] * task - (x[:, 2] - 0.3) ** 2


def covariance(x: Array, task: Tasks, categorical: Mask, h: TaskHyperparameters) -> Array:
    """Pair by pair, as the head of the module has it."""
    a, rho = h.deviations, [np.nan, *h.factors]
    factor = np.array([[a[j] * np.prod(rho[j + 1 : k + 1]) if j <= k else 0.0 for j in range(3)] for k in range(3)])
    between = factor @ factor.T
    c = np.where(categorical, 0.0, x - 0.5)
    result = np.empty((len(x), len(x)))
    for i in range(len(x)):
        for j in range(len(x)):
            apart = np.where(categorical, x[i] != x[j], (x[i] - x[j]) ** 2)
            over_points = matern(np.array([apart @ h.w]))[0][0] + PRIOR.mean + PRIOR.trend * (c[i] @ c[j])
            result[i, j] = between[task[i], task[j]] * over_points
    return result


def differences(function: Callable[[Array], float], at: Array) -> Array:
    steps = np.eye(len(at)) * 1e-6
    return np.array([(function(at + s) - function(at - s)) / 2e-6 for s in steps])


@pytest.mark.parametrize("categorical", [ORDERED, MIXED])
def test_the_posterior_is_that_of_the_covariance_as_it_is_defined(categorical: Mask) -> None:
    x, task, y = rows(20)
    at = rows(5)[0] * 0.9
    at[:, 1] = x[:5, 1]
    every, last = np.concatenate([x, at]), np.concatenate([task, np.full(5, 2)])
    k = covariance(every, last, categorical, H)
    told = np.linalg.inv(k[:20, :20] + H.noise * np.eye(20))
    mean, deviation = MultiTaskProcess(x, task, y, categorical, H, PRIOR).predict(at)
    assert mean == pytest.approx(k[20:, :20] @ told @ y)
    assert deviation**2 == pytest.approx(np.diagonal(k[20:, 20:] - k[20:, :20] @ told @ k[:20, 20:]))


def test_the_likelihood_is_that_of_the_normal_distribution() -> None:
    """Twice, so that the constant falls out and the prior's part is told apart."""
    x, task, y = rows(20)
    shapes = np.log([BENT.a, BENT.b]).ravel()
    theta = np.concatenate([-0.5 * np.log(H.w), np.log(H.deviations), H.factors, [np.log(H.noise)], shapes])
    k = covariance(BENT.forward(x), task, ORDERED, H) + H.noise * np.eye(20)
    found = [TaskLikelihood(x, task, values, 3, Axes(ORDERED, SHAPES), PRIOR)(theta)[0] for values in (y, 2 * y)]
    expected = [-multivariate_normal.logpdf(values, cov=k) for values in (y, 2 * y)]
    assert found[1] - found[0] == pytest.approx(expected[1] - expected[0])


@pytest.mark.parametrize("categorical", [ORDERED, MIXED])
@pytest.mark.parametrize("tasks", [1, 2, 3])
def test_the_gradient_of_the_posterior_of_hyperparameters(categorical: Mask, tasks: int) -> None:
    x, task, y = rows(25)
    axes = Axes(categorical, SHAPES)
    likelihood = TaskLikelihood(x, np.minimum(task, tasks - 1), y, tasks, axes, PRIOR)
    mode = centre(axes, tasks, PRIOR)
    for seed in range(3):
        theta = mode + np.random.default_rng(seed).normal(size=len(mode)) * 0.3
        expected = approx_fprime(theta, lambda t: likelihood(t)[0], 1e-7)
        assert likelihood(theta)[1] == pytest.approx(expected, rel=2e-3, abs=1e-3)


@pytest.mark.parametrize("categorical", [ORDERED, MIXED])
def test_the_gradient_of_predictions(categorical: Mask) -> None:
    x, task, y = rows(20)
    at = np.random.default_rng(2).random((4, 3))
    at[:, categorical] = 0.5
    model, free = MultiTaskProcess(x, task, y, categorical, H, PRIOR), ~categorical
    mean, deviation, by_mean, by_deviation = model.predict_with_gradient(at)
    for found, expected in zip((mean, deviation), model.predict(at), strict=True):
        assert found == pytest.approx(expected)
    for i, row in enumerate(at):
        of_mean = differences(lambda u: float(model.predict(u[None])[0][0]), row)
        of_deviation = differences(lambda u: float(model.predict(u[None])[1][0]), row)
        assert by_mean[i, free] == pytest.approx(of_mean[free], rel=1e-4, abs=1e-6)
        assert by_deviation[i, free] == pytest.approx(of_deviation[free], rel=1e-4, abs=1e-6)
    assert not by_mean[:, categorical].any()
    assert not by_deviation[:, categorical].any()


def test_with_one_task_it_is_the_process_of_one_task() -> None:
    """Whose mean and trend have a variance of their own, where here all are in units of a²."""
    x, _, y = rows(20)
    at, variance = rows(5)[0] * 0.9, 1.7
    h = TaskHyperparameters(H.w, np.array([variance**0.5]), np.zeros(0), H.noise, PLAIN)
    mine = MultiTaskProcess(x, np.zeros(20, dtype=np.intp), y, ORDERED, h, PRIOR)
    prior = Prior(mean=variance * PRIOR.mean, trend=variance * PRIOR.trend)
    other = GaussianProcess(x, y, ORDERED, Hyperparameters(H.w, variance, H.noise, PLAIN), prior)
    for found, expected in zip(mine.predict_with_gradient(at), other.predict_with_gradient(at), strict=True):
        assert found == pytest.approx(expected)


def test_how_far_tasks_agree_is_learned() -> None:
    """Thirty points at the first task, eight of them at the second: where that is the first upside down it is foreseen
    at the others, and where it has nothing to do with the first, that is known."""
    rng = np.random.default_rng(3)
    x = rng.random((30, 2))
    first = np.sin(4 * x[:, 0]) + x[:, 1]
    first = (first - first.mean()) / first.std()
    task, axes = np.repeat([0, 1], [30, 8]), Axes(np.zeros(2, dtype=bool), np.zeros(4))
    errors, doubts = [], []
    for second in (-first, rng.normal(size=30)):
        points, y = np.concatenate([x, x[:8]]), np.concatenate([first, second[:8]])
        theta = fit(points, task, y, 2, axes, TaskPrior(), [centre(axes, 2, TaskPrior())], 50)
        h = TaskHyperparameters.read(theta, axes.categorical)
        model = MultiTaskProcess(h.warping.forward(points), task, y, axes.categorical, h, TaskPrior())
        mean, deviation = model.predict(h.warping.forward(x[8:]))
        errors.append(float(np.abs(mean - second[8:]).mean()))
        doubts.append(float(deviation.mean()))
    assert errors[0] < 0.3
    assert doubts[1] > 2 * doubts[0]


def test_what_is_no_number_is_refused() -> None:
    x, task, y = rows(5)
    y[2] = np.nan
    with pytest.raises(NotPositive):
        MultiTaskProcess(x, task, y, ORDERED, H, PRIOR)
