"""A Gaussian-process bandit: points of the greatest expected improvement under a model of all that was seen.

Jones, Schonlau and Welch, "Efficient Global Optimization of Expensive Black-Box Functions" (1998), with the model of
`models/gaussian_process.py`, the warping of objectives of OSS Vizier (Song et al., 2024) and the logarithm of expected
improvement of Ament et al. (2023).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any, Final

import numpy as np

from ..answer import Answer, Seen, check_one_objective
from ..designer import History, Problem, StartsWithoutModel, Suggestions
from ..duration import LEAST, Duration
from ..first_points import first_points
from ..memo import read_memo, write_memo
from ..models.input_warping import InputWarping
from ..models.normal import NotPositive
from ..models.warping import Warping
from ..settings import setting
from ..space.rows import Rows
from ..success import Success, success_of
from ..surrogate import Beside, Surrogate, kept_of, thin

logger = logging.getLogger(__name__)

FIRST: Final = 6
"""Points before the model is asked, the one in the middle included. More of them were no better, in docs/decisions."""

MODELLED: Final = 750
"""Trials that the model learns from: the better half of them the best of all, the others spread evenly over the rest,
so that the cost of a point stops growing."""

BATCH: Final = 64
"""Points of one round that the model is asked for; the others of a larger round are quasi-random."""

_BY: Final = "gp/1"
"""Of the memo, whose form is still that of the first version."""


@dataclass(frozen=True)
class CostSettings:
    """What algorithms are told that may count improvement by what it costs."""

    cost: str | None = setting(None, "improvement counts by the second that a trial takes", choices=("time",))


class GaussianProcessBandit(StartsWithoutModel):
    """The first points are the defaults, or the middle of the space, and quasi-random ones. From then on each point has
    the greatest expected improvement on the best trial, times the probability that it succeeds if some have failed or
    were infeasible, by the second if time is the cost. Trials still pending count as if they had ended with what the
    model expects of them.

    Memo: the seed of the quasi-random points and how many are used, the last hyperparameters, from which the next fit
    starts, and the number of trials they were fitted to; the same of the models of success and of durations.
    """

    name = "gp"
    version = 5
    cheap = False

    Settings = CostSettings

    def __init__(self, settings: CostSettings, problem: Problem) -> None:
        """Raises InvalidArgument for several objectives."""
        check_one_objective(self.name, problem)
        self._rows = Rows(problem.space)
        self._by_time = settings.cost == "time"

    def suggest(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        before = read_memo(_BY, memo)
        answer, seen = Answer(problem, history, rng, before), Seen(history.observations)
        answer.success = partial(success_of, seen, self._rows, problem.space)
        lacking = answer.add_first(count, FIRST, seen.informative, len(seen.measured))
        fitted = before
        if lacking > 0:
            stand_in = ""
            try:
                model = self._model(problem, seen, answer, before)
                fitted = model.state
                pending = [o.parameters for o in seen.pending[-MODELLED:]] + [p.parameters for p in answer.proposals]
                model.add_points(min(lacking, BATCH), self._rows.of(pending)[0])
                why = "the model has no other point to offer"
            except NotPositive as error:
                logger.warning("gp answers with quasi-random points: %s", error)
                stand_in = f"the model cannot be fitted: {error}"
                why = f"fallback: {stand_in}"
            answer.add_quasirandom(count - len(answer.proposals), why, stand_in)
        after = write_memo(_BY, **answer.state, **kept_of(fitted))
        return Suggestions(answer.proposals, after, answer.exhausted)

    def suggest_without_model(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions | None:
        return first_points(_BY, problem, history, count, rng, memo, first=FIRST, learns_success=True)

    def _model(self, problem: Problem, seen: Seen, answer: Answer, before: Mapping[str, Any]) -> Surrogate:
        """Raises NotPositive for values that are no numbers."""
        losses = seen.losses(problem.objectives[0])
        if not np.isfinite(losses).all():
            raise NotPositive("the objective of a measured trial is not finite")
        warping = Warping(losses)
        z = warping.values
        kept = thin(z, MODELLED)
        x = self._rows.of([seen.measured[i].parameters for i in kept])[0]

        def beside(axes: InputWarping) -> Beside:
            space = problem.space
            timed = [o for o in (*seen.measured, *seen.failures) if o.seconds is not None] if self._by_time else []
            timed.sort(key=attrgetter("trial_id"))
            about = seen.failures, self._rows, space, axes, before
            return Beside(
                success=Success(seen.measured, *about) if seen.failures else None,
                duration=Duration(timed, *about[1:]) if len(timed) >= LEAST else None,
            )

        return Surrogate(answer, warping, x, z[kept], before, known=len(z), beside=beside)
