"""Warped coordinates: against finite differences, back and forth, on spaces of every kind, and on what they are for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.parameters import canonical
from wazir.domain.space import Categorical, Double, Integer, Kind, Parameter, Scale, Space
from wazir.suggestion.models.gaussian_process import Hyperparameters, Prior, centre, fit
from wazir.suggestion.models.input_warping import LIMITS, Axes, InputWarping
from wazir.suggestion.models.warped_lattice import WarpedLattice, axes
from wazir.suggestion.space.encoding import encoder
from wazir.suggestion.space.lattice import lattice

from ..strategies import fractions, spaces

CATEGORICAL = np.array([False, False, True])
LOGARITHMS = np.array([-1.2, 0.5, 0.7, 0.3, -0.9, -0.4])
WARPING = InputWarping.read(LOGARITHMS, CATEGORICAL)
EVERYWHERE = np.linspace(0.0, 1.0, 41)[:, None] * np.ones(3)


def test_it_maps_the_axis_onto_itself_in_order_and_back() -> None:
    v = WARPING.forward(EVERYWHERE)
    assert (v[[0, -1]] == [[0.0] * 3, [1.0] * 3]).all()
    assert (np.diff(v, axis=0) > 0.0).all()
    assert WARPING.back(v) == pytest.approx(EVERYWHERE, abs=1e-9)
    assert WARPING.along(1, EVERYWHERE[:, 1]) == pytest.approx(v[:, 1])


def test_a_shape_below_one_gives_room_to_its_end_of_the_axis() -> None:
    v = InputWarping.read(np.log([0.3, 1.0, 1.0, 1.0, 0.3, 1.0]), CATEGORICAL).forward(np.full((1, 3), 0.01))
    assert v[0, 0] > 0.2
    assert v[0, 1] < 0.01


def test_categories_stay_as_they_are() -> None:
    assert WARPING.forward(EVERYWHERE)[:, 2] == pytest.approx(EVERYWHERE[:, 2], abs=1e-15)
    assert WARPING.with_slopes(EVERYWHERE)[0][:, 2] == pytest.approx(EVERYWHERE[:, 2], abs=1e-15)


def test_slopes_are_those_of_finite_differences() -> None:
    v, by_a, by_b = WARPING.with_slopes(EVERYWHERE)
    assert v == pytest.approx(WARPING.forward(EVERYWHERE), abs=1e-12)
    for found, place in ((by_a, 0), (by_b, 3)):
        for axis in (0, 1):
            step = np.eye(6)[place + axis] * 1e-6
            up, down = (InputWarping.read(LOGARITHMS + s, CATEGORICAL).forward(EVERYWHERE) for s in (step, -step))
            assert found[:, axis] == pytest.approx((up - down)[:, axis] / 2e-6, abs=1e-5)


@given(st.data())
def test_a_warped_lattice_has_the_points_of_the_lattice(data: st.DataObject) -> None:
    space = data.draw(spaces(constrained=False))
    d = len(space.parameters)
    shapes = np.array(data.draw(st.lists(st.floats(*LIMITS), min_size=2 * d, max_size=2 * d)))
    plain = lattice(space)
    warping = InputWarping.read(shapes, plain.categorical)
    warped = WarpedLattice(space, warping)
    v = np.array([[data.draw(fractions) for _ in range(d)] for _ in range(3)])
    rows, active = warped.snap(v)
    again, active_again = warped.snap(rows)
    held = ~plain.continuous
    assert (active == active_again).all()
    assert (rows[:, held] == again[:, held]).all()
    for j in np.flatnonzero(held).tolist():
        assert np.isin(rows[active[:, j], j], warped.table(j)).all()
    assert [canonical(p) for p in warped.decode(rows)] == [canonical(p) for p in warped.decode(again)]
    known, _ = plain.snap(encoder(space).encode(warped.decode(rows)))
    assert warped.snap(warping.forward(known))[0][:, held] == pytest.approx(rows[:, held], abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "room"),
    [
        (Double(1e-5, 0.1), "half-way"),
        (Integer(1, 5000), "half-way"),
        (Double(5e-324, 1e308), "as far as it goes"),
        (Double(1e-5, 0.1, Scale.LOG), "as it is"),
        (Double(0.1, 0.99), "as it is"),
        (Double(0.0, 0.1), "as it is"),
        (Double(-1.0, 1e4), "as it is"),
        (Categorical(("a", "b")), "as it is"),
    ],
)
def test_wide_linear_ranges_are_expected_to_be_half_logarithmic(kind: Kind, room: str) -> None:
    """The geometric middle of the range comes half as near to the middle of the axis, on the scale of log a."""
    expected = axes(Space((Parameter("x", kind),))).shapes
    assert expected[1] == 0.0
    if room == "as it is":
        assert expected[0] == 0.0
    elif room == "as far as it goes":
        assert expected[0] == LIMITS[0]
    else:
        assert isinstance(kind, Double | Integer)
        middle = ((kind.min * kind.max) ** 0.5 - kind.min) / (kind.max - kind.min)
        assert middle ** np.exp(2 * expected[0]) == pytest.approx(0.5)


@pytest.mark.parametrize("function", ["logarithmic", "linear"])
def test_axes_are_bent_where_values_say_so_and_only_there(function: str) -> None:
    """A function of the logarithm of a coordinate given linearly, as of a weight decay between 0 and 0.1."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.random((30, 2)), 10.0 ** rng.uniform(-4, -1, (10, 2))])
    y = x[:, 1] + (np.log10(x[:, 0] + 1e-4) / 2 if function == "logarithmic" else x[:, 0])
    known = Axes(np.zeros(2, dtype=bool), np.zeros(4))
    theta = fit(x, y, known, Prior(), [centre(known, Prior())], 60)
    found = Hyperparameters.read(theta, known.categorical).warping
    if function == "logarithmic":
        assert found.a[0] < 0.3
        assert found.a[1] == pytest.approx(1.0, abs=0.25)
    else:
        assert found.a == pytest.approx(1.0, abs=0.1)
        assert found.b == pytest.approx(1.0, abs=0.1)
