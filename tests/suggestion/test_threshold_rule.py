"""The threshold rule, by table."""

import math

import pytest

from wazir.domain.errors import InvalidArgument
from wazir.domain.metric import Goal, Objective
from wazir.domain.study import Stopping
from wazir.suggestion.registry import make_rule
from wazir.suggestion.stopping.curves import CurveIndex

LOSS, ACCURACY = Objective("loss", Goal.MINIMIZE), Objective("acc", Goal.MAXIMIZE)


@pytest.mark.parametrize(
    ("objective", "values", "settings", "stops", "reason"),
    [
        (LOSS, [2.0], {"value": 1.0}, True, "worse than the threshold"),
        (LOSS, [1.0], {"value": 1.0}, False, "as good as it"),
        (LOSS, [0.5, 2.0], {"value": 1.0}, False, "it has been better"),
        (ACCURACY, [0.3], {"value": 0.5}, True, "where more is better"),
        (ACCURACY, [0.7], {"value": 0.5}, False, "where more is better"),
        (LOSS, [2.0, 2.0], {"value": 1.0, "min": 3}, False, "before min"),
        (LOSS, [2.0, 2.0, 2.0], {"value": 1.0, "min": 3}, True, "min is reached at equality"),
        (LOSS, [math.nan], {"value": 1.0}, True, "NaN is worse than everything"),
        (LOSS, [], {"value": 1.0}, False, "it has reported nothing"),
    ],
)
def test_decisions(
    objective: Objective, values: list[float], settings: dict[str, float], stops: bool, reason: str
) -> None:
    curves, rule = CurveIndex(objective), make_rule(Stopping("threshold", settings), (objective,))
    for step, value in enumerate(values, 1):
        curves.report(1, 1, step, value)
    assert (rule.decide(1, len(values), [curves]) is not None) == stops, reason


def test_it_may_be_about_another_objective() -> None:
    rule = make_rule(Stopping("threshold", {"value": 0.5, "metric": "acc"}), (LOSS, ACCURACY))
    curves = CurveIndex(LOSS), CurveIndex(ACCURACY)
    curves[0].report(1, 1, 1, 9.0)
    assert rule.decide(1, 1, curves) is None
    curves[1].report(1, 1, 1, 0.4)
    stop = rule.decide(1, 1, curves)
    assert stop is not None
    assert stop.reason == "step 1: best 0.4 is worse than the threshold 0.5"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "stopping.value = null: is missing"),
        ({"value": 1.0, "metric": "accuracy"}, 'stopping.metric = "accuracy": is not an objective of the study'),
    ],
)
def test_settings_that_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        make_rule(Stopping("threshold", settings), (LOSS, ACCURACY))
    assert words in str(error.value)
