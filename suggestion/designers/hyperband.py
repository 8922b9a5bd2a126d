"""Hyperband: Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar, "Hyperband: A Novel Bandit-Based Approach to
Hyperparameter Optimization" (JMLR 18, 2018), algorithm 1, answered one trial at a time.

Bracket s = s_max, ..., 0 begins n = ceil((s_max + 1) / (s + 1) eta^s) trials and gives each r = R eta^-s steps. When
all of them are there, the best n // eta go on to r eta steps, and so on, up to R. After bracket 0 it begins again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..designer import History, New, Observation, Outcome, Problem, ReadsCurves, Resume, Suggestions
from ..memo import read_memo, write_memo
from ..pareto import best_first
from .followed import Followed
from .quasirandom import QuasiRandom
from .rungs import LadderSettings, check_steps, final_losses, finite, losses_at, nothing_waits, rung_of


@dataclass(frozen=True, slots=True)
class Bracket:
    """One run of successive halving: at rung i, `sizes[i]` trials do `steps[i]` steps."""

    steps: tuple[int, ...]
    sizes: tuple[int, ...]


def brackets(least: int, most: int, eta: float) -> list[Bracket]:
    """All brackets of one round of Hyperband, the most eager one first. `least`: the fewest steps worth doing."""
    s_max = math.floor(math.log(most / least, eta) + 1e-9)
    found = []
    for s in range(s_max, -1, -1):
        n = math.ceil((s_max + 1) / (s + 1) * eta**s - 1e-9)
        steps = [max(least, math.floor(most * eta ** (i - s) + 1e-9)) for i in range(s)] + [most]
        sizes = [max(1, math.floor(n * eta**-i + 1e-9)) for i in range(s + 1)]
        found.append(Bracket(tuple(steps), tuple(sizes)))
    return found


class Hyperband(ReadsCurves):
    """r is `min`, R is `max`. New points are quasi-random. A rung's trials are compared when all of them are there;
    whoever asks meanwhile gets a trial of the next bracket, so that nobody waits while the budget lasts.

    A trial that fails is replaced at its bracket's first rung, and at a later rung by the next best of the rung below.
    Where budget or space end within a bracket, the trials that it has are compared, and its rungs are smaller by as
    much; each of the very first bracket still gets one, so that some trial comes to the end.
    What a trial is worth at a rung is its first report from the rung's step on, however far it came before it heard
    that it was to pause; what it was paused with, where it has none before the next rung. NaN, and being infeasible, is
    worth least. With several objectives their order is that of `pareto.best_first`.

    Memo: that of the quasi-random sequence.
    """

    name = "hyperband"
    version = 2
    cheap = True

    Settings = LadderSettings

    def __init__(self, settings: LadderSettings, problem: Problem) -> None:
        """Raises InvalidArgument for settings without a ladder."""
        most = check_steps(settings.min, settings.max, self.name)
        self._brackets = brackets(settings.min, most, settings.eta)
        self._points = QuasiRandom(QuasiRandom.Settings(), problem)
        self._standing = _Standing(self._of, settings.eta, problem)

    def suggest(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        self._standing.follow(history.observations)
        room = math.inf if problem.trials is None else problem.trials - self._standing.counted
        resumed, wanted = self._planned(count, room)
        by = f"{self.name}/1"
        points = str(read_memo(by, memo).get("points", ""))
        found = self._new_points(problem, history, len(wanted), rng, points)
        if wanted and found.exhausted and not found.proposals:
            resumed, _ = self._planned(count, 0)
        new = []
        for proposal, (number, bracket) in zip(found.proposals, wanted, strict=False):
            assert isinstance(proposal, New)
            until = bracket.steps[0] if len(bracket.steps) > 1 else None
            details = {**proposal.details, "bracket": float(number)}
            why = f"bracket {number}: one of {bracket.sizes[0]} to step {bracket.steps[0]}; {proposal.why}"
            new.append(replace(proposal, until_step=until, details=details, why=why))
        exhausted = found.exhausted and not resumed and nothing_waits(history)
        return Suggestions([*resumed, *new], write_memo(by, points=found.memo), exhausted)

    def _planned(self, count: int, room: float) -> tuple[list[Resume], list[tuple[int, Bracket]]]:
        """For `count` who ask: the trials that go on, and the brackets that new ones are for. `room`: how many new ones
        there will be; those beyond are for nobody."""
        resumed: list[Resume] = []
        wanted: list[tuple[int, Bracket]] = []
        number = 0
        while len(resumed) + len(wanted) < count and (len(wanted) < room or number <= self._standing.last):
            promoted, lacking = self._standing.of(number)
            if lacking > 0 and len(wanted) >= room:
                promoted = self._standing.incomplete(number)
            resumed += promoted
            wanted += [(number, self._of(number))] * int(min(lacking, count, room - len(wanted)))
            number += 1
        resumed = resumed[:count]
        wanted += [(number, self._of(number))] * count
        return resumed, wanted[: count - len(resumed)]

    def _new_points(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        """Points of trials that begin. `memo`: what this returned last time."""
        return self._points.suggest(problem, history, count, rng, memo)

    def _of(self, number: int) -> Bracket:
        return self._brackets[number % len(self._brackets)]


class _Standing:
    """The trials of each bracket, and who of them may go on."""

    def __init__(self, bracket: Callable[[int], Bracket], eta: float, problem: Problem) -> None:
        self._bracket = bracket
        self._eta = eta
        self._problem = problem
        self._followed = Followed()
        self._members: defaultdict[int, dict[int, Observation]] = defaultdict(dict)
        self._known: dict[int, tuple[list[Resume], int]] = {}
        """What `of` says, until a trial of the bracket changes."""

    def follow(self, observations: Sequence[Observation]) -> None:
        for before, now in self._followed.follow(observations):
            if before is not None and before.bracket is not None:
                self._members[before.bracket].pop(before.trial_id, None)
                self._known.pop(before.bracket, None)
            if now is not None and now.bracket is not None:
                self._known.pop(now.bracket, None)
                # One that failed later on has been at the first rung all the same.
                if now.counted or rung_of(now, self._bracket(now.bracket).steps) > 0:
                    self._members[now.bracket][now.trial_id] = now

    @property
    def counted(self) -> int:
        """Trials that use up the budget."""
        return self._followed.counted

    @property
    def last(self) -> int:
        """The last bracket with a trial; -1 without one."""
        return max((number for number, members in self._members.items() if members), default=-1)

    def of(self, number: int) -> tuple[list[Resume], int]:
        """The bracket's trials that may go on now, best first, and how many its first rung lacks."""
        found = self._known.get(number)
        if found is None:
            bracket, there = self._bracket(number), list(self._members[number].values())
            lacking = bracket.sizes[0] - len(there)
            promoted = _promoted(number, bracket, there, self._problem) if lacking <= 0 else []
            found = self._known[number] = promoted, lacking
        return found

    def incomplete(self, number: int) -> list[Resume]:
        """As `of`, of a bracket that gets no more trials than it has: those that may go on now."""
        bracket, there = self._bracket(number), list(self._members[number].values())
        least = 1 if number == 0 else 0
        sizes = [max(least, math.floor(len(there) * self._eta**-i + 1e-9)) for i in range(len(bracket.sizes))]
        return _promoted(number, replace(bracket, sizes=tuple(sizes)), there, self._problem)


def _promoted(number: int, bracket: Bracket, there: list[Observation], problem: Problem) -> list[Resume]:
    """The trials of a bracket with a full first rung that may go on now, best first."""
    there = [o for o in there if o.counted]
    found = []
    for i in range(len(bracket.steps) - 1):
        beyond = [o for o in there if rung_of(o, bracket.steps) > i]
        at = [o for o in there if rung_of(o, bracket.steps) == i]
        if any(o.outcome is Outcome.PENDING for o in at):
            continue
        # A trial of the rung below may still come up to here.
        below = [o for o in there if rung_of(o, bracket.steps) < i and o.outcome in (Outcome.PENDING, Outcome.PAUSED)]
        if i and len(at) + len(beyond) < bracket.sizes[i] and below:
            continue
        lacking = bracket.sizes[i + 1] - len(beyond)
        if lacking <= 0:
            continue
        start, end = bracket.steps[i], bracket.steps[i + 1]
        worth = {
            o.trial_id: losses_at(o, start, end, problem) or final_losses(o, problem)
            for o in at
            if o.outcome is Outcome.PAUSED
        }
        waiting = [trial_id for trial_id in sorted(worth) if finite(worth[trial_id])]
        best = best_first([worth[trial_id] for trial_id in waiting])[:lacking]
        for rank, trial_id in enumerate((waiting[place] for place in best), 1 + len(beyond)):
            last = i + 2 == len(bracket.steps)
            why = f"bracket {number}, step {start}: rank {rank} of {len(at) + len(beyond)}; goes on to step {end}"
            found.append(Resume(trial_id, None if last else end, why))
    return found
