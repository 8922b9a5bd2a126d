"""A specification beyond a limit is refused before anything of it is parsed, in words that name the limit."""

from __future__ import annotations

from typing import Any

import pytest

from wazir.domain import limits
from wazir.domain.errors import InvalidArgument
from wazir.domain.limits import ParameterSize, check_limits
from wazir.domain.metric import Goal, Objective, SafetyMetric
from wazir.domain.space import Categorical, Condition, Double, Integer, Parameter, Space
from wazir.domain.study import StudySpec
from wazir.proto.v1 import study_pb2
from wazir.proto.v1 import types_pb2 as types
from wazir.wire import limits as wire
from wazir.wire.scalars import value_to_wire
from wazir.wire.study import spec_to_wire

X = Parameter("x", Double(0.0, 1.0))
LOSS = Objective("loss", Goal.MINIMIZE)


def message(*parameters: types.Parameter, constraints: tuple[str, ...] = ()) -> study_pb2.StudySpec:
    return study_pb2.StudySpec(space=types.Space(parameters=parameters, constraints=constraints))


def listing(name: str, count: int, when: dict[str, int] | None = None) -> types.Parameter:
    parameter = types.Parameter(name=name)
    parameter.categorical.values.extend(value_to_wire(i) for i in range(count))
    for parent, named in (when or {}).items():
        parameter.when.add(parent=parent, values=[value_to_wire(i) for i in range(named)])
    return parameter


NONSENSE = "no constraint ("
"""If it were parsed before it is counted, the error would be another one."""

BEYOND: dict[str, tuple[study_pb2.StudySpec, str]] = {
    "constraints": (message(constraints=(NONSENSE,) * 101), r"constraints = 101: at most 100 are possible"),
    "one constraint": (
        message(constraints=("x" * 1_001,)),
        r"constraints\[0\].*at most 1000 characters, this one 1001",
    ),
    "all constraints": (message(constraints=("x" * 999,) * 21), r"20979 characters.*at most 20000 characters"),
    "parameters": (message(*[types.Parameter(name="p")] * 1_001), r"parameters = 1001: at most 1000 are possible"),
    "values": (message(listing("a", 10_001), listing("b", 10_000)), r"20001 values.*at most 20000 values"),
    "values of conditions": (message(listing("a", 10_000), listing("b", 1, {"a": 10_000})), r"20001 values"),
    "conditions": (
        message(*[listing("p", 1, {f"q{i}": 1 for i in range(3)})] * 667),
        r"2001 conditions.*at most 2000 are possible",
    ),
    "comparisons": (
        message(listing("a", 5_000), listing("b", 1, {"a": 1_001})),
        r"takes 5005000 comparisons, and 5000000 are the most",
    ),
    "bytes": (
        study_pb2.StudySpec(trial=types.TrialTemplate(command=["x" * 2**20])),
        r"a specification has at most 1048576 bytes",
    ),
    "objectives": (study_pb2.StudySpec(objectives=[types.Objective()] * 33), r"objectives = 33: at most 32"),
    "safety": (study_pb2.StudySpec(safety=[types.SafetyMetric()] * 101), r"safety = 101: at most 100"),
}


@pytest.mark.parametrize("what", BEYOND)
def test_a_message_beyond_a_limit_is_refused_before_it_is_translated(what: str) -> None:
    spec, told = BEYOND[what]
    with pytest.raises(InvalidArgument, match=told):
        wire.check_limits(spec)


OVERFULL: dict[str, dict[str, Any]] = {
    "constraints": {"space": Space((X,), ("x < 1",) * 101)},
    "all constraints": {"space": Space((X,), (" and ".join(["x < 1"] * 90),) * 30)},
    "objectives": {"space": None, "objectives": tuple(Objective(f"m{i}", Goal.MINIMIZE) for i in range(33))},
    "safety": {"space": None, "safety": tuple(SafetyMetric(f"m{i}", at_least=0) for i in range(101))},
    "comparisons": {
        "space": Space(
            (
                Parameter("n", Integer(1, 10**12)),
                *(Parameter(f"p{i}", Double(0, 1), when=(Condition("n", (i + 1,)),)) for i in range(501)),
            )
        )
    },
}


@pytest.mark.parametrize("what", OVERFULL)
def test_so_is_a_study_file(what: str) -> None:
    spec = StudySpec(**{"objectives": (LOSS,)} | OVERFULL[what])
    with pytest.raises(InvalidArgument, match="most"):
        check_limits(spec)


def test_specifications_of_people_are_far_below_the_limits() -> None:
    parents = Parameter("opt", Categorical(("sgd", "adam", "lamb")))
    children = [Parameter(f"p{i}", Double(0, 1), when=(Condition("opt", ("sgd",)),)) for i in range(200)]
    spec = StudySpec((LOSS,), Space((parents, *children), tuple(f"p{i} < p{i + 1} * 2" for i in range(99))))
    check_limits(spec)
    wire.check_limits(spec_to_wire(spec))


def test_a_stored_study_beyond_a_limit_is_still_read() -> None:
    """Limits are for who hands a specification in, and may be lowered without anything getting lost."""
    assert len(Space((X,), ("x < 1",) * (limits.MAX_CONSTRAINTS + 1)).rules) == 101


def test_what_is_counted_of_a_parameter() -> None:
    listed = Parameter("kind", Categorical(("a", "b")), when=(Condition("opt", ("sgd", "adam")), Condition("n", min=1)))
    assert ParameterSize.of(listed) == ParameterSize("kind", 2, 2, [("opt", 2), ("n", 0)])
    assert ParameterSize.of(X) == ParameterSize("x", 0, None, [])
