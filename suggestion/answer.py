"""A model-based algorithm's answer in the making: first points, modelled ones, and quasi-random ones for the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..domain.errors import InvalidArgument
from ..domain.metric import Objective
from ..domain.parameters import Parameters
from .designer import History, New, Observation, Outcome, Problem
from .space.sampling import Taken, take
from .space.sobol import sobol_rows
from .space.usual import middle
from .untried import Found, find_untried

FAILURES: Final = (Outcome.INFEASIBLE, Outcome.FAILED)

LOOKED_AT: Final = 8
"""Quasi-random points of which the one most likely to succeed is proposed, once there were failures."""


def check_one_objective(name: str, problem: Problem) -> None:
    """Raises InvalidArgument for several objectives."""
    if len(problem.objectives) != 1:
        names = [o.metric for o in problem.objectives]
        hint = "Name one of them, or use quasirandom"
        raise InvalidArgument("algorithm.name", name, f"has one objective, and not {names}", hint)


class Seen:
    """A history by what its trials say: values, nothing yet, or that the point cannot be evaluated or is likely to
    fail. `failures`: of both kinds."""

    def __init__(self, observations: Sequence[Observation]) -> None:
        # Looking a member of an enumeration up is most of what each trial would cost.
        measured, failed, waiting = Outcome.MEASURED, FAILURES, (Outcome.PENDING, Outcome.PAUSED)
        self.measured = [o for o in observations if o.outcome is measured]
        others = [o for o in observations if o.outcome is not measured]
        self.failures = [o for o in others if o.outcome in failed]
        self.pending = [o for o in others if o.outcome in waiting]

    def losses(self, objective: Objective) -> NDArray[np.float64]:
        """Of the measured trials, (n,): less is better."""
        return np.array([o.values[0] for o in self.measured]) * objective.loss(1.0)

    @property
    def informative(self) -> int:
        return len(self.measured) + len(self.failures) + len(self.pending)


class Likely(Protocol):
    """`Success` of `success.py`."""

    def of(self, points: Sequence[Parameters]) -> NDArray[np.float64]: ...

    def explained(self, probability: float) -> tuple[str, dict[str, float]]: ...


class Answer:
    """`proposals` so far. `state`: what the memo keeps of the seed and of the quasi-random points."""

    def __init__(self, problem: Problem, history: History, rng: np.random.Generator, before: Mapping[str, Any]) -> None:
        """`before`: the entries of the memo."""
        self.problem, self.history, self.rng = problem, history, rng
        self.seed = int(before["seed"]) if before else int(rng.integers(2**63))
        self.exhausted = False
        self.proposals: list[New] = []
        self.success: Callable[[], Likely | None] = lambda: None
        """How likely points are to succeed; None while nothing has failed. Asked only if quasi-random points are."""
        self._before = before
        self._used = int(before.get("used", 0))
        self._order: dict[str, int] = {key: before[key] for key in ("key", "position", "size") if key in before}
        self._taken: Taken = Counter()

    @property
    def state(self) -> dict[str, int]:
        return {"seed": self.seed, "used": self._used, **self._order}

    def add(self, point: Parameters, why: str, details: Mapping[str, float]) -> bool:
        """Whether the point lies within the constraints and may be tried once more; it is then proposed."""
        if not self.problem.space.satisfies(point):
            return False
        if not take(point, self.history, self.problem.repeats, self._taken):
            return False
        self.proposals.append(New(point, why, details))
        return True

    def add_usual(self) -> None:
        """Proposes what a person would try first, where nothing was proposed before."""
        usual = None if self._before else middle(self.problem.space)
        if usual is not None:
            self.add(usual, "the defaults of the search space, and the middle where there are none", {})

    def add_first(self, count: int, first: int, known: int, values: int) -> int:
        """Proposes the usual point where nothing was proposed before, and quasi-random ones while fewer than `first`
        trials are `known`, or fewer than two `values`. How many of `count` are still lacking, 0 without two values."""
        if count > 0:
            self.add_usual()
        ready = values >= 2
        lacking = count - len(self.proposals)
        start = first - known - len(self.proposals) if ready else lacking
        self.add_quasirandom(min(start, lacking), "a start for the model")
        return count - len(self.proposals) if ready else 0

    def add_quasirandom(self, count: int, why: str, stand_in: str = "") -> None:
        """Up to `count` points, and in a finite space the last untried ones. Where some have failed, the likeliest to
        succeed of several in a row is taken, and the others are passed over. `stand_in`: as in
        `New`."""
        success = self.success() if count > 0 else None
        while count > 0 and success is not None:
            found = self._drawn(LOOKED_AT, why, Counter(self._taken))
            if found.order or not found.proposals:
                # Most of a finite space is tried: all the others are to come.
                break
            self._add_likeliest(found.proposals, success, stand_in)
            self._used += found.used
            count -= 1
        if count <= 0:
            return
        found = self._drawn(count, why, self._taken)
        self.proposals += [replace(p, stand_in=stand_in) for p in found.proposals] if stand_in else found.proposals
        self._used += found.used
        self._order = dict(found.order) or self._order
        self.exhausted = found.exhausted

    def _add_likeliest(self, proposals: Sequence[New], success: Likely, stand_in: str) -> None:
        probabilities = success.of([p.parameters for p in proposals])
        best = int(np.argmax(probabilities))
        words, numbers = success.explained(float(probabilities[best]))
        chosen = proposals[best]
        take(chosen.parameters, self.history, self.problem.repeats, self._taken)
        about = {**chosen.details, **numbers}
        self.proposals.append(replace(chosen, why=chosen.why + words, details=about, stand_in=stand_in))

    def _drawn(self, count: int, why: str, taken: Taken) -> Found:
        dimension = len(self.problem.space.parameters)
        return find_untried(
            self.problem,
            self.history,
            count,
            rng=self.rng,
            memo={**self._before, **self._order},
            taken=taken,
            rows=lambda start, n: sobol_rows(self.seed, self._used + start, n, dimension),
            explain=lambda number: (
                f"point {self._used + number + 1} of a scrambled Sobol sequence ({why})",
                {"index": float(self._used + number)},
            ),
        )
