"""Rows of points that are asked for again: what they are, however often, and that they are made once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wazir.suggestion.space import rows as module
from wazir.suggestion.space.encoding import encoder
from wazir.suggestion.space.lattice import lattice
from wazir.suggestion.space.rows import Rows

from ..strategies import spaces


@given(st.data())
def test_they_are_those_of_the_lattice(data: st.DataObject) -> None:
    space = data.draw(spaces(constrained=False))
    d = len(space.parameters)
    points = encoder(space).decode(np.random.default_rng(data.draw(st.integers(0, 99))).random((12, d)))
    kept = Rows(space)
    for chosen in data.draw(st.lists(st.lists(st.integers(0, 11)), max_size=5)):
        asked = [points[i] for i in chosen]
        u, active = kept.of(asked)
        wanted, on = lattice(space).snap(encoder(space).encode(asked).reshape(-1, d))
        assert (u == wanted).all()
        assert (active == on).all()


@settings(max_examples=20)
@given(st.data())
def test_beyond_what_is_kept_they_are_made_anew(data: st.DataObject) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "KEPT", 5)
        space = data.draw(spaces(constrained=False))
        kept = Rows(space)
        for seed in range(4):
            points = encoder(space).decode(np.random.default_rng(seed).random((4, len(space.parameters))))
            assert (kept.of(points)[0] == lattice(space).snap(encoder(space).encode(points))[0]).all()
            assert len(kept._points) <= 8
