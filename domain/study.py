"""A study: its specification, its states, and when its budget or its target ends it."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from .algorithm_status import AlgorithmStatus
from .errors import MISSING, IllegalMove, InvalidArgument
from .metric import Metrics, Objective, SafetyMetric, check_metric_name
from .names import StudyName
from .settings import checked_settings
from .space import Space
from .template import TrialTemplate
from .trial import EVALUATED, LIVE, NOT_EVALUATED, PENDING, UNCOUNTED, TrialState

MAX_LABELS = 64
MAX_REPEATS = 10**9
MAX_DURATION = 10**9
"""Seconds; some 31 years."""

ALGORITHM_KEYS = ("name", "seed", "repeats")
"""What a study says of any algorithm, beside which its own settings stand."""

STOPPING_KEYS = ("name",)
"""The same of any stopping rule."""


class StudyState(enum.Enum):
    ACTIVE = "active"
    PAUSED = "paused"
    """Running trials go on, none start."""
    COMPLETED = "completed"
    FAILED = "failed"
    """Too many trials failed, or none has a result."""


UNENDED = frozenset({StudyState.ACTIVE, StudyState.PAUSED})


PAUSED_BY_A_PERSON = "paused by a person"
"""The reason of a study that a person paused. With any other reason the service has paused it, because going on would
waste trials."""


class EndReason(enum.Enum):
    """Why a study is COMPLETED or FAILED, or is on its way there."""

    TRIALS = "trials"
    TARGET = "target"
    DURATION = "duration"
    GPU_HOURS = "gpu_hours"
    EXHAUSTED = "exhausted"
    """Every point of a finite space has been tried, or the algorithm has come to its end."""
    STOPPED = "stopped"
    """By a person."""
    FAILURES = "failures"


class Shortage(enum.Enum):
    """Why fewer trials were handed out than were asked for."""

    PARALLEL = "parallel"
    """`budget.parallel` trials are live: ask again when one has ended."""
    BUDGET = "budget"
    """The budget is handed out: ask again in case a trial fails."""
    PAUSED = "paused"
    ENDED = "ended"
    ALGORITHM = "algorithm"
    """It waits for results, or has no more points."""


STUDY_TRANSITIONS: dict[StudyState, frozenset[StudyState]] = {
    StudyState.ACTIVE: frozenset({StudyState.PAUSED, StudyState.COMPLETED, StudyState.FAILED}),
    StudyState.PAUSED: frozenset({StudyState.ACTIVE, StudyState.COMPLETED, StudyState.FAILED}),
    StudyState.COMPLETED: frozenset({StudyState.ACTIVE}),
    StudyState.FAILED: frozenset({StudyState.ACTIVE}),
}
"""A raised budget or a retried trial makes an ended study ACTIVE again."""

STOPS_RUNNING = frozenset(
    {EndReason.TARGET, EndReason.DURATION, EndReason.GPU_HOURS, EndReason.STOPPED, EndReason.FAILURES}
)
"""Reasons for which running trials are stopped with grace; for the others they run to their end."""


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)


@dataclass(frozen=True)
class Algorithm:
    """Which algorithm proposes points. `settings` are its own, JSON values by name. `seed`: None lets the service
    draw one and store it. `repeats`: how many trials may have the same parameters."""

    name: str = "auto"
    seed: int | None = None
    repeats: int = 1
    settings: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidArgument("algorithm.name", self.name, "is empty", "Leave `algorithm` out for auto")
        object.__setattr__(self, "settings", checked_settings("algorithm", self.settings, ALGORITHM_KEYS))
        if not _is_whole(self.repeats) or not 1 <= self.repeats <= MAX_REPEATS:
            raise InvalidArgument("algorithm.repeats", self.repeats, f"must be a whole number in [1, {MAX_REPEATS}]")
        if self.seed is not None and not (_is_whole(self.seed) and 0 <= self.seed < 2**63):
            raise InvalidArgument("algorithm.seed", self.seed, "must be a whole number in [0, 2^63)")


@dataclass(frozen=True)
class Stopping:
    """Which rule stops trials early, with its own settings, JSON values by name."""

    name: str
    settings: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", checked_settings("stopping", self.settings, STOPPING_KEYS))


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits; None is no limit. `trials` counts those neither FAILED nor CANCELLED, `failed` those FAILED that their
    parameters do not explain (the study fails beyond it), `parallel` those live at a time, `duration` seconds since the
    study was made, `gpu_hours` GPUs held times hours."""

    trials: int | None = None
    parallel: int | None = None
    failed: int | None = None
    duration: float | None = None
    gpu_hours: float | None = None

    def __post_init__(self) -> None:
        for name, least in (("trials", 1), ("parallel", 1), ("failed", 0)):
            number = getattr(self, name)
            if number is not None and (not _is_whole(number) or number < least):
                raise InvalidArgument(f"budget.{name}", number, f"must be a whole number of {least} or more")
            if number is not None and number > 10**9:
                raise InvalidArgument(
                    f"budget.{name}", number, "must be at most 1000000000", "Leave it out for no limit"
                )
        for name in ("duration", "gpu_hours"):
            amount = getattr(self, name)
            if amount is None:
                continue
            if isinstance(amount, bool) or not isinstance(amount, int | float) or not 0 < amount < math.inf:
                raise InvalidArgument(f"budget.{name}", amount, "must be above 0", "Leave it out for no limit")
            if amount > MAX_DURATION:
                rule = f"must be at most {MAX_DURATION} {'s' if name == 'duration' else 'hours'}"
                raise InvalidArgument(f"budget.{name}", amount, rule, "Leave it out for no limit")


@dataclass(frozen=True)
class StudySpec:
    """What a person asks for. `space` is None for a growing space, whose parameters are named by the training code.

    Raises InvalidArgument when made where a part or the whole makes no sense.
    """

    objectives: tuple[Objective, ...]
    space: Space | None
    safety: tuple[SafetyMetric, ...] = ()
    algorithm: Algorithm = Algorithm()
    stopping: Stopping | None = None
    budget: Budget = Budget()
    trial: TrialTemplate | None = None
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.objectives:
            raise InvalidArgument(
                "objective", MISSING, "is missing", "For instance objective: {metric: loss, goal: minimize}"
            )
        seen: set[str] = set()
        for i, objective in enumerate(self.objectives):
            where = "objective" if len(self.objectives) == 1 else f"objectives[{i}]"
            check_metric_name(f"{where}.metric", objective.metric)
            if objective.target is not None and not math.isfinite(objective.target):
                raise InvalidArgument(f"{where}.target", objective.target, "must be a finite number")
            if objective.metric in seen:
                raise InvalidArgument(f"{where}.metric", objective.metric, "appears twice")
            seen.add(objective.metric)
        for i, safety in enumerate(self.safety):
            where = f"safety[{i}]"
            check_metric_name(f"{where}.metric", safety.metric)
            if safety.at_least is None and safety.at_most is None:
                raise InvalidArgument(where, safety.metric, "needs at_least or at_most")
            for name, bound in (("at_least", safety.at_least), ("at_most", safety.at_most)):
                if bound is not None and not math.isfinite(bound):
                    raise InvalidArgument(f"{where}.{name}", bound, "must be a finite number")
            if safety.at_least is not None and safety.at_most is not None and safety.at_least > safety.at_most:
                raise InvalidArgument(
                    f"{where}.at_least", safety.at_least, f"must not be above at_most = {safety.at_most!r}"
                )
        if self.space is not None and not self.space.parameters:
            raise InvalidArgument("parameters", MISSING, "names no parameter", "Name at least one")
        if len(self.labels) > MAX_LABELS:
            raise InvalidArgument("labels", len(self.labels), f"at most {MAX_LABELS} are possible")
        if self.trial is not None:
            self.trial.check(self.space)

    def value_of(self, metrics: Metrics) -> tuple[float, ...] | None:
        """The objectives' values, in order; None where one is missing."""
        if any(o.metric not in metrics for o in self.objectives):
            return None
        return tuple(metrics[o.metric] for o in self.objectives)

    def safe(self, metrics: Metrics) -> bool:
        """Whether every safety metric is there and keeps to its bounds."""
        return all(s.metric in metrics and s.safe(metrics[s.metric]) for s in self.safety)

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Objectives and safety metrics, in order."""
        return tuple(dict.fromkeys([*(o.metric for o in self.objectives), *(s.metric for s in self.safety)]))


@dataclass(frozen=True)
class Counts:
    """How many trials of a study are in each state. Kept with the study, so that nothing has to be counted."""

    by_state: Mapping[TrialState, int] = field(default_factory=dict)

    def __getitem__(self, state: TrialState) -> int:
        return self.by_state.get(state, 0)

    @property
    def total(self) -> int:
        return sum(self.by_state.values())

    @property
    def counted(self) -> int:
        """Trials that count towards `budget.trials`."""
        return sum(n for state, n in self.by_state.items() if state not in UNCOUNTED)

    @property
    def live(self) -> int:
        return sum(n for state, n in self.by_state.items() if state in LIVE)

    @property
    def pending(self) -> int:
        return sum(n for state, n in self.by_state.items() if state in PENDING)

    def __str__(self) -> str:
        """`23 succeeded, 7 stopped`; empty if there is no trial."""
        return ", ".join(f"{number} {state.value}" for state, number in self.by_state.items())

    def moved(self, old: TrialState | None, new: TrialState | None) -> Counts:
        """The counts after one trial went from `old` (None: it is new) to `new` (None: it is deleted)."""
        counts = dict(self.by_state)
        if old is not None:
            counts[old] = counts.get(old, 0) - 1
        if new is not None:
            counts[new] = counts.get(new, 0) + 1
        return Counts({state: n for state, n in counts.items() if n})


@dataclass(frozen=True, slots=True)
class Thinning:
    """A study's curves are not kept whole: of each trial's curve of each metric there are at most `points`."""

    points: int
    time: float | None = None
    """When the last of them was thinned, Unix seconds; None while it goes on."""


@dataclass(frozen=True)
class Study:
    """A stored study. Times are Unix seconds.

    `uid` never comes back, even if the study is recreated under its name. `etag` changes with the specification or
    state, not with trials. `ending` is set while the study is ending: nothing new starts, and running trials end.
    `rounds` counts committed suggestion rounds; `memo` is the algorithm's own state after them.
    """

    name: StudyName
    uid: str
    spec: StudySpec
    state: StudyState
    create_time: float
    seed: int
    ending: EndReason | None = None
    reason: str = ""
    """Why it is in its state, for people."""
    end_time: float | None = None
    counts: Counts = Counts()
    next_trial_id: int = 1
    rounds: int = 0
    memo: str = ""
    exhausted: bool = False
    growing: bool = False
    """Whether its space takes parameters as the training code first names them; `spec.space` is what it has so far."""
    gpu_seconds: float = 0.0
    """GPU seconds of ended attempts."""
    spec_version: int = 1
    revision: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    algorithm_status: AlgorithmStatus = AlgorithmStatus()
    size: int = 0
    """Bytes that it and its trials take, without measurements; see `size.py`."""
    thinning: Thinning | None = None
    """None: every measurement is kept."""

    @property
    def next_round(self) -> tuple[str, int, int]:
        """What a round is computed for. It may be committed as long as this is the same."""
        return self.uid, self.rounds, self.spec_version

    @property
    def needs_a_person(self) -> bool:
        """Whether the service has paused it, so that nothing goes on until a person has looked at it."""
        return self.state is StudyState.PAUSED and self.reason != PAUSED_BY_A_PERSON

    @property
    def open(self) -> bool:
        """Whether trials may still be started or retried, now or after a pause."""
        return self.state in (StudyState.ACTIVE, StudyState.PAUSED) and self.ending is None

    @property
    def etag(self) -> str:
        return f"{self.uid[:8]}-{self.spec_version}-{self.state.value}"


def check_study_move(name: StudyName, state: StudyState, target: StudyState) -> None:
    """Raises IllegalMove naming both states where the table does not allow it."""
    if target not in STUDY_TRANSITIONS[state]:
        allowed = (s.name for s in StudyState if s in STUDY_TRANSITIONS[state])
        raise IllegalMove(name.short, state.name, target.name, allowed)


def _exhausted(study: Study) -> str:
    if study.counts[TrialState.PAUSED]:
        return "the algorithm resumes no paused trial"
    if study.spec.space is not None and all(p.kind.size is not None for p in study.spec.space.parameters):
        return "every point of the search space has been tried"
    return "the algorithm has come to its end"


def fruitless(study: Study) -> bool:
    """Whether the study ends without a result: trials failed or were infeasible, and none was evaluated. A study that a
    person stops is not fruitless."""
    tried = any(study.counts[state] for state in NOT_EVALUATED)
    evaluated = any(study.counts[state] for state in EVALUATED)
    return tried and not evaluated and study.ending is not EndReason.STOPPED


def wanted(study: Study) -> int | None:
    """How many trials more the budget allows to create; None where it sets no limit."""
    if study.spec.budget.trials is None:
        return None
    return max(0, study.spec.budget.trials - study.counts.counted)


def ending(study: Study, now: float, gpu_seconds_live: float = 0.0, failures: str = "") -> tuple[EndReason, str] | None:
    """Whether the study should start to end, and why in a sentence; None while it should go on.

    `gpu_seconds_live`: GPU seconds of attempts that still run. `failures`: why too many trials failed, as
    `failures.too_many` says. A target is seen when a trial ends, not here.
    """
    budget = study.spec.budget
    if failures:
        return EndReason.FAILURES, failures
    if budget.duration is not None and now - study.create_time >= budget.duration:
        return EndReason.DURATION, f"budget.duration of {budget.duration:g} s is over"
    gpu_hours = (study.gpu_seconds + gpu_seconds_live) / 3600
    if budget.gpu_hours is not None and gpu_hours >= budget.gpu_hours:
        return EndReason.GPU_HOURS, f"{gpu_hours:.2f} GPU hours are used of budget.gpu_hours = {budget.gpu_hours:g}"
    # Paused trials may be resumed: whether any will be, the algorithm says.
    parked = study.counts[TrialState.PAUSED] and not study.exhausted
    if wanted(study) == 0 and not study.counts[TrialState.REQUESTED] and not parked:
        return EndReason.TRIALS, f"budget.trials = {budget.trials} is reached"
    if study.exhausted and not study.counts[TrialState.REQUESTED]:
        return EndReason.EXHAUSTED, _exhausted(study)
    return None
