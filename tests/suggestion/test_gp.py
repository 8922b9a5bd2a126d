"""What the Gaussian-process bandit promises beyond the contract of designers."""

import json
import logging
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from wazir.domain.errors import InvalidArgument
from wazir.domain.metric import Goal, Objective
from wazir.domain.parameters import Parameters, Value, canonical
from wazir.domain.space import Categorical, Condition, Discrete, Double, Integer, Parameter, Scale, Space
from wazir.domain.study import Algorithm
from wazir.suggestion.designer import New, Observation, Outcome, Problem
from wazir.suggestion.generator import generator
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.registry import make_designer
from wazir.suggestion.space.encoding import encoder
from wazir.suggestion.surrogate import thin

GP = Algorithm("gp")
LOSS = Objective("loss", Goal.MINIMIZE)
SQUARE = Space((Parameter("x", Double(-5.0, 5.0)), Parameter("y", Double(-5.0, 5.0))))
MIXED = Space(
    (
        Parameter("kind", Categorical(("a", "b", "c"))),
        Parameter("width", Integer(1, 512, Scale.LOG), when=(Condition("kind", ("b",)),)),
        Parameter("rate", Double(1e-5, 1.0, Scale.LOG)),
        Parameter("layers", Discrete((1, 2, 3, 5, 8))),
    )
)
Loss = Callable[[Parameters], float]


def number(value: Value) -> float:
    assert isinstance(value, int | float)
    return float(value)


def bowl(p: Parameters) -> float:
    return (number(p["x"]) - 1.0) ** 2 + (number(p["y"]) + 2.0) ** 2


def mixed(p: Parameters) -> float:
    found = (np.log10(number(p["rate"])) + 2.0) ** 2 + abs(number(p["layers"]) - 5)
    if p["kind"] == "b":
        return float(found + abs(np.log2(number(p["width"])) - 6) - 1)
    return float(found + 2)


def minimised(problem: Problem, loss: Loss, trials: int, seed: int = 1, batch: int = 1) -> list[Observation]:
    designer, history, memo = make_designer(GP, problem), TrialHistory(repeats=problem.repeats), ""
    for round_ in range(trials // batch):
        answer = designer.suggest(problem, history, batch, generator(seed, round_), memo)
        memo = answer.memo
        points = [p.parameters for p in answer.proposals if isinstance(p, New)]
        first = len(history) + 1
        for i, point in enumerate(points):
            value = loss(point)
            measured = np.isfinite(value)
            outcome = Outcome.MEASURED if measured else Outcome.INFEASIBLE
            history.put(Observation(first + i, point, outcome, (value,) if measured else ()))
    return list(history.observations)


def best(observations: Sequence[Observation]) -> float:
    return min(o.values[0] for o in observations if o.outcome is Outcome.MEASURED)


@pytest.mark.parametrize(
    ("space", "loss", "trials", "batch", "reached", "reason"),
    [
        (SQUARE, bowl, 25, 1, 1e-3, "a smooth bowl"),
        (SQUARE, lambda p: bowl(p) ** 4, 30, 1, 1e-3, "a skewed one, from 1e-9 to 1e7"),
        (SQUARE, lambda p: number(p["x"]) + number(p["y"]), 12, 1, -10.0, "the optimum in a corner is met exactly"),
        (MIXED, mixed, 45, 1, -0.9, "a conditional parameter and all kinds of values"),
        (SQUARE, bowl, 40, 8, 1e-2, "batches"),
        (SQUARE, lambda p: bowl(p) if number(p["x"]) < 2 else float("nan"), 30, 1, 1e-2, "a third is infeasible"),
    ],
)
def test_finds_the_optimum(space: Space, loss: Loss, trials: int, batch: int, reached: float, reason: str) -> None:
    """Random search needs some thousand times as many trials for that."""
    for seed in (1, 2):
        assert best(minimised(Problem(space, (LOSS,)), loss, trials, seed, batch)) <= reached, reason


def test_maximising_is_minimising_the_negative() -> None:
    up = Problem(SQUARE, (Objective("score", Goal.MAXIMIZE),))
    one = minimised(Problem(SQUARE, (LOSS,)), bowl, 12)
    other = minimised(up, lambda p: -bowl(p), 12)
    assert [o.parameters for o in one] == [o.parameters for o in other]


def test_keeps_away_from_what_was_infeasible() -> None:
    """A third is, so of eighty random points 28 would be. Its border, beside the best place, is looked for."""

    def loss(p: Parameters) -> float:
        return bowl(p) if number(p["x"]) < 2 else float("nan")

    late = [o.outcome for seed in range(4) for o in minimised(Problem(SQUARE, (LOSS,)), loss, 40, seed)[20:]]
    assert late.count(Outcome.INFEASIBLE) <= 12


def test_starts_with_the_defaults_and_the_middle_of_what_has_none() -> None:
    space = Space((Parameter("x", Double(0.0, 1.0), 0.1), Parameter("n", Integer(1, 9)), Parameter("y", Double(0, 8))))
    answer = make_designer(GP, Problem(space, (LOSS,))).suggest(
        Problem(space, (LOSS,)), TrialHistory(), 3, generator(1, 0), ""
    )
    new = [p for p in answer.proposals if isinstance(p, New)]
    assert dict(new[0].parameters) == {"x": 0.1, "n": 5, "y": 4.0}
    assert "default" in new[0].why
    assert "Sobol" in new[1].why


def history_of(values: Sequence[float], space: Space = SQUARE) -> TrialHistory:
    points = encoder(space).decode(np.random.default_rng(0).random((len(values), len(space.parameters))))
    return TrialHistory(
        Observation(i + 1, p, Outcome.MEASURED, (v,)) for i, (p, v) in enumerate(zip(points, values, strict=True))
    )


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([0.0] * 9, "constant"),
        ([1e300, -1e300] * 5, "near the ends of the doubles"),
        ([0.0] * 8 + [1e300], "an outlier"),
        ([5e-324, 0.0] * 4, "denormal"),
        ([float(i) for i in range(9)], "plain"),
    ],
)
def test_odd_values_are_modelled_all_the_same(values: list[float], reason: str) -> None:
    problem, history = Problem(SQUARE, (LOSS,)), history_of(values)
    answer = make_designer(GP, problem).suggest(problem, history, 2, generator(1, 0), "")
    for proposal in answer.proposals[1:]:
        assert isinstance(proposal, New)
        assert proposal.why.startswith(("exploits: loss", "explores: loss")), reason
        assert np.isfinite(list(proposal.details.values())).all(), reason
        assert proposal.details["deviation"] >= 0, reason


@pytest.mark.parametrize(
    ("loss", "kind"),
    [(lambda u: u[0] + u[1], "exploits"), (lambda u: 1000 * (u[0] + u[1]) % 1, "explores")],
    ids=["a plane goes on falling", "numbers without any order"],
)
def test_why_says_whether_it_expects_more_than_the_best(loss: Callable[[Sequence[float]], float], kind: str) -> None:
    values = [loss(u) for u in np.random.default_rng(0).random((12, 2)).tolist()]
    problem, history = Problem(SQUARE, (LOSS,)), history_of(values)
    last = make_designer(GP, problem).suggest(problem, history, 2, generator(1, 0), "").proposals[-1]
    assert isinstance(last, New)
    assert last.why.startswith(f"{kind}: loss {last.details['mean']:.4g} ± ")
    assert (last.details["mean"] < min(values)) == (kind == "exploits")


def test_values_that_are_no_numbers_make_it_fall_back_and_say_so(caplog: pytest.LogCaptureFixture) -> None:
    problem, history = Problem(SQUARE, (LOSS,)), history_of([1.0] * 7 + [float("nan")])
    with caplog.at_level(logging.WARNING):
        answer = make_designer(GP, problem).suggest(problem, history, 3, generator(1, 0), "")
    new = [p for p in answer.proposals if isinstance(p, New)]
    assert len(new) == 3
    assert all(
        p.stand_in == "the model cannot be fitted: the objective of a measured trial is not finite" for p in new[1:]
    )
    assert "not finite" in caplog.text


@pytest.mark.parametrize("outcome", [Outcome.PENDING, Outcome.INFEASIBLE])
def test_a_thousand_trials_without_a_value(outcome: Outcome) -> None:
    problem = Problem(SQUARE, (LOSS,))
    points = encoder(SQUARE).decode(np.random.default_rng(1).random((1_000, 2)))
    history = TrialHistory(Observation(i + 1, p, outcome) for i, p in enumerate(points))
    for i, point in enumerate(points[:4]):
        history.put(Observation(2_000 + i, {**point, "x": 0.25}, Outcome.MEASURED, (float(i),)))
    answer = make_designer(GP, problem).suggest(problem, history, 3, generator(1, 0), "")
    assert len({canonical(p.parameters) for p in answer.proposals if isinstance(p, New)}) == 3


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ([Parameter("x", Double(0.0, 1.0))], "one"),
        ([Parameter(f"x{i}", Double(0.0, 1.0)) for i in range(200)], "two hundred"),
        ([Parameter(f"x{i}", Integer(0, 99)) for i in range(100)], "a hundred of a hundred values each"),
        ([Parameter("only", Categorical(("a",))), Parameter("x", Double(0.0, 1.0))], "a single category"),
        (
            [Parameter("many", Categorical(tuple(f"c{i}" for i in range(900)))), Parameter("n", Integer(0, 10**12))],
            "vast",
        ),
    ],
)
def test_spaces_of_any_size(parameters: list[Parameter], reason: str) -> None:
    space = Space(tuple(parameters))
    problem, history = Problem(space, (LOSS,)), history_of([3.0, 1.0, 2.0, 8.0, 5.0, 9.0, 7.0], space)
    answer = make_designer(GP, problem).suggest(problem, history, 3, generator(1, 0), "")
    assert len(answer.proposals) == 3, reason
    assert len(answer.memo) < 10_000, reason


def test_a_large_round_ends_with_quasi_random_points() -> None:
    problem, history = Problem(SQUARE, (LOSS,)), history_of([3.0, 1.0, 2.0, 8.0, 5.0, 9.0, 7.0])
    answer = make_designer(GP, problem).suggest(problem, history, 70, generator(1, 0), "")
    texts = [canonical(p.parameters) for p in answer.proposals if isinstance(p, New)]
    assert len(set(texts)) == 70


def test_hyperparameters_are_fitted_anew_when_there_is_enough_that_is_new() -> None:
    designer, problem = make_designer(GP, Problem(SQUARE, (LOSS,))), Problem(SQUARE, (LOSS,))
    rng = np.random.default_rng(2)
    values = rng.normal(size=50).tolist()
    fitted, memo = [], ""
    for n in range(40, 51):
        memo = designer.suggest(problem, history_of(values[:n]), 2, generator(1, n), memo).memo
        fitted.append(json.loads(memo)["fitted"])
    assert fitted == [40, 40, 42, 42, 42, 45, 45, 45, 48, 48, 48]


def test_constraints_hold_where_the_best_point_breaks_them() -> None:
    space = Space(SQUARE.parameters, ("x + y <= -3",))
    found = minimised(Problem(space, (LOSS,)), bowl, 30)
    assert all(space.satisfies(o.parameters) for o in found)
    # The nearest point of the line to (1, -2) is (0, -3).
    assert best(found) < 2.0 + 0.1


def test_several_objectives_are_refused_when_the_study_is_made() -> None:
    with pytest.raises(InvalidArgument, match=r'algorithm\.name = "gp": has one objective.*quasirandom'):
        make_designer(GP, Problem(SQUARE, (LOSS, Objective("cost", Goal.MINIMIZE))))


@pytest.mark.parametrize(("n", "most"), [(5, 9), (9, 9), (10, 9), (1_000, 50)])
def test_thinning_keeps_the_best_and_spreads_the_rest(n: int, most: int) -> None:
    z = np.random.default_rng(3).normal(size=n)
    kept = thin(z, most)
    assert len(set(kept.tolist())) == len(kept) == min(n, most)
    assert (np.diff(kept) > 0).all()
    assert set(np.argsort(z)[: min(n, most) // 2]) <= set(kept.tolist())
