"""What is sound in a study file and perhaps not meant."""

from __future__ import annotations

import pytest

from wazir.domain.document import bare_durations, doubts


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        (
            {"min": 0, "max": 1},
            'x = {"min": 0, "max": 1}: x has two values, 0 and 1; write 0.0 and 1.0 for the numbers between, or',
        ),
        ({"min": 1, "max": 3, "scale": "log"}, "x has three values, 1, 2 and 3; write 1.0 and 3.0"),
        ({"min": -1, "max": 7, "default": 0}, "x has nine values, -1, 0, 1, 2, 3, 4, 5, 6 and 7"),
        ({"values": ["0.1", "1e-3"]}, 'parameters.x.values = ["0.1", "1e-3"]: the values of x are texts'),
    ],
)
def test_what_is_doubtful(entry: object, says: str) -> None:
    (doubt,) = doubts({"parameters": {"x": entry}})
    assert says in str(doubt)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"min": 0, "max": 1, "type": "int"}, "whole numbers are said to be meant"),
        ({"min": 0, "max": 1, "type": "double"}, "and so are the others"),
        ({"min": 0.0, "max": 1.0}, "all numbers between"),
        ({"min": 0, "max": 1.0}, "one point is enough"),
        ({"min": 0, "max": 1, "default": 0.5}, "and so is one in the default"),
        ({"min": 1, "max": 10}, "ten values are many"),
        ({"min": 0, "max": 8, "step": 2}, "a step says that the values between are not wanted"),
        ({"values": [0, 1]}, "listed"),
        ({"values": ["0.1", "adam"]}, "texts among which are numbers"),
        ({"values": ["1", "2"], "type": "categorical"}, "texts are said to be meant"),
    ],
)
def test_what_is_not_doubtful(entry: object, reason: str) -> None:
    assert doubts({"parameters": {"x": entry}}) == [], reason


def test_durations_without_a_unit_are_told_as_they_are_read() -> None:
    document = {"trial": {"timeout": 12, "grace": "5s", "start_timeout": 5400}, "budget": {"duration": 0.5}}
    assert bare_durations(document) == {
        "trial.timeout": "12 s",
        "trial.start_timeout": "5400 s, that is 1h30m",
        "budget.duration": "0.5 s",
    }


def test_nothing_is_doubtful_in_an_empty_document() -> None:
    assert (doubts({}), bare_durations({"trial": None, "budget": {}})) == ([], {})
