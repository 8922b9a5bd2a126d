"""Population based training: Jaderberg et al., "Population Based Training of Neural Networks" (2017), section 4.1.1.

A population of models trains at the same time. Whenever one has done `interval` more steps it is ready: if it is among
the worst it takes over the weights of one of the best (exploit, by truncation selection), with that one's parameters
perturbed or drawn anew (explore); else it goes on as it is. So parameters change while models train, and what is found
is a schedule.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...domain.errors import InvalidArgument
from ...domain.parameters import Parameters, Value
from ...domain.space import Categorical, Discrete, Double, Integer, Kind
from ..designer import History, New, Observation, Outcome, Problem, ReadsCurves, Resume, Suggestions
from ..memo import read_memo, write_memo
from ..pareto import best_first
from ..settings import setting
from ..space.encoding import encoder
from ..space.sampling import Taken, take
from .quasirandom import QuasiRandom
from .rungs import Losses, check_steps, final_losses, finite, losses_of, room_for_new

FACTORS = (0.8, 1.2)
"""What numbers are multiplied by to explore; the paper's, section 4.1.1."""

TRIES = 100
"""Perturbations that are tried for one that satisfies the constraints and is new."""

OVER = frozenset({Outcome.INFEASIBLE, Outcome.FAILED, Outcome.UNKNOWN})
"""A member whose trial ended so is no longer of the population."""

_BY = "pbt/1"


class PopulationBasedTraining(ReadsCurves):
    """A member of the population is a chain of trials: one goes on from the checkpoint of another when the member takes
    over its weights, with other parameters, and the one that the member leaves stays paused. Members are compared by
    their latest values, whenever one is ready, and nobody waits; the one with the fewest steps comes first. Where all
    are running and none is done, whoever asks starts another member.

    With several objectives their order is that of `pareto.best_first`.

    A member whose trial fails is replaced by a new one. When `population` members have done `max` steps and none is on
    its way, the study is over. Once `budget.trials` is used up nobody changes parameters any more, and the members that
    there are train to their ends.

    Observation.bracket is the member's number. Memo: that of the quasi-random sequence that members start from.
    """

    name = "pbt"
    version = 3
    cheap = True

    @dataclass(frozen=True)
    class Settings:
        max: int | None = setting(None, "steps of a whole training; required", least=2, most=2**53)
        interval: int | None = setting(
            None, "steps between two comparisons; a tenth of max by default", least=1, most=2**53
        )
        population: int = setting(20, "members that train at the same time", least=2, most=10_000)
        quantile: float = setting(
            0.2, "the part of the population that is the worst, and that is the best", least=0.01, most=0.5
        )
        resample: float = setting(
            0.25, "the chance that a parameter is drawn again instead of perturbed", least=0.0, most=1.0
        )

    def __init__(self, settings: Settings, problem: Problem) -> None:
        """Raises InvalidArgument where `max` is missing or not above `interval`, and where `quantile` of the population
        is nobody."""
        interval = settings.interval
        if interval is None:
            interval = max(1, (settings.max or 0) // 10)
        elif settings.max is not None and interval >= settings.max:
            raise InvalidArgument(
                "algorithm.interval",
                interval,
                f"must be less than algorithm.max = {settings.max}",
                "Members would never be compared",
            )
        self._max = check_steps(1, settings.max, self.name)
        if math.floor(settings.quantile * settings.population) < 1:
            raise InvalidArgument(
                "algorithm.population",
                settings.population,
                f"is too few for algorithm.quantile = {settings.quantile:g}: no member would be among the worst",
                f"Give it {math.ceil(1 / settings.quantile)} members or more, or a quantile of "
                f"{math.ceil(100 / settings.population) / 100:g}",
            )
        self._interval = interval
        self._settings = settings
        self._points = QuasiRandom(QuasiRandom.Settings(), problem)

    def suggest(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        heads: dict[int, Observation] = {}
        for o in history.observations:
            if o.bracket is not None:
                heads[o.bracket] = o
        number = 1 + max(heads, default=0)
        heads = {m: o for m, o in heads.items() if o.outcome not in OVER}
        ready = sorted(
            (o.until_step or 0, m) for m, o in heads.items() if o.outcome is Outcome.PAUSED and o.until_step is not None
        )
        room = room_for_new(problem, history)
        starting = int(max(0, min(count, self._settings.population - len(heads), room)))
        ready = ready[: count - starting]
        changed = self._changed(problem, history, heads, [m for _, m in ready], rng) if room > 0 else {}
        on = [changed.get(m) or self._on(heads[m]) for _, m in ready]
        # More workers than members start more of them, but not beside members that are done.
        more = starting if any(o.outcome is Outcome.MEASURED for o in heads.values()) else count - len(on)
        points = str(read_memo(_BY, memo).get("points", ""))
        seen = _With(history, [p.parameters for p in on if isinstance(p, New)])
        found = self._points.suggest(problem, seen, more, rng, points)
        new = []
        for member, proposal in enumerate((p for p in found.proposals if isinstance(p, New)), number):
            details = {**proposal.details, "bracket": float(member)}
            why = f"member {member} starts; {proposal.why}"
            new.append(replace(proposal, until_step=self._until(self._interval), details=details, why=why))
        over = not on and not any(o.outcome in (Outcome.PENDING, Outcome.PAUSED) for o in heads.values())
        done = sum(o.outcome is Outcome.MEASURED for o in heads.values()) >= self._settings.population
        if over and done:
            return Suggestions([], write_memo(_BY, points=points), exhausted=True)
        return Suggestions([*on, *new], write_memo(_BY, points=found.memo), exhausted=over and found.exhausted)

    def _until(self, step: int) -> int | None:
        return step if step < self._max else None

    def _on(self, head: Observation) -> Resume:
        step = head.until_step or 0
        until = self._until(step + self._interval)
        return Resume(head.trial_id, until, f"goes on to step {until or self._max} with its own weights")

    def _changed(
        self,
        problem: Problem,
        history: History,
        heads: dict[int, Observation],
        ready: Sequence[int],
        rng: np.random.Generator,
    ) -> dict[int, New]:
        """For members among the worst: the trials that they go on with."""
        worth = {m: _latest(o, problem) for m, o in heads.items()}
        known = sorted((losses, m) for m, losses in worth.items() if losses is not None)
        order = [known[place] for place in best_first([losses for losses, _ in known])]
        few = math.floor(self._settings.quantile * len(order))
        best = [m for losses, m in order[:few] if finite(losses) and _hands_on(heads[m])]
        worst = {m for _, m in order[len(order) - few :]}
        found: dict[int, New] = {}
        taken: Taken = Counter()
        for member in ready:
            if member not in worst or not best:
                continue
            donor = heads[best[int(rng.integers(len(best)))]]
            point = self._explored(problem, history, donor.parameters, rng, taken)
            if point is not None:
                rank = 1 + [m for _, m in order].index(member)
                why = (
                    f"member {member}, rank {rank} of {len(order)}: parameters and weights after trial {donor.trial_id}"
                )
                until = self._until((donor.until_step or self._max) + self._interval)
                found[member] = New(point, why, {"bracket": float(member)}, until, donor.trial_id)
        return found

    def _explored(
        self, problem: Problem, history: History, point: Parameters, rng: np.random.Generator, taken: Taken
    ) -> Parameters | None:
        """The point with each parameter perturbed or drawn anew; None where that gives nothing new."""
        space = problem.space
        for _ in range(TRIES):
            nudged: dict[str, Value] = {}
            drawn = []
            for i, p in enumerate(space.parameters):
                up, anew = rng.random() < 0.5, rng.random() < self._settings.resample
                if p.name in point:
                    nudged[p.name] = _nudged(p.kind, point[p.name], up)
                if anew or p.name not in point:
                    drawn.append(i)
            u = encoder(space).encode([nudged])
            u[0, drawn] = rng.random(len(drawn))
            (made,) = encoder(space).decode(u)
            if space.satisfies(made) and take(made, history, problem.repeats, taken):
                return made
        return None


class _With:
    """The history with points that this answer proposes already."""

    def __init__(self, history: History, points: Sequence[Parameters]) -> None:
        self._history, self._points = history, points

    @property
    def observations(self) -> Sequence[Observation]:
        return self._history.observations

    def times_tried(self, parameters: Parameters) -> int:
        return self._history.times_tried(parameters) + sum(p == parameters for p in self._points)

    @property
    def distinct(self) -> int:
        return self._history.distinct


def _hands_on(o: Observation) -> bool:
    """Not once it is on its way to the end: by the time its weights are copied nothing may be left to train."""
    return o.outcome in (Outcome.PENDING, Outcome.PAUSED) and o.until_step is not None


def _latest(o: Observation, problem: Problem) -> Losses | None:
    """What a member is worth now; None before its first values."""
    if o.outcome in (Outcome.PAUSED, Outcome.MEASURED):
        return final_losses(o, problem)
    curves = (o.curve, *o.other_curves)
    return losses_of([curve[-1][1] for curve in curves], problem) if all(curves) else None


def _nudged(kind: Kind, value: Value, up: bool) -> Value:
    """A number times one of FACTORS, within its range; a value on a grid moves by one place at least. Categories
    stay."""
    if isinstance(kind, Categorical):
        return value
    if isinstance(kind, Discrete):
        place = kind.values.index(value) + (1 if up else -1)
        return kind.values[min(max(place, 0), len(kind.values) - 1)]
    assert isinstance(kind, Integer | Double)
    assert isinstance(value, int | float)
    wanted = min(max(float(value) * FACTORS[up], float(kind.min)), float(kind.max))
    if kind.step is None:
        return wanted
    place, target = (round((x - kind.min) / kind.step) for x in (float(value), wanted))
    if place == target:
        target += 1 if wanted > value else -1
    assert kind.size is not None
    return kind.at(min(max(target, 0), kind.size - 1))
