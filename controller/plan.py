"""What to do next, decided from what is known. Pure: no I/O, no clock, nothing kept between calls.

    observe ──> Snapshot ──> plan(snapshot, limits, now) ──> [Action, ...] ──> act, and observe again

Every action is safe to repeat. Once its effect is in the snapshot it is not planned again, so planning after acting
gives nothing but the time to look again.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ..domain.attempt import Cause
from ..domain.names import StudyName
from ..domain.study import Study, StudyState
from ..domain.template import MetricsFrom, TrialTemplate
from ..domain.trial import LIVE, StopGoal, Trial, TrialState
from .classify import Outcome, classify
from .execution import Execution, Key, Phase, Why
from .slots import Held, allocate, fitting

SAY_AFTER = 1.0
"""Seconds that an attempt waits before the service is told for what."""
ORPHAN_GRACE = 10.0
"""Seconds between SIGTERM and SIGKILL for a process that nobody waits for any more, and for one that has had its
grace already."""

TOO_LARGE_PATIENCE = 5.0
"""So many times `Limits.patience` a pod waits that is too large for every node, if nobody said how long it may: a
cluster that grows takes minutes to have a larger node, and one whose GPUs are being set up has none for a while."""


class Mode(enum.Enum):
    RUN = "run"
    DRAIN = "drain"
    """Nothing new starts; what runs goes on to its end."""
    STOP = "stop"
    """What runs is told to end, and tried again at the next run."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`parallel`: processes at a time over all studies, None for no limit. `default_parallel`: for a study without a
    `budget.parallel` of its own. `devices`: the GPUs there are, None where a scheduler hands them out. `collect_every`:
    seconds between two looks at what a running trial has printed. `launching`: trials that may
    be on their way from being asked for to being there; more are better suggested later, when more is known.
    `say_every`: seconds between two tellings of what an attempt waits for. `patience`: seconds that one may wait for
    something that will not resolve by itself."""

    parallel: int | None = None
    default_parallel: int = 1
    devices: tuple[str, ...] | None = ()
    collect_every: float = 0.5
    launching: int = 64
    say_every: float = 5.0
    patience: float = 120.0
    mode: Mode = Mode.RUN


@dataclass(frozen=True, slots=True)
class Short:
    """The study handed out fewer trials than asked for. Asking again makes sense once `seen` no longer describes it,
    or at `until` (Unix seconds)."""

    seen: object
    until: float


@dataclass(frozen=True)
class Watched:
    """A study that this controller runs trials of, as it knows it.

    `trials` are the live ones that are this controller's to run, by id. `gone`: the study was deleted. `asking`: how
    many trials an unanswered `Ask` is for. `spent`: trials whose checkpoints may go, None for all of the study's.
    """

    study: Study
    trials: Mapping[int, Trial] = field(default_factory=dict)
    gone: bool = False
    asking: int = 0
    short: Short | None = None
    spent: frozenset[int] | None = frozenset()


@dataclass(frozen=True, slots=True)
class Told:
    """What the service was last told of an attempt, and when (Unix seconds)."""

    phase: Phase
    waiting: str
    at: float


@dataclass(frozen=True)
class Snapshot:
    """All that is known at one moment.

    `executions`: all that the runtime knows, also of studies that are not watched: these are left alone but count,
    unless `complete` says that all studies that may have any are watched. `told`: when each STOPPING trial's attempt
    was first seen so (Unix seconds). `announced`: what the service knows of attempts. `busy`: attempts with a call
    under way, which wait for its answer. `later`: attempts whose
    last call failed, and when to try again. `stale`: attempts that the service no longer takes. `collected`: when the
    output of an attempt was last read.
    """

    studies: Sequence[Watched] = ()
    executions: Mapping[Key, Execution] = field(default_factory=dict)
    told: Mapping[Key, float] = field(default_factory=dict)
    announced: Mapping[Key, Told] = field(default_factory=dict)
    busy: frozenset[Key] = frozenset()
    later: Mapping[Key, float] = field(default_factory=dict)
    stale: frozenset[Key] = frozenset()
    collected: Mapping[Key, float] = field(default_factory=dict)
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask the service for so many trials."""

    study: StudyName
    count: int


@dataclass(frozen=True, slots=True)
class Launch:
    """Start the attempt, or complete its start, on these GPUs; None leaves GPUs to the environment."""

    key: Key
    devices: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Announce:
    """Tell the service that the attempt runs, and where, or what it waits for."""

    key: Key


@dataclass(frozen=True, slots=True)
class Collect:
    """Read what the attempt has printed and report its metrics."""

    key: Key


@dataclass(frozen=True, slots=True)
class Terminate:
    """Ask the process and all it started to end (SIGTERM)."""

    key: Key
    why: Why


@dataclass(frozen=True, slots=True)
class Kill:
    """End them (SIGKILL)."""

    key: Key


@dataclass(frozen=True, slots=True)
class End:
    """Tell the service how the attempt ended, with the last of its metrics and output."""

    key: Key
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Forget:
    """Nobody needs to know of the attempt any more."""

    key: Key


@dataclass(frozen=True, slots=True)
class Discard:
    """Remove the checkpoints of these trials of the study with that uid; None: of all its trials."""

    study: StudyName
    uid: str
    trials: frozenset[int] | None


@dataclass(frozen=True, slots=True)
class Wake:
    """Nothing to do before that time (Unix seconds), unless something happens."""

    at: float


Action = Ask | Launch | Announce | Collect | Terminate | Kill | End | Forget | Discard | Wake


def plan(snapshot: Snapshot, limits: Limits, now: float) -> list[Action]:
    """What to do at `now`, in this order: end and forget what is gone, end what must go, start and ask for more, and
    discard what is left behind.

    The last action is a `Wake` where something falls due later.
    """
    return _Planner(snapshot, limits, now).plan()


def demand(study: Study) -> object:
    """What an answer to `Ask` depends on, but for what this study's running trials do: a change means ask again."""
    counts = {state: n for state, n in study.counts.by_state.items() if state not in LIVE}
    return study.etag, study.ending, sorted((state.value, n) for state, n in counts.items())


class _Planner:
    def __init__(self, snapshot: Snapshot, limits: Limits, now: float) -> None:
        self._snapshot = snapshot
        self._limits = limits
        self._now = now
        self._wakes: list[float] = []
        self._alive = [e for e in snapshot.executions.values() if e.phase is not Phase.ENDED]
        self._held = [Held(e.devices, e.gpus) for e in self._alive if e.devices]
        self._running = len(self._alive)
        self._unplaced = 0
        self._launched = 0
        # One study that asks for GPUs is enough for them to be handed out; the others then must keep off them.
        self._managed = any(_template(w).resources.gpu > 0 for w in snapshot.studies)

    def plan(self) -> list[Action]:
        actions = [*self._attend(), *self._start(), *self._ask(), *self._discard()]
        return [*actions, Wake(min(self._wakes))] if self._wakes else actions

    # ---- what is there ------------------------------------------------------------------------------------------

    def _attend(self) -> Iterator[Action]:
        by_uid = {watched.study.uid: watched for watched in self._snapshot.studies}
        by_name = {watched.study.name: watched for watched in self._snapshot.studies}
        for key, execution in sorted(self._snapshot.executions.items()):
            watched = by_uid.get(key.uid)
            if watched is None and execution.study not in by_name and not self._snapshot.complete:
                continue  # of a study that another run or controller takes care of
            trial = None if watched is None or watched.gone else watched.trials.get(key.trial)
            if watched is None or trial is None or _key(watched, trial) != key or key in self._snapshot.stale:
                yield from self._attend_orphan(execution)
            else:
                yield from self._attend_live(execution, trial, _template(watched))

    def _attend_live(self, execution: Execution, trial: Trial, template: TrialTemplate) -> Iterator[Action]:
        key = execution.key
        if execution.phase is Phase.ENDED:
            if self._may_call(key):
                yield End(key, classify(execution, trial, template))
            return

        if execution.partial and trial.state is not TrialState.STOPPING and self._may_call(key):
            yield Launch(key, execution.devices or None)
        elif self._is_news(execution) and self._may_call(key):
            yield Announce(key)
        elif execution.phase is Phase.RUNNING and template.metrics.source is MetricsFrom.STDOUT and self._may_call(key):
            due = self._snapshot.collected.get(key, execution.start_time) + self._limits.collect_every
            if self._due(due):
                yield Collect(key)

        learns = _learns_by_itself(trial, template)
        if execution.ending is not None:
            yield from self._kill(execution, _grace(execution.ending.why, template, learns))
        elif self._limits.mode is Mode.STOP:
            yield from self._terminate(execution, Why.SHUTDOWN, template.grace)
        elif trial.state is TrialState.STOPPING:
            wait = template.grace if learns else 0.0
            if self._due(self._snapshot.told.get(key, self._now) + wait):
                yield from self._terminate(execution, Why.STOP, _grace(Why.STOP, template, learns))
        elif execution.phase is Phase.STARTING:
            yield from self._attend_waiting(execution, template)
        elif template.timeout is not None and self._due(execution.start_time + template.timeout):
            yield from self._terminate(execution, Why.TIMEOUT, template.grace)

    def _attend_waiting(self, execution: Execution, template: TrialTemplate) -> Iterator[Action]:
        stuck, limit = execution.stuck_since, template.pod.start_timeout
        oversized = execution.too_large_since
        if stuck is not None and self._due(stuck + self._limits.patience):
            yield from self._terminate(execution, Why.BROKEN, template.grace)
        elif limit is not None:
            if self._due(execution.start_time + limit):
                why = Why.UNSCHEDULABLE if oversized is None else Why.TOO_LARGE
                yield from self._terminate(execution, why, template.grace)
        elif oversized is not None and self._due(oversized + TOO_LARGE_PATIENCE * self._limits.patience):
            yield from self._terminate(execution, Why.TOO_LARGE, template.grace)

    def _is_news(self, execution: Execution) -> bool:
        """Whether the service is to be told now how the attempt is doing. Words change often and matter less."""
        told = self._snapshot.announced.get(execution.key)
        if execution.phase is Phase.RUNNING and (told is None or told.phase is not Phase.RUNNING):
            return True
        if not execution.waiting or (told is not None and told.waiting == execution.waiting):
            return False
        # Most that a pod waits for is over in a moment, and nobody need hear of it.
        return self._due(execution.start_time + SAY_AFTER if told is None else told.at + self._limits.say_every)

    def _attend_orphan(self, execution: Execution) -> Iterator[Action]:
        if execution.silent and execution.phase is not Phase.ENDED:
            # A person has released its trial, or deleted it: its place is not kept for a node that may never answer.
            self._alive.remove(execution)
            self._running -= 1
        if execution.phase is Phase.ENDED:
            if execution.key not in self._snapshot.busy:
                yield Forget(execution.key)
        elif execution.ending is None:
            yield from self._terminate(execution, Why.ORPHAN, ORPHAN_GRACE)
        else:
            yield from self._kill(execution, ORPHAN_GRACE)

    def _terminate(self, execution: Execution, why: Why, grace: float) -> Iterator[Action]:
        yield Terminate(execution.key, why)
        # Nobody tells us when its grace is over.
        if not execution.killed and self._due(self._now + grace):
            yield Kill(execution.key)

    def _kill(self, execution: Execution, grace: float) -> Iterator[Action]:
        assert execution.ending is not None
        if not execution.killed and self._due(execution.ending.time + grace):
            yield Kill(execution.key)

    # ---- what is to be --------------------------------------------------------------------------------------------

    def _start(self) -> Iterator[Action]:
        for watched in self._snapshot.studies:
            if watched.gone:
                continue
            template = _template(watched)

            # Also processes of attempts that no longer count hold a place until they are gone.
            beside = sum(1 for e in self._alive if e.key.uid == watched.study.uid)
            for _, trial in sorted(watched.trials.items()):
                key = _key(watched, trial)
                if key in self._snapshot.executions or key in self._snapshot.stale:
                    continue

                refusal = self._refusal(trial, template)
                if refusal is not None:
                    if self._may_call(key):
                        yield End(key, refusal)
                    continue

                if key in self._snapshot.busy or beside >= self._parallel(watched) or self._full:
                    continue
                devices: tuple[str, ...] | None = None
                if self._limits.devices is not None:
                    devices = allocate(self._limits.devices, self._held, template.resources.gpu)
                    if devices is None:
                        self._unplaced += 1
                        continue
                    self._held.append(Held(devices, template.resources.gpu))

                yield Launch(key, devices if self._managed else None)
                beside += 1
                self._running += 1
                self._launched += 1

    def _refusal(self, trial: Trial, template: TrialTemplate) -> Outcome | None:
        """Why the trial, which has no process, gets none."""
        if trial.state is TrialState.STOPPING:
            return Outcome(Cause.STOPPED, trial.reason or "stopped before it was started")
        if self._limits.mode is not Mode.RUN:
            return Outcome(Cause.PREEMPTED, "the controller was shut down before it was started")
        devices = self._limits.devices
        if devices is not None and template.resources.gpu > len(devices):
            return Outcome(Cause.CONFIG_BROKEN, too_many_gpus(template.resources.gpu, len(devices)))
        return None

    def _ask(self) -> Iterator[Action]:
        if self._limits.mode is not Mode.RUN:
            return

        here = [watched for watched in self._snapshot.studies if not watched.gone]
        held = {key for watched in here for key in _keys(watched)} | {e.key for e in self._alive}
        taken = len(held) + sum(watched.asking for watched in here)
        room = self._limits.launching - self._launched
        room -= sum(e.ordered for e in self._alive) + sum(watched.asking for watched in here)

        for watched in here:
            study = watched.study
            if watched.asking or study.state is not StudyState.ACTIVE or study.ending is not None:
                continue
            count = self._parallel(watched) - sum(1 for key in held if key.uid == study.uid)
            if self._limits.parallel is not None:
                count = min(count, self._limits.parallel - taken)
            count = min(count, room)

            gpus = _template(watched).resources.gpu
            if count > 0 and gpus > 0 and self._limits.devices is not None:
                # Trials that could not be placed above come first.
                count = fitting(self._limits.devices, self._held, gpus, count + self._unplaced) - self._unplaced
            if count <= 0 or (
                watched.short is not None and watched.short.seen == demand(study) and not self._due(watched.short.until)
            ):
                continue

            yield Ask(study.name, count)
            taken += count
            room -= count

    # ---- what is left behind ----------------------------------------------------------------------------------------

    def _discard(self) -> Iterator[Action]:
        for watched in self._snapshot.studies:
            alive = {e.key.trial for e in self._alive if e.key.uid == watched.study.uid}
            if watched.spent is None:
                if not alive:
                    yield Discard(watched.study.name, watched.study.uid, None)
            elif not watched.asking and (idle := watched.spent - alive):
                # A trial that is on its way here may begin from one that ended after it was proposed.
                yield Discard(watched.study.name, watched.study.uid, idle)

    # ---- small questions ----------------------------------------------------------------------------------------

    @property
    def _full(self) -> bool:
        return self._limits.parallel is not None and self._running >= self._limits.parallel

    def _parallel(self, watched: Watched) -> int:
        own = watched.study.spec.budget.parallel
        return self._limits.default_parallel if own is None else own

    def _due(self, at: float) -> bool:
        """Whether that time has come; otherwise it is a time to wake up."""
        if at <= self._now:
            return True
        self._wakes.append(at)
        return False

    def _may_call(self, key: Key) -> bool:
        """Whether the service may be called for this attempt now: one call at a time, and not too soon after one
        that failed."""
        return key not in self._snapshot.busy and self._due(self._snapshot.later.get(key, self._now))


def too_many_gpus(wanted: float, there: int) -> str:
    """The sentence about a trial that wants more GPUs than the machine has."""
    return f"trial.resources.gpu = {wanted:g}: this machine has {there or 'no'} GPU{'' if there == 1 else 's'} to give"


def _template(watched: Watched) -> TrialTemplate:
    template = watched.study.spec.trial
    assert template is not None, f"{watched.study.name} has no `trial:`, so no controller takes it"
    return template


def _key(watched: Watched, trial: Trial) -> Key:
    assert trial.attempt is not None, f"{trial.name} is live without an attempt"
    return Key(watched.study.uid, trial.id, trial.attempt.number)


def _keys(watched: Watched) -> Iterator[Key]:
    return (_key(watched, trial) for trial in watched.trials.values())


def _learns_by_itself(trial: Trial, template: TrialTemplate) -> bool:
    """Whether the training code is told to stop by the reply to its own report, and so gets its grace without a
    signal first. What is cancelled need not save anything."""
    return template.metrics.source is MetricsFrom.PUSH and trial.goal is not StopGoal.CANCEL


def _grace(why: Why, template: TrialTemplate, learns: bool) -> float:
    """Seconds from SIGTERM to SIGKILL. Training that learned by itself that it is to stop has had its grace."""
    if why is Why.ORPHAN:
        return ORPHAN_GRACE
    if why is Why.STOP and learns:
        return min(template.grace, ORPHAN_GRACE)
    return template.grace
