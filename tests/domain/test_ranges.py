"""Constraints learned from trials that ask for a range of their own."""

from __future__ import annotations

import pytest

from wazir.domain.learning import Asked
from wazir.domain.parameters import Parameters
from wazir.domain.ranges import Narrowed, contradicted_rules, related
from wazir.domain.space import Categorical, Double, Integer, Parameter, Space

SPACE = Space(
    (
        Parameter("n", Integer(1, 9)),
        Parameter("other", Integer(1, 9)),
        Parameter("flag", Categorical((True, False))),
        Parameter("k", Integer(1, 9)),
        Parameter("in", Double(0.0, 9.0)),
    )
)


def narrowed(n: int, low: float, high: float, *, other: int = 9, name: str = "k") -> Narrowed:
    return Narrowed({"n": n, "other": other, "flag": True, name: low}, {name: (low, high)})


@pytest.mark.parametrize(
    ("trials", "found"),
    [
        ([narrowed(4, 1, 4), narrowed(6, 1, 6)], ["k <= n"]),
        ([narrowed(4, 4, 9), narrowed(6, 6, 9)], ["k >= n"]),
        ([narrowed(4, 1, 4, other=4), narrowed(6, 1, 6, other=6)], ["k <= other"]),
        ([narrowed(4, 0.0, 4.0, name="in"), narrowed(6, 0.0, 6.0, name="in")], ["`in` <= `n`"]),
        pytest.param([narrowed(4, 1, 4)], [], id="one trial may be chance"),
        pytest.param([narrowed(4, 1, 4), narrowed(4, 1, 4)], [], id="so may two with the same value"),
        pytest.param([narrowed(4, 1, 3), narrowed(6, 1, 6)], [], id="another trial's range ended elsewhere"),
        pytest.param([narrowed(1, 1, 5), narrowed(2, 1, 6)], [], id="no parameter has that value"),
    ],
)
def test_what_is_learned(trials: list[Narrowed], found: list[str]) -> None:
    assert related(SPACE, next(iter(trials[-1].ranges)), trials, []) == found
    for text in found:
        assert Space(SPACE.parameters, (text,)).rules


OPT = Space((Parameter("opt", Categorical(("sgd", 'a "{x}"', "other"))), Parameter("lr", Double(1e-5, 1.0))))


def branch(opt: str, low: float, high: float) -> Narrowed:
    return Narrowed({"opt": opt, "lr": low}, {"lr": (low, high)})


@pytest.mark.parametrize(
    ("trials", "found"),
    [
        ([branch("sgd", 1e-5, 1e-3)] * 2, ['opt != "sgd" or lr <= 0.001']),
        ([branch('a "{x}"', 1e-2, 1.0)] * 2, ['opt != "a \\"{x}\\"" or lr >= 0.01']),
        pytest.param([branch("sgd", 1e-5, 1e-3)], [], id="one trial may be chance"),
        pytest.param([branch("sgd", 1e-5, 1e-2), branch("sgd", 1e-5, 1e-3)], [], id="it ended elsewhere before"),
    ],
)
def test_a_range_that_goes_with_a_choice(trials: list[Narrowed], found: list[str]) -> None:
    assert related(OPT, "lr", trials, []) == found
    assert all(rule.holds(trials[0].parameters) for rule in Space(OPT.parameters, tuple(found)).rules)


def test_a_range_that_reaches_beyond_contradicts_it() -> None:
    known = Space(OPT.parameters, ('opt != "sgd" or lr <= 0.001',))
    assert contradicted_rules(known, "lr", branch("sgd", 1e-5, 1e-2)) == set(known.constraints)
    assert contradicted_rules(known, "lr", branch("sgd", 1e-5, 1e-4)) == set()
    assert contradicted_rules(known, "lr", branch("other", 1e-5, 1.0)) == set()


def test_a_trial_that_contradicts_it_forbids_it() -> None:
    trials = [narrowed(4, 1, 4), narrowed(6, 1, 6)]
    beyond: Parameters = {"n": 3, "other": 9, "flag": True, "k": 5}
    assert related(SPACE, "k", trials, [Asked(beyond, whole=True)]) == []


def test_what_is_known_is_not_learned_again() -> None:
    known = Space(SPACE.parameters, ("k <= n",))
    assert related(known, "k", [narrowed(4, 1, 4), narrowed(6, 1, 6)], []) == []
