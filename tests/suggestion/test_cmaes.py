"""CMA-ES: the package's own points in the same order, whoever asks and however trials end, and what it finds."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from cmaes import CatCMAwM

from wazir.domain.metric import Goal, Objective
from wazir.domain.parameters import Parameters
from wazir.domain.space import Categorical, Double, Integer, Parameter, Space
from wazir.domain.study import Algorithm
from wazir.suggestion.designer import New, Observation, Outcome, Problem
from wazir.suggestion.designers.cmaes import Run, _seed
from wazir.suggestion.generator import generator
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.memo import read_memo
from wazir.suggestion.registry import make_designer

LOSS = (Objective("loss", Goal.MINIMIZE),)
CUBE = Space(tuple(Parameter(name, Double(0.0, 1.0)) for name in "abc"))
MIXED = Space(
    (
        Parameter("a", Double(0.0, 1.0)),
        Parameter("n", Integer(1, 20)),
        Parameter("kind", Categorical(("x", "y", "z"))),
        Parameter("flag", Categorical((True, False))),
    )
)


class Study:
    """A study of one designer, whose trials end as the test says."""

    def __init__(self, space: Space, seed: int = 1, **settings: float) -> None:
        self.problem = Problem(space, LOSS)
        self._designer = make_designer(Algorithm("cmaes", settings=settings), self.problem)
        self._seed = seed
        self._rounds = 0
        self._seen: list[Observation] = []
        self.memo = ""

    def ask(self, count: int = 1) -> list[int]:
        history = TrialHistory(self._seen)
        rng = generator(self._seed, self._rounds)
        answer = self._designer.suggest(self.problem, history, count, rng, self.memo)
        self.memo, self._rounds = answer.memo, self._rounds + 1
        asked = []
        for proposal in answer.proposals:
            assert isinstance(proposal, New)
            self._seen.append(Observation(len(self._seen) + 1, proposal.parameters, Outcome.PENDING))
            asked.append(len(self._seen))
        return asked

    def point(self, trial: int) -> Parameters:
        return self._seen[trial - 1].parameters

    def end(self, trial: int, loss: float | None, outcome: Outcome = Outcome.MEASURED) -> None:
        values = () if loss is None else (loss,)
        self._seen[trial - 1] = Observation(trial, self.point(trial), outcome, values)

    def play(self, trials: int, f: Callable[[Parameters], float], at_once: int = 1) -> list[float]:
        found: list[float] = []
        while len(found) < trials:
            for trial in self.ask(at_once):
                found.append(f(self.point(trial)))
                self.end(trial, found[-1])
        return found

    @property
    def run(self) -> dict[str, object]:
        return read_memo("cmaes/1", self.memo)


def numbers(point: Parameters) -> list[float]:
    return [float(point[name]) for name in "abc"]


def ellipsoid(point: Parameters) -> float:
    return sum(10.0**i * (x - 0.7) ** 2 for i, x in enumerate(numbers(point)))


def test_points_are_those_of_the_package() -> None:
    study = Study(CUBE)
    study.play(60, ellipsoid)
    reference = CatCMAwM([[0.0, 1.0]] * 3, mean=np.full(3, 0.5), sigma=0.25, cov=np.eye(3), seed=0)
    seed = study.run["run_seed"]
    assert isinstance(seed, int)
    expected: list[list[float]] = []
    for number in range(6):
        reference.reseed_rng(_seed(Run(seed, 0, ()), number))
        samples = [reference.ask() for _ in range(reference.population_size)]
        expected += [list(s.x) for s in samples]
        losses = [ellipsoid(dict(zip("abc", map(float, s.x), strict=True))) for s in samples]
        ranked = sorted(range(len(samples)), key=lambda i: (losses[i], i))
        reference.tell([(samples[i], float(rank)) for rank, i in enumerate(ranked)])
    made = [numbers(study.point(trial)) for trial in range(2, 2 + len(expected))]  # after the middle of the space
    assert np.allclose(made, expected[: len(made)], atol=1e-12)


def test_only_the_order_of_values_counts() -> None:
    plain, curved = Study(CUBE), Study(CUBE)
    plain.play(50, ellipsoid)
    curved.play(50, lambda point: math.exp(ellipsoid(point)))
    assert [plain.point(i) for i in range(1, 51)] == [curved.point(i) for i in range(1, 51)]


@pytest.mark.parametrize("at_once", [1, 8])
def test_it_converges_also_with_trials_side_by_side(at_once: int) -> None:
    found = Study(CUBE).play(240, ellipsoid, at_once)
    drawn = [
        ellipsoid(dict(zip("abc", row, strict=True))) for row in np.random.default_rng(0).random((240, 3)).tolist()
    ]
    assert min(found) < min(drawn) / 20


def test_a_mixed_space_is_searched_on_all_its_axes() -> None:
    def f(point: Parameters) -> float:
        wrong = (point["kind"] != "y") + (point["flag"] is not False)
        return (float(point["a"]) - 0.3) ** 2 + abs(int(point["n"]) - 13) / 20 + wrong

    study = Study(MIXED)
    found = study.play(300, f, at_once=4)
    best = study.point(found.index(min(found)) + 1)
    assert (best["n"], best["kind"], best["flag"]) == (13, "y", False)
    assert abs(float(best["a"]) - 0.3) < 0.05


def test_a_run_that_has_nothing_left_to_find_is_followed_by_one_of_twice_the_population() -> None:
    study = Study(CUBE)
    study.play(1200, ellipsoid, at_once=10)
    assert study.run["run"] in (1, 2)
    study.ask()
    history = study.run
    assert isinstance(history["told"], str)
    assert all(
        len(order.split(".")) == 7 * 2 ** int(str(history["run"])) for order in history["told"].split(";") if order
    )


def test_infeasible_trials_are_the_worst_and_failed_ones_are_replaced() -> None:
    study = Study(CUBE, population=4)
    first = study.ask(5)[1:]
    study.end(first[0], None, Outcome.INFEASIBLE)
    study.end(first[1], None, Outcome.UNKNOWN)
    study.end(first[2], 2.0)
    study.end(first[3], 1.0)
    (extra,) = study.ask()
    assert not study.run["told"], "the failed one is lacking"
    study.end(extra, 3.0)
    study.ask()
    assert study.run["told"] == "3.2.4.0"


def test_trials_that_were_there_before_give_the_start() -> None:
    study = Study(CUBE)
    study._seen = [
        Observation(1, {"a": 0.1, "b": 0.2, "c": 0.3}, Outcome.MEASURED, (0.5,)),
        Observation(2, {"a": 0.9, "b": 0.9, "c": 0.9}, Outcome.MEASURED, (5.0,)),
    ]
    study.ask()
    assert study.run["start"] == pytest.approx([0.1, 0.2, 0.3])
