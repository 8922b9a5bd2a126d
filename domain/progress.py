"""How far the running trials of a study are, as a screen shows it: computed when it is asked for, never stored."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MetricProgress:
    """One objective of one trial at the last step that has a value of it."""

    metric: str
    step: int
    value: float
    rank: int
    """1 is the best. The trial is compared at its own step: others count with their value at that step, or with their
    last one before it. NaN ranks last, and trials with equal values share a rank."""
    ranked: int
    """How many trials have such a value, this one included."""
    curve: tuple[tuple[int, float], ...]
    """Steps and values by step, thinned evenly; the last one is always there."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The first and the last report of an attempt. Steps per second between them do not depend on how long the attempt
    took to start. Times are Unix seconds."""

    attempt: int
    first_step: int
    first_time: float
    last_step: int
    last_time: float

    def report(self, attempt: int, step: int, time: float) -> Pace:
        """The pace after one more report. Reports may come in any order; those of earlier attempts change nothing."""
        if attempt < self.attempt or (attempt == self.attempt and self.first_step < step < self.last_step):
            return self
        if attempt > self.attempt:
            return Pace(attempt, step, time, step, time)
        first = (step, time) if step < self.first_step else (self.first_step, self.first_time)
        last = (step, time) if step >= self.last_step else (self.last_step, self.last_time)
        return Pace(attempt, *first, *last)


@dataclass(frozen=True, slots=True)
class TrialProgress:
    """A trial that has reported. `pace` is that of the latest attempt with a report, which may be an earlier one than
    the attempt that runs."""

    trial_id: int
    pace: Pace
    metrics: tuple[MetricProgress, ...]
    """In the order of the study's objectives, without those that have no value yet."""


@dataclass(frozen=True, slots=True)
class StudyProgress:
    """The trials by id. `whole_steps` is how many steps a whole trial takes, None if that is not known. `time` is the
    service's clock, Unix seconds."""

    trials: tuple[TrialProgress, ...]
    whole_steps: int | None
    time: float
