"""The limits of a specification, looked at while it is still a message: nothing of it is parsed or made before."""

from __future__ import annotations

from collections.abc import Sized

from ..domain.limits import (
    ParameterSize,
    check_constraint_counts,
    check_metric_counts,
    check_parameter_counts,
    check_spec_bytes,
)
from ..proto.v1 import study_pb2
from ..proto.v1 import types_pb2 as types

_UNCOUNTED = 2**63


def check_limits(message: study_pb2.StudySpec) -> None:
    """Raises InvalidArgument naming the limit."""
    check_spec_bytes(message.ByteSize())
    check_metric_counts(len(message.objectives), len(message.safety))
    check_constraint_counts(message.space.constraints)
    check_parameter_counts(map(_size, message.space.parameters))


def _size(message: types.Parameter) -> ParameterSize:
    values = _values(message)
    return ParameterSize(
        message.name,
        0 if values is None else len(values),
        _UNCOUNTED if values is None else len(values),
        [(condition.parent, len(condition.values)) for condition in message.when],
    )


def _values(message: types.Parameter) -> Sized | None:
    """None of a parameter that lists none."""
    match message.WhichOneof("kind"):
        case "discrete":
            return message.discrete.values
        case "categorical":
            return message.categorical.values
    return None
