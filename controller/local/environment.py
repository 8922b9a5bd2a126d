"""What a local attempt finds in its environment beside what every attempt finds (`controller/environment.py`).

    WAZIR_SPOOL             where the trial-side client leaves reports that it could not deliver
    WAZIR_CHECKPOINTS       the folder of its trial's checkpoints, which all attempts of it share
    WAZIR_PARENT_CHECKPOINTS  that of the trial whose checkpoint it begins from; empty where there is none
    WAZIR_MARKER            whose process this is; by it the process table is searched after a crash
    CUDA_VISIBLE_DEVICES    the GPUs it was given, none where others were; untouched where none are handed out
    PATH                    the folder of the Python that runs Wazir comes first, so `python` is that one
    PYTHONUNBUFFERED        1, so that metrics and logs can be read while it runs

A WAZIR_DB that names a database server is emptied: it may hold the password of one, which is no trial's.
The template's `env:` wins over PATH and PYTHONUNBUFFERED. The rest is the environment that the controller itself was
started with.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ...domain.database import DATABASE_VARIABLE
from ..execution import Order
from .folder import Folder
from .gpus import VISIBLE
from .processes import MARKER


def environment(
    order: Order, folder: Folder, parent: Path | None, marker: str, inherited: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The variables to set for an order, over those of `inherited`. `parent`: checkpoints of another trial."""
    variables = {
        "PATH": search_path(inherited),
        "PYTHONUNBUFFERED": "1",
        **order.env,
        "WAZIR_SPOOL": str(folder.spool),
        "WAZIR_CHECKPOINTS": str(folder.checkpoints),
        "WAZIR_PARENT_CHECKPOINTS": "" if parent is None else str(parent),
        MARKER: marker,
    }
    if "://" in inherited.get(DATABASE_VARIABLE, ""):
        variables[DATABASE_VARIABLE] = ""
    if order.devices is not None:
        variables[VISIBLE] = ",".join(order.devices)
    return variables


def search_path(inherited: Mapping[str, str] = os.environ) -> str:
    """Where programs are looked for: beside the Python that runs Wazir, then where `inherited` says."""
    own = str(Path(sys.executable).parent)
    path = inherited.get("PATH", os.defpath)
    return path if path.split(os.pathsep)[0] == own else f"{own}{os.pathsep}{path}"
