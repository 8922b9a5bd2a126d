"""A Gaussian-process bandit: points of the greatest expected improvement under a model of all that was seen.

Jones, Schonlau and Welch, "Efficient Global Optimization of Expensive Black-Box Functions" (1998), with the model of
`models/gaussian_process.py`, the warping of objectives of OSS Vizier (Song et al., 2024) and the logarithm of expected
improvement of Ament et al. (2023).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ..answer import Answer, Seen, check_one_objective
from ..designer import History, Problem, StartsWithoutModel, Suggestions
from ..first_points import first_points
from ..memo import read_memo, write_memo
from ..models.normal import NotPositive
from ..models.warping import Warping
from ..space.rows import Rows
from ..surrogate import Surrogate, kept_of, thin

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


class GaussianProcessBandit(StartsWithoutModel):
    """The first points are the defaults, or the middle of the space, and quasi-random ones. From then on each point has
    the greatest expected improvement on the best trial. Trials still pending count as if they had ended with what the
    model expects of them, infeasible ones as if they were as bad as the worst.

    Memo: the seed of the quasi-random points and how many are used, the last hyperparameters, from which the next fit
    starts, and the number of trials they were fitted to.
    """

    name = "gp"
    version = 4
    cheap = False

    @dataclass(frozen=True)
    class Settings:
        """There are none."""

    def __init__(self, settings: Settings, problem: Problem) -> None:
        """Raises InvalidArgument for several objectives."""
        check_one_objective(self.name, problem)
        self._rows = Rows(problem.space)

    def suggest(
        self, problem: Problem, history: History, count: int, rng: np.random.Generator, memo: str
    ) -> Suggestions:
        before = read_memo(_BY, memo)
        answer, seen = Answer(problem, history, rng, before), Seen(history.observations)
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
        z = np.concatenate([warping.values, np.full(len(seen.infeasible), warping.values.max())])
        kept = thin(z, MODELLED)
        known = [*seen.measured, *seen.infeasible]
        x = self._rows.of([known[i].parameters for i in kept])[0]
        return Surrogate(answer, warping, x, z[kept], before, known=len(z))
