"""What an algorithm believes of how long trials take, from those of a study that have ended.

Snoek, Larochelle and Adams, "Practical Bayesian Optimization of Machine Learning Algorithms" (2012), section 3.2:
improvement counts by the second, with a second Gaussian process on the logarithm of durations.

A trial that timed out would have run longer, so its duration is censored. It counts with what the others let expect of
a trial that has run so long: the first step of Schmee and Hahn, "A Simple Method for Regression Analysis with Censored
Data" (1979), as Hutter, Hoos and Leyton-Brown, "Bayesian Optimization With Censored Response Data" (2011), have it.
Their later steps change nothing here, because a process with little noise goes through what was put in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from scipy.special import log_ndtr

from ..domain.space import Space
from .designer import Observation
from .models.gaussian_process import GaussianProcess, Hyperparameters, Prior, centre, fit
from .models.input_warping import Axes, InputWarping
from .models.kernel import Array, Mask
from .models.warped_lattice import axes
from .space.rows import Rows

TIMED: Final = 300
"""Trials that the model learns from, the latest."""

FITTED: Final = 150
"""Trials that hyperparameters are fitted to, the latest."""

REFIT: Final = 0.1
"""Hyperparameters are fitted again when the number of trials has grown by this part."""

ITERATIONS: Final = 20
"""Steps of a fit."""

LEAST: Final = 3
"""Durations from which on there is a model."""

SHORTEST: Final = 1e-3
"""Seconds: what takes less is as good as free, and its logarithm would decide the scale."""

PRIOR: Final = Prior(noise=-3.0)


class Duration:
    """The model of one answer, in the coordinates of `warping`: what divides expected improvement.

    `state`: what the memo keeps, the hyperparameters and the number of trials they were fitted to.
    """

    def __init__(
        self,
        timed: list[Observation],
        rows: Rows,
        space: Space,
        warping: InputWarping,
        before: Mapping[str, Any],
    ) -> None:
        """`timed`: trials with `seconds`, LEAST or more. `before`: entries of the memo. Raises NotPositive."""
        number, timed = len(timed), timed[-TIMED:]
        seconds = np.array([0.0 if o.seconds is None else o.seconds for o in timed])
        censored = np.array([o.timed_out for o in timed])
        logs = np.log(np.maximum(seconds, SHORTEST))
        self._level, self._unit = float(logs.mean()), float(logs.std()) or 1.0
        y = (logs - self._level) / self._unit
        x = warping.forward(rows.of([o.parameters for o in timed])[0])
        categorical = axes(space).categorical
        straight = Axes(categorical, np.zeros(2 * len(categorical)))
        theta, fitted = centre(straight, PRIOR), 0
        if len(before.get("durations", ())) == len(theta):
            theta, fitted = np.array(before["durations"]), int(before["timed"])
        if not fitted <= number < fitted + max(1.0, REFIT * fitted):
            whole = censored if censored.all() else ~censored
            of_fit = x[whole][-FITTED:], y[whole][-FITTED:], straight, PRIOR
            theta, fitted = np.round(fit(*of_fit, [theta], ITERATIONS, bends=False), 4), number
        self.state: dict[str, Any] = {"durations": theta.tolist(), "timed": fitted}
        h = Hyperparameters.read(theta, categorical)
        self._model = _with_censored(x, y, censored, categorical, h)

    def value(self, at: Array) -> Array:
        """The negative logarithm of the expected seconds at `at`, (m, d), without its constant: (m,)."""
        mean, deviation = self._model.predict(at)
        # The mean of a log-normal distribution.
        return -self._unit * mean - 0.5 * (self._unit * deviation) ** 2

    def with_gradient(self, at: Array) -> tuple[Array, Array]:
        """The same and its derivatives by the ordered coordinates, (m, d); 0 by categorical ones."""
        mean, deviation, by_mean, by_deviation = self._model.predict_with_gradient(at)
        value = -self._unit * mean - 0.5 * (self._unit * deviation) ** 2
        return value, -self._unit * by_mean - (self._unit**2 * deviation)[:, None] * by_deviation

    def explained(self, at: Array) -> tuple[str, dict[str, float]]:
        """What a proposal at `at`, (1, d), says of it: in words and in numbers."""
        seconds = float(np.exp(np.minimum(self._level - self.value(at)[0], 600.0)))
        return f", about {seconds:.3g} s long", {"seconds": seconds}


def _with_censored(x: Array, y: Array, censored: Mask, categorical: Mask, h: Hyperparameters) -> GaussianProcess:
    """The model of `y`, (n,), of which the `censored` ones are lower bounds. Without others they are all there is."""
    if not censored.any() or censored.all():
        return GaussianProcess(x, y, categorical, h, PRIOR)
    known = GaussianProcess(x[~censored], y[~censored], categorical, h, PRIOR)
    mean, deviation = known.predict(x[censored])
    spread = np.sqrt(deviation**2 + h.noise)
    z = (y[censored] - mean) / spread
    expected = y.copy()
    # E[y | y > bound] of a normal distribution, by the inverse Mills ratio φ(z) / Φ(-z).
    expected[censored] = mean + spread * np.exp(-0.5 * z * z - 0.5 * np.log(2.0 * np.pi) - log_ndtr(-z))
    return GaussianProcess(x, expected, categorical, h, PRIOR)
