"""Trials as people and clients handle them: enqueue, import, stop, cancel, retry, delete."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..domain.attempt import Attempt, AttemptState, Cause
from ..domain.errors import FailedPrecondition, InvalidArgument
from ..domain.growing import check_enqueued
from ..domain.names import StudyName, TrialName
from ..domain.parameters import Parameters
from ..domain.size import MEASUREMENT, size_of
from ..domain.study import EndReason, Study, StudyState
from ..domain.totals import MAX_ATTEMPTS, MAX_FINAL_METRICS, MAX_TRIAL_METADATA, check_count, check_metadata
from ..domain.trial import LIVE, Measurement, Origin, StopGoal, Trial, TrialState
from ..storage.store import Transaction
from .attempts import check_measurements, final_metrics
from .feed import Change
from .metadata import check_labels
from .quotas import UNLIMITED, Quotas
from .requests import Request, recall, remember
from .unit import Unit

IMPORTABLE = frozenset({TrialState.SUCCEEDED, TrialState.STOPPED, TrialState.INFEASIBLE})


@dataclass(frozen=True, slots=True)
class Enqueued:
    """A trial that somebody gives: to be run, or with `state` its outcome elsewhere. Times are Unix seconds."""

    parameters: Parameters
    labels: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    state: TrialState = TrialState.REQUESTED
    final: Mapping[str, float] = field(default_factory=dict)
    measurements: Sequence[Measurement] = ()
    start_time: float | None = None
    end_time: float | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        check_labels("trial.labels", self.labels)
        check_metadata("trial.metadata", self.metadata, MAX_TRIAL_METADATA)
        check_count("trial.final_metrics", len(self.final), MAX_FINAL_METRICS)
        check_measurements(self.measurements)
        if self.state is TrialState.REQUESTED:
            if self.final or self.measurements:
                raise InvalidArgument(
                    "trial.state", self.state.name, "a trial still to be run has no metrics", "Give state SUCCEEDED"
                )
        elif self.state not in IMPORTABLE:
            raise InvalidArgument(
                "trial.state", self.state.name, "must be REQUESTED, or SUCCEEDED, STOPPED or INFEASIBLE to record one"
            )


def create(
    tx: Transaction, name: StudyName, given: Enqueued, request: Request, now: float, quotas: Quotas = UNLIMITED
) -> tuple[Trial, Change | None]:
    """Enqueues or records a trial. Raises InvalidArgument where its parameters do not lie in the space."""
    unit = Unit.lock(tx, name, now, quotas)

    if (numbers := recall(tx, request)) is not None:
        return unit.trial(numbers[0]), None

    study = unit.study
    if study.growing:
        # Names and ranges are known when the training code asks for them.
        check_enqueued(given.parameters, "trial.parameters")
        parameters = given.parameters
    else:
        assert study.spec.space is not None
        parameters = study.spec.space.check(given.parameters, "trial.parameters")

    if given.state is TrialState.REQUESTED and not study.open:
        raise FailedPrecondition(
            f"{name.short} is {study.state.name} ({study.reason}): a trial enqueued now would never run. "
            "Raise its budget or resume it first"
        )

    trial = Trial(
        name.trial(study.next_trial_id),
        given.state,
        parameters,
        now,
        Origin.ENQUEUED if given.state is TrialState.REQUESTED else Origin.IMPORTED,
        labels=given.labels,
        metadata=given.metadata,
    )
    if given.state is not TrialState.REQUESTED:
        trial = _recorded(study, trial, given, now)

    values = sum(len(m.metrics) for m in given.measurements)
    quotas.admit(tx, name.owner, trials=1, size=size_of(trial) + values * MEASUREMENT)
    (trial,) = unit.add([trial], None)
    if given.measurements:
        tx.add_measurements(trial, 1, given.measurements)
    unit.settle()
    remember(tx, request, [trial.id], now)
    return trial, unit.finish()


def _recorded(study: Study, trial: Trial, given: Enqueued, now: float) -> Trial:
    """The trial with its one attempt, ended elsewhere."""
    spec = study.spec
    final, step = final_metrics(spec, given.final, lambda: sorted(given.measurements, key=lambda m: m.step))
    value = spec.value_of(final)

    if given.state is not TrialState.INFEASIBLE:
        missing = [o.metric for o in spec.objectives if o.metric not in final]
        if missing:
            raise InvalidArgument("trial.final_metrics", sorted(final), f"lacks the objective {missing[0]!r}")
        if value is None or not all(map(math.isfinite, value)):
            raise InvalidArgument(
                "trial.final_metrics", final, "an objective must be finite", "Record a diverged trial as INFEASIBLE"
            )

    end = now if given.end_time is None else given.end_time
    begin = end if given.start_time is None else given.start_time
    if begin > end:
        raise InvalidArgument("trial.start_time", begin, f"lies after end_time = {end}")

    cause = Cause.INFEASIBLE if given.state is TrialState.INFEASIBLE else Cause.SUCCEEDED
    attempt = Attempt(
        1, AttemptState.ENDED, begin, "elsewhere", leased=False, end_time=end, cause=cause, message=given.reason
    )
    return replace(
        trial,
        attempts=(attempt,),
        final=final or None,
        final_step=step,
        start_time=begin,
        end_time=end,
        reason=given.reason or "recorded",
    )


def stop(tx: Transaction, name: TrialName, reason: str, now: float) -> tuple[Trial, Change | None]:
    """Ends a trial early; its measurements count. Harmless where it is being stopped or has ended so."""
    return _tell(tx, name, StopGoal.STOP, reason or "stopped by a person", now)


def cancel(tx: Transaction, name: TrialName, reason: str, now: float) -> tuple[Trial, Change | None]:
    """Gives a trial up; it does not count."""
    return _tell(tx, name, StopGoal.CANCEL, reason or "cancelled by a person", now)


def _tell(tx: Transaction, name: TrialName, goal: StopGoal, reason: str, now: float) -> tuple[Trial, Change | None]:
    unit = Unit.lock(tx, name.parent, now)
    trial = unit.trial(name.id)
    wanted = TrialState.STOPPED if goal is StopGoal.STOP else TrialState.CANCELLED
    if trial.state is wanted:
        return trial, None
    if trial.state is TrialState.STOPPING:
        # A stop may still become a cancel; the other way round the trial has been given up already.
        if trial.goal is goal or trial.goal is StopGoal.CANCEL:
            return trial, None
        trial = unit.put(trial, replace(trial, goal=goal, reason=reason))
    elif trial.state is TrialState.ACTIVE:
        trial = unit.move(trial, TrialState.STOPPING, reason, goal)
    elif trial.state is TrialState.REQUESTED and unit.study.spec.value_of(trial.final or {}) is None:
        trial = unit.move(trial, TrialState.CANCELLED, reason)
    else:
        trial = unit.move(trial, wanted, reason)
    unit.settle()
    return unit.trial(trial.id), unit.finish()


def retry(tx: Transaction, name: TrialName, now: float) -> tuple[Trial, Change | None]:
    """Requests a FAILED trial again and makes an ended study ACTIVE for it. Raises IllegalMove."""
    unit = Unit.lock(tx, name.parent, now)
    trial = unit.trial(name.id)
    if len(trial.attempts) >= MAX_ATTEMPTS:
        raise FailedPrecondition(
            f"{name.short} has had {MAX_ATTEMPTS} attempts, which are the most. Enqueue its parameters as a new trial"
        )
    # What its code did not come to ask for is proposed again.
    unasked = (trial.attempt.unasked if trial.attempt else None) or {}
    proposed = {**unasked, **trial.parameters} if unasked else trial.parameters
    trial = unit.move(trial, TrialState.REQUESTED, "retried by a person", parameters=proposed)
    if unit.study.state in (StudyState.COMPLETED, StudyState.FAILED):
        unit.reopen()
    elif unit.study.ending is EndReason.FAILURES:
        unit.study = replace(unit.study, ending=None, reason="")
    return trial, unit.finish()


def delete(tx: Transaction, name: TrialName, now: float) -> Change | None:
    """Deletes a trial with all it measured. Raises FailedPrecondition while it is live."""
    unit = Unit.lock(tx, name.parent, now)
    trial = unit.trial(name.id)
    if trial.state in LIVE:
        raise FailedPrecondition(
            f"{name.short} is {trial.state.name}; cancel it first, and delete it when it has ended",
            details={"name": str(name), "state": trial.state.name},
        )
    unit.delete(trial)
    unit.settle()
    return unit.finish()
