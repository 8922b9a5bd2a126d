"""Learning-curve extrapolation: a trial is stopped when it can hardly become one of the best any more.

The criterion is that of Domhan et al., "Speeding up Automatic Hyperparameter Optimization of Deep Neural Networks by
Extrapolation of Learning Curves" (IJCAI 2015), section 3.3: stop when P(y_final > y_best) falls below a threshold.
Their mixture of eleven curve families is fitted to one curve and knows nothing of the others. Here the study's whole
trials say how values at a step go on: the final values are regressed on the values at that step. With the predictive
distribution of a Bayesian linear regression under the reference prior (Gelman et al., "Bayesian Data Analysis", 3rd
edition, section 14.2), few trials mean wide tails, and nothing has to be assumed about a curve's shape.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from ...domain.metric import Objective
from ..models.line import Line
from ..settings import setting
from .curves import CurveIndex
from .rule import Stop

Floats = NDArray[np.float64]

FITS = 1_000
"""Lines kept, by objective and step."""

NEGLIGIBLE = 1e-6
"""Smaller probabilities are not told apart in what people read."""


class LearningCurve:
    """The least loss x of a trial by a step predicts its least loss y at the end: over the whole trials, y is linear in
    x with normal errors, so the prediction for a new x is a Student t with n - 2 degrees of freedom.

    With several objectives a trial is stopped when there is a whole trial w that it will most probably not beat in any
    of them: P(not dominated) <= P(better than w in one) <= the sum over objectives of P(better than w there), which
    asks for no independence. With one objective that is the probability of beating the best.

    Whole are trials that ended by themselves, wherever that was. A trial that has reported nothing but NaN is stopped
    where `min_trials` others had numbers by then.
    """

    name = "curve"
    version = 1
    cheap = True

    @dataclass(frozen=True)
    class Settings:
        min: int = setting(1, "no trial is stopped before this step", least=0, most=2**63 - 1)
        min_trials: int = setting(
            8,
            "no trial is stopped before so many have run to their end and had reported by its step",
            least=3,
            most=10**9,
        )
        probability: float = setting(
            0.001, "a trial goes on while its chance of beating the best is at least this", least=1e-9, most=0.5
        )

    def __init__(self, settings: Settings, objectives: Sequence[Objective]) -> None:
        self._objectives = objectives
        self._settings = settings
        self._fits: OrderedDict[tuple[int, int], tuple[int, Line]] = OrderedDict()
        """By objective and step, with the index's word for what they were made from; least recently used first."""

    def decide(self, trial_id: int, step: int, curves: Sequence[CurveIndex]) -> Stop | None:
        if step < self._settings.min:
            return None
        chances: Floats | float = 0.0
        words = []
        for place, (objective, index) in enumerate(zip(self._objectives, curves, strict=True)):
            best = index.best(trial_id, step)
            own = -math.inf if best is None else objective.loss(best)
            fit = self._fit(place, step, index)
            if own == -math.inf or fit.trials < self._settings.min_trials:
                return None
            if own == math.inf:
                words.append(f"no number yet for {objective.metric}, which {fit.trials} trials had by now")
                continue
            mean, deviation = fit.predict(own)
            if deviation == math.inf:
                return None
            # The chance of the best is the least of all; only with several objectives does it take the others.
            rivals = fit.finals.min() if len(curves) == 1 else fit.finals
            with np.errstate(over="ignore"):
                below = stdtr(fit.freedom, (rivals - mean) / deviation)
            chances = chances + np.where(rivals >= own, 1.0, below)
            words.append(f"{objective.loss(mean):.4g} ± {deviation:.2g} expected for {objective.metric}")
        chance = float(np.min(chances))
        if chance >= self._settings.probability:
            return None
        shown = f"below {NEGLIGIBLE:g}" if chance < NEGLIGIBLE else f"{chance:.1g}"
        return Stop(f"step {step}: its chance of being the best is {shown}: {', '.join(words)}")

    def _fit(self, place: int, step: int, index: CurveIndex) -> Line:
        made_from, fit = self._fits.pop((place, step), (-1, None))
        if fit is None or made_from != index.whole_changes:
            fit = Line(*map(np.array, index.whole(step)))
        self._fits[place, step] = index.whole_changes, fit
        if len(self._fits) > FITS:
            self._fits.popitem(last=False)
        return fit
