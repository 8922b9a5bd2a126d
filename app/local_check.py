"""Whether this machine can run a study's trials: looked at before a service or a database is made for it."""

from __future__ import annotations

from pathlib import Path

from ..controller.local.environment import search_path
from ..controller.local.gpus import find_devices
from ..controller.loop import check_gpus
from ..domain.errors import MISSING, InvalidArgument
from ..domain.study import StudySpec
from ..domain.template import Runtime, references
from .scripts import check_program, check_script


def check_here(spec: StudySpec, gpus: int | None = None) -> None:
    """Raises InvalidArgument if it cannot: no such program, script or folder, or too few GPUs. `gpus`: so many are
    handed out, whatever is found."""
    template = spec.trial
    if template is None:
        return
    if template.runtime is Runtime.KUBERNETES or not template.command:
        what = "is a study of pods" if template.runtime is Runtime.KUBERNETES else "has no command of its own"
        raise InvalidArgument(
            "trial.command" if template.runtime is None else "trial.runtime",
            MISSING if template.runtime is None else template.runtime.value,
            f"{what}, and here trials are processes of this machine",
            "Make it with `wazir create` and let a `wazir controller` run it",
        )
    if template.workdir and not Path(template.workdir).is_dir():
        raise InvalidArgument("trial.workdir", template.workdir, "is not a folder on this machine")
    if not any(references(template.command[0])):
        check_program(template.command[0], template.env.get("PATH") or search_path(), template.workdir)
    check_script(template.command, template.workdir)
    check_gpus(template, find_devices(gpus))
