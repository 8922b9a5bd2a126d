"""Rows to domain values and back, exactly."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Generic, TypeVar

from ..domain import fault
from ..domain.access import Role, Token
from ..domain.algorithm_status import AlgorithmStatus
from ..domain.attempt import Attempt, AttemptState, Cause
from ..domain.audit import AuditRecord, Outcome
from ..domain.document import from_document, to_document
from ..domain.names import StudyName, TrialName
from ..domain.parameters import digest
from ..domain.study import Counts, EndReason, Study, StudySpec, StudyState, Thinning
from ..domain.trial import Origin, Provenance, StopGoal, Trial, TrialState
from .derived import loss
from .store import Point

R = TypeVar("R")
Values = dict[str, Any]
"""Values by column."""

_TRIAL_STATES = {state.value: state for state in TrialState}
_ORIGINS = {origin.value: origin for origin in Origin}
_GOALS = {None: None} | {goal.value: goal for goal in StopGoal}


def _plain(value: object) -> object:
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} cannot be stored as JSON")


# ASCII, so that a lone surrogate (half a character, cut out of a log) is text that every database takes.
_encode = json.JSONEncoder(separators=(",", ":"), default=_plain).encode
_decode = json.JSONDecoder().decode


def to_text(mapping: Mapping[str, object]) -> str:
    """JSON text. Numbers keep their type and every digit; NaN and infinities are NaN, Infinity and -Infinity."""
    return _encode(mapping) if mapping else "{}"


def from_text(text: str) -> dict[str, Any]:
    mapping: dict[str, Any] = {} if text == "{}" else _decode(text)
    return mapping


def _with_shared_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {sys.intern(name): value for name, value in pairs}


_decode_parameters = json.JSONDecoder(object_pairs_hook=_with_shared_names).decode
"""The names are the same in all trials of a study, and many trials are kept in memory: one text for all of them."""


class _Record(Generic[R]):
    """A dataclass as JSON text without the fields that have their default, so that a field added later needs no
    migration. `restore`: how a field comes back that JSON does not keep."""

    def __init__(self, cls: Callable[..., R], restore: Mapping[str, Callable[[Any], object]]) -> None:
        self._cls = cls
        self._restore = restore
        self._fields = [
            (f.name, f.default if f.default_factory is dataclasses.MISSING else f.default_factory())
            for f in dataclasses.fields(cls)  # type: ignore[arg-type]  # a dataclass is asked for
        ]

    def encode(self, record: R) -> str:
        values = {}
        for name, default in self._fields:
            value = getattr(record, name)
            if value != default:
                values[name] = value
        return _encode(values)

    def decode(self, text: str) -> R:
        values = _decode(text)
        for name, restore in self._restore.items():
            if name in values:
                values[name] = restore(values[name])
        return self._cls(**values)


def _ranges(ranges: Mapping[str, list[float]]) -> dict[str, tuple[float, ...]]:
    return {name: tuple(ends) for name, ends in ranges.items()}


_attempt = _Record(Attempt, {"state": AttemptState, "cause": Cause, "devices": tuple, "ranges": _ranges})
_provenance = _Record(Provenance, {})
_algorithm_status = _Record(AlgorithmStatus, {})
encode_attempt = _attempt.encode
decode_attempt = _attempt.decode


@lru_cache(maxsize=1024)
def _spec(text: str) -> StudySpec:
    """Decoding checks the whole specification, which costs more than all else about a study; the text stays the same
    for most of its life."""
    return from_document(_decode(text))


def progress_values(study: Study) -> Values:
    """The columns of a study that change as its trials do."""
    return {
        "state": study.state.value,
        "ending": None if study.ending is None else study.ending.value,
        "reason": study.reason,
        "end_time": study.end_time,
        "counts": _encode({state.value: n for state, n in study.counts.by_state.items()}),
        "next_trial_id": study.next_trial_id,
        "rounds": study.rounds,
        "memo": study.memo,
        "exhausted": study.exhausted,
        "gpu_seconds": study.gpu_seconds,
        "algorithm_status": _algorithm_status.encode(study.algorithm_status),
        "revision": study.revision,
        "trials": study.counts.total,
        "bytes": study.size,
    }


def study_values(study: Study) -> Values:
    """All columns of a study but its key."""
    return progress_values(study) | {
        "owner": study.name.owner,
        "id": study.name.study,
        "uid": study.uid,
        "create_time": study.create_time,
        "seed": study.seed,
        "spec": _encode(to_document(study.spec)),
        "spec_version": study.spec_version,
        "growing": study.growing,
        "metadata": to_text(study.metadata),
        "curve_points": None if study.thinning is None else study.thinning.points,
        "thin_time": None if study.thinning is None else study.thinning.time,
    }


def study_of(row: Any) -> Study:
    return Study(
        StudyName(row.owner, row.id),
        row.uid,
        _spec(row.spec),
        state=StudyState(row.state),
        create_time=row.create_time,
        seed=row.seed,
        ending=None if row.ending is None else EndReason(row.ending),
        reason=row.reason,
        end_time=row.end_time,
        counts=Counts({_TRIAL_STATES[state]: n for state, n in from_text(row.counts).items()}),
        next_trial_id=row.next_trial_id,
        rounds=row.rounds,
        memo=row.memo,
        exhausted=bool(row.exhausted),
        growing=bool(row.growing),
        gpu_seconds=row.gpu_seconds,
        spec_version=row.spec_version,
        revision=row.revision,
        metadata=from_text(row.metadata),
        size=row.bytes or 0,
        algorithm_status=_algorithm_status_of(row.algorithm_status),
        thinning=None if row.curve_points is None else Thinning(row.curve_points, row.thin_time),
    )


@lru_cache(maxsize=1024)
def _algorithm_status_of(text: str | None) -> AlgorithmStatus:
    """Null is what servers of the version before have left. Most studies have the same one for most of their life."""
    return _algorithm_status.decode(text or "{}")


def moved_values(key: int, spec: StudySpec, trial: Trial) -> Values:
    """The columns of a trial that change as it moves."""
    attempt = trial.attempt
    return {
        "study": key,
        "id": trial.id,
        "state": trial.state.value,
        "live": attempt is not None and attempt.live,
        "revision": trial.revision,
        "start_time": trial.start_time,
        "end_time": trial.end_time,
        "client_id": trial.client_id,
        "reason": trial.reason,
        "goal": None if trial.goal is None else trial.goal.value,
        "final": None if trial.final is None else to_text(trial.final),
        "final_step": trial.final_step,
        "until_step": trial.until_step,
        "checkpoint_of": trial.checkpoint_of,
        "loss": loss(spec, trial),
        "attempt": None if attempt is None else encode_attempt(attempt),
    }


def trial_values(key: int, spec: StudySpec, trial: Trial, point: str | None = None) -> Values:
    """All columns of a trial but its slot. `point`: the digest of its parameters where that is known."""
    return moved_values(key, spec, trial) | {
        "create_time": trial.create_time,
        "origin": trial.origin.value,
        "parameters": to_text(trial.parameters),
        "digest": point or digest(trial.parameters),
        "provenance": None if trial.provenance is None else _provenance.encode(trial.provenance),
        "labels": to_text(trial.labels),
        "metadata": to_text(trial.metadata),
    }


def trial_of(row: Any, name: StudyName, latest: Attempt | None, earlier: tuple[Attempt, ...] = ()) -> Trial:
    """`latest`: the decoded attempt of the row; `earlier`: those of the attempts table."""
    return Trial(
        TrialName(name.owner, name.study, row.id),
        _TRIAL_STATES[row.state],
        _decode_parameters(row.parameters),
        create_time=row.create_time,
        origin=_ORIGINS[row.origin],
        provenance=None if row.provenance is None else _provenance.decode(row.provenance),
        client_id=row.client_id,
        attempts=() if latest is None else (*earlier, latest),
        final=None if row.final is None else from_text(row.final),
        final_step=row.final_step,
        reason=row.reason,
        goal=_GOALS[row.goal],
        start_time=row.start_time,
        end_time=row.end_time,
        labels=from_text(row.labels),
        metadata=from_text(row.metadata),
        revision=row.revision,
        until_step=row.until_step,
        checkpoint_of=row.checkpoint_of,
    )


def uses_point(row: Any) -> bool:
    """Whether the trial of the row uses up one of its point's `repeats`."""
    state = _TRIAL_STATES[row.state]
    # Decoding costs more than all else here, and only of a failed trial the attempt matters.
    latest = decode_attempt(row.attempt) if state is TrialState.FAILED and row.attempt is not None else None
    return fault.uses_point(state, latest)


def point_of(row: Any) -> Point:
    # SQLite has no NaN and keeps null in its place.
    value = math.nan if row.value is None else row.value
    return Point(row.trial, row.attempt, row.step, metric=row.metric, value=value, time=row.time, sequence=row.sequence)


def audit_values(record: AuditRecord) -> Values:
    return {
        "id": record.id,
        "time": record.time,
        "last_time": record.last_time,
        "count": record.count,
        "caller": record.caller,
        "caller_owner": record.caller_owner,
        "role": record.role,
        "address": record.address,
        "method": record.method,
        "owner": record.owner,
        "name": record.name,
        "outcome": record.outcome.value,
        "reason": record.reason,
    }


def audit_record_of(row: Any) -> AuditRecord:
    return AuditRecord(
        id=row.id,
        time=row.time,
        last_time=row.last_time,
        count=row.count,
        caller=row.caller,
        caller_owner=row.caller_owner,
        role=row.role,
        address=row.address,
        method=row.method,
        owner=row.owner,
        name=row.name,
        outcome=Outcome(row.outcome),
        reason=row.reason,
    )


def token_values(token: Token) -> Values:
    return {
        "id": token.id,
        "digest": token.digest,
        "owner": token.owner,
        "role": token.role.value,
        "label": token.label,
        "create_time": token.create_time,
        "expire_time": token.expire_time,
        "revoke_time": token.revoke_time,
    }


def token_of(row: Any) -> Token:
    return Token(
        row.id, row.digest, row.owner, Role(row.role), row.label, row.create_time, row.expire_time, row.revoke_time
    )
