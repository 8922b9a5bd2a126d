"""The hull of two definitions, and conditions learned from what trials asked for."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wazir.domain.growing import fitted, hull
from wazir.domain.learning import Asked, contradicted, learned
from wazir.domain.parameters import Parameters, Value
from wazir.domain.space import Categorical, Discrete, Double, Integer, Kind, Parameter, Scale, Space

examples = settings(max_examples=60)

ranges = st.one_of(
    st.builds(
        lambda low, width, step: Integer(low, low + width, step=min(step, width)),
        st.integers(-5, 5),
        st.integers(1, 9),
        st.integers(1, 4),
    ),
    st.builds(lambda value: Discrete((value,)), st.integers(-5, 5)),
)
choices = st.builds(
    lambda values: Categorical(tuple(values)),
    st.lists(st.sampled_from(["a", 1, True, 1.0, "1"]), min_size=1, unique_by=repr),
)


def values(kind: Kind) -> list[Value]:
    assert kind.size is not None
    return [kind.at(i) for i in range(kind.size)]


@examples
@given(st.one_of(st.tuples(ranges, ranges), st.tuples(choices, choices)))
def test_the_hull_has_the_values_of_both(pair: tuple[Kind, Kind]) -> None:
    joined = hull(*pair)
    Parameter("x", joined)  # which checks it
    for kind in pair:
        assert all(repr(fitted(joined, value)) == repr(value) for value in values(kind))
        assert hull(joined, kind) == joined


@pytest.mark.parametrize(
    ("known", "asked", "joined"),
    [
        (Integer(1, 5), Integer(1, 8), Integer(1, 8)),
        (Integer(0, 8, step=4), Integer(2, 8, step=2), Integer(0, 8, step=2)),
        (Integer(1, 5, Scale.LOG), Discrete((8,)), Integer(1, 8, Scale.LOG)),
        (Discrete((3,)), Discrete((3,)), Discrete((3,))),
        (Discrete((0.5,)), Discrete((1.5,)), Double(0.5, 1.5)),
        (Double(0.0, 1.0, step=0.1), Double(0.2, 2.0, step=0.1), Double(0.0, 2.0, step=0.1)),
        (Double(0.0, 1.0, step=0.1), Double(0.25, 2.0, step=0.1), Double(0.0, 2.0)),
        (Double(0.0, 1.0, step=0.1), Double(0.0, 1.0), Double(0.0, 1.0)),
        (Double(0.1, 1.0, Scale.LOG), Double(0.01, 0.5, Scale.LOG), Double(0.01, 1.0, Scale.LOG)),
    ],
)
def test_the_hull_is_the_least_such_definition(known: Kind, asked: Kind, joined: Kind) -> None:
    assert hull(known, asked) == joined


# Conditions

Code = Callable[[Callable[[str, Kind], Value]], None]
BOTH = Categorical((True, False))


def tree(ask: Callable[[str, Kind], Value]) -> None:
    ask("rate", Double(0.0, 1.0))
    clf = ask("clf", Categorical(("svc", "rf", "mlp")))
    if clf == "svc":
        ask("c", Double(0.0, 1.0))
        if ask("kernel", Categorical(("rbf", "poly", "linear"))) == "poly":
            ask("degree", Integer(2, 5))
    elif clf == "rf":
        ask("depth", Integer(2, 8))


def loop(ask: Callable[[str, Kind], Value]) -> None:
    for i in range(int(ask("layers", Integer(1, 4)))):
        ask(f"units_{i}", Integer(4, 64))


def flat(ask: Callable[[str, Kind], Value]) -> None:
    x, a, b = ask("x", Double(0.0, 1.0)), ask("a", BOTH), ask("b", BOTH)
    if a and b:
        ask("both", Double(0.0, 1.0))
    if float(x) > 0.5:
        ask("far", Double(0.0, 1.0))


def listed(ask: Callable[[str, Kind], Value]) -> None:
    if ask("n", Integer(1, 4)) in (1, 4):
        ask("ends", Double(0.0, 1.0))


def product(ask: Callable[[str, Kind], Value]) -> None:
    if int(ask("a", Integer(1, 4))) * int(ask("b", Integer(1, 4))) in (4, 6, 9):
        ask("c", Double(0.0, 1.0))


class _Random:
    """Gives random values."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.point: dict[str, Value] = {}
        self.kinds: dict[str, Kind] = {}

    def __call__(self, name: str, kind: Kind) -> Value:
        self.kinds[name] = kind
        drawn = self._rng.uniform(kind.min, kind.max) if isinstance(kind, Double) else self._rng.choice(values(kind))
        self.point[name] = drawn
        return drawn


def studied(code: Code, seed: int, trials: int = 80) -> tuple[Space, list[Asked]]:
    """The space after that many trials with random values, learned from as the service does."""
    rng = random.Random(seed)
    space: Space | None = None
    told: list[Asked] = []
    for _ in range(trials):
        asked = _Random(rng)
        code(asked)
        point, kinds = asked.point, asked.kinds
        known = space.parameters if space else ()
        new = [Parameter(n, k) for n, k in kinds.items() if space is None or n not in space.by_name]
        space = Space((*known, *new))
        told.append(Asked(point, whole=True))
        names = {*contradicted(space, told[-1]), *(p.name for p in new)}
        space = learned(space, names, told) if names else space
    assert space is not None
    return space, told


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    ("code", "when"),
    [
        (tree, {"c": "clf = svc", "kernel": "clf = svc", "degree": "kernel = poly", "depth": "clf = rf"}),
        (loop, {"units_1": "2 <= layers", "units_2": "3 <= layers", "units_3": "4 <= layers"}),
        (flat, {"both": "a = true and b = true"}),
        (listed, {"ends": "n = 1 or 4"}),
        (product, {"c": ""}),
    ],
)
def test_conditions_are_learned(code: Code, when: dict[str, str], seed: int) -> None:
    space, told = studied(code, seed)
    found = {p.name: " and ".join(map(str, p.when)) for p in space.parameters if p.when or p.name in when}
    far = found.pop("far", None)
    assert found == when
    if code is flat:
        assert far is not None
        (condition,) = space.by_name["far"].when
        assert condition.min == pytest.approx(0.5, abs=0.1)
    if code is not product:
        assert not any(contradicted(space, asked) for asked in told)


@examples
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=6), st.integers(0, 99))
def test_what_is_learned_holds_in_every_trial_that_asked(gates: list[tuple[int, int]], seed: int) -> None:
    """Each gate asks for a parameter of its own if an earlier one has a value of its own."""

    def code(ask: Callable[[str, Kind], Value]) -> None:
        seen: dict[str, Value] = {"p0": ask("p0", Integer(0, 3))}
        for i, (parent, value) in enumerate(gates, start=1):
            if seen.get(f"p{parent % i}", -1) == value or value == 3:
                seen[f"p{i}"] = ask(f"p{i}", Integer(0, 3))

    space, told = studied(code, seed, trials=40)
    for asked in told:
        wrong = set(contradicted(space, asked))
        assert not wrong & asked.parameters.keys()
        assert not wrong, "each of these conditions can be expressed"


def test_trials_that_did_not_come_to_their_end_say_nothing_of_what_they_lack() -> None:
    space = Space((Parameter("a", BOTH), Parameter("x", Double(0.0, 1.0))))
    told: list[tuple[Parameters, bool]] = [({"a": True, "x": 0.5}, True), ({"a": False}, False)]
    trials = [Asked(parameters, whole=whole) for parameters, whole in told]
    assert contradicted(space, trials[1]) == []
    assert learned(space, {"x"}, trials) == space
