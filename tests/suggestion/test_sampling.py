"""Finding points that satisfy constraints, and refusing constraints that no point satisfies."""

import numpy as np
import pytest

from wazir.domain.errors import InvalidArgument
from wazir.domain.metric import Goal, Objective
from wazir.domain.space import Categorical, Double, Integer, Parameter, Space
from wazir.domain.study import Algorithm
from wazir.suggestion.designer import Problem, cheap, suggest_at_once
from wazir.suggestion.history import TrialHistory
from wazir.suggestion.registry import make_designer
from wazir.suggestion.space.sampling import check_feasible, find_feasible, sample

X, Y = Parameter("x", Double(0.0, 1.0)), Parameter("y", Double(0.0, 1.0))
N, M = Parameter("n", Integer(1, 50)), Parameter("m", Integer(1, 50))


def test_a_draw_is_the_point_at_its_coordinates() -> None:
    space = Space((X, N, Parameter("c", Categorical(("a", "b")))))
    assert sample(space, np.array([0.5, 0.0, 0.9])) == {"x": 0.5, "n": 1, "c": "b"}


def test_a_feasible_point_is_found_within_the_tries() -> None:
    space = Space((X, Y), ("x + y < 0.2",))
    point = find_feasible(space, np.random.default_rng(1), 1_000)
    assert point is not None
    assert space.satisfies(point)


@pytest.mark.parametrize("tries", [0, 1, 500])
def test_none_is_found_where_there_is_none(tries: int) -> None:
    assert find_feasible(Space((X,), ("x > 2",)), np.random.default_rng(1), tries) is None


@pytest.mark.parametrize(
    ("space", "reason"),
    [
        (Space((X,)), "there is nothing to satisfy"),
        (Space((X, Y), ("x + y < 0.02",)), "one point in 5,000"),
        (Space((N, M), ("n * m == 2500",)), "the one point of 2,500 is found by looking at all"),
        (Space((X, Parameter("z", Integer(1, 3))), ("z == 2", "x > 0.5 or z == 2")), "several constraints"),
    ],
)
def test_feasible_spaces_pass(space: Space, reason: str) -> None:
    check_feasible(space)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (
            Space((X, Y), ("x < 0.5", "y > 2", "x < y + 1")),
            r'constraints\[1\] = "y > 2": no point out of 10000 sampled ones satisfies it. Loosen',
        ),
        (
            Space((X, Y), ("x < 0.4", "y < 0.9", "x > 0.6")),
            r'constraints = \["x < 0.4", "x > 0.6"\]: no point out of 10000 sampled ones satisfies these two together',
        ),
        (
            Space((N, M), ("n + m == 1",)),
            r'constraints\[0\] = "n \+ m == 1": none of all 2500 points satisfies it',
        ),
    ],
)
def test_infeasible_spaces_are_refused_with_the_constraint_to_blame(space: Space, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message) as refusal:
        check_feasible(space)
    assert refusal.value.hint


def test_three_constraints_that_exclude_each_other_only_together_are_all_named() -> None:
    space = Space((Parameter("n", Integer(0, 5)),), ("n in [0, 1, 2, 3]", "n in [0, 1, 4, 5]", "n in [2, 3, 4, 5]"))
    with pytest.raises(InvalidArgument, match=r"none of all 6 points satisfies all of them") as refusal:
        check_feasible(space)
    assert refusal.value.field == "constraints"


def test_a_wide_space_is_refused_after_fewer_draws() -> None:
    """1,000 parameters, 555 draws: a study is refused within a second."""
    space = Space(tuple(Parameter(f"p{i}", Double(0.0, 1.0)) for i in range(1_000)), ("p1 > 2",))
    with pytest.raises(InvalidArgument, match="no point out of 555 sampled ones"):
        check_feasible(space)


def test_long_constraints_are_looked_at_fewer_times() -> None:
    """So that a study is refused within a second whatever its constraints say."""
    false = " and ".join(["x > 2"] * 90)
    space = Space((X,), (false,) * 20)
    assert space.rules_size == 20 * 359
    with pytest.raises(InvalidArgument, match=rf"no point out of {5_000_000 // (20 * 359 + 9)} sampled ones"):
        check_feasible(space)


def test_a_finite_space_is_not_searched_through_for_ever() -> None:
    """Each of its points costs in proportion to its thousand parameters."""
    fixed = tuple(Parameter(f"p{i}", Categorical(("a",))) for i in range(990))
    space = Space((*fixed, Parameter("n", Integer(1, 9_000))), ("n > 9000",))
    with pytest.raises(InvalidArgument, match="no point out of 560 satisfies it"):
        check_feasible(space)


def test_of_a_hundred_constraints_the_two_that_exclude_one_another_are_found() -> None:
    space = Space((X, Parameter("y", Double(0.0, 1.0))), (*["x >= 0"] * 98, "x < y", "y < x"))
    with pytest.raises(InvalidArgument, match="satisfies these two together") as told:
        check_feasible(space)
    assert '["x < y", "y < x"]' in str(told.value)


@pytest.mark.parametrize(
    ("space", "at_once"),
    [
        (Space((X, Y), ("x + y < 1",)), True),
        (Space((X,), ("x >= 0 and x <= 1",) * 42), True),
        (Space((X,), ("x >= 0 and x <= 1",) * 43), False),
        (Space(tuple(Parameter(f"p{i}", Double(0.0, 1.0)) for i in range(100))), True),
        (Space(tuple(Parameter(f"p{i}", Double(0.0, 1.0)) for i in range(101))), False),
    ],
)
def test_points_that_take_long_to_make_are_made_by_workers(space: Space, at_once: bool) -> None:
    problem = Problem(space, (Objective("loss", Goal.MINIMIZE),))
    designer = make_designer(Algorithm("random"), problem)
    found = suggest_at_once(designer, problem, TrialHistory(), 1, np.random.default_rng(0), "")
    assert (found is not None, cheap(designer, problem)) == (at_once, at_once)
