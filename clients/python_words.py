"""Errors in the words of Python callers: `trials=`, where a study file says `budget.trials`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from ..domain.errors import InvalidArgument, SpecChanged, WazirError

ARGUMENTS = {
    "budget.trials": "trials",
    "budget.parallel": "parallel",
    "budget.failed": "failed",
    "budget.duration": "duration",
    "budget.gpu_hours": "gpu_hours",
    "algorithm.name": "algorithm",
    "algorithm.seed": "seed",
    "stopping.name": "stopping",
    "trial.parameters": "params",
}
"""Fields of study files and requests, and the arguments of Python's calls that they come from."""

SUGGESTED = {
    "For one fixed value write `values: [value]`": "For one fixed value give it as both",
    "Raise min or write `scale: linear`": "Raise low, or leave log=True out",
    "scale log needs min above 0": "log=True needs low above 0",
    "goes with scale linear only, not log": "does not go with log=True",
    "List the numbers under `values`": "List the numbers with suggest_categorical",
    "less than max": "less than high",
    "max - min": "high - low",
}
"""What the rules of a space say of a range, and what it is for the arguments of `suggest_*`."""

_BOUNDS = {"min": "low", "max": "high", "values": "choices"}

_FIELD = re.compile("|".join(re.escape(field) for field in ARGUMENTS))


def in_python(words: str) -> str:
    """`words` with the names of arguments in place of those of fields."""
    return _FIELD.sub(lambda found: ARGUMENTS[found[0]], words)


@contextmanager
def python_words() -> Iterator[None]:
    """Raises what is raised inside in the words of Python callers."""
    try:
        yield
    except (InvalidArgument, SpecChanged) as error:
        raise _translated(error) from None


@contextmanager
def suggest_words(name: str) -> Iterator[None]:
    """As `python_words`, for what is raised of the range or the choices of the parameter `name`."""
    try:
        yield
    except InvalidArgument as error:
        head, _, key = error.field.rpartition(".")
        field = f"{head}.{_BOUNDS[key]}" if head == f"parameters.{name}" and key in _BOUNDS else error.field
        said = _suggested(error.message.removeprefix(error.field))
        raise InvalidArgument.restore(field + said, field, error.details) from None


def _suggested(words: str) -> str:
    for ours, theirs in SUGGESTED.items():
        words = words.replace(ours, theirs)
    return words


def _translated(error: InvalidArgument | SpecChanged) -> WazirError:
    message = in_python(error.message)
    if isinstance(error, SpecChanged):
        message = message.partition(";")[0] + (
            "; a study keeps its search space and metrics for life. Give the changed one another name, or delete the "
            "old study first"
        )
    told = type(error).restore(message, in_python(error.field), error.details)
    if isinstance(error, InvalidArgument) and isinstance(told, InvalidArgument):
        told.rule, told.hint = error.rule, in_python(error.hint)
    return told
