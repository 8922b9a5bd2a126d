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
from ..settings import setting
from .curves import CurveIndex
from .rule import Stop

Floats = NDArray[np.float64]

FENCE = 3.0
"""Trials whose loss is further above the upper quartile than so many interquartile ranges (Tukey's far out) are left
out: those that diverge would otherwise decide the line."""

RECENT = 1_000
"""Whole trials that the line is laid through: the last ones, when there are more."""

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
        self._fits: OrderedDict[tuple[int, int], tuple[int, _Fit]] = OrderedDict()
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

    def _fit(self, place: int, step: int, index: CurveIndex) -> _Fit:
        made_from, fit = self._fits.pop((place, step), (-1, None))
        if fit is None or made_from != index.whole_changes:
            fit = _Fit(*map(np.array, index.whole(step)))
        self._fits[place, step] = index.whole_changes, fit
        if len(self._fits) > FITS:
            self._fits.popitem(last=False)
        return fit


class _Fit:
    """The line through what whole trials had been at a step and what they came to."""

    def __init__(self, bests: Floats, finals: Floats) -> None:
        self.finals = np.where(np.isnan(finals), np.inf, finals)
        known = np.isfinite(bests) & np.isfinite(finals)
        self.trials = int(known.sum())
        """How many had numbers by that step."""
        self.freedom = 0
        x, y = bests[known][-RECENT:], finals[known][-RECENT:]
        if len(x) < 3:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            low, high = np.quantile(x, [0.25, 0.75])
            self._fence = float(high + FENCE * (high - low) if high > low else x.max())
            x, y = x[x <= self._fence], y[x <= self._fence]
            # Huge and tiny values have squares too once they are counted in units of their own.
            self._middle = float(x.mean())
            self._unit = float(max(np.abs(x - self._middle).max(), np.abs(y - self._middle).max())) or 1.0
            x, y = (x - self._middle) / self._unit, (y - self._middle) / self._unit
            self._spread = float(x @ x)
            self._slope = float(x @ y) / self._spread if self._spread > 0 else 0.0
            self._level = float(y.mean())
            errors = y - self._level - self._slope * x
            self.freedom = len(x) - 2
            self._variance = float(errors @ errors) / self.freedom
        self._n = len(x)

    def predict(self, own: float) -> tuple[float, float]:
        """Location and scale of the Student t with `freedom` for what a trial comes to that is at `own`. The scale is
        infinite where nothing can be said."""
        at = (min(own, self._fence) - self._middle) / self._unit
        if not math.isfinite(at) or (at and not self._spread):
            return own, math.inf
        leverage = 1.0 / self._n + (at * at / self._spread if at else 0.0)
        # Rounding errors in a perfect fit, and all the same values, are no certainty.
        scale = max(math.sqrt(self._variance * (1.0 + leverage)), 1e-9)
        mean = self._middle + self._unit * (self._level + self._slope * at)
        return mean, self._unit * scale if math.isfinite(mean) else math.inf
