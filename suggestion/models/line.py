"""How what trials are worth at a step goes on: a line through what others were worth there and what they came to.

With the predictive distribution of a Bayesian linear regression under the reference prior (Gelman et al., "Bayesian
Data Analysis", 3rd edition, section 14.2), few trials mean wide tails, and nothing has to be assumed about a curve's
shape.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from .kernel import Array

FENCE: Final = 3.0
"""Trials whose loss is further above the upper quartile than so many interquartile ranges (Tukey's far out) are left
out: those that diverge would otherwise decide the line."""

RECENT: Final = 1_000
"""Whole trials that the line is laid through: the last ones, when there are more."""

SLOPED: Final = 5
"""Trials from which on the slope is theirs. With fewer it is 1: every trial gains what they gained on average."""


class Line:
    """The line through what whole trials had been at a step and what they came to."""

    def __init__(self, bests: Array, finals: Array) -> None:
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
            self._level = float(y.mean())
            self._sloped = len(x) >= SLOPED
            self._spread, self._slope = float(x @ x), 1.0
            if self._sloped:
                self._slope = float(x @ y) / self._spread if self._spread > 0 else 0.0
            errors = y - self._level - self._slope * x
            self.freedom = len(x) - (2 if self._sloped else 1)
            self._variance = float(errors @ errors) / self.freedom
        self._n = len(x)

    def predict(self, own: float) -> tuple[float, float]:
        """Location and scale of the Student t with `freedom` for what a trial comes to that is at `own`. The scale is
        infinite where nothing can be said."""
        at = (min(own, self._fence) - self._middle) / self._unit
        if not math.isfinite(at) or (self._sloped and at and not self._spread):
            return own, math.inf
        leverage = 1.0 / self._n + (at * at / self._spread if self._sloped and at else 0.0)
        if not math.isfinite(leverage):
            return own, math.inf
        # Rounding errors in a perfect fit, and all the same values, are no certainty.
        scale = max(math.sqrt(self._variance * (1.0 + leverage)), 1e-9)
        mean = self._middle + self._unit * (self._level + self._slope * at)
        return mean, self._unit * scale if math.isfinite(mean) else math.inf
