"""Study files as commands take them: what is doubtful in one is said before anything is done with it."""

from __future__ import annotations

from pathlib import Path

from ..study_file import StudyFile, load
from .terminal import say


def load_and_warn(path: Path) -> StudyFile:
    """Reads a study file, and prints what is sound in it and perhaps not meant to standard error."""
    study_file = load(path)
    for warning in study_file.warnings:
        say(f"wazir: warning: {warning}", err=True)
    return study_file
