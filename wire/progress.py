"""How far the trials of a study are, on the wire."""

from __future__ import annotations

from ..domain.progress import MetricProgress, Pace, StudyProgress, TrialProgress
from ..proto.v1 import progress_pb2
from .scalars import seconds_of, set_time


def progress_to_wire(progress: StudyProgress) -> progress_pb2.StudyProgress:
    message = progress_pb2.StudyProgress(whole_steps=progress.whole_steps)
    set_time(message.time, progress.time)
    for trial in progress.trials:
        _set_trial(message.trials.add(), trial)
    return message


def progress_from_wire(message: progress_pb2.StudyProgress) -> StudyProgress:
    return StudyProgress(
        tuple(map(_trial_from_wire, message.trials)),
        message.whole_steps if message.HasField("whole_steps") else None,
        seconds_of(message.time),
    )


def _set_trial(message: progress_pb2.TrialProgress, trial: TrialProgress) -> None:
    pace = trial.pace
    message.trial_id = trial.trial_id
    message.attempt = pace.attempt
    message.first_step, message.last_step = pace.first_step, pace.last_step
    set_time(message.first_time, pace.first_time)
    set_time(message.last_time, pace.last_time)
    for metric in trial.metrics:
        added = message.metrics.add(
            metric=metric.metric, step=metric.step, value=metric.value, rank=metric.rank, ranked=metric.ranked
        )
        for step, value in metric.curve:
            added.curve.add(step=step, value=value)


def _trial_from_wire(message: progress_pb2.TrialProgress) -> TrialProgress:
    pace = Pace(
        attempt=message.attempt,
        first_step=message.first_step,
        first_time=seconds_of(message.first_time),
        last_step=message.last_step,
        last_time=seconds_of(message.last_time),
    )
    metrics = tuple(
        MetricProgress(
            metric=m.metric,
            step=m.step,
            value=m.value,
            rank=m.rank,
            ranked=m.ranked,
            curve=tuple((point.step, point.value) for point in m.curve),
        )
        for m in message.metrics
    )
    return TrialProgress(message.trial_id, pace, metrics)
