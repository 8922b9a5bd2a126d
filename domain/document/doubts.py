"""Warnings about a document: what is valid and perhaps not meant. It is reported and never refused."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..errors import InvalidArgument
from ..numbers import as_typed
from .amounts import format_duration

FEW = 10
"""A range of fewer whole numbers than this is doubtful, unless the document says that it is one of whole numbers."""

_IN_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, slots=True)
class Doubt:
    """`rule` says what the value means, `fix` how to say something else."""

    field: str
    value: object
    rule: str
    fix: str

    def __str__(self) -> str:
        return InvalidArgument(self.field, self.value, self.rule).message + f"; {self.fix}"


def doubts(document: Mapping[str, object]) -> list[Doubt]:
    """Of a document that `from_document` takes, in its order."""
    parameters = document.get("parameters")
    found: list[Doubt] = []
    for name, entry in parameters.items() if isinstance(parameters, Mapping) else ():
        if isinstance(entry, Mapping):
            found.extend(_of_parameter(f"parameters.{name}", str(name), entry))
    return found


def bare_durations(document: Mapping[str, object]) -> dict[str, str]:
    """How each duration that is written without a unit is read, by its path: `{"trial.timeout": "12 s"}`."""
    read: dict[str, str] = {}
    for section, keys in (("trial", ("timeout", "grace", "start_timeout")), ("budget", ("duration",))):
        entries = document.get(section)
        if not isinstance(entries, Mapping):
            continue
        for key in keys:
            seconds = entries.get(key)
            if isinstance(seconds, int | float) and not isinstance(seconds, bool):
                read[f"{section}.{key}"] = _seconds(seconds)
    return read


def _of_parameter(where: str, name: str, entry: Mapping[str, object]) -> Iterator[Doubt]:
    if "type" in entry:
        return
    values = entry.get("values")
    if isinstance(values, list | tuple) and values and all(_typed_as_text(value) for value in values):
        rule = f"the values of {name} are texts, which have no order"
        yield Doubt(f"{where}.values", values, rule, "write numbers without quotes, or give it the type categorical")

    low, high = entry.get("min"), entry.get("max")
    numbers = (low, high, entry.get("default", 0))
    # A step says already that the values between are not wanted.
    if "step" in entry or not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
        return
    assert isinstance(low, int)
    assert isinstance(high, int)
    if high - low + 1 < FEW:
        listed = [str(value) for value in range(low, high + 1)]
        rule = f"{name} has {_IN_WORDS[len(listed)]} values, {', '.join(listed[:-1])} and {listed[-1]}"
        fix = f"write {low}.0 and {high}.0 for the numbers between, or give it the type int"
        yield Doubt(where, {"min": low, "max": high}, rule, fix)


def _typed_as_text(value: object) -> bool:
    return isinstance(value, str) and as_typed(value) is not None


def _seconds(seconds: int | float) -> str:
    spelled = format_duration(seconds)
    same = not isinstance(spelled, str) or spelled == f"{int(seconds)}s"
    return f"{seconds} s" if same else f"{seconds} s, that is {spelled}"
