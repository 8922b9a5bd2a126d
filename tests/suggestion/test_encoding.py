"""The unit cube: every point of it is a point of the space, both ends are exact, and a round trip changes nothing."""

import math
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.parameters import Parameters, Value, canonical, same
from wazir.domain.space import (
    MAX_INTEGER,
    Categorical,
    Condition,
    Discrete,
    Double,
    Integer,
    Kind,
    Parameter,
    Scale,
    Space,
)
from wazir.suggestion.space.encoding import Encoder, encoder

from ..domain.strategies import kinds
from ..strategies import fractions, spaces

LOG, REVERSE_LOG = Scale.LOG, Scale.REVERSE_LOG
TINY = 5e-324


def of(kind: Kind) -> Encoder:
    return Encoder(Space((Parameter("x", kind),)))


def decode(kind: Kind, *us: float) -> list[Value]:
    return [point["x"] for point in of(kind).decode(np.array(us)[:, None])]


def encode(kind: Kind, *values: Value) -> list[float]:
    encoded: list[float] = of(kind).encode([{"x": v} for v in values])[:, 0].tolist()
    return encoded


def back(kind: Kind, value: Value) -> Value:
    """What a round trip makes of it."""
    return decode(kind, *encode(kind, value))[0]


def texts(points: list[Parameters] | list[dict[str, Value]]) -> list[str]:
    return [canonical(p) for p in points]


HARD: list[tuple[Kind, str]] = [
    (Integer(-MAX_INTEGER, MAX_INTEGER), "more values than [0, 1] has doubles"),
    (Integer(0, 2**53), "as many values as a double counts, and one"),
    (Integer(-MAX_INTEGER, MAX_INTEGER, step=3), "steps beyond what a double counts"),
    (Integer(-MAX_INTEGER, MAX_INTEGER, step=2**62), "few values, far apart"),
    (Integer(1, MAX_INTEGER, LOG), "rooms from a tenth of the axis to far below its resolution"),
    (Integer(1, MAX_INTEGER, REVERSE_LOG), "the same from the other end"),
    (Integer(MAX_INTEGER - 2, MAX_INTEGER, LOG), "doubles do not tell the values apart"),
    (Double(-8e307, 8e307), "max - min is nearly infinite"),
    (Double(TINY, 1.7e308, LOG), "max / min is infinite"),
    (Double(TINY, 1.7e308, REVERSE_LOG), "the same from the other end"),
    (Double(1e-9, sys.float_info.max, LOG), "rounding at the end would lead to infinity"),
    (Double(0.0, TINY), "two values, which cannot be divided"),
    (Double(0.0, 1e-310), "denormal numbers"),
    (Double(1.0, 1 + 2**-52), "neighbours"),
    (Double(1.0, 1 + 2**-40, LOG), "the logarithm of max / min loses nearly all digits"),
    (Double(1.0, 1 + 2**-40, REVERSE_LOG), "the same from the other end"),
    (Double(1e-300, 1.1e-300, LOG), "logarithms are large beside their difference"),
    (Double(1e15, 1e15 + 2), "sixteen values"),
    (Double(-1.0, 1e-300), "one end is nearly zero"),
    (Double(1e-10, 1e10, REVERSE_LOG), "min is below the resolution at max"),
    (Double(0.1, 0.7, step=0.1), "0.1 + 2 * 0.1 is not 0.3"),
    (Double(0.0, 1e6, step=1e-7), "very many steps"),
    (Discrete((-MAX_INTEGER, 0, 0.5, MAX_INTEGER)), "integers and doubles, of any size"),
    (Categorical((1, 1.0, True, "1", "", False, 0)), "equal values of different types"),
    (Categorical(("only",)), "one value"),
]


def test_the_listed_ranges_are_all_that_is_hard_about_exactness() -> None:
    """Each kind and scale occurs, so that the tests that run over the table leave none out."""
    seen = {(type(k), getattr(k, "scale", None)) for k, _ in HARD}
    assert {(t, s) for t in (Double, Integer) for s in Scale} <= seen
    assert {Discrete, Categorical} <= {t for t, _ in seen}


hard_kinds = st.sampled_from([k for k, _ in HARD]) | kinds()


@given(spaces(constrained=False), st.data())
def test_every_point_of_the_cube_is_a_point_of_the_space(space: Space, data: st.DataObject) -> None:
    u = np.array([[data.draw(fractions) for _ in space.parameters] for _ in range(3)])
    for point in encoder(space).decode(u):
        assert texts([space.check(point)]) == texts([point])
        assert list(space.check(point)) == list(point)


@given(spaces(constrained=False), st.data())
def test_a_round_trip_changes_nothing(space: Space, data: st.DataObject) -> None:
    u = np.array([[data.draw(fractions) for _ in space.parameters] for _ in range(3)])
    points = encoder(space).decode(u)
    again = encoder(space).encode(points)
    assert ((again >= 0) & (again <= 1)).all()
    assert texts(encoder(space).decode(again)) == texts(points)
    assert (encoder(space).encode(encoder(space).decode(again)) == again).all()


@given(hard_kinds, fractions)
def test_a_round_trip_changes_nothing_in_ranges_at_the_limits_of_arithmetic(kind: Kind, u: float) -> None:
    (value,) = decode(kind, u)
    assert same(back(kind, value), value)


@given(hard_kinds, fractions)
def test_every_value_of_the_countable_kinds_can_be_made(kind: Kind, at: float) -> None:
    if kind.size is None or kind.size > 2**51 or (isinstance(kind, Integer) and kind.scale is not Scale.LINEAR):
        return
    value = kind.at(int(Fraction(at) * (kind.size - 1)))
    assert same(back(kind, value), value)


@given(st.sampled_from([LOG, REVERSE_LOG]), st.integers(1, 2**40), st.integers(1, 2**40), st.data())
def test_every_integer_up_to_2_to_the_40_can_be_made_on_a_log_scale(
    scale: Scale, low: int, more: int, data: st.DataObject
) -> None:
    high = min(low + more, 2**40 + 1)
    kind = Integer(low, high, scale)
    value = data.draw(st.integers(low, high))
    assert same(back(kind, value), value)


@given(st.sampled_from([k for k, _ in HARD if isinstance(k, Double) and k.step is None]), fractions)
def test_a_double_that_cannot_be_made_comes_back_as_a_near_one(kind: Double, at: float) -> None:
    value = min(max(kind.min * (1 - at) + kind.max * at, kind.min), kind.max)
    once = encode(kind, value)
    assert encode(kind, *decode(kind, *once)) == pytest.approx(once, rel=0, abs=2**-48)


@given(st.integers(-MAX_INTEGER, MAX_INTEGER))
def test_an_integer_that_cannot_be_made_comes_back_as_a_near_one(value: int) -> None:
    kind = Integer(-MAX_INTEGER, MAX_INTEGER)
    near = back(kind, value)
    assert isinstance(near, int)
    assert abs(near - value) <= 2**64 / 2**53


@pytest.mark.parametrize(("kind", "reason"), HARD)
def test_both_ends_are_exact(kind: Kind, reason: str) -> None:
    first, last = decode(kind, 0, 1)
    if isinstance(kind, Discrete | Categorical):
        low, high = kind.values[0], kind.values[-1]
    else:
        low, high = kind.min, kind.max if kind.size is None else kind.at(kind.size - 1)
    if isinstance(kind, Integer) and kind.scale is not Scale.LINEAR:
        high = kind.max
    assert same(first, low), reason
    assert same(last, high), reason


@given(hard_kinds, fractions, fractions)
def test_order_is_kept(kind: Kind, a: float, b: float) -> None:
    if isinstance(kind, Categorical):
        return
    low, high = decode(kind, min(a, b), max(a, b))
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    assert low <= high


@pytest.mark.parametrize(
    ("kind", "u", "value", "reason"),
    [
        (Double(0.0, 10.0), 0.25, 2.5, "linear"),
        (Double(1e-4, 1.0, LOG), 0.5, 1e-2, "the geometric mean is in the middle"),
        (Double(1e-4, 1.0, LOG), 0.25, 1e-3, "every factor of ten has the same room"),
        (Double(1e-4, 1.0, REVERSE_LOG), 0.5, 1 + 1e-4 - 1e-2, "the mirror image"),
        (Double(0.0, 1.0, step=0.25), 0.5, 0.5, "the third of five values"),
    ],
)
def test_scales(kind: Double, u: float, value: float, reason: str) -> None:
    (found,) = decode(kind, u)
    assert found == pytest.approx(value, rel=1e-12), reason


@pytest.mark.parametrize(
    ("kind", "room", "reason"),
    [
        (Integer(1, 4), [1, 1, 1, 1], "each value the same"),
        (Integer(0, 9, step=5), [1, 1], "only values that a step reaches"),
        (Categorical(("a", "b", "c")), [1, 1, 1], "no category is favoured"),
        (Discrete((1, 2, 1000)), [1, 1, 1], "who lists values says which are worth trying"),
        (Discrete((1, 2, 1000), LOG), [1, 1, 1], "on whatever scale"),
        (Double(0.0, 0.35, step=0.1), [1, 1, 1, 1], "the end of the range is no value"),
        (Integer(1, 3, LOG), [math.log(3), math.log(5 / 3), math.log(7 / 5)], "[v - 1/2, v + 1/2] on the scale"),
        (Integer(1, 3, REVERSE_LOG), [math.log(7 / 5), math.log(5 / 3), math.log(3)], "its mirror image"),
    ],
)
def test_the_room_of_each_value(kind: Kind, room: list[float], reason: str) -> None:
    n = 100_000
    made = decode(kind, *((np.arange(n) + 0.5) / n))
    assert kind.size is not None
    counts = [sum(same(v, kind.at(i)) for v in made) for i in range(kind.size)]
    assert counts == pytest.approx([n * r / sum(room) for r in room], abs=2), reason


@given(spaces(constrained=False), st.data())
def test_rows_do_not_depend_on_their_neighbours(space: Space, data: st.DataObject) -> None:
    u = np.array([[data.draw(fractions) for _ in space.parameters] for _ in range(5)])
    together = encoder(space).decode(u)
    alone = [point for row in u for point in encoder(space).decode(row[None])]
    assert texts(together) == texts(alone)
    encoded = encoder(space).encode(together)
    assert (encoded == np.concatenate([encoder(space).encode([p]) for p in together])).all()


CONDITIONAL = Space(
    (
        Parameter("kind", Categorical(("conv", "dense"))),
        Parameter("width", Integer(1, 4), when=(Condition("kind", ("conv",)),)),
        Parameter("pad", Integer(0, 3), when=(Condition("width", min=3),)),
    )
)


@pytest.mark.parametrize(
    ("u", "point", "again"),
    [
        ([0.1, 0.9, 0.9], {"kind": "conv", "width": 4, "pad": 3}, [0.25, 0.875, 0.875]),
        ([0.1, 0.3, 0.9], {"kind": "conv", "width": 2}, [0.25, 0.375, 0.5]),
        ([0.9, 0.9, 0.9], {"kind": "dense"}, [0.75, 0.5, 0.5]),
    ],
)
def test_inactive_parameters_are_left_out_and_stand_in_the_middle(
    u: list[float], point: Parameters, again: list[float]
) -> None:
    assert encoder(CONDITIONAL).decode(np.array([u])) == [point]
    assert encoder(CONDITIONAL).encode([point]).tolist() == [again]


def test_beyond_the_cube_is_its_edge_and_nan_is_refused() -> None:
    beyond = (-5, 7, math.inf, -math.inf)
    assert decode(Double(1.0, 2.0), *beyond) == [1, 2, 2, 1]
    assert [decode(Double(1.0, 2.0), u) for u in beyond] == [[1], [2], [2], [1]]
    assert decode(Integer(-MAX_INTEGER, MAX_INTEGER), -5, 7) == [-MAX_INTEGER, MAX_INTEGER]
    with pytest.raises(ValueError, match="NaN"):
        decode(Double(1.0, 2.0), math.nan)
    with pytest.raises(ValueError, match="NaN"):
        decode(Double(1.0, 2.0), 0.5, math.nan)


def test_no_points_are_no_rows() -> None:
    assert encoder(CONDITIONAL).encode([]).shape == (0, 3)
    assert encoder(CONDITIONAL).decode(np.empty((0, 3))) == []
