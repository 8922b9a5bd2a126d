"""The contract of a suggestion algorithm.

A designer is a function of what it is given and keeps nothing between calls, so any replica can answer any request
and every answer can be made again:

    suggest(problem, history, count, rng, memo) -> Suggestions(proposals, memo')

    round 0: history empty,            memo ""    -> 2 proposals, memo "a"
    round 1: those 2 (pending or not), memo "a"   -> 4 proposals, memo "b"

`rng` is Philox(study seed, round). The memo is small text of the designer's own, versioned by `Designer.version`; it is
committed with the suggestions, so a round that was not committed leaves no trace in it.
"""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..domain.metric import Objective, SafetyMetric
from ..domain.parameters import Parameters
from ..domain.space import Space


@dataclass(frozen=True)
class Problem:
    """What is to be optimised. `trials`, `parallel`: the study's budget where it has one. `growing`: further trials may
    add parameters and values to the space, so it has no last point."""

    space: Space
    objectives: tuple[Objective, ...]
    safety: tuple[SafetyMetric, ...] = ()
    trials: int | None = None
    parallel: int | None = None
    repeats: int = 1
    growing: bool = False


class Outcome(enum.Enum):
    PENDING = "pending"
    """Its value is still to come."""
    PAUSED = "paused"
    """Parked at a rung, with the `values` it has there: an algorithm that paused it may resume it."""
    MEASURED = "measured"
    """SUCCEEDED or STOPPED, with `values`."""
    INFEASIBLE = "infeasible"
    FAILED = "failed"
    """FAILED by its own fault: evidence that these parameters are likely to fail."""
    UNKNOWN = "unknown"
    """FAILED by others' fault or CANCELLED, or ended without a value: says nothing about the parameters."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One trial as algorithms see it. `values`: the objectives, in the problem's order, where MEASURED or PAUSED."""

    trial_id: int
    parameters: Parameters
    outcome: Outcome
    values: tuple[float, ...] = ()
    end_time: float | None = None
    """Unix seconds."""
    counted: bool = True
    """Whether it uses up the budget's `trials`: all do but those FAILED or CANCELLED."""
    until_step: int | None = None
    """At that many steps it is, or is to be, PAUSED; None: it goes on to its own end."""
    bracket: int | None = None
    """What the proposal's details said under that name, for algorithms that put trials into brackets."""
    curve: tuple[tuple[int, float], ...] = ()
    """For a designer that `ReadsCurves`: what the trial reported of the first objective, by step."""
    other_curves: tuple[tuple[tuple[int, float], ...], ...] = ()
    """Likewise of the other objectives, in order."""
    seconds: float | None = None
    """How long it ran, where that is known: of a MEASURED trial the whole, of one that timed out the least."""
    timed_out: bool = False
    """`seconds` is censored: it would have run longer."""

    @property
    def tried(self) -> bool:
        """Whether it uses up one of its point's `repeats`: a trial that failed by its own fault does, though it does
        not use up the budget."""
        return self.counted or self.outcome is Outcome.FAILED


class History(Protocol):
    """The trials of a study, by id."""

    @property
    def observations(self) -> Sequence[Observation]: ...

    def times_tried(self, parameters: Parameters) -> int:
        """How many trials with these parameters are `tried`: not those CANCELLED, nor those FAILED by others' fault.
        In O(1).

        In a growing space a trial has them as well if they have all of its own: code that read those values would read
        nothing else.
        """

    @property
    def distinct(self) -> int:
        """How many different points have been tried as often as `repeats` allows."""


@dataclass(frozen=True, slots=True)
class New:
    """A point to try. `why`: one sentence for people; `details`: the numbers behind it. With `until_step` the trial is
    paused when it has done so many steps; with `checkpoint_of` it starts from that trial's latest checkpoint.

    `stand_in`: why the point is a quasi-random one in place of the model's, in a clause about the algorithm; empty for
    the algorithm's own points, those that it starts with among them. It is counted and shown, and a study whose rounds
    give nothing else is paused.
    """

    parameters: Parameters
    why: str = ""
    details: Mapping[str, float] = field(default_factory=dict)
    until_step: int | None = None
    checkpoint_of: int | None = None
    stand_in: str = ""


@dataclass(frozen=True, slots=True)
class Resume:
    """A paused trial to go on, until it has done `until_step`; None: to its own end."""

    trial: int
    until_step: int | None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Suggestions:
    """Fewer proposals than asked for mean: no more for now. `exhausted`: there will never be more new points."""

    proposals: Sequence[New | Resume]
    memo: str = ""
    exhausted: bool = False


class ReadsCurves:
    """Designers that inherit this are given the curves of all trials, those that run included."""


def reads_curves(designer: object) -> bool:
    return isinstance(designer, ReadsCurves)


class PausesAll:
    """Designers that inherit this pause every new trial at `first_rung` steps, and let any that waits there go on,
    whoever proposed it."""

    first_rung: int


def first_rung(designer: object) -> int | None:
    return designer.first_rung if isinstance(designer, PausesAll) else None


@dataclass(frozen=True, slots=True)
class Choice:
    """Which algorithm does the work, by name, and why that one, in a clause."""

    algorithm: str
    because: str


class Chooses(ABC):
    """Designers that inherit this leave the work to an algorithm that they choose."""

    @abstractmethod
    def choice(self, problem: Problem, memo: str) -> Choice:
        """What is chosen: as the memo has it, and before the first round what would be chosen now."""


def choice_of(designer: object, problem: Problem, memo: str) -> Choice | None:
    return designer.choice(problem, memo) if isinstance(designer, Chooses) else None


LONG_RULES = 300
"""Words of a space's constraints beyond which no round is computed on an event loop. Below, the draws of one take a
tenth of a second even if hardly any of them will do."""


WIDE = 100
"""Parameters beyond which none is either: a thousand points of them take a tenth of a second."""


def at_hand(problem: Problem) -> bool:
    """Whether points of the space are made so quickly that a round may be computed on an event loop."""
    return problem.space.rules_size <= LONG_RULES and len(problem.space.parameters) <= WIDE


def cheap(designer: Designer, problem: Problem) -> bool:
    """Whether every round may be computed on an event loop."""
    return designer.cheap and at_hand(problem)


class StartsWithoutModel(ABC):
    """Designers that inherit this are not cheap, but need no model for their first points."""

    @abstractmethod
    def suggest_without_model(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions | None:
        """Exactly what `suggest` would answer, within a millisecond a point, if it needs no model for that; else None,
        within a millisecond."""


def suggest_at_once(
    designer: Designer, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
) -> Suggestions | None:
    """The designer's answer if it may be computed on an event loop; else None."""
    if not at_hand(problem):
        return None
    if designer.cheap:
        return designer.suggest(problem, history, count, rng, memo)
    if isinstance(designer, StartsWithoutModel):
        return designer.suggest_without_model(problem, history, count, rng, memo)
    return None


class Designer(Protocol):
    """An algorithm with its settings. Made by the registry, which has checked settings and problem."""

    name: str
    version: int
    """Rises with every change that makes another point of the same history, or reads another memo."""
    cheap: bool
    """Answers within a millisecond a point and may be called on the server's event loop. One that does so only for its
    first points inherits `StartsWithoutModel`. The function `cheap` looks at the space as well."""

    def suggest(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        """At most `count` proposals: each lies in the space, satisfies its constraints, and has been tried less often
        than `problem.repeats` allows (in the history and this answer together)."""
