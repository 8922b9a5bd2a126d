"""The threshold rule: a trial that has not reached a given value by a given step is stopped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...domain.errors import InvalidArgument, nearest
from ...domain.metric import Objective
from ..settings import setting
from .curves import CurveIndex
from .rule import Stop


class Threshold:
    """For people who know what is hopeless: `{name: threshold, value: 0.5, min: 10}` on an accuracy stops every trial
    that has not been at 0.5 or better once it has done 10 steps, and at every report from then on."""

    name = "threshold"
    version = 1
    cheap = True

    @dataclass(frozen=True)
    class Settings:
        value: float | None = setting(None, "what a trial must have reached; it has to be given")
        min: int = setting(1, "no trial is stopped before this step", least=0, most=2**63 - 1)
        metric: str | None = setting(None, "the objective it is about; the first one by default")

    def __init__(self, settings: Settings, objectives: Sequence[Objective]) -> None:
        """Raises InvalidArgument where `value` is missing or `metric` is no objective."""
        if settings.value is None:
            raise InvalidArgument("stopping.value", None, "is missing", "Give the value that a trial must have reached")
        metrics = [o.metric for o in objectives]
        if settings.metric is not None and settings.metric not in metrics:
            hint = nearest(settings.metric, metrics) or f"The study's objectives are {', '.join(metrics)}"
            raise InvalidArgument("stopping.metric", settings.metric, "is not an objective of the study", hint)
        self._place = 0 if settings.metric is None else metrics.index(settings.metric)
        self._objective = objectives[self._place]
        self._value = settings.value
        self._min = settings.min

    def decide(self, trial_id: int, step: int, curves: Sequence[CurveIndex]) -> Stop | None:
        best = curves[self._place].best(trial_id, step) if step >= self._min else None
        if best is None or not self._objective.better(self._value, best):
            return None
        return Stop(f"step {step}: best {best:.6g} is worse than the threshold {self._value:.6g}")
