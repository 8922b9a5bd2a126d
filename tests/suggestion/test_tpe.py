"""The Parzen estimator against a direct evaluation of its formula, and what it finds."""

import math

import numpy as np
import pytest
from scipy.stats import truncnorm

from wazir.domain.metric import Goal, Objective
from wazir.domain.parameters import Parameters, Value
from wazir.domain.space import Categorical, Condition, Double, Integer, Parameter, Scale, Space
from wazir.domain.study import Algorithm
from wazir.suggestion.designer import New, Observation, Outcome, Problem
from wazir.suggestion.designers.tpe import Parzen
from wazir.suggestion.generator import generator
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.registry import make_designer
from wazir.suggestion.space.encoding import encoder
from wazir.suggestion.space.lattice import lattice
from wazir.suggestion.space.rows import Rows

LOSS = (Objective("loss", Goal.MINIMIZE),)
MIXED = Space(
    (
        Parameter("kind", Categorical(("a", "b", "c"))),
        Parameter("width", Integer(1, 512, Scale.LOG), when=(Condition("kind", ("b",)),)),
        Parameter("rate", Double(1e-5, 1.0, Scale.LOG)),
        Parameter("form", Categorical((True, False)), when=(Condition("kind", ("b", "c")),)),
    )
)
PROBLEM = Problem(MIXED, LOSS)


def drawn(n: int, seed: int = 0) -> list[Parameters]:
    return list(encoder(MIXED).decode(np.random.default_rng(seed).random((n, 4))))


@pytest.mark.parametrize("n", [0, 1, 2, 17])
def test_the_density_is_the_formula_written_out(n: int) -> None:
    points, at = drawn(n), drawn(9, seed=1)
    rows, active = Rows(PROBLEM.space).of(points)
    u, on = Rows(PROBLEM.space).of(at)
    sigma = max(0.2 * max(n, 1) ** (-1 / 8), 1 / (n + 1) / 4)
    sizes = {"kind": 3, "form": 2}

    def kernel(axis: int, x: Value, i: int | None) -> float:
        """k_j(x; x_ij); `i` None: of the uniform component."""
        name = MIXED.parameters[axis].name
        silent = i is None or name not in points[i]
        if name in sizes:
            if silent:
                return 1 / sizes[name]
            assert i is not None
            return ((points[i][name] == x) + 1 / (n + 1)) / (1 + sizes[name] / (n + 1))
        if silent:
            return 1.0
        assert i is not None
        centre, coordinate = rows[i, axis], encoder(MIXED).encode([{name: x}])[0, axis]
        return float(truncnorm.pdf(coordinate, -centre / sigma, (1 - centre) / sigma, centre, sigma))

    expected = []
    for point in at:
        components = [
            math.prod(kernel(j, point[p.name], i) for j, p in enumerate(MIXED.parameters) if p.name in point)
            for i in [None, *range(n)]
        ]
        expected.append(math.log(sum(components) / (n + 1)))
    found = Parzen(lattice(MIXED), rows, active).log_density(u, on)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_draws_have_that_density() -> None:
    """The part of draws in each cell of a partition, against the integral of the density over it."""
    space = Space((Parameter("x", Double(0.0, 1.0)), Parameter("c", Categorical(("a", "b", "c")))))
    problem = Problem(space, LOSS)
    rows, active = Rows(problem.space).of([{"x": 0.02, "c": "a"}, {"x": 0.6, "c": "a"}, {"x": 0.7, "c": "b"}])
    estimator = Parzen(lattice(space), rows, active)
    n, cells = 60_000, 20
    made = lattice(space).snap(estimator.draw(np.random.default_rng(2), n))[0]
    fine = (np.arange(cells * 50) + 0.5) / (cells * 50)
    for c in (1 / 6, 1 / 2, 5 / 6):
        u = np.stack([fine, np.full(len(fine), c)], axis=1)
        density = np.exp(estimator.log_density(u, np.ones(u.shape, dtype=bool)))
        expected = density.reshape(cells, 50).mean(axis=1) / cells
        found = np.histogram(made[np.isclose(made[:, 1], c), 0], bins=cells, range=(0, 1))[0] / n
        assert (abs(found - expected) < 6 * np.sqrt(expected / n) + 1e-4).all()


def found_by(trials: int, seed: int) -> float:
    designer, history, memo = make_designer(Algorithm("tpe"), PROBLEM), TrialHistory(), ""

    def loss(p: Parameters) -> float:
        rate = p["rate"]
        assert isinstance(rate, float)
        return float((math.log10(rate) + 2) ** 2 + (p["kind"] != "b"))

    best = math.inf
    for number in range(trials):
        answer = designer.suggest(PROBLEM, history, 1, generator(seed, number), memo)
        memo = answer.memo
        for proposal in answer.proposals:
            assert isinstance(proposal, New)
            value = loss(proposal.parameters)
            best = min(best, value)
            history.put(Observation(number + 1, proposal.parameters, Outcome.MEASURED, (value,)))
    return best


def test_finds_a_good_region_in_sixty_trials() -> None:
    assert max(found_by(60, seed) for seed in (1, 2, 3)) < 0.01


def test_why_says_what_it_is_made_of() -> None:
    points = drawn(40)
    history = TrialHistory(Observation(i + 1, p, Outcome.MEASURED, (float(i),)) for i, p in enumerate(points))
    answer = make_designer(Algorithm("tpe"), PROBLEM).suggest(PROBLEM, history, 2, generator(1, 0), "")
    last = answer.proposals[-1]
    assert isinstance(last, New)
    assert "the best 4 of 40 trials" in last.why
    assert set(last.details) == {"log_l_over_g"}
