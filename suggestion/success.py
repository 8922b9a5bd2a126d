"""What an algorithm believes of how likely points are to succeed, from a study's trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..domain.parameters import Parameters
from ..domain.space import Space
from .answer import Seen
from .designer import Observation
from .models.input_warping import InputWarping
from .models.kernel import Array, Mask
from .models.success import SuccessModel, SuccessPrior, centre, fit
from .models.warped_lattice import axes
from .space.rows import Rows

LABELS: Final = 300
"""Trials that the model learns from: at most half of them failures, of each kind some spread evenly over all."""

FITTED: Final = 120
"""Trials that hyperparameters are fitted to, chosen likewise: the cost of a fit grows with their cube."""

REFIT: Final = 0.1
"""Hyperparameters are fitted again when the number of trials has grown by this part."""

ITERATIONS: Final = 20
"""Steps of a fit."""

TOLD: Final = 0.05
"""From this probability of failure on, a proposal's reason mentions it."""

PRIOR: Final = SuccessPrior()


class Success:
    """The model of one answer, in the coordinates of `warping`. There must have been failures.

    `state`: what the memo keeps, the hyperparameters and the number of trials they were fitted to.
    """

    def __init__(
        self,
        succeeded: Sequence[Observation],
        failed: Sequence[Observation],
        rows: Rows,
        space: Space,
        warping: InputWarping,
        before: Mapping[str, Any] | None = None,
    ) -> None:
        """`before`: entries of the memo; None: the hyperparameters are those of the prior's mode. Raises
        NotPositive."""
        self._rows, self._warping = rows, warping
        categorical = axes(space).categorical
        points = [o.parameters for o in (*succeeded, *failed)]
        label = np.repeat([1.0, -1.0], [len(succeeded), len(failed)])
        theta, self.state = centre(len(categorical), PRIOR), dict[str, Any]()
        if before is not None:
            start, last = _remembered(before, theta)
            if not last <= len(points) < last + max(1.0, REFIT * last):
                kept = _thinned(label, FITTED)
                x = self._at([points[i] for i in kept])
                start = np.round(fit(x, label[kept], categorical, PRIOR, [start], ITERATIONS), 4)
                last = len(points)
            theta, self.state = start, {"success": start.tolist(), "labels": last}
        kept = _thinned(label, LABELS)
        x = self._at([points[i] for i in kept])
        self._model = SuccessModel(x, label[kept], categorical, theta, PRIOR)
        self.value, self.with_gradient = self._model.value, self._model.with_gradient
        self.probability = self._model.probability

    def _at(self, points: Sequence[Parameters]) -> Array:
        return self._warping.forward(self._rows.of(points)[0])

    def of(self, points: Sequence[Parameters]) -> Array:
        """The probability of success of points of the space, (n,)."""
        return self.probability(self._at(points)) if points else np.zeros(0)

    def warped(self, rows: Array) -> Array:
        """Rows of the lattice, (m, d), in the model's coordinates."""
        return self._warping.forward(rows)

    def likely(self, at: Array) -> Mask:
        """Which points rather succeed, at rows of the lattice, (m, d), not warped: (m,)."""
        return self.probability(self._warping.forward(at)) >= 0.5

    def worth(self, at: Array) -> Array:
        """As `value`, at rows of the lattice, (m, d), not warped: (m,)."""
        return self.value(self._warping.forward(at))

    def explained(self, probability: float) -> tuple[str, dict[str, float]]:
        """What a proposal says of its own: in words, empty if success is all but certain, and in numbers."""
        failing = 1.0 - probability
        words = f", {100.0 * failing:.0f} % likely to fail" if failing >= TOLD else ""
        return words, {"success": probability}


def success_of(seen: Seen, rows: Rows, space: Space, before: Mapping[str, Any] | None = None) -> Success | None:
    """The model in coordinates of its own, for an algorithm that bends no axes, or while there is no model of the
    objective. `before` as in `Success`. None without failures. Raises NotPositive."""
    if not seen.failures:
        return None
    known = axes(space)
    warping = InputWarping.read(known.shapes, known.categorical)
    return Success(seen.measured, seen.failures, rows, space, warping, before)


def _remembered(before: Mapping[str, Any], mode: Array) -> tuple[Array, int]:
    """Hyperparameters of the memo, and how many labels they were fitted to; without any, the prior's mode and 0."""
    if len(before.get("success", ())) != len(mode):
        return mode, 0
    return np.array(before["success"]), int(before["labels"])


def _thinned(label: Array, most: int) -> NDArray[np.intp]:
    """Places of at most `most` of the trials, failures last."""
    good, bad = np.flatnonzero(label > 0), np.flatnonzero(label < 0)
    few = min(len(bad), max(most // 2, most - len(good)))
    return np.concatenate([_evenly(good, most - few), _evenly(bad, few)])


def _evenly(places: NDArray[np.intp], most: int) -> NDArray[np.intp]:
    if len(places) <= most:
        return places
    thinned: NDArray[np.intp] = places[np.linspace(0, len(places) - 1, most).astype(int)]
    return thinned
