"""The refusal of a study's name that another study has."""

from __future__ import annotations

from ..domain.errors import AlreadyExists
from ..domain.names import StudyName


def taken(name: StudyName) -> AlreadyExists:
    return AlreadyExists(
        name.short, "Choose another name, go on with it (`wazir run`, `load_if_exists=True`), or delete it"
    )
