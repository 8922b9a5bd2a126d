"""How much room what people hand in takes, in bytes: by it pages end, and owners are counted against their quotas.

It is counted in characters, most of which are one byte, plus what a row and its numbers take. So it need not be stored
beside a record, and costs a microsecond.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .attempt import Attempt
from .study import Study
from .trial import Trial

ROW = 400
"""Bytes that a trial takes with nothing in it but a few parameters."""
ATTEMPT = 100
NUMBER = 12
"""Of a value, with what separates it from others."""
MEASUREMENT = 100
"""Bytes of one value of one metric at one step, with its place in two indexes."""


def size_of(trial: Trial) -> int:
    size = ROW + _of_values(trial.parameters) + len(trial.reason)
    if trial.metadata:
        size += size_of_texts(trial.metadata)
    if trial.labels:
        size += size_of_texts(trial.labels)
    if trial.final:
        size += _of_values(trial.final)
    for attempt in trial.attempts:
        size += _of_attempt(attempt)
    return size


def growth(before: Trial, after: Trial) -> int:
    """By how much a changed trial has become larger. It looks at what has changed, because every call asks for it."""
    size = len(after.reason) - len(before.reason)
    if after.parameters is not before.parameters:
        size += _of_values(after.parameters) - _of_values(before.parameters)
    if after.metadata is not before.metadata:
        size += size_of_texts(after.metadata) - size_of_texts(before.metadata)
    if after.final is not before.final:
        size += _of_values(after.final or {}) - _of_values(before.final or {})
    if after.attempts is not before.attempts and after.attempts:
        # Earlier ones never change.
        size += _of_attempt(after.attempts[-1])
        if len(after.attempts) == len(before.attempts):
            size -= _of_attempt(before.attempts[-1])
    return size


def size_of_study(study: Study) -> int:
    """The study's own row, without its trials. Its specification counts by what it lists."""
    spec = study.spec
    size = ROW + len(study.memo) + len(study.reason) + size_of_texts(study.metadata)
    if spec.space is not None:
        size += sum(map(len, spec.space.constraints))
        for parameter in spec.space.parameters:
            listed: Iterable[object] = getattr(parameter.kind, "values", ())
            size += len(parameter.name) + NUMBER + sum(map(_of_value, listed))
    if spec.trial is not None:
        size += sum(map(len, spec.trial.command)) + sum(map(len, spec.trial.args)) + size_of_texts(spec.trial.env)
    return size


def _of_attempt(attempt: Attempt) -> int:
    size = ATTEMPT + len(attempt.message) + len(attempt.log_tail) + len(attempt.log_path) + len(attempt.infeasible)
    if attempt.devices:
        size += sum(map(len, attempt.devices))
    return size + len(attempt.why) + len(attempt.holder) + len(attempt.node)


def _of_values(values: Mapping[str, object]) -> int:
    size = 0
    for name, value in values.items():
        size += len(name) + (len(value) if type(value) is str else NUMBER)
    return size


def _of_value(value: object) -> int:
    return len(value) if isinstance(value, str) else NUMBER


def size_of_texts(texts: Mapping[str, str]) -> int:
    return sum(len(key) + len(text) for key, text in texts.items())
