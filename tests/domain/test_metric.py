"""Objectives, bounds that must be kept, and which of two trials is better."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.errors import InvalidArgument
from wazir.domain.metric import Goal, Objective, SafetyMetric, check_metric_name, dominates

LOSS = Objective("loss", Goal.MINIMIZE, target=0.1)
ACCURACY = Objective("accuracy", Goal.MAXIMIZE, target=0.9)


@pytest.mark.parametrize(
    ("objective", "value", "reached"),
    [
        (LOSS, 0.2, False),
        (LOSS, 0.1, True),
        (LOSS, -math.inf, True),
        (LOSS, math.nan, False),
        (ACCURACY, 0.8, False),
        (ACCURACY, 0.9, True),
        (ACCURACY, 1.0, True),
        (ACCURACY, math.nan, False),
        (Objective("loss", Goal.MINIMIZE), -math.inf, False),
        (Objective("loss", Goal.MINIMIZE, target=0.0), 0.0, True),
    ],
)
def test_a_target_is_reached_at_equality_and_never_by_nan(objective: Objective, value: float, reached: bool) -> None:
    assert objective.reached(value) is reached


@given(st.sampled_from([LOSS, ACCURACY]), st.floats(), st.floats())
def test_better_is_a_strict_order_in_which_nan_is_last(objective: Objective, a: float, b: float) -> None:
    assert not (objective.better(a, b) and objective.better(b, a))
    if math.isnan(a):
        assert not objective.better(a, b)
    elif math.isnan(b):
        assert objective.better(a, b)
    else:
        assert objective.better(a, b) == (objective.loss(a) < objective.loss(b))


@pytest.mark.parametrize(
    ("bounds", "value", "safe"),
    [
        ((0.0, None), 0.0, True),
        ((0.0, None), -1e-9, False),
        ((None, 16.0), 16.0, True),
        ((None, 16.0), 16.1, False),
        ((1.0, 2.0), 1.5, True),
        ((1.0, 2.0), 3.0, False),
        ((None, 16.0), math.nan, False),
    ],
)
def test_bounds_include_themselves_and_nan_keeps_to_none(
    bounds: tuple[float | None, float | None], value: float, safe: bool
) -> None:
    assert SafetyMetric("memory", *bounds).safe(value) is safe


@pytest.mark.parametrize(
    ("a", "b", "wins"),
    [
        ((1.0, 2.0), (1.0, 3.0), True),
        ((1.0, 2.0), (1.0, 2.0), False),
        ((1.0, 3.0), (2.0, 2.0), False),
        ((math.nan, 1.0), (2.0, 2.0), False),
    ],
)
def test_one_dominates_another_where_it_is_nowhere_worse(
    a: tuple[float, ...], b: tuple[float, ...], wins: bool
) -> None:
    assert dominates(a, b) is wins
    assert not dominates(b, a)


@pytest.mark.parametrize("name", ["", "a" * 257, "a\nb", "\x00", 3, None])
def test_a_metric_has_a_printable_name(name: object) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        check_metric_name("objective.metric", name)
    assert refusal.value.field == "objective.metric"


def test_names_of_metrics_may_hold_slashes_and_spaces() -> None:
    check_metric_name("objective.metric", "val/top 5 Genauigkeit")
