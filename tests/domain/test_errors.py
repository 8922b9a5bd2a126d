"""Errors: what they say to people and to machines."""

import pytest

from wazir.domain import errors
from wazir.domain.errors import MISSING, InvalidArgument, SpecChanged, StaleAttempt, WazirError, nearest
from wazir.domain.metric import Goal, Objective
from wazir.domain.space import Integer


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            InvalidArgument("parameters.lr.min", 0, "scale log needs min above 0", "Raise min"),
            "parameters.lr.min = 0: scale log needs min above 0. Raise min",
        ),
        (InvalidArgument("objective", MISSING, "is missing"), "objective: is missing"),
        (InvalidArgument("budget.trials", None, "must be 1 or more"), "budget.trials = null: must be 1 or more"),
        (InvalidArgument("", MISSING, "the file is empty"), "the file is empty"),
        (InvalidArgument("x", "größe", "no"), 'x = "größe": no'),
        (InvalidArgument("x", {1, 2}, "no"), "x = {1, 2}: no"),
        (InvalidArgument("x", Goal.MINIMIZE, "no"), "x = minimize: no"),
        (InvalidArgument("x", Integer(1, 2), "no"), "x = Integer: no"),
        (InvalidArgument("x", Objective("loss", Goal.MINIMIZE), "no"), "x = Objective: no"),
    ],
)
def test_a_refusal_names_field_value_rule_and_way_out(error: InvalidArgument, text: str) -> None:
    assert str(error) == text


def test_a_long_value_is_cut() -> None:
    assert len(str(InvalidArgument("x", "y" * 10_000, "is too long"))) < 200


@pytest.mark.parametrize(
    ("word", "known", "sentence"),
    [
        ("trails", ["trials", "parallel"], 'Did you mean "trials"?'),
        ("GP", ["gp", "grid"], 'Did you mean "gp"?'),
        ("ucb", ["EI", "LCB"], 'Did you mean "LCB"?'),
        ("xyz", ["b", "a"], "Known are: a, b"),
        ("xyz", [], ""),
        (
            "xyz",
            [f"a{n:03}" for n in range(999)],
            f"Known are: {', '.join(f'a{n:03}' for n in range(20))}, ... (999 in all)",
        ),
    ],
)
def test_the_nearest_word_or_all_of_them(word: str, known: list[str], sentence: str) -> None:
    assert nearest(word, known) == sentence


def _all(kind: type[WazirError]) -> list[type[WazirError]]:
    """The class and those below it, of the hierarchy itself: clients may refine a class for their own callers."""
    below = (sub for sub in kind.__subclasses__() if sub.__module__ == errors.__name__)
    return [kind, *(c for sub in below for c in _all(sub))]


def test_every_class_has_a_reason_of_its_own() -> None:
    reasons = [kind.reason for kind in _all(WazirError)]
    assert len(set(reasons)) == len(reasons)


@pytest.mark.parametrize("kind", _all(WazirError), ids=lambda kind: kind.__name__)
def test_every_class_comes_back_from_a_wire(kind: type[WazirError]) -> None:
    error = kind.restore("message", "field", {"a": "b"})
    assert (type(error), str(error), error.message, error.field, error.details) == (
        kind,
        "message",
        "message",
        "field",
        {"a": "b"},
    )
    if isinstance(error, InvalidArgument):
        assert (error.rule, error.hint) == ("", "")


def test_a_changed_space_names_the_first_field_and_all_of_them() -> None:
    error = SpecChanged("resnet", ["parameters.lr", "objective"])
    assert error.field == "parameters.lr"
    assert "parameters.lr, objective" in str(error)
    assert "delete the old study" in str(error)


def test_a_stale_attempt_is_told_whether_it_was_replaced_or_ended() -> None:
    assert "attempt 3 is its latest" in str(StaleAttempt("resnet/17", 2, 3, ended=False))
    assert "that attempt has ended" in str(StaleAttempt("resnet/17", 2, 2, ended=True))


def test_the_drawing_at_the_head_shows_every_class() -> None:
    assert errors.__doc__ is not None
    for kind in _all(WazirError):
        assert kind.__name__ in errors.__doc__
