"""Studies: create or resume, update, pause, stop, delete, and their best trials."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ..domain.errors import (
    Aborted,
    FailedPrecondition,
    IllegalMove,
    InvalidArgument,
    NotFound,
    SpecChanged,
)
from ..domain.limits import check_limits
from ..domain.names import StudyName
from ..domain.size import size_of_study
from ..domain.space import Double, Parameter, Space
from ..domain.study import PAUSED_BY_A_PERSON, EndReason, Study, StudySpec, StudyState
from ..domain.totals import MAX_STUDY_METADATA, check_metadata
from ..storage.store import Transaction, Usage
from ..suggestion.designer import choice_of
from ..suggestion.registry import called_as_here, make_designer, make_rule
from ..suggestion.space.sampling import check_feasible
from ..wire.pattern import compiled
from .compute.answering import problem_of
from .feed import Change
from .metadata import check_labels
from .quotas import UNLIMITED, Quotas
from .requests import Request, recall, remember
from .taken import taken
from .unit import Unit

UPDATABLE = {
    "spec.budget": "budget",
    "spec.stopping": "stopping",
    "spec.algorithm": "algorithm",
    "spec.trial": "trial",
    "spec.labels": "labels",
}
"""Paths of an update mask and the specification's fields behind them."""

STAND_IN = Space((Parameter("x", Double(0.0, 1.0)),))
"""For a space that is still to grow, so that its algorithm is checked all the same. Every algorithm takes it."""


def draft(name: StudyName, spec: StudySpec, metadata: Mapping[str, str], now: float) -> Study:
    """The study that would be made, all of it checked. Raises InvalidArgument. May take a tenth of a second: it
    samples the space for points that satisfy the constraints."""
    check_limits(spec)
    spec = called_as_here(spec)
    check_labels("labels", spec.labels)
    check_metadata("metadata", metadata, MAX_STUDY_METADATA)
    seed = spec.algorithm.seed if spec.algorithm.seed is not None else secrets.randbits(63)
    study = Study(
        name,
        uuid.uuid4().hex,
        spec,
        state=StudyState.ACTIVE,
        create_time=now,
        seed=seed,
        growing=spec.space is None,
        metadata=dict(metadata),
    )
    if spec.space is not None:
        check_feasible(spec.space)
    return _checked(study)


def _checked(study: Study) -> Study:
    """With what its algorithm chooses. Raises InvalidArgument for an algorithm or a rule that cannot work on it, and
    for a pattern that cannot be matched in linear time."""
    spec = study.spec
    if spec.trial is not None and spec.trial.metrics.pattern:
        compiled(spec.trial.metrics.pattern)
    if spec.stopping is not None:
        make_rule(spec.stopping, spec.objectives)

    problem = problem_of(spec if spec.space is not None else replace(spec, space=STAND_IN), growing=study.growing)
    assert problem is not None
    designer = make_designer(spec.algorithm, problem)
    # Of a space that is still to grow nothing can be said yet.
    choice = choice_of(designer, problem, study.memo) if spec.space is not None else None
    status = study.algorithm_status.with_choice(*((choice.algorithm, choice.because) if choice else ("", "")))
    return replace(study, algorithm_status=status)


def create(
    tx: Transaction,
    study: Study,
    request: Request,
    resume: bool,
    now: float,
    *,
    validate_only: bool = False,
    quotas: Quotas = UNLIMITED,
) -> tuple[Study, Change | None]:
    """Stores a draft; with `resume`, goes on with the study of that name instead where there is one.

    Raises AlreadyExists, SpecChanged (another space, metric or algorithm), RequestIdReused. With `validate_only` it
    writes nothing and answers as it would.
    """
    if recall(tx, request) is not None:
        return tx.study(study.name), None

    try:
        tx.study(study.name)
    except NotFound:
        added = Usage(study.name.owner, 1, 0, bytes=size_of_study(study))
        quotas.admit(tx, added.owner, studies=1, size=added.bytes)
        if validate_only:
            return study, None
        study = replace(study, revision=1, size=added.bytes)
        tx.insert_study(study)
        quotas.note(added)
        remember(tx, request, [1], now)
        return study, Change(study)

    if not resume:
        raise taken(study.name)

    unit = Unit.lock(tx, study.name, now)
    _check_same(unit.study, study.spec)
    if validate_only:
        known = unit.before
        status = known.algorithm_status
        return replace(study, state=known.state, counts=known.counts, uid=known.uid, algorithm_status=status), None

    spec = replace(study.spec, space=unit.study.spec.space, algorithm=unit.study.spec.algorithm)
    _respecify(unit, spec, reopen_stopped=True)
    remember(tx, request, [1], now)
    return unit.study, unit.finish()


def update(
    tx: Transaction, name: StudyName, spec: StudySpec, paths: Iterable[str], etag: str, now: float
) -> tuple[Study, Change | None]:
    """Changes the named parts. Raises InvalidArgument for others, Aborted where the etag is out of date."""
    unit = Unit.lock(tx, name, now)
    if etag and etag != unit.before.etag:
        raise Aborted(f"{name.short} was changed meanwhile; read it again and repeat the change", field="study.etag")

    changes = {}
    for path in paths:
        if path not in UPDATABLE:
            raise InvalidArgument(
                "update_mask", path, "is fixed, or no field of a study", f"May be changed: {', '.join(UPDATABLE)}"
            )
        changes[UPDATABLE[path]] = getattr(spec, UPDATABLE[path])

    if not changes:
        raise InvalidArgument("update_mask", [], "names nothing to change", f"Known are: {', '.join(UPDATABLE)}")

    wanted = called_as_here(replace(unit.study.spec, **changes))
    check_labels("labels", wanted.labels)
    if wanted.algorithm != unit.study.spec.algorithm and wanted.algorithm.seed not in (None, unit.study.seed):
        raise InvalidArgument("algorithm.seed", wanted.algorithm.seed, f"is fixed; the study has {unit.study.seed}")

    _respecify(unit, wanted, reopen_stopped=False)
    return unit.study, unit.finish()


def pause(tx: Transaction, name: StudyName, now: float) -> tuple[Study, Change | None]:
    """Starts nothing any more; running trials go on. Harmless to repeat."""
    unit = Unit.lock(tx, name, now)
    if unit.study.state is StudyState.PAUSED:
        return unit.before, None
    if unit.study.ending is not None and unit.study.state is StudyState.ACTIVE:
        raise IllegalMove(name.short, f"ending ({unit.study.reason})", StudyState.PAUSED.name, ["COMPLETED"])
    unit.pause(PAUSED_BY_A_PERSON)
    return unit.study, unit.finish()


def resume(tx: Transaction, name: StudyName, now: float) -> tuple[Study, Change | None]:
    """Goes on with a paused study, or one that a person stopped. Raises FailedPrecondition where its budget is used."""
    unit = Unit.lock(tx, name, now)
    study = unit.study
    if study.state is StudyState.ACTIVE and study.ending is None:
        return unit.before, None
    if study.state is StudyState.PAUSED:
        status = study.algorithm_status.with_failed_rounds(0)
        unit.study = replace(study, state=StudyState.ACTIVE, reason="", algorithm_status=status)
        unit.settle()
        return unit.study, unit.finish()
    if study.state is StudyState.ACTIVE:
        raise FailedPrecondition(f"{name.short} is ending ({study.reason}); resume it when its last trials have ended")

    due = unit.due()
    if due is not None:
        raise FailedPrecondition(
            f"{name.short} has ended and cannot go on: {due[1]}. Raise its budget, or retry a failed trial",
            field="budget",
        )
    unit.reopen()
    return unit.study, unit.finish()


def stop(tx: Transaction, name: StudyName, reason: str, now: float) -> tuple[Study, Change | None]:
    """Ends the study: waiting trials are cancelled, running ones told to stop. Harmless to repeat."""
    unit = Unit.lock(tx, name, now)
    if unit.study.state in (StudyState.ACTIVE, StudyState.PAUSED) and unit.study.ending is not EndReason.STOPPED:
        unit.begin_end(EndReason.STOPPED, reason or "stopped by a person")
        unit.settle()
    return unit.study, unit.finish()


def delete(tx: Transaction, name: StudyName, force: bool) -> Change:
    """Deletes it with all trials. Raises FailedPrecondition while trials are live, unless `force`."""
    study = tx.lock(name)
    if study.counts.live and not force:
        raise FailedPrecondition(
            f"{study.counts.live} trials of {name.short} are running; stop it first, or delete it with force"
        )
    tx.delete_study(study)
    return Change(replace(study, revision=study.revision + 1), deleted=True)


def _check_same(study: Study, spec: StudySpec) -> None:
    """Raises SpecChanged naming what differs of what a study keeps for life."""
    known = study.spec
    changed = []
    if not study.growing or spec.space is not None:
        changed += _changed_space(known, spec)
    if known.objectives != spec.objectives:
        changed.append("objective" if len(known.objectives) == 1 else "objectives")
    if known.safety != spec.safety:
        changed.append("safety")

    asked = spec.algorithm
    if replace(asked, seed=None) != replace(known.algorithm, seed=None) or asked.seed not in (None, study.seed):
        changed.append("algorithm")
    if changed:
        raise SpecChanged(study.name.short, changed)


def _changed_space(known: StudySpec, spec: StudySpec) -> list[str]:
    old = known.space.by_name if known.space else {}
    new = spec.space.by_name if spec.space else {}
    fields = [f"parameters.{n}" for n in {**old, **new} if old.get(n) != new.get(n)]
    if (known.space.constraints if known.space else ()) != (spec.space.constraints if spec.space else ()):
        fields.append("constraints")
    return fields


def _respecify(unit: Unit, spec: StudySpec, *, reopen_stopped: bool) -> None:
    """Gives the study another specification, and makes it ACTIVE again where that leaves it something to do."""
    study = unit.study
    if spec != study.spec:
        status = study.algorithm_status
        if spec.algorithm != study.spec.algorithm:
            status = status.with_failed_rounds(0)
        study = replace(study, spec=spec, spec_version=study.spec_version + 1, algorithm_status=status)
        study = _checked(study)

    unit.study = study
    ended = study.state in (StudyState.COMPLETED, StudyState.FAILED)
    if ended and (study.ending is not EndReason.STOPPED or reopen_stopped):
        if unit.due() is None:
            unit.reopen()
    else:
        unit.settle()
