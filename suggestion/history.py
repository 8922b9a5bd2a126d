"""What algorithms know of a study's trials, kept up to date trial by trial."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Final, NamedTuple

from ..domain.attempt import Cause
from ..domain.fault import failed_by_itself
from ..domain.metric import Objective
from ..domain.parameters import Parameters, digest
from ..domain.trial import PENDING, UNCOUNTED, Trial, TrialState
from .designer import Observation, Outcome

_MODULUS: Final = 1 << 128


class _Entry(NamedTuple):
    """An observation with what was computed from it, which costs more than all else about it."""

    observation: Observation
    share: int
    """Of the history's digest."""
    point: bytes
    """The digest of its parameters."""


class TrialHistory:
    """A `History` that changes: `put` and `remove` take constant time but for the rare re-sorting of late arrivals.

    Not for several threads at once.

    `repeats`: how often a point may be tried; it may be set anew at any time. `partial`: trials have only what their
    code asked for, as in a growing space; see `History.times_tried`.
    """

    def __init__(self, observations: Iterable[Observation] = (), *, repeats: int = 1, partial: bool = False) -> None:
        self.repeats = repeats
        # How many trials asked for exactly these names, where that matters.
        self._asked: Counter[frozenset[str]] | None = Counter() if partial else None
        self._by_id: dict[int, _Entry] = {}
        # In order of id, or None after an arrival out of order, until somebody asks.
        self._sorted: list[Observation] | None = []
        self._tried: Counter[bytes] = Counter()
        # How many points were tried at least so many times.
        self._at_least: Counter[int] = Counter()
        self._sum = 0
        # When each trial last changed, on this object's own count of changes; the latest change comes last.
        self._changed: dict[int, int] = {}
        self.changes = 0
        """How often it has changed: `changed_since` tells what did after such a count."""
        for observation in observations:
            self.put(observation)

    @property
    def observations(self) -> Sequence[Observation]:
        """All trials by id. To be read at once: the next change may change the list."""
        if self._sorted is None:
            self._sorted = sorted((e.observation for e in self._by_id.values()), key=attrgetter("trial_id"))
        return self._sorted

    def put(self, observation: Observation) -> None:
        """Adds a trial, or replaces what was known of it."""
        number = observation.trial_id
        old = self._by_id.get(number)
        if old is not None:
            self._uncount(old)
        same_point = old is not None and old.observation.parameters is observation.parameters
        self._by_id[number] = self._count(observation, old.point if old and same_point else _point(observation))
        self._note(number)
        if self._sorted is None:
            return
        if old is not None:
            self._sorted[bisect_left(self._sorted, number, key=attrgetter("trial_id"))] = observation
        elif not self._sorted or self._sorted[-1].trial_id < number:
            self._sorted.append(observation)
        else:
            self._sorted = None

    def get(self, trial_id: int) -> Observation | None:
        entry = self._by_id.get(trial_id)
        return None if entry is None else entry.observation

    def remove(self, trial_id: int) -> None:
        """Forgets a trial; one that is not known is no matter."""
        old = self._by_id.pop(trial_id, None)
        if old is not None:
            self._uncount(old)
            self._sorted = None
            self._note(trial_id)

    def changed_since(self, changes: int) -> tuple[list[Observation], list[int]]:
        """Trials put, and ids of those removed, after that many `changes`, each once and as it is now. Costs what it
        tells, not what is stored."""
        put, removed = [], []
        for number, when in reversed(self._changed.items()):
            if when <= changes:
                break
            if (entry := self._by_id.get(number)) is None:
                removed.append(number)
            else:
                put.append(entry.observation)
        return put[::-1], removed[::-1]

    def times_tried(self, parameters: Parameters) -> int:
        if not self._by_id:
            return 0
        tried = self._tried[bytes.fromhex(digest(parameters))]
        for names in self._asked or ():
            if names < parameters.keys():
                part = {name: value for name, value in parameters.items() if name in names}
                tried += self._tried[bytes.fromhex(digest(part))]
        return tried

    @property
    def distinct(self) -> int:
        return self._at_least[self.repeats]

    def digest(self) -> str:
        """32 hexadecimal digits that stand for all observations, the same in whatever order they were put.

        It is the sum, modulo 2^128, of a BLAKE2b-128 hash of each observation, its trial's id included: one trial's
        share is added or taken away without looking at the others, and no trial occurs twice. It tells histories apart
        that differ by accident; it is no defence against somebody who makes up histories to collide.
        """
        return f"{self._sum:032x}"

    def __len__(self) -> int:
        return len(self._by_id)

    def _note(self, trial_id: int) -> None:
        self.changes += 1
        self._changed.pop(trial_id, None)
        self._changed[trial_id] = self.changes

    def _count(self, observation: Observation, point: bytes) -> _Entry:
        entry = _Entry(observation, _share(observation, point), point)
        self._sum = (self._sum + entry.share) % _MODULUS
        if observation.tried:
            self._tried[entry.point] += 1
            self._at_least[self._tried[entry.point]] += 1
        if self._asked is not None and _complete(observation):
            self._asked[frozenset(observation.parameters)] += 1
        return entry

    def _uncount(self, entry: _Entry) -> None:
        self._sum = (self._sum - entry.share) % _MODULUS
        if entry.observation.tried:
            self._at_least[self._tried[entry.point]] -= 1
            self._tried[entry.point] -= 1
            if not self._tried[entry.point]:
                del self._tried[entry.point]
        if self._asked is not None and _complete(entry.observation):
            names = frozenset(entry.observation.parameters)
            self._asked[names] -= 1
            if not self._asked[names]:
                del self._asked[names]


def observe(trial: Trial, objectives: Sequence[Objective]) -> Observation:
    """The trial as algorithms see it.

    Values of MEASURED ones are always finite: a trial that was stopped where its objective was infinite or NaN has
    diverged, which is the same to an algorithm as INFEASIBLE. A PAUSED one's may be NaN.
    """
    outcome = Outcome.UNKNOWN
    values: tuple[float, ...] = ()
    details = trial.provenance.details if trial.provenance is not None else {}
    bracket = int(details["bracket"]) if "bracket" in details else None

    if trial.state is TrialState.PAUSED:
        outcome = Outcome.PAUSED
        values = tuple((trial.final or {}).get(o.metric, math.nan) for o in objectives)
    elif trial.state in PENDING:
        outcome = Outcome.PENDING
    elif trial.state is TrialState.INFEASIBLE:
        outcome = Outcome.INFEASIBLE
    elif failed_by_itself(trial):
        outcome = Outcome.FAILED
    elif trial.state not in UNCOUNTED and trial.final and all(o.metric in trial.final for o in objectives):
        measured = tuple(trial.final[o.metric] for o in objectives)
        if all(map(math.isfinite, measured)):
            outcome, values = Outcome.MEASURED, measured
        else:
            outcome = Outcome.INFEASIBLE

    timed_out = outcome is Outcome.FAILED and trial.attempts[-1].cause is Cause.TIMED_OUT
    return Observation(
        trial.id,
        trial.parameters,
        outcome,
        values,
        end_time=trial.end_time,
        counted=trial.state not in UNCOUNTED,
        until_step=trial.until_step,
        bracket=bracket,
        seconds=_seconds(trial) if timed_out or outcome is Outcome.MEASURED else None,
        timed_out=timed_out,
    )


def _seconds(trial: Trial) -> float | None:
    """How long the last attempt ran, with those before it that paused and whose work it went on with. None where
    nobody saw when it began."""
    *earlier, last = trial.attempts or (None,)
    if last is None or last.seconds is None:
        return None
    return last.seconds + sum(a.seconds or 0.0 for a in earlier if a is not None and a.cause is Cause.STOPPED)


_COMPLETE: Final = frozenset({Outcome.MEASURED, Outcome.PAUSED, Outcome.INFEASIBLE})


def _complete(observation: Observation) -> bool:
    """Whether its parameters are all that its code asks for at this point: not what is proposed, nor what it had come
    to when it failed. A trial without any says nothing of points."""
    return observation.outcome in _COMPLETE and bool(observation.parameters)


def _point(observation: Observation) -> bytes:
    return bytes.fromhex(digest(observation.parameters))


def _share(o: Observation, point: bytes) -> int:
    text = f"{o.trial_id} {o.outcome.value} {o.counted} {o.values!r} {o.end_time!r} {point.hex()}"
    if o.until_step is not None or o.bracket is not None or o.curve:
        text += f" {o.until_step} {o.bracket} {o.curve!r}"
    if any(o.other_curves):
        text += f" {o.other_curves!r}"
    if o.seconds is not None:
        text += f" {o.seconds!r} {o.timed_out}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
