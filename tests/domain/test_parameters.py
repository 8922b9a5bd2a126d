"""Values and points: the types are kept apart, and one point has one canonical text."""

import json
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.parameters import Value, canonical, digest, same

values = st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
points = st.dictionaries(st.text(), values, max_size=5)


@pytest.mark.parametrize(("a", "b"), list(combinations([1, 1.0, True, "1", "true", "1.0"], 2)), ids=repr)
def test_values_of_different_types_are_different_points(a: Value, b: Value) -> None:
    assert not same(a, b)
    assert digest({"x": a}) != digest({"x": b})


def test_negative_zero_is_zero() -> None:
    assert canonical({"x": -0.0}) == canonical({"x": 0.0})


@given(points)
def test_the_order_of_names_does_not_matter(point: dict[str, Value]) -> None:
    assert canonical(dict(reversed(point.items()))) == canonical(point)
    assert len(digest(point)) == 32


@given(points)
def test_the_canonical_text_is_the_point(point: dict[str, Value]) -> None:
    back = json.loads(canonical(point))
    assert back.keys() == point.keys()
    assert all(same(back[name], value) for name, value in point.items())


@given(points, points)
def test_two_points_have_one_text_only_where_they_are_the_same(a: dict[str, Value], b: dict[str, Value]) -> None:
    alike = a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    assert (canonical(a) == canonical(b)) == alike


def test_nan_is_no_value() -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical({"x": float("nan")})
