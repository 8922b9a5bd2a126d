"""Hypothesis strategies for search spaces and for what became of the trials in them, shared by all tests of algorithms.

The domain's own strategies make parameters of every kind; here they are put together with conditions at any depth and
constraints that bind. `small=True` makes spaces of which every point can be listed.
"""

from __future__ import annotations

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from wazir.domain.errors import InvalidArgument
from wazir.domain.metric import Goal, Objective
from wazir.domain.parameters import Parameters
from wazir.domain.space import Categorical, Discrete, Double, Integer, Kind, Parameter, Scale, Space
from wazir.suggestion.designer import Observation, Outcome, Problem
from wazir.suggestion.space.sampling import sample

from .domain.strategies import conditions, kinds, words

objectives = st.builds(Objective, st.just("loss"), st.sampled_from(Goal))
fractions = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])
seeds = st.integers(0, 2**63 - 1)

small_kinds: st.SearchStrategy[Kind] = st.one_of(
    st.builds(lambda low, n: Integer(low, low + n), st.integers(-3, 3), st.integers(1, 4)),
    st.builds(lambda low, n: Integer(low, low + n, Scale.LOG), st.integers(1, 3), st.integers(1, 4)),
    st.builds(lambda low, n: Integer(low, low + 2 * n, step=2), st.integers(-3, 3), st.integers(1, 3)),
    st.builds(lambda n: Double(0.1, 0.1 + 0.1 * n + 0.05, step=0.1), st.integers(1, 4)),
    st.sampled_from([Discrete((1, 2.5, 4)), Discrete((7,)), Discrete((0.5, 1, 32), Scale.LOG)]),
    st.sampled_from([Categorical((False, True)), Categorical(("a", "b", "c")), Categorical((1, 1.0, True, "1"))]),
)
"""Kinds with at most five values."""


def middling(kind: Kind) -> float | None:
    """A number with values of `kind` on both sides or at it; None where values have no order."""
    if isinstance(kind, Categorical):
        return None
    if isinstance(kind, Discrete):
        return kind.values[len(kind.values) // 2]
    return kind.at(kind.size // 2) if kind.size is not None else kind.min + (kind.max - kind.min) / 2


@st.composite
def spaces(draw: st.DrawFn, *, small: bool = False, constrained: bool = True) -> Space:
    """Up to five parameters; conditions on any of those before, so children have children and several parents."""
    parameters: list[Parameter] = []
    for name in draw(st.lists(words, min_size=1, max_size=3 if small else 5, unique=True)):
        kind = draw(small_kinds if small else kinds())
        parents = (
            draw(st.lists(st.sampled_from(parameters), max_size=2, unique_by=lambda p: p.name)) if parameters else []
        )
        default = sample(Space((Parameter("x", kind),)), np.array([draw(fractions)]))["x"]
        has_default = draw(st.booleans())
        when = tuple(draw(conditions(p)) for p in parents)
        parameters.append(Parameter(name, kind, default if has_default else None, when))
    numbers = [(p.name, m) for p in parameters if (m := middling(p.kind)) is not None]
    constraints: list[str] = []
    if constrained and numbers:
        for name, middle in draw(st.lists(st.sampled_from(numbers), max_size=2, unique_by=lambda n: n[0])):
            other, least = draw(st.sampled_from(numbers))
            constraints.append(
                draw(st.sampled_from([f"`{name}` <= {middle!r}", f"`{name}` <= {middle!r} or `{other}` >= {least!r}"]))
            )
    try:
        return Space(tuple(parameters), tuple(constraints))
    except InvalidArgument:
        # Conditions on a parameter and on its own parent may contradict each other, which a space refuses.
        assume(False)
        raise


@st.composite
def points(draw: st.DrawFn, space: Space) -> Parameters:
    """Of the space; constraints are not looked at."""
    return sample(space, np.array([draw(fractions) for _ in space.parameters]))


@st.composite
def histories(draw: st.DrawFn, space: Space, max_size: int = 12) -> list[Observation]:
    """Trials in that space, in any state and not in order of their ids; some of the same point."""
    pool = draw(st.lists(points(space), min_size=1, max_size=6))
    observations = []
    for number in draw(st.lists(st.integers(1, 99), max_size=max_size, unique=True)):
        outcome = draw(st.sampled_from(Outcome))
        values = (draw(st.floats(-1e6, 1e6)),) if outcome is Outcome.MEASURED else ()
        counted = outcome is not Outcome.FAILED and (outcome is not Outcome.UNKNOWN or draw(st.booleans()))
        end_time = None if outcome is Outcome.PENDING else draw(st.floats(0, 2e9))
        timed_out = outcome is Outcome.FAILED and draw(st.booleans())
        seconds = draw(st.floats(0, 1e9)) if timed_out or values else None
        point = draw(st.sampled_from(pool))
        about = number, point, outcome, values, end_time, counted
        observations.append(Observation(*about, seconds=seconds, timed_out=timed_out))
    return observations


@st.composite
def problems(draw: st.DrawFn, *, small: bool = False) -> Problem:
    space = draw(spaces(small=small))
    trials = draw(st.none() | st.integers(1, 1_000))
    return Problem(space, (draw(objectives),), trials=trials, repeats=draw(st.integers(1, 2 if small else 3)))
