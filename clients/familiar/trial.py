"""`optuna.trial`: the states and the two kinds of trials."""

from __future__ import annotations

from ...domain.trial import TrialState as TrialState
from ..asked import AskedTrial as Trial
from ..results import Result as FrozenTrial

__all__ = ["FrozenTrial", "Trial", "TrialState"]
