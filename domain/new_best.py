"""Whether a trial that has ended is the best one so far, for views that see the trials of a study one by one."""

from __future__ import annotations

import math

from .study import StudySpec
from .trial import EVALUATED, Trial


def is_new_best(trial: Trial, best: Trial | None, spec: StudySpec) -> bool:
    """Whether `trial` is better than `best`, the best one before it (None: there was none). False with several
    objectives, and if the trial has no value, a NaN, or metrics that the study does not call safe."""
    metrics = trial.final or {}
    if len(spec.objectives) != 1 or trial.state not in EVALUATED or not spec.safe(metrics):
        return False

    (objective,) = spec.objectives
    value = metrics.get(objective.metric, math.nan)
    if math.isnan(value):
        return False
    return best is None or objective.better(value, (best.final or {})[objective.metric])
