"""The search of an acquisition: the top is found where drawing points at random does not find it."""

import numpy as np
import pytest

from wazir.domain.space import Categorical, Condition, Double, Integer, Parameter, Space
from wazir.suggestion.models.kernel import Array
from wazir.suggestion.models.search import Acquisition, near, search, spread
from wazir.suggestion.space.lattice import lattice

REAL = [Parameter(f"x{i}", Double(0.0, 1.0)) for i in range(6)]
LISTED = [Parameter(f"n{i}", Integer(0, 8)) for i in range(6)]
LONG = [Parameter(f"m{i}", Integer(0, 400)) for i in range(3)]
NAMED = [Parameter(f"c{i}", Categorical(tuple("abcdefgh"))) for i in range(5)]
SWITCHED = [
    Parameter("on", Categorical((False, True))),
    Parameter("x", Double(0.0, 1.0), when=(Condition("on", (True,)),)),
]


def hill(top: Array) -> Acquisition:
    """Highest, at 0, at `top`, (d,)."""

    def value(u: Array) -> Array:
        return -np.asarray(((u - top) ** 2).sum(axis=1))

    return Acquisition(value, lambda u: (value(u), -2.0 * (u - top)))


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        (REAL, "climbing along continuous axes"),
        (LISTED, "stepping along axes of few values"),
        (LONG, "stepping far and near along axes of many values"),
        (NAMED, "changing categories"),
        ([*REAL[:3], *LISTED[:3], *NAMED[:2]], "by turns"),
        (SWITCHED, "a parameter that is not active everywhere"),
    ],
)
def test_the_top_of_a_hill_is_found(parameters: list[Parameter], reason: str) -> None:
    on = lattice(Space(tuple(parameters)))
    for seed in range(3):
        rng = np.random.default_rng(seed)
        top = on.snap(rng.random((1, on.dimension)))[0][0]
        rows = spread(rng, on.dimension)
        found, values = search(hill(top), on, rows, len(rows), rng)
        assert found[0] == pytest.approx(top, abs=1e-3), reason
        assert (np.diff(values) <= 0.0).all(), "the best first"
        assert (on.snap(found)[0] == found).all(), "rows of the lattice"


def test_rows_near_good_ones_are_of_the_cube_and_most_of_them_close() -> None:
    rng, categorical = np.random.default_rng(1), np.array([False, False, False, True])
    good = np.array([[0.3, 0.1, 0.9, 0.5]])
    rows = near(rng, good, np.array([0.5, 0.5, 0.01, 1.0]), categorical)
    assert ((rows >= 0.0) & (rows <= 1.0)).all()
    moved = rows != good
    assert moved.any(axis=1).all(), "each of them is another point"
    away = np.abs(rows - good)
    assert np.median(away[moved[:, 0], 0]) < 0.1
    assert away[:, 2].max() < 0.05, "no further along an axis than its length says"
    assert np.median(away[moved[:, 3], 3]) > 0.2, "categories are not near one another"
