"""The contract of designers for every registered one, and what each of them promises beyond it."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.stats import qmc

from wazir.domain.errors import InvalidArgument
from wazir.domain.metric import Goal, Objective
from wazir.domain.parameters import canonical
from wazir.domain.space import Categorical, Condition, Double, Integer, Parameter, Scale, Space
from wazir.domain.study import Algorithm
from wazir.suggestion.designer import New, Observation, Outcome, Problem
from wazir.suggestion.generator import generator
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.registry import DESIGNERS, make_designer
from wazir.suggestion.space.encoding import encoder

from ..contract.designer import DesignerContract, play

LOSS = (Objective("loss", Goal.MINIMIZE),)
CUBE = Space(tuple(Parameter(f"x{i}", Double(0.0, 1.0)) for i in range(4)))
VAST = Space((Parameter("a", Integer(1, 10**6)), Parameter("b", Integer(1, 10**6))))
CONDITIONAL = Space(
    (
        Parameter("kind", Categorical(("conv", "dense"))),
        Parameter("width", Integer(1, 3), when=(Condition("kind", ("conv",)),)),
        Parameter("rate", Double(1e-4, 1e-1, Scale.LOG)),
    )
)


NEEDED = {name: {"max": 9} for name in ("asha", "bohb", "freeze_thaw", "hyperband", "pbt")}
"""Settings without which there is no such algorithm."""


def named(name: str) -> Algorithm:
    return Algorithm(name, settings=NEEDED.get(name, {}))


@pytest.fixture(scope="module", params=sorted(DESIGNERS))
def algorithm(request: pytest.FixtureRequest) -> Algorithm:
    return named(request.param)


class TestEveryDesigner(DesignerContract):
    pass


def problem(space: Space, trials: int | None = None, repeats: int = 1) -> Problem:
    return Problem(space, LOSS, trials=trials, repeats=repeats)


def texts(proposals: Sequence[New]) -> list[str]:
    return [canonical(p.parameters) for p in proposals]


def encoded(proposals: Sequence[New], space: Space) -> np.ndarray:
    return encoder(space).encode([p.parameters for p in proposals])


@pytest.mark.parametrize("name", sorted(DESIGNERS))
class TestEveryDesignerOfOurs:
    def test_a_memo_of_another_algorithm_is_no_memo(self, name: str) -> None:
        """The algorithm of a running study may be changed."""
        for other in DESIGNERS:
            space = problem(CONDITIONAL, trials=5)
            foreign = make_designer(named(other), space).suggest(space, TrialHistory(), 2, generator(1, 0), "").memo
            mine, afresh = (
                make_designer(named(name), space).suggest(space, TrialHistory(), 3, generator(1, 1), memo)
                for memo in (foreign, "")
            )
            if other != name:
                assert mine == afresh

    def test_another_seed_or_round_gives_other_points_but_for_the_grid_in_order(self, name: str) -> None:
        made = [texts(play(named(name), problem(CUBE), seed, 3, 1)[0]) for seed in (1, 2)]
        assert (made[0] == made[1]) == (name == "grid")

    def test_points_whose_trials_failed_may_be_tried_again(self, name: str) -> None:
        space = problem(Space((Parameter("a", Integer(1, 3)),)))
        history = TrialHistory([Observation(1, {"a": 2}, Outcome.UNKNOWN, counted=False)])
        answer = make_designer(named(name), space).suggest(space, history, 3, generator(5, 0), "")
        assert sorted(texts([p for p in answer.proposals if isinstance(p, New)])) == ['{"a":1}', '{"a":2}', '{"a":3}']

    def test_rare_points_are_found_though_not_all_at_once(self, name: str) -> None:
        space = problem(
            Space((Parameter("a", Integer(1, 5_000)), Parameter("b", Categorical((True, False)))), ("a == 77",))
        )
        made, exhausted = play(named(name), space, seed=2, count=4, rounds=20)
        assert sorted(texts(made)) == ['{"a":77,"b":false}', '{"a":77,"b":true}']
        assert exhausted

    def test_a_round_ends_where_no_draw_will_do(self, name: str) -> None:
        space = problem(Space((Parameter("x", Double(0.0, 1.0)),), ("x > 2",)))
        made, _ = play(named(name), space, seed=2, count=4, rounds=2)
        assert made == []


class TestRandom:
    def test_draws_are_uniform_on_each_parameters_scale(self) -> None:
        made, _ = play(Algorithm("random"), problem(CONDITIONAL), seed=1, count=1_000, rounds=2)
        rates = encoder(CONDITIONAL).encode([p.parameters for p in made])[:, 2]
        counts, _ = np.histogram(rates, bins=10, range=(0, 1))
        # 2,000 draws: 200 a bin, standard deviation 13.4.
        assert abs(counts - 200).max() < 5 * 13.4
        kinds = [p.parameters["kind"] for p in made]
        assert abs(kinds.count("conv") - 1_000) < 5 * 22.4


class TestQuasiRandom:
    def test_fills_the_cube_more_evenly_than_chance(self) -> None:
        """The centred L2 discrepancy, which is less for more even sets, for several seeds and numbers of points."""
        for seed, rounds in itertools.product((1, 2, 3), (64, 200)):
            of = {
                name: qmc.discrepancy(encoded(play(named(name), problem(CUBE), seed, 1, rounds)[0], CUBE))
                for name in ("random", "quasirandom")
            }
            assert of["quasirandom"] < of["random"] / 4

    def test_each_sixteenth_of_an_axis_gets_one_of_sixteen_points(self) -> None:
        made, _ = play(Algorithm("quasirandom"), problem(CUBE), seed=9, count=1, rounds=16)
        for axis in encoded(made, CUBE).T:
            assert sorted((axis * 16).astype(int)) == list(range(16))

    @given(st.lists(st.integers(1, 9), min_size=1, max_size=5))
    def test_the_sequence_is_the_same_however_it_is_asked_for(self, counts: list[int]) -> None:
        designer, asked, memo = make_designer(Algorithm("quasirandom"), problem(CUBE)), [], ""
        for number, count in enumerate(counts):
            answer = designer.suggest(problem(CUBE), TrialHistory(), count, generator(4, number), memo)
            memo = answer.memo
            asked += texts([p for p in answer.proposals if isinstance(p, New)])
        at_once, _ = play(Algorithm("quasirandom"), problem(CUBE), 4, sum(counts), 1)
        assert asked == texts(at_once)

    def test_starts_with_the_defaults_where_every_active_parameter_has_one(self) -> None:
        parameters = (
            Parameter("kind", Categorical(("conv", "dense")), "dense"),
            Parameter("width", Integer(1, 3), when=(Condition("kind", ("conv",)),)),
            Parameter("rate", Double(0.0, 1.0), 0.25),
        )
        made, _ = play(Algorithm("quasirandom"), problem(Space(parameters)), 1, 2, 2)
        assert dict(made[0].parameters) == {"kind": "dense", "rate": 0.25}
        assert "default" in made[0].why
        assert made[1].why == "point 1 of a scrambled Sobol sequence"

    @pytest.mark.parametrize(
        ("parameters", "constraints", "why_not"),
        [
            ((Parameter("a", Integer(1, 9), 3), Parameter("b", Integer(1, 9))), (), "b has no default"),
            ((Parameter("a", Integer(1, 9), 3),), ("a != 3",), "the defaults break the constraint"),
        ],
    )
    def test_starts_with_the_sequence_otherwise(
        self, parameters: tuple[Parameter, ...], constraints: tuple[str, ...], why_not: str
    ) -> None:
        made, _ = play(Algorithm("quasirandom"), problem(Space(parameters, constraints)), 1, 1, 1)
        assert "Sobol" in made[0].why, why_not

    def test_goes_on_after_the_last_point_of_a_sequence(self) -> None:
        designer = make_designer(Algorithm("quasirandom"), problem(CUBE))
        memo = json.dumps({"by": "quasirandom/1", "seed": 5, "used": 2**30 - 1})
        answer = designer.suggest(problem(CUBE), TrialHistory(), 3, generator(1, 1), memo)
        assert len(set(texts([p for p in answer.proposals if isinstance(p, New)]))) == 3
        assert json.loads(answer.memo)["used"] == 2**30 + 2


class TestGrid:
    def test_goes_in_order_with_the_last_parameter_fastest(self) -> None:
        made, exhausted = play(Algorithm("grid", settings={"points": 3}), problem(CONDITIONAL), 1, 5, 9)
        rates = [1e-4, pytest.approx(10**-2.5), 1e-1]
        assert [dict(p.parameters) for p in made] == [
            {"kind": "conv", "width": width, "rate": rate} for width in (1, 2, 3) for rate in rates
        ] + [{"kind": "dense", "rate": rate} for rate in rates]
        assert exhausted
        assert made[3].why == "point 4 of 12 of the grid"

    @pytest.mark.parametrize(
        ("kind", "points", "values", "reason"),
        [
            (Double(0.0, 1.0), 11, [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0], "as people write them"),
            (Double(1e-5, 1e-1, Scale.LOG), 5, [1e-5, 1e-4, 1e-3, 1e-2, 1e-1], "a power of ten each"),
            (Double(1e9, 1e9 + 1e-6), 3, [1e9, 1e9 + 5e-7, 1e9 + 1e-6], "twelve digits would not tell them apart"),
            (Double(1.0, 1 + 2**-52), 9, [1.0, 1 + 2**-52], "there are no others between"),
            (Double(0.0, 1.0, step=0.25), 99, [0.0, 0.25, 0.5, 0.75, 1.0], "a step says what the values are"),
        ],
    )
    def test_levels_of_real_numbers(self, kind: Double, points: int, values: list[float], reason: str) -> None:
        made, _ = play(
            Algorithm("grid", settings={"points": points}), problem(Space((Parameter("x", kind),))), 1, 99, 2
        )
        found = [p.parameters["x"] for p in made]
        assert found == pytest.approx(values, rel=1e-15, abs=0), reason
        assert found[0] == values[0]
        assert found[-1] == values[-1]

    @pytest.mark.parametrize("name", ["grid", "shuffled_grid"])
    def test_repeats_come_after_a_whole_pass(self, name: str) -> None:
        space = Space((Parameter("a", Integer(1, 3)), Parameter("b", Integer(1, 2))))
        made, exhausted = play(named(name), problem(space, repeats=3), 1, 4, 9)
        passes = [texts(made)[i : i + 6] for i in (0, 6, 12)]
        assert [len(set(p)) for p in passes] == [6, 6, 6]
        assert len(made) == 18
        assert exhausted

    @pytest.mark.parametrize("name", ["grid", "shuffled_grid"])
    def test_starts_anew_where_the_grid_has_changed(self, name: str) -> None:
        """A growing space: what was tried in the smaller one is not passed over by mistake."""
        small, large = (problem(Space(VAST.parameters[:n])) for n in (1, 2))
        memo = make_designer(named(name), small).suggest(small, TrialHistory(), 5, generator(1, 0), "").memo
        answer = make_designer(named(name), large).suggest(large, TrialHistory(), 1, generator(1, 1), memo)
        assert [p.details for p in answer.proposals if isinstance(p, New)] == [{"place": 0.0}]

    def test_a_million_million_points_are_shuffled_without_being_made(self) -> None:
        """Were they made, this test would not end."""
        made, exhausted = play(Algorithm("shuffled_grid"), problem(VAST), 1, 500, 4)
        assert len(set(texts(made))) == 2_000
        assert not exhausted
        u = encoded(made, VAST)
        for axis in u.T:
            counts, _ = np.histogram(axis, bins=10, range=(0, 1))
            # 200 a bin, standard deviation 13.4.
            assert abs(counts - 200).max() < 5 * 13.4
        assert abs(np.corrcoef(u.T)[0, 1]) < 0.1

    def test_the_order_is_another_one_for_another_seed(self) -> None:
        space = problem(Space((Parameter("a", Integer(1, 10)),)))
        orders = {tuple(texts(play(Algorithm("shuffled_grid"), space, seed, 10, 1)[0])) for seed in range(20)}
        assert len(orders) == 20

    def test_conditions_beyond_counting_are_refused_when_made(self) -> None:
        gates = [Parameter(f"g{i}", Categorical((True, False))) for i in range(24)]
        children = [
            Parameter(
                f"c{i}", Integer(1, 2), when=(Condition(f"g{i}", (True,)), Condition(f"g{(i + 1) % 24}", (True,)))
            )
            for i in range(24)
        ]
        tangled = problem(Space((*gates, *children)))
        with pytest.raises(InvalidArgument, match=r"algorithm\.name = \"grid\".*quasirandom"):
            make_designer(Algorithm("grid"), tangled)
        assert len(play(Algorithm("auto"), tangled, 1, 3, 1)[0]) == 3


class TestAuto:
    TEN = Space((Parameter("a", Integer(1, 10)),))

    @pytest.mark.parametrize(
        ("space", "trials", "repeats", "chosen", "why"),
        [
            (TEN, 10, 1, "shuffled_grid", "the budget of 10 trials covers all 10 points"),
            (TEN, 9, 1, "gp", "the space has 10 points, more than the budget of 9 trials"),
            (TEN, 19, 2, "gp", "the space has 20 points, more than the budget of 19 trials"),
            (TEN, None, 1, "gp", "no budget.trials says that all 10 points are to be tried"),
            (CUBE, 10**9, 1, "gp", "the space is not finite"),
        ],
    )
    def test_chooses_by_size_and_budget_and_says_why(
        self, space: Space, trials: int | None, repeats: int, chosen: str, why: str
    ) -> None:
        asked = problem(space, trials, repeats)
        made, _ = play(Algorithm("auto"), asked, 1, 3, 3)
        assert texts(made) == texts(play(Algorithm(chosen), asked, 1, 3, 3)[0])
        assert all(why in p.why for p in made)

    def test_several_objectives_are_searched_blindly(self) -> None:
        asked = Problem(CUBE, (*LOSS, Objective("cost", Goal.MINIMIZE)))
        made, _ = play(Algorithm("auto"), asked, 1, 3, 1)
        assert texts(made) == texts(play(Algorithm("quasirandom"), asked, 1, 3, 1)[0])
        assert "gp has one objective" in made[0].why

    def test_keeps_its_choice_when_the_budget_changes(self) -> None:
        before, after = problem(self.TEN, 9), problem(self.TEN, 90)
        memo = make_designer(Algorithm("auto"), before).suggest(before, TrialHistory(), 2, generator(1, 0), "").memo
        answer = make_designer(Algorithm("auto"), after).suggest(after, TrialHistory(), 2, generator(1, 1), memo)
        assert json.loads(answer.memo)["chosen"] == "gp"


@pytest.mark.parametrize("name", ["auto", "bayesian", "gp", "tpe"])
class TestModels:
    """Those that learn, asked for more points of a function with several optima, of which ten trials are known."""

    SQUARE = Space((Parameter("x", Double(0.0, 1.0)), Parameter("y", Double(0.0, 1.0))))

    def next_points(
        self, name: str, seed: int, count: int = 1, round_: int = 1, others: Sequence[Observation] = ()
    ) -> np.ndarray:
        rows = np.random.default_rng(seed).random((10, 2))
        values = np.sin(9 * rows[:, 0]) + np.cos(7 * rows[:, 1])
        points = encoder(self.SQUARE).decode(rows)
        known = [
            Observation(i, point, Outcome.MEASURED, (float(value),))
            for i, (point, value) in enumerate(zip(points, values, strict=True), 1)
        ]
        asked = problem(self.SQUARE)
        designer = make_designer(named(name), asked)
        # The first point of a study is the middle, whatever is known.
        memo = designer.suggest(asked, TrialHistory(), 1, generator(seed, 0), "").memo
        answer = designer.suggest(asked, TrialHistory([*known, *others]), count, generator(seed, round_), memo)
        return encoded([p for p in answer.proposals if isinstance(p, New)], self.SQUARE)

    def beside(self, row: np.ndarray, outcome: Outcome) -> list[Observation]:
        """Ten more trials within 0.01."""
        close = row + np.random.default_rng(0).uniform(-0.01, 0.01, (10, 2))
        return [Observation(i, point, outcome) for i, point in enumerate(encoder(self.SQUARE).decode(close), 11)]

    def test_goes_elsewhere_where_trials_run_or_could_not_be_evaluated(self, name: str) -> None:
        for seed in (1, 2, 3):
            would_go = self.next_points(name, seed)
            for outcome in (Outcome.PENDING, Outcome.PAUSED, Outcome.INFEASIBLE):
                goes = self.next_points(name, seed, others=self.beside(would_go, outcome))
                assert np.abs(goes - would_go).max() > 0.03, (seed, outcome)

    def test_trials_that_failed_change_nothing(self, name: str) -> None:
        would_go = self.next_points(name, 1)
        assert (self.next_points(name, 1, others=self.beside(would_go, Outcome.UNKNOWN)) == would_go).all()

    def test_points_of_a_batch_know_of_each_other(self, name: str) -> None:
        """The closest of them lie further apart than those that are asked for one by one and told of to nobody."""
        for seed in (1, 2):
            together = self.next_points(name, seed, count=8)
            alone = np.concatenate([self.next_points(name, seed, round_=n) for n in range(1, 9)])
            closest = [np.sort(pdist(rows))[:4].mean() for rows in (together, alone)]
            assert closest[0] > 1.5 * closest[1]


@pytest.mark.parametrize("name", ["gp", "tpe"])
def test_most_middling_trials_of_a_large_study_are_passed_over(name: str) -> None:
    """So the cost of a point stops growing: nothing is different where one of them had another value."""
    rows = np.random.default_rng(1).random((3_000, 4))
    points, losses = encoder(CUBE).decode(rows), ((rows - 0.4) ** 2).sum(axis=1)
    history = TrialHistory(
        Observation(i, point, Outcome.MEASURED, (float(loss),))
        for i, (point, loss) in enumerate(zip(points, losses, strict=True), 1)
    )
    asked = problem(CUBE)
    designer = make_designer(named(name), asked)
    memo = designer.suggest(asked, TrialHistory(), 1, generator(1, 0), "").memo
    memo = designer.suggest(asked, history, 1, generator(1, 1), memo).memo
    expected = designer.suggest(asked, history, 1, generator(1, 2), memo)
    same = 0
    for place in np.argsort(losses)[1_000:2_900:200]:
        known = history.get(int(place) + 1)
        assert known is not None
        history.put(replace(known, values=(known.values[0] + 1e-9,)))
        same += designer.suggest(asked, history, 1, generator(1, 2), memo) == expected
        history.put(known)
    assert same >= 5


def test_a_long_history_costs_a_round_nothing_that_grows_with_it() -> None:
    """Designers that are blind to results read no observations; one that did would fail on a history that refuses to
    give them."""

    class Closed(TrialHistory):
        @property
        def observations(self) -> Sequence[Observation]:
            raise AssertionError("read the whole history to propose a point")

    for name in ("grid", "quasirandom", "random", "shuffled_grid"):
        asked = replace(problem(CONDITIONAL), trials=100)
        assert make_designer(named(name), asked).suggest(asked, Closed(), 2, generator(1, 0), "").proposals
