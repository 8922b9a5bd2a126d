"""One execution of a trial: its states, what may end it, and what then becomes of the trial.

`after_end` is the only place that decides between retry and a final state; the service calls it inside the
transaction that ends the attempt.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .errors import IllegalMove
from .parameters import Parameters
from .trial import StopGoal, TrialState


class AttemptState(enum.Enum):
    STARTING = "starting"
    QUEUED = "queued"
    """Waits for a place; the scheduler's words are in `Attempt.message`."""
    RUNNING = "running"
    ENDED = "ended"


ATTEMPT_TRANSITIONS: dict[AttemptState, frozenset[AttemptState]] = {
    AttemptState.STARTING: frozenset({AttemptState.QUEUED, AttemptState.RUNNING, AttemptState.ENDED}),
    AttemptState.QUEUED: frozenset({AttemptState.RUNNING, AttemptState.ENDED}),
    AttemptState.RUNNING: frozenset({AttemptState.ENDED}),
    AttemptState.ENDED: frozenset(),
}


class Cause(enum.Enum):
    """Why an attempt ended, as classified by the process that watched it."""

    SUCCEEDED = "succeeded"
    INFEASIBLE = "infeasible"
    """The training code said that these parameters cannot be evaluated."""
    STOPPED = "stopped"
    """Told to end, and ended."""
    CODE_FAILED = "code_failed"
    OUT_OF_MEMORY = "out_of_memory"
    PREEMPTED = "preempted"
    """Ended by the platform or the controller's own shutdown; the trial is not to blame."""
    NODE_LOST = "node_lost"
    CONFIG_BROKEN = "config_broken"
    """Nothing could be started: no such image, command or directory."""
    UNSCHEDULABLE = "unschedulable"
    TOO_LARGE = "too_large"
    """No place would ever take it, and its size depends on its parameters."""
    TIMED_OUT = "timed_out"
    LEASE_LOST = "lease_lost"
    REPORTS_LOST = "reports_lost"
    """It ended well, and some of what it measured was lost on the way, so that nobody knows its value."""


OWN_FAULT = frozenset({Cause.CODE_FAILED, Cause.OUT_OF_MEMORY, Cause.TIMED_OUT, Cause.TOO_LARGE})
"""Causes that use up `retries.failed`. One that is too large is so the next time as well, and is not tried again."""

NOT_ITS_FAULT = frozenset({Cause.PREEMPTED, Cause.NODE_LOST, Cause.UNSCHEDULABLE, Cause.LEASE_LOST, Cause.REPORTS_LOST})
"""Causes that use up `retries.preempted`."""


MAX_REPORTS_LOST = 2
"""So often a trial is tried again because its reports were lost: whole trainings are repeated for it, and a cause that
lasts, such as code that cuts its own log short, would have the next one lost as well."""


@dataclass(frozen=True)
class Attempt:
    """Times are Unix seconds. `number` counts from 1 within the trial and fences all that is said of the attempt."""

    number: int
    state: AttemptState
    start_time: float
    holder: str = ""
    """Who runs it: a client's or controller's id, for people."""
    leased: bool = True
    """Ends when its heartbeats stay away. Attempts that a controller runs are not leased."""
    lease_seconds: float = 60.0
    run_time: float | None = None
    end_time: float | None = None
    cause: Cause | None = None
    exit_code: int | None = None
    message: str = ""
    """For people: the scheduler's words while it waits, the reason once it has ended."""
    log_tail: str = ""
    """The last lines it printed, at most 16 KiB."""
    log_path: str = ""
    node: str = ""
    devices: tuple[str, ...] = ()
    gpus: float = 0.0
    """GPUs held, for GPU hours; fractions count as such."""
    infeasible: str = ""
    """Why the training code called these parameters infeasible; empty where it did not."""
    why: str = ""
    """Why it was begun after an earlier one: the algorithm's reason to let the trial go on, or what ended that one."""
    unasked: Parameters | None = None
    """In a growing space: what was proposed for it and its code never asked for. None if nobody said what it did."""
    ranges: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """In a growing space: least and greatest of the ranges of its own that did not have the proposed value, by name."""

    @property
    def live(self) -> bool:
        return self.state is not AttemptState.ENDED

    @property
    def seconds(self) -> float | None:
        """How long it ran; None while it has not ended, and if nobody saw it run. A leased one runs from its start: its
        holder asked for it and waits for no place."""
        began = self.start_time if self.run_time is None and self.leased else self.run_time
        if began is None or self.end_time is None:
            return None
        return max(0.0, self.end_time - began)

    def gpu_seconds(self, now: float) -> float:
        """GPUs times seconds that it has run; while it waits for them it holds none."""
        if self.run_time is None:
            return 0.0
        return self.gpus * max(0.0, (now if self.end_time is None else self.end_time) - self.run_time)


def check_attempt_move(name: str, state: AttemptState, target: AttemptState) -> None:
    """Raises IllegalMove naming both states where the table does not allow it."""
    if target not in ATTEMPT_TRANSITIONS[state]:
        allowed = (s.name for s in AttemptState if s in ATTEMPT_TRANSITIONS[state])
        raise IllegalMove(name, state.name, target.name, allowed)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a trial is tried again. `failed`: after its own fault; `preempted`: after others' faults."""

    failed: int = 0
    preempted: int = 20


@dataclass(frozen=True, slots=True)
class Next:
    """What becomes of a trial: its next state, and why in a sentence for people."""

    state: TrialState
    reason: str = ""


def after_end(
    cause: Cause,
    *,
    goal: StopGoal | None,
    value: tuple[float, ...] | None,
    measured: bool,
    failed_before: int,
    lost_before: int,
    policy: RetryPolicy,
    study_open: bool,
    reports_lost_before: int = 0,
    message: str = "",
    looked_for: str = "",
) -> Next:
    """The state of a trial whose attempt ended.

    `goal`: what the trial was told if it is STOPPING. `value`: its objective values if it has them all. `measured`:
    whether anything at all was reported. `failed_before`, `lost_before`: earlier attempts ended by own and others'
    fault; of these, `reports_lost_before` for the reports that they lost. `study_open`: whether the study still
    wants trials run. `looked_for`: the metrics, for the message when none came.

    | cause                        | told to end              | not told                                         |
    |------------------------------|--------------------------|--------------------------------------------------|
    | succeeded, finite value      | SUCCEEDED                | SUCCEEDED                                        |
    | succeeded, NaN or infinite   | INFEASIBLE (diverged)    | INFEASIBLE (diverged)                            |
    | succeeded, no value          | as the goal says         | FAILED                                           |
    | infeasible                   | INFEASIBLE               | INFEASIBLE                                       |
    | stopped                      | as the goal says         | STOPPED with measurements, else CANCELLED        |
    | own fault                    | as the goal says         | REQUESTED while `failed` lasts, then FAILED      |
    |                              |                          | (out of memory: INFEASIBLE)                      |
    | not its fault                | as the goal says         | REQUESTED while `preempted` lasts, then FAILED   |
    | reports lost                 | as the goal says         | the same, but REQUESTED at most MAX_REPORTS_LOST |
    |                              |                          | times                                            |
    | too large                    | as the goal says         | FAILED                                           |
    | config broken                | FAILED                   | FAILED                                           |

    "As the goal says": cancel gives CANCELLED; pause gives PAUSED; stop gives STOPPED where something was measured,
    else CANCELLED. Where REQUESTED is due and the study has ended, the trial is STOPPED or CANCELLED likewise.
    """
    ended = Next(TrialState.STOPPED if measured else TrialState.CANCELLED, message)
    if cause is Cause.INFEASIBLE:
        return Next(TrialState.INFEASIBLE, message or "the training code called these parameters infeasible")
    if cause is Cause.CONFIG_BROKEN:
        return Next(TrialState.FAILED, message)
    if cause is Cause.SUCCEEDED and value is not None:
        if all(map(math.isfinite, value)):
            return Next(TrialState.SUCCEEDED)
        return Next(TrialState.INFEASIBLE, f"diverged: it ended with {', '.join(map(repr, value))}")
    if goal is StopGoal.CANCEL:
        return Next(TrialState.CANCELLED, message)
    if goal is StopGoal.PAUSE:
        return Next(TrialState.PAUSED, message)
    if goal is StopGoal.STOP or cause is Cause.STOPPED:
        return ended
    if cause is Cause.SUCCEEDED:
        return Next(TrialState.FAILED, message or f"ended well but never reported {looked_for}")

    own = cause in OWN_FAULT
    tried, allowed = (failed_before, policy.failed) if own else (lost_before, policy.preempted)
    hopeless = cause is Cause.TOO_LARGE or (cause is Cause.REPORTS_LOST and reports_lost_before >= MAX_REPORTS_LOST)
    if tried < allowed and not hopeless:
        return Next(TrialState.REQUESTED, message) if study_open else ended
    if cause is Cause.OUT_OF_MEMORY:
        return Next(TrialState.INFEASIBLE, message or "out of memory")
    return Next(TrialState.FAILED, message)
