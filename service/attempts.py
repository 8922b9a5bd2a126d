"""Attempts: start, heartbeat, end. Fenced by number; the end decides what becomes of the trial."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ..domain.attempt import (
    MAX_REPORTS_LOST,
    NOT_ITS_FAULT,
    OWN_FAULT,
    Attempt,
    AttemptState,
    Cause,
    RetryPolicy,
    after_end,
    check_attempt_move,
)
from ..domain.errors import FailedPrecondition, InvalidArgument, StaleAttempt
from ..domain.metric import Metrics, Pick, check_metric_name
from ..domain.names import TrialName
from ..domain.records import altered
from ..domain.study import EndReason, StudySpec
from ..domain.template import MetricsFrom
from ..domain.totals import (
    MAX_ATTEMPTS,
    MAX_DEVICES,
    MAX_FINAL_METRICS,
    MAX_METRICS,
    MAX_PATH,
    check_count,
    check_devices,
    without_beginning,
    without_end,
)
from ..domain.trial import ENDED, Instruction, Measurement, StopGoal, Trial, TrialState, at_rung
from ..storage.store import Transaction
from ..suggestion.registry import whole_steps
from .feed import Change
from .halting import halt
from .handing_out import check_client_id, closed, full
from .learning import dropped, learn
from .requests import Request, recall, remember
from .shortfall import shortfall
from .unit import Lease, Unit

LAST_LINES = 3
"""Of the output, quoted where a metric never came."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What a holder has seen of its attempt; empty parts mean no news."""

    state: AttemptState | None = None
    message: str = ""
    node: str = ""
    devices: tuple[str, ...] = ()
    gpus: float = 0.0
    log_path: str = ""
    run_time: float | None = None
    """Since when it runs, where it is seen RUNNING; without it, since this is said."""

    def __post_init__(self) -> None:
        if self.state not in (None, AttemptState.QUEUED, AttemptState.RUNNING):
            raise InvalidArgument(
                "state", self.state.name, "an attempt is seen QUEUED or RUNNING", "EndAttempt ends one, with a cause"
            )
        # Training code says it too, and what it says is counted against the study's budget.
        if not 0.0 <= self.gpus <= MAX_DEVICES:
            raise InvalidArgument("gpus", self.gpus, f"must lie in [0, {MAX_DEVICES}]")
        if len(self.devices) > MAX_DEVICES:
            raise InvalidArgument("devices", len(self.devices), f"at most {MAX_DEVICES} are possible")
        for where, texts in (("devices", self.devices), ("node", (self.node,)), ("log_path", (self.log_path,))):
            for text in texts:
                if len(text) > MAX_PATH or not text.isprintable():
                    raise InvalidArgument(where, text[:40], f"must be at most {MAX_PATH} printable characters")
        check_devices(self.devices)

    @property
    def news(self) -> bool:
        return self != Sight()


@dataclass(frozen=True, slots=True)
class Started:
    """A trial with the attempt that was started."""

    study_uid: str
    trial: Trial


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ended, as its holder says."""

    cause: Cause
    final: Mapping[str, float] = field(default_factory=dict)
    measurements: Sequence[Measurement] = ()
    message: str = ""
    exit_code: int | None = None
    log_tail: str = ""
    time: float | None = None
    asked: tuple[str, ...] | None = None
    """In a growing space: the parameters that its code asked for, in that order. None: nobody knows."""

    def __post_init__(self) -> None:
        check_count("final_metrics", len(self.final), MAX_FINAL_METRICS)
        for name in self.final:
            check_metric_name("final_metrics", name)
        check_measurements(self.measurements)


def check_measurements(measurements: Sequence[Measurement]) -> None:
    """Raises InvalidArgument on a negative step, a bad metric name, or more than MAX_METRICS values."""
    for i, m in enumerate(measurements):
        if not 0 <= m.step < 2**63:
            raise InvalidArgument(f"measurements[{i}].step", m.step, "must be 0 or more: it counts finished work")
        if not m.metrics:
            raise InvalidArgument(f"measurements[{i}].metrics", {}, "names no metric")
        for name in m.metrics:
            check_metric_name(f"measurements[{i}].metrics", name)
    if sum(len(m.metrics) for m in measurements) > MAX_METRICS:
        raise InvalidArgument(
            "measurements", len(measurements), f"hold more than {MAX_METRICS} values", "Send several reports"
        )


def current(trial: Trial, number: int) -> Attempt:
    """The trial's live attempt of that number. Raises StaleAttempt where it is not that any more."""
    attempt = trial.attempt
    if attempt is None or attempt.number != number or not attempt.live:
        raise StaleAttempt(trial.name.short, number, attempt.number if attempt else 0, trial.state in ENDED)
    return attempt


def instruction(trial: Trial) -> Instruction:
    """What the holder of the trial's live attempt is to do."""
    return Instruction(trial.goal, trial.reason) if trial.state is TrialState.STOPPING else Instruction()


def start(
    tx: Transaction, name: TrialName, client_id: str, lease: Lease, request: Request, now: float
) -> tuple[Started, Change | None]:
    """Starts an attempt of a REQUESTED trial. Raises IllegalMove, and FailedPrecondition where the study forbids it."""
    check_client_id(client_id)
    unit = Unit.lock(tx, name.parent, now)
    if recall(tx, request) is not None:
        return Started(unit.study.uid, unit.trial(name.id)), None

    trial = unit.trial(name.id)
    reason = closed(unit.study)
    if reason is not None:
        raise FailedPrecondition(
            f"{name.parent.short} is {unit.study.state.name}: nothing of it may start",
            details={"name": str(name.parent)},
        )

    if full(unit.study) and trial.state is TrialState.REQUESTED:
        raise FailedPrecondition(
            f"{unit.study.spec.budget.parallel} trials of {name.parent.short} are live, as budget.parallel allows; "
            "start this one when another has ended",
            field="budget.parallel",
        )

    trial = unit.start(trial, client_id, lease)
    remember(tx, request, [trial.id], now)
    return Started(unit.study.uid, trial), unit.finish()


def heartbeat(tx: Transaction, name: TrialName, number: int, sight: Sight, now: float) -> tuple[Trial, Change | None]:
    """Stores what was seen, where it is news. Raises StaleAttempt and IllegalMove."""
    trial = tx.trial(name)
    seen = _seen(current(trial, number), sight, name, now)
    if seen == trial.attempt:
        return trial, None

    unit = Unit.lock(tx, name.parent, now)
    trial = unit.trial(name.id)
    seen = _seen(current(trial, number), sight, name, now)
    return unit.put(trial, replace(trial, attempts=(*trial.attempts[:-1], seen))), unit.finish()


def end(tx: Transaction, name: TrialName, number: int, how: End, now: float) -> tuple[Trial, Change | None]:
    """Ends an attempt and decides what becomes of its trial, in one transaction.

    The same end again returns the trial; another end of an ended attempt is refused with FailedPrecondition, a stale
    number with StaleAttempt.
    """
    unit = Unit.lock(tx, name.parent, now)
    trial = unit.trial(name.id)
    if 1 <= number <= len(trial.attempts) and not trial.attempts[number - 1].live:
        return _ended_before(trial, number, how), None

    attempt = current(trial, number)
    if how.measurements:
        tx.add_measurements(trial, number, how.measurements)

    spec = unit.study.spec
    if trial.state is TrialState.ACTIVE and trial.until_step is not None and _as_if_stopped(how):
        # It knew how far it was to go, and ended before it was told.
        reason = parked(trial, tx.measurements(trial))
        if reason:
            trial = unit.move(trial, TrialState.STOPPING, reason, StopGoal.PAUSE)

    cause, message = (Cause.INFEASIBLE, attempt.infeasible) if attempt.infeasible else (how.cause, how.message)
    if trial.goal is not None and _as_if_stopped(how):
        # It ended because it was told to, and perhaps before its holder had heard of that.
        cause = Cause.STOPPED

    final, step = final_metrics(spec, how.final, partial(tx.measurements, trial))
    value = spec.value_of(final)
    # One that was to pause and did not hear of it, or did not listen, has nothing left to go on with.
    whole = trial.goal is StopGoal.PAUSE and value is not None and _did_all(spec, tx.measurements(trial))

    earlier = [a.cause for a in trial.attempts[:-1]]
    unknown = _unknown_value(tx, trial, spec) if cause is Cause.SUCCEEDED and not how.final else ""
    if unknown:
        cause, message = Cause.REPORTS_LOST, unknown

    then = after_end(
        Cause.SUCCEEDED if whole else cause,
        # A study that ends resumes nothing.
        goal=StopGoal.STOP if trial.goal is StopGoal.PAUSE and not unit.study.open else trial.goal,
        value=value,
        measured=value is not None,
        failed_before=sum(c in OWN_FAULT for c in earlier),
        lost_before=sum(c in NOT_ITS_FAULT for c in earlier),
        # One that went on from a checkpoint would do so again.
        reports_lost_before=MAX_REPORTS_LOST if unknown else earlier.count(Cause.REPORTS_LOST),
        policy=_retries(spec, trial),
        study_open=unit.study.open,
        message=message or (trial.reason if trial.state is TrialState.STOPPING else ""),
        looked_for=_looked_for(spec, final, how.log_tail) if value is None else "",
    )

    ended = altered(
        attempt,
        state=AttemptState.ENDED,
        end_time=max(now if how.time is None else min(how.time, now), attempt.start_time),
        cause=cause,
        exit_code=how.exit_code,
        message=without_end(message),
        log_tail=without_beginning(how.log_tail),
    )

    reason = then.reason
    if then.state is TrialState.SUCCEEDED:
        # What a controller says of a good end is about what it could not read or keep.
        unread = message if _from_stdout(spec) else ""
        reason = "; ".join(filter(None, (shortfall(spec, partial(tx.measurements, trial)), unread)))

    parameters, learns = trial.parameters, False
    if unit.study.growing and how.asked is not None and then.state is not TrialState.REQUESTED:
        # Another attempt may still ask for the rest.
        parameters, unasked = dropped(trial, how.asked)
        ended, learns = altered(ended, unasked=unasked), True

    if ended.gpus:
        unit.study = replace(unit.study, gpu_seconds=unit.study.gpu_seconds + ended.gpu_seconds(now))
    trial = unit.move(
        trial,
        then.state,
        without_end(reason),
        attempts=(*trial.attempts[:-1], ended),
        final=final or None,
        final_step=step,
        until_step=None if whole else trial.until_step,
        parameters=parameters,
    )

    if learns:
        learn(unit, trial)
    if then.state in (TrialState.SUCCEEDED, TrialState.STOPPED) and value is not None:
        _note_target(unit, trial, value)

    unit.settle()
    halt(unit, trial)
    trial = unit.trial(trial.id)
    return trial, unit.finish()


def _retries(spec: StudySpec, trial: Trial) -> RetryPolicy:
    if len(trial.attempts) >= MAX_ATTEMPTS:
        return RetryPolicy(0, 0)
    return spec.trial.retries if spec.trial else RetryPolicy()


def parked(trial: Trial, measurements: Iterable[Measurement]) -> str:
    """Why the trial is to pause: it has done all the steps that it was given. Empty where it has not."""
    done = max((m.step for m in measurements), default=-1)
    if trial.until_step is None or done < trial.until_step:
        return ""
    return f"step {done}: it was to go to step {trial.until_step} and wait there"


def complete(trial: Trial, spec: StudySpec, measurements: Iterable[Measurement]) -> bool:
    """Whether a trial that has done the steps that it was given has reported all that it is compared by, see
    `at_rung`."""
    assert trial.until_step is not None
    return at_rung(trial.until_step, [o.metric for o in spec.objectives], measurements)


def _unknown_value(tx: Transaction, trial: Trial, spec: StudySpec) -> str:
    """Why nobody knows the value of a trial whose attempt ended well: an earlier one lost reports, and this one went on
    from its checkpoint and measured nothing more. Empty if the value is known."""
    lost = [a.number for a in trial.attempts if a.cause is Cause.REPORTS_LOST]
    attempt = trial.attempts[-1].number
    if not lost:
        return ""
    reported = {name for m in tx.measurements(trial, attempt) for name in m.metrics}
    if any(o.metric in reported for o in spec.objectives):
        return ""
    return (
        f"attempt {lost[-1]} lost reports, and attempt {attempt} went on after them and measured nothing more, so the "
        "value is not known; enqueue the parameters again to have them measured from the start"
    )


def _did_all(spec: StudySpec, measurements: Iterable[Measurement]) -> bool:
    """Whether the trial has done the steps of a whole one, where the algorithm says how many those are."""
    whole = whole_steps(spec.algorithm, None)
    return whole is not None and max((m.step for m in measurements), default=-1) >= whole[1]


def final_metrics(
    spec: StudySpec, given: Metrics, curve: Callable[[], Iterable[Measurement]]
) -> tuple[dict[str, float], int | None]:
    """The metrics that count, and the step that they are of, None for given ones. If an objective is not given, those
    of the curve, which is read only then, fill the gaps."""
    if spec.value_of(given) is not None:
        return dict(given), None
    reported, step = counting(spec, curve())
    return {**reported, **given}, step


def counting(spec: StudySpec, measurements: Iterable[Measurement]) -> tuple[dict[str, float], int | None]:
    """The metrics that count of a curve, by step: those of the last step with the first objective, or of its best.

    A metric that was not reported at that step counts with its latest value before it.
    """
    objective = spec.objectives[0]
    latest: dict[str, float] = {}
    chosen: dict[str, float] = {}
    step: int | None = None
    for m in measurements:
        latest = {**latest, **m.metrics}
        if objective.metric not in m.metrics:
            if step is not None and objective.pick is Pick.LAST:
                chosen = {**latest}
            continue
        best = step is None or objective.better(m.metrics[objective.metric], chosen[objective.metric])
        if objective.pick is Pick.LAST or best:
            chosen, step = {**latest}, m.step
    return chosen or latest, step


def _seen(attempt: Attempt, sight: Sight, name: TrialName, now: float) -> Attempt:
    state = sight.state or attempt.state
    if state is not attempt.state:
        check_attempt_move(f"attempt {attempt.number} of {name.short}", attempt.state, state)
    starts = state is AttemptState.RUNNING and attempt.run_time is None
    return replace(
        attempt,
        state=state,
        run_time=_began(attempt, sight, now) if starts else attempt.run_time,
        message=without_end(sight.message) or ("" if starts else attempt.message),
        node=sight.node or attempt.node,
        devices=sight.devices or attempt.devices,
        gpus=sight.gpus or attempt.gpus,
        log_path=sight.log_path or attempt.log_path,
    )


def _began(attempt: Attempt, sight: Sight, now: float) -> float:
    """Since when it runs: as the holder says, whose clock may differ from ours."""
    return now if sight.run_time is None else min(max(sight.run_time, attempt.start_time), now)


def _ended_before(trial: Trial, number: int, how: End) -> Trial:
    """The answer to ending an attempt that has ended."""
    attempt = trial.attempts[number - 1]
    final = trial.final or {}
    latest = number == len(trial.attempts)
    same_value = not latest or all(name in final and _equal(final[name], v) for name, v in how.final.items())
    # What overruled the holder's word the first time does so again.
    overruled = bool(attempt.infeasible)
    overruled |= attempt.cause in (Cause.STOPPED, Cause.REPORTS_LOST) and _as_if_stopped(how)
    if (attempt.cause is how.cause or overruled) and same_value:
        return trial
    if attempt.cause is Cause.LEASE_LOST or not latest:
        raise StaleAttempt(trial.name.short, number, len(trial.attempts), trial.state in ENDED)
    assert attempt.cause is not None
    raise FailedPrecondition(
        f"attempt {number} of {trial.name.short} ended already ({attempt.cause.value}, the trial is "
        f"{trial.state.name}) and cannot end again with another outcome ({how.cause.value})",
        details={"name": str(trial.name), "state": trial.state.name},
    )


def _as_if_stopped(how: End) -> bool:
    """Whether an attempt that was told to stop may have ended like this for that reason."""
    return how.cause is Cause.SUCCEEDED and not how.final


def _equal(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


def _note_target(unit: Unit, trial: Trial, value: tuple[float, ...]) -> None:
    """Begins the study's end where this trial is safe and reaches every target that is set."""
    spec = unit.study.spec
    targets = [(o, v) for o, v in zip(spec.objectives, value, strict=True) if o.target is not None]
    if unit.study.ending is not None or not targets or not spec.safe(trial.final or {}):
        return
    if all(o.reached(v) for o, v in targets):
        words = " and ".join(f"{o.metric} = {v:.6g} (target {o.target:.6g})" for o, v in targets)
        unit.begin_end(EndReason.TARGET, f"trial {trial.id} reached {words}")


def _looked_for(spec: StudySpec, reported: Mapping[str, float], tail: str) -> str:
    """The metrics that a trial ended without, where they were looked for, and what came instead."""
    names = " and ".join(repr(o.metric) for o in spec.objectives)
    words = [f"{names}, looked for in what it printed" if _from_stdout(spec) else names]
    words.append(f"it reported {', '.join(map(repr, reported))}" if reported else "it reported nothing")
    printed = [line.strip() for line in tail.splitlines() if line.strip()][-LAST_LINES:]
    if printed:
        words.append(f"the last it printed: {' | '.join(printed)}")
    return "; ".join(words)


def _from_stdout(spec: StudySpec) -> bool:
    return spec.trial is not None and spec.trial.metrics.source is MetricsFrom.STDOUT
