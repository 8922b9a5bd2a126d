"""The search space: what is a value, when a parameter is active, and each refusal with its field and way out."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.errors import InvalidArgument
from wazir.domain.parameters import Value, same
from wazir.domain.space import (
    MAX_INTEGER,
    MAX_VALUES,
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

from .strategies import kinds, spaces

LOG, REVERSE_LOG = Scale.LOG, Scale.REVERSE_LOG


def refused(make: Callable[[], object]) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as refusal:
        make()
    return refusal.value


# One parameter


@pytest.mark.parametrize(
    ("kind", "field", "says"),
    [
        (Double(1.0, 1.0), "min", "less than max"),
        (Double(2.0, 1.0), "min", "less than max"),
        (Double(math.nan, 1.0), "min", "finite"),
        (Double(0.0, math.inf), "max", "finite"),
        (Double(0, 10**400), "max", "finite"),
        (Double(True, 2.0), "min", "finite number"),
        (Double(-1e308, 1e308), "max", "max - min"),
        (Double(0.0, 1.0, LOG), "min", "scale log needs min above 0"),
        (Double(-1.0, 1.0, REVERSE_LOG), "min", "scale reverse_log needs min above 0"),
        (Double(0.0, 1.0, step=0.0), "step", "above 0"),
        (Double(0.0, 1.0, step=-0.1), "step", "above 0"),
        (Double(0.0, 1.0, step=math.nan), "step", "above 0"),
        (Double(0.0, 1.0, step=1.5), "step", "at most max - min"),
        (Double(0.1, 1.0, LOG, step=0.1), "step", "scale linear only"),
        (Double(1e16, 1e16 + 100, step=0.5), "step", "too small"),
        (Double(0.0, 1.0, step=1e-300), "step", "too small"),
        (Integer(3, 3), "min", "less than max"),
        (Integer(0, 8, LOG), "min", "scale log needs min above 0"),
        (Integer(1, 8, step=0), "step", "above 0"),
        (Integer(1, 8, step=8), "step", "at most max - min"),
        (Integer(1, 8, LOG, step=2), "step", "scale linear only"),
        (Integer(1.5, 8), "min", "whole number"),  # type: ignore[arg-type]  # what an untyped caller may give
        (Integer(False, 8), "min", "whole number"),
        (Integer(0, 2**63), "max", "64 bits"),
        (Discrete(()), "values", "1 to 10000"),
        (Discrete((2, 1)), "values", "ascending"),
        (Discrete((1, 1.0)), "values", "distinct"),
        (Discrete((True, 2)), "values", "finite numbers"),
        (Discrete((1.0, math.inf)), "values", "finite numbers"),
        (Discrete((0, 1), LOG), "values", "values above 0"),
        (Discrete((1, 2**63)), "values", "64 bits"),
        (Categorical(()), "values", "1 to 10000"),
        (Categorical(tuple(range(MAX_VALUES + 1))), "values", "1 to 10000"),
        (Categorical(("a", "b", "a")), "values", "appears twice"),
        (Categorical((0.0, -0.0)), "values", "appears twice"),
        (Categorical((math.nan,)), "values", "finite"),
        (Categorical((None,)), "values", "strings, booleans"),  # type: ignore[arg-type]  # see above
        (Categorical(("a" * 1_001,)), "values", "1000 characters"),
        (Categorical(("a\0b",)), "values", "zero byte"),
        (Categorical((2**63,)), "values", "64 bits"),
    ],
    ids=repr,
)
def test_a_range_or_list_that_makes_no_sense_is_refused(kind: Kind, field: str, says: str) -> None:
    error = refused(lambda: Parameter("lr", kind))
    assert error.field == f"parameters.lr.{field}"
    assert says in str(error)


@pytest.mark.parametrize("name", ["", "a" * 129, "a\nb", "a`b", "\x7f"])
def test_a_name_must_be_printable_and_fit_into_backquotes(name: str) -> None:
    assert "printable" in str(refused(lambda: Parameter(name, Double(0.0, 1.0))))


def test_one_and_true_and_their_text_are_different_categories() -> None:
    kind = Parameter("x", Categorical((1, 1.0, True, "1"))).kind
    for value in (1, 1.0, True, "1"):
        assert same(kind.coerce(value), value)


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        (Double(0.0, 2.0), 1, 1.0),
        (Double(0.1, 1.0, step=0.1), 0.30000000000000004, 0.3),
        (Double(0.0, 1.0, step=0.3), 0.9, 0.9),
        (Integer(0, 10), 4.0, 4),
        (Integer(1, MAX_INTEGER), MAX_INTEGER, MAX_INTEGER),
        (Discrete((1, 2.5)), 1.0, 1),
        (Categorical(("a", True)), True, True),
    ],
    ids=repr,
)
def test_a_value_is_kept_as_its_parameter_keeps_it(kind: Kind, given: Value, kept: Value) -> None:
    assert same(kind.coerce(given), kept)


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        (Double(0.0, 1.0), 1.0000001, "lie in"),
        (Double(0.0, 1.0), True, "a number"),
        (Double(0.0, 1.0), "0.5", "a number"),
        (Double(0.0, 1.0), math.nan, "lie in"),
        (Double(0.0, 1.0), 10**400, "lie in"),
        (Double(0.0, 1.0, step=0.25), 0.3, "multiple of the step"),
        (Double(1e9, 2e9, step=0.5), 1e9 + 0.2, "multiple of the step"),
        (Double(0.0, 1.0, step=0.3), 1.0, "multiple of the step"),
        (Integer(0, 10), 4.5, "whole number"),
        (Integer(0, 10), math.inf, "whole number"),
        (Integer(0, 10), math.nan, "whole number"),
        (Integer(0, 10), False, "whole number"),
        (Integer(0, 10), 10**400, "lie in"),
        (Integer(0, 10, step=5), 4, "multiple of the step"),
        (Discrete((1, 2)), 3, "one of 1, 2"),
        (Discrete((1, 2)), True, "one of"),
        (Categorical((1, 2)), 1.0, "one of"),
        (Categorical(("1", "true", "adam")), 1, "one of '1', 'true', adam"),
    ],
    ids=repr,
)
def test_a_value_outside_is_refused_with_the_rule(kind: Kind, value: object, says: str) -> None:
    with pytest.raises(ValueError, match=r".+") as refusal:
        kind.coerce(value)
    assert says in str(refusal.value)


def test_a_default_is_kept_as_a_value_or_refused_as_one() -> None:
    assert same(Parameter("x", Double(0.0, 2.0), default=1).default, 1.0)  # type: ignore[arg-type]  # it is there
    error = refused(lambda: Parameter("x", Double(0.0, 2.0), default=3.0))
    assert error.field == "parameters.x.default"
    assert "[0.0, 2.0]" in str(error)


def test_a_false_default_is_a_default() -> None:
    space = Space((Parameter("nesterov", Categorical((True, False)), default=False), Parameter("n", Integer(0, 3), 0)))
    assert space.check({}) == {"nesterov": False, "n": 0}


@given(kinds(), st.data())
def test_every_value_of_a_countable_kind_is_one_that_it_keeps(kind: Kind, data: st.DataObject) -> None:
    size = kind.size
    if size is None:
        return
    value = kind.at(data.draw(st.integers(0, size - 1)))
    assert same(kind.coerce(value), value)


def test_steps_have_one_spelling_each_and_end_at_max() -> None:
    kind = Double(0.1, 0.5, step=0.1)
    assert [kind.at(i) for i in range(kind.size or 0)] == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert Double(0.0, 1.0, step=0.3).size == 4, "0.9 is the last"


# Conditions

OPT = Parameter("opt", Categorical(("sgd", "adam")))
WIDTH = Parameter("width", Double(0.5, 4.0))
LAYERS = Parameter("layers", Integer(1, 9, step=4))


def conditional(*conditions: Condition) -> Parameter:
    return Parameter("momentum", Double(0.0, 1.0), when=conditions)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        (Condition("optt", ("sgd",)), 'is not a parameter. Did you mean "opt"?'),
        (Condition("opt", ("sdg",)), "opt can never have this value: it must be one of sgd, adam"),
        (Condition("opt", min=0.0), "no order"),
        (Condition("opt"), "no order"),
        (Condition("width", (1.0,)), "never met exactly. Give a range"),
        (Condition("width"), "lists no values"),
        (Condition("width", min=4.5), "never holds: width lies in [0.5, 4.0]"),
        (Condition("width", max=0.4), "never holds"),
        (Condition("width", max=0.5), "never holds"),
        (Condition("width", min=3.0, max=2.0), "never holds"),
        (Condition("width", min=math.nan), "finite"),
        (Condition("width", max=math.inf), "finite"),
        (Condition("layers", (3,)), "layers can never have this value: it must be 1 plus a multiple of the step 4"),
        (Condition("layers", (5.0,)), "of another type"),
        (Condition("layers", min=6, max=8), "never holds"),
        (Condition("layers", (5,), min=1), "values and a range"),
    ],
    ids=str,
)
def test_a_condition_that_makes_no_sense_is_refused(condition: Condition, says: str) -> None:
    error = refused(lambda: Space((OPT, WIDTH, LAYERS, conditional(condition))))
    assert error.field.startswith(f"parameters.momentum.when.{condition.parent}")
    assert says in str(error)


@pytest.mark.parametrize(
    "condition",
    [
        Condition("width", min=4.0 - 1e-9),
        Condition("layers", min=5, max=5),
        Condition("layers", max=1),
        Condition("layers", min=8.5),
        Condition("layers", (1, 9)),
    ],
    ids=str,
)
def test_a_condition_that_can_hold_is_taken(condition: Condition) -> None:
    assert Space((WIDTH, LAYERS, conditional(condition))).parents == {condition.parent}


def test_one_parent_stands_once_in_a_when() -> None:
    twice = conditional(Condition("width", min=1.0), Condition("width", max=2.0))
    assert "Give a list of values" in str(refused(lambda: Space((WIDTH, twice))))


def test_parents_come_before_their_children_and_others_keep_their_order() -> None:
    child = conditional(Condition("opt", ("sgd",)))
    assert [p.name for p in Space((child, WIDTH, OPT)).parameters] == ["width", "opt", "momentum"]
    assert [p.name for p in Space((WIDTH, OPT, child)).parameters] == ["width", "opt", "momentum"]


def flag(name: str, *parents: str) -> Parameter:
    return Parameter(name, Categorical((True, False)), when=tuple(Condition(p, (True,)) for p in parents))


@pytest.mark.parametrize(
    ("parameters", "circle"),
    [
        ([flag("a", "a")], {"a"}),
        ([flag("a", "b"), flag("b", "a")], {"a", "b"}),
        ([flag("root"), flag("a", "root", "b"), flag("b", "c"), flag("c", "a")], {"a", "b", "c"}),
        # the way to the circle passes parameters that are no part of it, and conditional ones that are sound
        ([flag("root"), flag("mid", "root"), flag("a", "mid", "b"), flag("b", "mid", "a")], {"a", "b"}),
        ([flag("leaf", "a"), flag("a", "b"), flag("b", "a")], {"a", "b"}),
    ],
)
def test_a_circle_of_conditions_is_named(parameters: list[Parameter], circle: set[str]) -> None:
    error = refused(lambda: Space(tuple(parameters)))
    shown = str(error).partition('"')[2].partition('"')[0].split(" -> ")
    assert set(shown) == circle
    assert shown[0] == shown[-1]
    assert error.field == f"parameters.{shown[0]}.when"


def test_what_its_parents_rule_out_is_never_active_and_refused() -> None:
    """`nesterov` needs opt = adam, and momentum, which needs opt = sgd."""
    momentum = conditional(Condition("opt", ("sgd",)))
    nesterov = Parameter(
        "nesterov", Categorical((True, False)), when=(Condition("momentum", min=0.5), Condition("opt", ("adam",)))
    )
    error = refused(lambda: Space((OPT, momentum, nesterov)))
    assert error.field == "parameters.nesterov.when"
    assert "opt = adam and opt = sgd" in str(error)


@pytest.mark.parametrize(
    ("parent", "first", "second", "possible"),
    [
        (WIDTH, {"min": 2.0}, {"max": 1.0}, False),
        (WIDTH, {"min": 1.0}, {"max": 2.0}, True),
        (LAYERS, {"min": 2}, {"max": 4}, False),
        (LAYERS, {"min": 2}, {"max": 5}, True),
        (LAYERS, {"values": (1, 5)}, {"min": 6}, False),
        (LAYERS, {"values": (1, 5)}, {"values": (5, 9)}, True),
        (Parameter("d", Discrete((1, 2.5, 7))), {"min": 1.5}, {"max": 2.0}, False),
        (Parameter("d", Discrete((1, 2.5, 7))), {"min": 1.5}, {"max": 2.5}, True),
        (Parameter("s", Double(0.0, 1.0, step=0.25)), {"min": 0.3}, {"max": 0.4}, False),
        (Parameter("s", Double(0.0, 1.0, step=0.25)), {"min": 0.3}, {"max": 0.5}, True),
    ],
)
def test_conditions_of_a_child_and_its_parent_are_held_together(
    parent: Parameter, first: dict[str, object], second: dict[str, object], possible: bool
) -> None:
    def make() -> Space:
        a = Parameter("a", Categorical((True,)), when=(Condition(parent.name, **first),))  # type: ignore[arg-type]
        b = Condition(parent.name, **second)  # type: ignore[arg-type]  # the table's words are the fields
        return Space((parent, a, Parameter("b", Double(0.0, 1.0), when=(Condition("a", (True,)), b))))

    if possible:
        make()
    else:
        assert refused(make).field == "parameters.b.when"


# Spaces and points


def test_two_parameters_of_one_name_are_refused() -> None:
    error = refused(lambda: Space((OPT, WIDTH, OPT)))
    assert (error.field, error.rule) == ("parameters.opt", "appears twice")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("width * layer < 3", "'layer' is not a parameter. Did you mean \"layers\"?"),
        ("width <", "column"),
        ("__import__('os')", "column"),
    ],
)
def test_a_constraint_that_is_none_is_refused_by_its_place(text: str, says: str) -> None:
    error = refused(lambda: Space((WIDTH, LAYERS), ("width < 3", text)))
    assert error.field == "constraints[1]"
    assert says in str(error)


SPACE = Space(
    (
        OPT,
        conditional(Condition("opt", ("sgd",))),
        LAYERS,
        Parameter("drop", Double(0.0, 0.5), default=0.1, when=(Condition("layers", min=5),)),
    ),
    ("drop * layers <= 2",),
)


@pytest.mark.parametrize(
    ("point", "kept"),
    [
        ({"layers": 1, "opt": "adam"}, {"opt": "adam", "layers": 1}),
        ({"opt": "sgd", "momentum": 1, "layers": 1.0}, {"opt": "sgd", "momentum": 1.0, "layers": 1}),
        ({"opt": "adam", "layers": 5}, {"opt": "adam", "layers": 5, "drop": 0.1}),
    ],
)
def test_a_point_is_put_in_order_with_its_defaults(point: dict[str, Value], kept: dict[str, Value]) -> None:
    checked = SPACE.check(point)
    assert list(checked.items()) == list(kept.items())


@pytest.mark.parametrize(
    ("point", "field", "says"),
    [
        ({"opt": "adam", "layers": 1, "lr": 1}, "parameters.lr", "no such parameter"),
        ({"opt": "adam", "layers": 1, "momentum": 0.5}, "parameters.momentum", "not active here: it needs opt = sgd"),
        ({"opt": "adam", "layers": 1, "drop": 0.5}, "parameters.drop", "it needs 5 <= layers"),
        ({"opt": "sgd", "layers": 1}, "parameters.momentum", "is missing"),
        ({"opt": "adam", "layers": 2}, "parameters.layers", "multiple of the step"),
        ({"opt": "adam", "layers": 9, "drop": 0.5}, "parameters", "breaks the constraint"),
    ],
)
def test_a_wrong_point_is_refused_by_its_field(point: dict[str, Value], field: str, says: str) -> None:
    error = refused(lambda: SPACE.check(point))
    assert error.field == field
    assert says in str(error)


def test_a_constraint_on_an_inactive_parameter_does_not_apply() -> None:
    assert SPACE.satisfies({"opt": "adam", "layers": 1})
    assert not SPACE.satisfies({"opt": "adam", "layers": 9, "drop": 0.5})


def test_conditions_go_to_any_depth() -> None:
    chain = tuple(flag(f"p{i}", *([f"p{i - 1}"] if i else [])) for i in range(50))
    space = Space(tuple(reversed(chain)))
    point: dict[str, Value] = {f"p{i}": True for i in range(50)}
    assert space.check(point) == point
    assert refused(lambda: space.check({**point, "p10": False})).field == "parameters.p11"


@given(spaces(), st.data())
def test_what_is_active_lies_in_its_range_and_what_is_not_is_not_there(space: Space, data: st.DataObject) -> None:
    point: dict[str, Value] = {}
    for parameter in space.parameters:
        if space.is_active(parameter, point):
            kind = parameter.kind
            index = data.draw(st.integers(0, (kind.size or 1) - 1))
            point[parameter.name] = kind.min if isinstance(kind, Double) else kind.at(index)
    if space.satisfies(point):
        assert space.check(point) == point
        for name in point:
            if space.by_name[name].default is None:
                rest = {n: v for n, v in point.items() if n != name}
                with pytest.raises(InvalidArgument, match="is missing"):
                    space.check(rest)
