"""Study files: YAML (or JSON) on disk <-> a study's id and specification, with mistakes reported by line.

How the file itself is read is the matter of `study_file_reader.py`; what words it may hold, of `domain/document/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..domain.document import SECTIONS, bare_durations, doubts, study_from_document, to_document
from ..domain.errors import MISSING, InvalidArgument, WazirError
from ..domain.study import StudySpec
from .study_file_reader import Reader
from .yaml_text import yaml_text


@dataclass(frozen=True)
class StudyFile:
    """A study file that was read. `lines`: the line of each field, by its path, counted from 1.

    `warnings`: what is sound and perhaps not meant, with file and line. `bare_durations`: how those without a unit are
    read, by their path.
    """

    path: Path
    study_id: str
    spec: StudySpec
    lines: Mapping[str, int]
    warnings: tuple[str, ...] = ()
    bare_durations: Mapping[str, str] = field(default_factory=dict)

    def explain(self, error: WazirError) -> WazirError:
        """`error` with file and line before its message, if it is about a field of this file; else `error` itself.

        The line is that of the field, or of the nearest one around it that the file holds.
        """
        return _explained(self.path, self.lines, error)


def load(path: Path | str) -> StudyFile:
    """Reads a study file. A relative `trial.workdir` is one from the file's folder, which is the default, too.

    Raises InvalidArgument, with file and line, for whatever is wrong with it; ImportError is never seen: a missing
    PyYAML is a WazirError that says what to install.
    """
    path = Path(path)
    document, lines = Reader(path).read()

    try:
        if "study" not in document:
            raise InvalidArgument("study", MISSING, "is missing: every study has a name", _example_name(path))
        if "parameters" not in document:
            example = "For instance parameters: {lr: {min: 1e-5, max: 1e-1, scale: log}}"
            raise InvalidArgument("parameters", MISSING, "is missing: a study file names what is tuned", example)
        study_id, spec = study_from_document(_with_workdir(document, path))
        assert study_id is not None
    except InvalidArgument as error:
        raise _explained(path, lines, error) from None

    return StudyFile(
        path=path,
        study_id=study_id,
        spec=spec,
        lines=lines,
        warnings=tuple(f"{_place(path, lines, doubt.field)}: {doubt}" for doubt in doubts(document)),
        bare_durations=bare_durations(document),
    )


def dump(study_id: str, spec: StudySpec) -> str:
    """YAML that `load` reads as an equal study, and so does every YAML 1.1 or 1.2 reader."""
    return yaml_text({"study": study_id} | to_document(spec), default_flow_style=None, width=110)


def _explained(path: Path, lines: Mapping[str, int], error: WazirError) -> WazirError:
    if not error.field:
        return error
    line = _line_of(lines, error.field)
    if line is None and error.field.split(".")[0].split("[")[0] not in SECTIONS:
        return error
    return type(error).restore(f"{_place(path, lines, error.field)}: {error.message}", error.field, error.details)


def _place(path: Path, lines: Mapping[str, int], field: str) -> str:
    """File and line of a field."""
    line = _line_of(lines, field)
    return f"{path}:{line}" if line is not None else f"{path}"


def _line_of(lines: Mapping[str, int], field: str) -> int | None:
    """The line of `field` or of the nearest one around it; None if there is none."""
    # With one objective the domain says `objective`, whichever of the two the file has.
    if field.split(".")[0] == "objective" and "objective" not in lines:
        field = field.replace("objective", "objectives[0]", 1)
    while field:
        if field in lines:
            return lines[field]
        field = field[: max(field.rfind("."), field.rfind("["), 0)]
    return None


def _example_name(path: Path) -> str:
    """A line to add, with a name made of the file's or its folder's."""
    stem = path.stem if path.stem not in ("study", "wazir") else path.absolute().parent.name
    usable = re.sub(r"[^a-z0-9]+", "-", stem.lower())[:40].strip("-")
    return f"Write for instance `study: {usable or 'my-study'}`"


def _with_workdir(document: Mapping[str, object], path: Path) -> Mapping[str, object]:
    trial = document.get("trial")
    if not isinstance(trial, Mapping):
        return document
    workdir = trial.get("workdir", "")
    # Whatever else it is, is refused with its path.
    if not isinstance(workdir, str):
        return document
    folder = os.path.normpath(path.absolute().parent / Path(workdir).expanduser())
    return {**document, "trial": {**trial, "workdir": folder}}
