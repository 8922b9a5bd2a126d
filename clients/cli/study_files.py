"""Study files as commands take them: what is doubtful in one is said before anything is done with it."""

from __future__ import annotations

from pathlib import Path

from ...domain.errors import WazirError
from ..study_file import StudyFile, load
from .terminal import say


def load_and_warn(path: Path) -> StudyFile:
    """Reads a study file, and prints what is sound in it and perhaps not meant to standard error. Raises WazirError."""
    study_file = load(path)
    template = study_file.spec.trial
    if template is not None and template.metrics.pattern:
        from ...wire.pattern import compiled

        try:
            compiled(template.metrics.pattern)
        except WazirError as error:
            raise study_file.explain(error) from error
    for warning in study_file.warnings:
        say(f"wazir: warning: {warning}", err=True)
    return study_file
