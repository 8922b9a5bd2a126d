"""The lattice of a space agrees with its encoder."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.parameters import canonical
from wazir.domain.space import Categorical, Condition, Double, Integer, Parameter, Scale, Space
from wazir.suggestion.space.encoding import INACTIVE, encoder
from wazir.suggestion.space.lattice import lattice

from ..strategies import fractions, spaces

MIXED = Space(
    (
        Parameter("kind", Categorical(("conv", "dense"))),
        Parameter("width", Integer(1, 3), when=(Condition("kind", ("conv",)),)),
        Parameter("rate", Double(1e-4, 1e-1, Scale.LOG)),
        Parameter("decay", Double(0.0, 1.0), when=(Condition("rate", min=1e-2),)),
    )
)


@given(st.data())
def test_snapping_changes_no_point_and_gives_equal_points_one_row(data: st.DataObject) -> None:
    space = data.draw(spaces(constrained=False))
    u = np.array([[data.draw(fractions) for _ in space.parameters] for _ in range(4)])
    rows, active = lattice(space).snap(u)
    before, after = encoder(space).decode(u), encoder(space).decode(rows)
    assert [canonical(p) for p in before] == [canonical(p) for p in after]
    for point, row, mask in zip(after, rows, active, strict=True):
        assert [p.name for p, on in zip(space.parameters, mask, strict=True) if on] == list(point)
        assert (row[~mask] == INACTIVE).all()
    again, _ = lattice(space).snap(encoder(space).encode(after))
    held = ~lattice(space).continuous
    assert (again[:, held] == rows[:, held]).all()


def test_the_border_of_two_values_is_where_the_encoder_has_it() -> None:
    """Within the last bit: a third of six is 2 in doubles, while a third is less than half-way from 1.5 / 6 to 2.5 /
    6."""
    for size in range(2, 60):
        for kind in (Categorical(tuple(range(size))), Integer(1, size), Integer(1, size, Scale.LOG)):
            space = Space((Parameter("x", kind),))
            near = [np.nextafter(i / size, way) for i in range(1, size) for way in (0.0, i / size, 1.0)]
            u = np.array([[x] for x in near])
            assert encoder(space).decode(u) == encoder(space).decode(lattice(space).snap(u)[0])


def test_what_is_on_it() -> None:
    found = lattice(MIXED)
    assert found.categorical.tolist() == [True, False, False, False]
    assert found.continuous.tolist() == [False, False, True, True]
    rows, active = found.snap(np.array([[0.9, 0.9, 0.9, 0.9], [0.1, 0.9, 0.1, 0.9], [-1.0, 2.0, 3.0, 0.0]]))
    assert active.tolist() == [[True, False, True, True], [True, True, True, False], [True, True, True, True]]
    assert rows[0].tolist() == [0.75, INACTIVE, 0.9, 0.9]
    assert rows[1, :2].tolist() == [0.25, 5 / 6]
    assert rows[2, 2:].tolist() == [1.0, 0.0]
