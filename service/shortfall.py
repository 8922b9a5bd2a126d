"""What people should know of a trial that ran to its own end where algorithm or rule expected more of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..domain.study import StudySpec
from ..domain.trial import Measurement
from ..suggestion.registry import whole_steps


def shortfall(spec: StudySpec, measurements: Callable[[], Sequence[Measurement]]) -> str:
    """One sentence where the trial did fewer steps than a whole one, or where there was nothing to judge it by; else
    empty. `measurements` are the trial's, read where they matter."""
    whole = whole_steps(spec.algorithm, spec.stopping)
    if whole is None and spec.stopping is None:
        return ""
    metrics = {objective.metric for objective in spec.objectives}
    steps = [m.step for m in measurements() if not metrics.isdisjoint(m.metrics)]
    if not steps:
        return "it reported no objective by step, so it could be neither paused nor stopped early"
    if whole is not None and max(steps) < whole[1]:
        return f"it ended by itself at step {max(steps)}, and {whole[0]} takes a whole trial to do {whole[1]}"
    return ""
