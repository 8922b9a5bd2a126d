"""The order of trials by several objectives: by table, and against its definition."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.suggestion.pareto import best_first, ranks

INF = math.inf


@pytest.mark.parametrize(
    ("losses", "order", "why"),
    [
        ([], [], "nobody"),
        ([[3.0], [1.0], [2.0]], [1, 2, 0], "one objective: by value"),
        ([[1.0], [0.0], [1.0]], [1, 0, 2], "equals in the order given"),
        ([[2, 2], [1, 1], [3, 3]], [1, 0, 2], "each dominates the next"),
        ([[1, 5], [5, 1], [6, 6]], [0, 1, 2], "dominated by both of the front: last"),
        ([[4, 1], [2, 3], [1, 4], [3, 2]], [2, 0, 1, 3], "a front: its ends, then its middle"),
        ([[4e9, 1], [2e9, 3], [1e9, 4], [3e9, 2]], [2, 0, 1, 3], "the scale of an objective does not count"),
        ([[1, 1], [1, 1], [0, 2]], [2, 0, 1], "equals do not dominate each other"),
        ([[INF, INF], [1, 2]], [1, 0], "infinite is worst"),
        ([[1, 2, 3], [2, 1, 3], [2, 2, 4]], [0, 1, 2], "three objectives"),
        ([[0, 9], [1, 1], [2, 0], [2, 2], [3, 1]], [0, 2, 1, 3, 4], "dominated by one each: the first of them first"),
    ],
)  # fmt: skip
def test_order(losses: list[list[float]], order: list[int], why: str) -> None:
    assert best_first(losses).tolist() == order, why


few = st.sampled_from([0.0, 1.0, 2.0, INF])


@given(st.integers(1, 3).flatmap(lambda m: st.lists(st.lists(few, min_size=m, max_size=m), max_size=12)))
def test_the_rank_is_one_more_than_the_number_of_those_that_dominate(losses: list[list[float]]) -> None:
    def dominates(a: list[float], b: list[float]) -> bool:
        return all(x <= y for x, y in zip(a, b, strict=True)) and a != b

    wanted = [1 + sum(dominates(other, own) for other in losses) for own in losses]
    if losses:
        assert ranks(np.array(losses)).tolist() == wanted
    order = best_first(losses).tolist()
    assert sorted(order) == list(range(len(losses))), "everybody once"
    assert [wanted[i] for i in order] == sorted(wanted)
