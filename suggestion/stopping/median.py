"""The median stopping rule: Golovin et al., "Google Vizier: A Service for Black-Box Optimization" (KDD 2017), 3.2.1.

"The Median Stopping Rule stops a pending trial x_t at step s if the trial's best objective value by step s is strictly
worse than the median value of the running averages of all completed trials' objectives reported up to step s."
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...domain.metric import Objective
from ..settings import setting
from .curves import CurveIndex
from .rule import Stop


class Median:
    """The rule above, word by word. It has no model, so it suits curves of every shape.

    A completed trial's running average up to s is the mean of its reports at steps up to s, however many there are;
    a trial that reported nothing by then is not counted. Completed are trials that succeeded and trials that a rule or
    a person stopped. A trial that has reported nothing but NaN is stopped where the median is finite.

    With several objectives a trial is stopped when it is worse than the median in each of them: the medians together
    dominate it. One that is as good as half of the others in a single objective may still belong to the front.
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
        """Takes any objectives."""
        self._objectives = objectives
        self._settings = settings

    def decide(self, trial_id: int, step: int, curves: Sequence[CurveIndex]) -> Stop | None:
        if step < self._settings.min:
            return None
        words = []
        for objective, index in zip(self._objectives, curves, strict=True):
            best = index.best(trial_id, step)
            median, trials = index.median_average(step)
            if best is None or trials < self._settings.min_trials or math.isnan(median):
                return None
            if not objective.better(median, best):
                return None
            shown, other = _told_apart(best, median)
            which = f"best {objective.metric}" if len(curves) > 1 else "best"
            averages = f"the median {other} of {trials} completed trials' running averages"
            words.append(f"{which} {shown} is worse than {averages}")
        return Stop(f"step {step}: {', '.join(words)}")


def _told_apart(a: float, b: float) -> tuple[str, str]:
    """Both numbers in as few digits, four or more, as show that they differ."""
    for digits in range(4, 17):
        pair = f"{a:.{digits}g}", f"{b:.{digits}g}"
        if pair[0] != pair[1]:
            return pair
    return repr(a), repr(b)
