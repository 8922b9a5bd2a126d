"""A trial: one set of parameter values and what came of it. The table of its states, and the function that moves it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .errors import IllegalMove
from .names import StudyName, TrialName
from .parameters import Parameters
from .records import altered

if TYPE_CHECKING:
    from .attempt import Attempt


class TrialState(enum.Enum):
    REQUESTED = "requested"
    """Exists and nobody runs it: asked for ahead, enqueued, to be retried, or promoted."""
    ACTIVE = "active"
    """Has a live attempt."""
    STOPPING = "stopping"
    """Has a live attempt that was told to end, with a goal and a reason."""
    PAUSED = "paused"
    """Parked at a rung; its attempt has ended and its checkpoint is kept."""
    SUCCEEDED = "succeeded"
    STOPPED = "stopped"
    """Ended early; its measurements count."""
    INFEASIBLE = "infeasible"
    """These parameters cannot be evaluated; algorithms learn from it."""
    FAILED = "failed"
    """Given up after its retries. If the last attempt ended by the trial's own fault (`fault.py`), it is evidence about
    the parameters; otherwise it says nothing about them."""
    CANCELLED = "cancelled"
    """Given up by the study or by a person."""

    # Optuna's names of these states: the same objects.
    WAITING = REQUESTED
    RUNNING = ACTIVE
    COMPLETE = SUCCEEDED
    PRUNED = STOPPED
    FAIL = FAILED

    # Each state is one object. Enum would hash its name, in Python, forty times a trial.
    __hash__ = object.__hash__

    def is_finished(self) -> bool:
        """Whether a trial in this state has ended."""
        return self in ENDED


_S = TrialState

TRANSITIONS: dict[TrialState, frozenset[TrialState]] = {
    _S.REQUESTED: frozenset({_S.ACTIVE, _S.CANCELLED, _S.STOPPED}),
    _S.ACTIVE: frozenset({_S.STOPPING, _S.REQUESTED, _S.SUCCEEDED, _S.INFEASIBLE, _S.FAILED, _S.STOPPED, _S.CANCELLED}),
    _S.STOPPING: frozenset({_S.STOPPED, _S.PAUSED, _S.CANCELLED, _S.SUCCEEDED, _S.INFEASIBLE, _S.FAILED}),
    _S.PAUSED: frozenset({_S.REQUESTED, _S.STOPPED, _S.CANCELLED}),
    _S.SUCCEEDED: frozenset(),
    _S.STOPPED: frozenset(),
    _S.INFEASIBLE: frozenset(),
    _S.FAILED: frozenset({_S.REQUESTED}),
    _S.CANCELLED: frozenset(),
}
"""What each state may become. Anything else is refused by `move`."""

LIVE = frozenset({_S.ACTIVE, _S.STOPPING})
"""States with a live attempt: these count against the parallel limit."""

PENDING = frozenset({_S.REQUESTED, _S.ACTIVE, _S.STOPPING, _S.PAUSED})
"""States whose value is still to come."""

ENDED = frozenset(TrialState) - PENDING

EVALUATED = frozenset({_S.SUCCEEDED, _S.STOPPED})
"""States whose measurements count: among these trials is the best one, and they do not fail."""

NOT_EVALUATED = frozenset({_S.FAILED, _S.INFEASIBLE})

UNCOUNTED = frozenset({_S.FAILED, _S.CANCELLED})
"""States that do not count towards `budget.trials`. Whether their points may be proposed again: `fault.uses_point`."""


class StopGoal(enum.Enum):
    """What a STOPPING trial is to become."""

    STOP = "stop"
    PAUSE = "pause"
    CANCEL = "cancel"


class Origin(enum.Enum):
    """Where a trial's parameters come from."""

    SUGGESTED = "suggested"
    ENQUEUED = "enqueued"
    """Given by a person or a client, to be run."""
    IMPORTED = "imported"
    """Given together with its outcome."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a suggestion was made from; with the history of that digest it can be made again.

    `round` is the study's count of committed suggestion rounds before this one, `index` the point's place in the
    round's answer, `count` the points it was asked for. `memo_digest` and `history_digest` are hexadecimal. With
    `fallback` a quasi-random point stands in for the study's algorithm, and `why` says for what reason. `chosen`: the
    algorithm that `auto` chose.
    """

    algorithm: str
    version: int
    round: int
    index: int
    count: int
    memo_digest: str = ""
    history_digest: str = ""
    fallback: bool = False
    why: str = ""
    details: Mapping[str, float] = field(default_factory=dict)
    """Numbers behind `why`, for instance predicted mean and deviation."""
    chosen: str = ""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Metrics at one step of one attempt. `step` counts finished work; `time` is Unix seconds."""

    step: int
    metrics: Mapping[str, float]
    time: float


def at_rung(until: int, objectives: Iterable[str], measurements: Iterable[Measurement]) -> bool:
    """Whether a trial that was to do `until` steps is there, with all that it is compared by: it has reported every
    objective from that step on, or went on to another step without, so that there is nothing left to wait for."""
    there = [m for m in measurements if m.step >= until]
    reported = {name for m in there for name in m.metrics}
    return len({m.step for m in there}) > 1 or (bool(there) and reported.issuperset(objectives))


@dataclass(frozen=True, slots=True)
class Instruction:
    """What the holder of an attempt is to do: go on, or end with that goal."""

    stop: StopGoal | None = None
    reason: str = ""


@dataclass(frozen=True)
class Trial:
    """Times are Unix seconds. `revision` is the study's change counter at the trial's last change."""

    name: TrialName
    state: TrialState
    parameters: Parameters
    create_time: float
    origin: Origin = Origin.SUGGESTED
    provenance: Provenance | None = None
    client_id: str = ""
    """The slot it was handed to; empty where nobody has asked for it."""
    attempts: tuple[Attempt, ...] = ()
    final: Mapping[str, float] | None = None
    """Its metrics: those it ended with, or those of the step that counts."""
    final_step: int | None = None
    reason: str = ""
    """Why it is in its state, for people."""
    goal: StopGoal | None = None
    """While STOPPING: what it is to become."""
    start_time: float | None = None
    end_time: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0
    until_step: int | None = None
    """At that many steps it is to be paused; None: it goes on to its own end."""
    checkpoint_of: int | None = None
    """The trial of the same study whose latest checkpoint it starts from."""

    @property
    def id(self) -> int:
        return self.name.id

    @property
    def study(self) -> StudyName:
        return self.name.parent

    @property
    def attempt(self) -> Attempt | None:
        """The latest attempt, live or ended."""
        return self.attempts[-1] if self.attempts else None


def check_move(name: TrialName, state: TrialState, target: TrialState) -> None:
    """Raises IllegalMove naming both states where the table does not allow it."""
    if target not in TRANSITIONS[state]:
        allowed = (s.name for s in TrialState if s in TRANSITIONS[state])
        raise IllegalMove(name.short, state.name, target.name, allowed)


def move(
    trial: Trial, target: TrialState, *, now: float, reason: str = "", goal: StopGoal | None = None, **changes: Any
) -> Trial:
    """The trial in its next state, with its times, reason and goal in accord, and `changes`: other fields that change
    with it. Raises IllegalMove."""
    check_move(trial.name, trial.state, target)
    accord: dict[str, Any] = {
        "state": target,
        "reason": reason,
        "goal": goal if target is TrialState.STOPPING else None,
        "client_id": "" if target is TrialState.REQUESTED else trial.client_id,
        "start_time": now if target is TrialState.ACTIVE and trial.start_time is None else trial.start_time,
        "end_time": now if target in ENDED else None,
    }
    return altered(trial, **(accord | changes))
