"""`optuna.exceptions`."""

from __future__ import annotations

from ...domain.errors import AlreadyExists as DuplicatedStudyError
from ...domain.errors import Unavailable as StorageInternalError
from ...domain.errors import WazirError as OptunaError
from ..trial import TrialPruned as TrialPruned

__all__ = ["DuplicatedStudyError", "OptunaError", "StorageInternalError", "TrialPruned"]
