"""Choices as parameter values, and back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wazir.domain.choices import plain, restored, shown, stored

examples = settings(max_examples=60)

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
)
choices = st.recursive(
    scalars,
    lambda parts: st.one_of(
        st.lists(parts, max_size=3), st.lists(parts, max_size=3).map(tuple), st.dictionaries(scalars, parts, max_size=3)
    ),
    max_leaves=6,
)


@examples
@given(choices)
def test_a_choice_is_restored_as_it_was(choice: Any) -> None:
    value = stored(choice)
    assert type(value) in (bool, int, float, str)
    assert repr(restored(value)) == repr(choice)


@examples
@given(choices, choices)
def test_different_choices_are_different_values(a: Any, b: Any) -> None:
    assert (repr(a) == repr(b)) == (repr(stored(a)) == repr(stored(b)))


@pytest.mark.parametrize(
    ("choice", "value", "text", "data"),
    [
        (None, "python:None", "None", None),
        ((64, 64), "python:(64, 64)", "(64, 64)", [64, 64]),
        ("None", "None", "None", "None"),
        ({1: (2,)}, "python:{1: (2,)}", "{1: (2,)}", {"1": [2]}),
        ("python:x", "python:'python:x'", "'python:x'", "python:x"),
    ],
)
def test_forms(choice: Any, value: str, text: str, data: Any) -> None:
    assert (stored(choice), shown(value), plain(value)) == (value, text, data)


@pytest.mark.parametrize("choice", [object(), int, len, (float("inf"),), [object()]])
def test_what_could_not_be_restored_is_refused(choice: Any) -> None:
    with pytest.raises(ValueError, match="can be text"):
        stored(choice)


def test_a_text_that_others_wrote_is_left_alone() -> None:
    assert restored("python:__import__('os')") == "python:__import__('os')"
