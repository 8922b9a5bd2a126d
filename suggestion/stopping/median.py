"""The median stopping rule: Golovin et al., "Google Vizier: A Service for Black-Box Optimization" (KDD 2017), 3.2.1.

"The Median Stopping Rule stops a pending trial x_t at step s if the trial's best objective value by step s is strictly
worse than the median value of the running averages of all completed trials' objectives reported up to step s."
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...domain.errors import InvalidArgument
from ...domain.metric import Objective
from ..settings import setting
from .curves import CurveIndex
from .rule import Stop


class Median:
    """The rule above, word by word. It has no model, so it suits curves of every shape.

    A completed trial's running average up to s is the mean of its reports at steps up to s, however many there are;
    a trial that reported nothing by then is not counted. Completed are trials that succeeded and trials that a rule or
    a person stopped. A trial that has reported nothing but NaN is stopped where the median is finite.
    """

    name = "median"
    version = 1
    cheap = True

    @dataclass(frozen=True)
    class Settings:
        min: int = setting(1, "no trial is stopped before this step", least=0, most=2**63 - 1)
        min_trials: int = setting(
            5, "no trial is stopped before so many completed trials have reported by its step", least=1, most=10**9
        )

    def __init__(self, settings: Settings, objectives: Sequence[Objective]) -> None:
        """Raises InvalidArgument where there are several objectives."""
        if len(objectives) != 1:
            raise InvalidArgument(
                "stopping.name",
                self.name,
                f"compares curves of one objective, and the study has {len(objectives)}",
                "Leave `stopping` out, or keep one objective and watch the others as `safety` metrics",
            )
        (self._objective,) = objectives
        self._settings = settings

    def decide(self, trial_id: int, step: int, curves: Sequence[CurveIndex]) -> Stop | None:
        best = curves[0].best(trial_id, step) if step >= self._settings.min else None
        if best is None:
            return None
        median, trials = curves[0].median_average(step)
        if trials < self._settings.min_trials or math.isnan(median) or not self._objective.better(median, best):
            return None
        shown, other = _told_apart(best, median)
        return Stop(
            f"step {step}: best {shown} is worse than the median {other} of {trials} completed trials' running averages"
        )


def _told_apart(a: float, b: float) -> tuple[str, str]:
    """Both numbers in as few digits, four or more, as show that they differ."""
    for digits in range(4, 17):
        pair = f"{a:.{digits}g}", f"{b:.{digits}g}"
        if pair[0] != pair[1]:
            return pair
    return repr(a), repr(b)
