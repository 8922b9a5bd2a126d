"""`optuna.study`: the study, its directions, and the callback that counts."""

from __future__ import annotations

from collections.abc import Iterable

from ...domain.metric import Goal as StudyDirection
from ...domain.trial import TrialState
from ..results import Result
from ..study import Study as Study

__all__ = ["MaxTrialsCallback", "Study", "StudyDirection"]


class MaxTrialsCallback:
    """Ends `optimize` when the study has `n_trials` trials in one of `states` (None: any), whoever evaluated them."""

    def __init__(self, n_trials: int, states: Iterable[TrialState] | None = (TrialState.SUCCEEDED,)) -> None:
        self._n_trials = n_trials
        self._states = None if states is None else frozenset(states)

    def __call__(self, study: Study, trial: Result) -> None:
        counts = study.details().counts
        done = counts.total if self._states is None else sum(counts[state] for state in self._states)
        if done >= self._n_trials:
            study.stop()
