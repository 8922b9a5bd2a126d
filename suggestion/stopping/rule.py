"""The contract of a stopping rule: whether a trial that has just reported should go on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .curves import CurveIndex


@dataclass(frozen=True, slots=True)
class Stop:
    """The trial should end. `reason`: one sentence for people, with the numbers that decided it."""

    reason: str


class StoppingRule(Protocol):
    """A rule with its settings. Made by the registry, which has checked settings and objectives.

    It decides by what it is given and keeps nothing that matters between calls.
    """

    name: str
    version: int
    """Rises with every change that decides otherwise on the same curves."""
    cheap: bool
    """Answers within a millisecond and may be called on the server's event loop."""

    def decide(self, trial_id: int, step: int, curves: Sequence[CurveIndex]) -> Stop | None:
        """Called after each report of that trial that has an objective's value, in the order of arrival. `step` is the
        report's; `curves` are the study's, one for each objective, in order. None: go on."""
