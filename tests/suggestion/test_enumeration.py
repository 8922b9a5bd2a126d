"""Finite spaces as numbered lists: counted without being made, every point once, in order; and shuffled."""

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.parameters import canonical
from wazir.domain.space import Categorical, Condition, Discrete, Double, Integer, Kind, Parameter, Space
from wazir.suggestion.space.enumeration import Enumeration, enumeration
from wazir.suggestion.space.permutation import Permutation

from ..contract.designer import every_point
from ..strategies import spaces


@given(spaces(small=True, constrained=False))
def test_every_point_has_one_number(space: Space) -> None:
    points = Enumeration(space)
    listed = [points.at(i) for i in range(points.size)]
    assert Counter(map(canonical, listed)) == dict.fromkeys(map(canonical, every_point(space)), 1)
    for point in listed:
        assert list(space.check(point)) == list(point)


A, B = Categorical(("a", "b")), Integer(0, 10**6 - 1)
WIDE = 10**12


@pytest.mark.parametrize(
    ("parameters", "size", "reason"),
    [
        ([("x", B), ("y", B)], WIDE, "a product"),
        ([("k", A), ("x", B, ("k", "a"))], 10**6 + 1, "a child counts where it is active"),
        ([("k", A), ("x", B, ("k", "a")), ("y", B, ("k", "b"))], 2 * 10**6, "one child or the other"),
        ([("k", A), ("l", A), ("x", B, ("k", "a"), ("l", "a"))], 10**6 + 3, "both parents are needed"),
        ([("k", A), ("l", A, ("k", "a")), ("x", B, ("l", "a"))], 10**6 + 2, "a grandchild"),
        ([("n", B), ("x", A, ("n", (10, 19)))], 10**6 + 10, "ten values of a million have a child"),
        ([("n", B), ("x", A, ("n", (None, 0)))], 10**6 + 1, "one value has"),
        (
            [
                ("n", B),
                (
                    "x",
                    A,
                    ("n", (999_999, None)),
                ),
            ],
            10**6 + 1,
            "the last value has",
        ),
        ([("n", Discrete((1, 2.5, 7))), ("x", A, ("n", 2.5))], 4, "a listed number"),
        ([(f"p{i}", Integer(1, 10)) for i in range(1_000)], 10**1_000, "as many parameters as a space may have"),
        ([("k", A), *((f"p{i}", A, ("k", "a")) for i in range(200))], 2**200 + 1, "many children of one parent"),
    ],
)
def test_points_are_counted_by_class(parameters: list[Any], size: int, reason: str) -> None:
    points = Enumeration(make(parameters))
    assert points.size == size, reason
    space = make(parameters)
    for number in (0, 1, size // 2, size - 2, size - 1):
        point = points.at(number)
        assert canonical(space.check(point)) == canonical(point)
    assert canonical(points.at(0)) != canonical(points.at(size - 1))


def make(parameters: list[Any]) -> Space:
    made = []
    for name, kind, *when in parameters:
        conditions = [
            Condition(parent, min=v[0], max=v[1]) if isinstance(v, tuple) else Condition(parent, (v,))
            for parent, v in when
        ]
        made.append(Parameter(name, kind, when=tuple(conditions)))
    return Space(tuple(made))


def test_the_last_parameter_changes_fastest() -> None:
    points = Enumeration(make([("k", A), ("x", Integer(1, 2), ("k", "a")), ("y", Integer(5, 6))]))
    assert [tuple(points.at(i).values()) for i in range(points.size)] == [
        ("a", 1, 5),
        ("a", 1, 6),
        ("a", 2, 5),
        ("a", 2, 6),
        ("b", 5),
        ("b", 6),
    ]


@given(st.integers(0, WIDE - 2))
def test_numbers_go_up_with_values(number: int) -> None:
    points = Enumeration(make([("x", B), ("y", B)]))
    low, high = points.at(number), points.at(number + 1)
    assert (low["x"], low["y"]) < (high["x"], high["y"])


@pytest.mark.parametrize(
    ("kind", "size"), [(Double(0.0, 1.0), None), (Double(0.0, 1.0, step=0.1), 11), (Integer(1, 3), 3)]
)
def test_a_space_with_a_real_number_is_not_finite(kind: Kind, size: int | None) -> None:
    found = enumeration(Space((Parameter("x", kind),)))
    assert (found.size if found else None) == size


def test_with_levels_it_is() -> None:
    points = Enumeration(
        Space((Parameter("x", Double(0.0, 1.0)), Parameter("c", A, when=(Condition("x", min=0.5),)))), 5
    )
    assert [tuple(points.at(i).values()) for i in range(points.size)] == [
        (0.0,),
        (0.25,),
        (0.5, "a"),
        (0.5, "b"),
        (0.75, "a"),
        (0.75, "b"),
        (1.0, "a"),
        (1.0, "b"),
    ]


def test_conditions_beyond_counting_are_told_from_finite_ones() -> None:
    gates = [(f"g{i}", A) for i in range(24)]
    children = [(f"c{i}", A, (f"g{i}", "a"), (f"g{(i + 1) % 24}", "a")) for i in range(24)]
    assert enumeration(make([*gates, *children])) is None


@given(st.integers(1, 300), st.integers(0, 2**63 - 1))
def test_a_permutation_has_every_number_once(size: int, key: int) -> None:
    permute = Permutation(size, key)
    assert sorted(map(permute, range(size))) == list(range(size))


@given(st.integers(10**6, 10**40), st.integers(0, 2**63 - 1))
def test_a_permutation_of_a_vast_range_stays_in_it_and_spreads(size: int, key: int) -> None:
    permute = Permutation(size, key)
    made = [permute(i) for i in range(64)]
    assert len(set(made)) == 64
    assert all(0 <= m < size for m in made)
    # Neighbours do not stay neighbours: 64 draws all in one half have a chance of 2^-63.
    assert min(made) < size // 2 < max(made)
    assert any(abs(a - b) > size // 10 for a, b in pairwise(made))


def test_each_place_gets_each_number_equally_often_over_the_keys() -> None:
    """The first of six, over 6,000 keys: 1,000 each, standard deviation 29."""
    counts = Counter(Permutation(6, key)(0) for key in range(6_000))
    assert all(abs(counts[i] - 1_000) < 5 * 29 for i in range(6))
