"""Checkpoints of a trial: what a later attempt of it needs to go on where an earlier one stopped.

    checkpoint = trial.checkpoint.latest()
    if checkpoint is not None:
        model.load(checkpoint / "model.npz")
    for epoch in range(trial.resume_step(), 50):
        ...
        with trial.checkpoint.save(step=epoch + 1) as folder:
            model.save(folder / "model.npz")

A checkpoint is a folder that is there whole or not at all:

    {root}/step-000000000012/          what was saved, and
    {root}/step-000000000012/wazir.json   {"trial", "step", "files": {path: bytes}}
    {root}/.saving-{pid}-{step}/       one that is being written
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..domain.errors import InvalidArgument

MANIFEST = "wazir.json"
_PREFIX = "step-"

logger = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one trial. Attempts of it may be on different machines, if they see the same folder."""

    def __init__(self, root: Path | None, trial: str, parent: Path | None = None) -> None:
        """`root`: None outside a study. `parent`: another trial's, to begin from while there is none of its own."""
        self._root = root
        self._trial = trial
        self._parent = parent

    @contextmanager
    def save(self, step: int) -> Iterator[Path]:
        """A new folder to write to. At the end of the block it becomes the latest checkpoint, of `step` finished steps,
        and older ones are removed; where the block raises, nothing has happened.

        Without a study around it the folder is thrown away. Raises InvalidArgument for a negative step, OSError.
        """
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < 10**12:
            raise InvalidArgument("step", step, "must be a whole number of 0 or more: it counts finished work")
        if self._root is None:
            with tempfile.TemporaryDirectory(prefix="wazir-checkpoint-") as name:
                yield Path(name)
            return
        self._root.mkdir(parents=True, exist_ok=True)
        draft = self._root / f".saving-{os.getpid()}-{step}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            yield draft
            files = {str(f.relative_to(draft)): f.stat().st_size for f in sorted(draft.rglob("*")) if f.is_file()}
            with (draft / MANIFEST).open("w", encoding="utf-8") as manifest:
                json.dump({"trial": self._trial, "step": step, "files": files}, manifest)
                manifest.flush()
                os.fsync(manifest.fileno())
            target = self._root / f"{_PREFIX}{step:012d}"
            shutil.rmtree(target, ignore_errors=True)
            draft.rename(target)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        for older in self._folders(self._root):
            if older != target:
                shutil.rmtree(older, ignore_errors=True)

    def latest(self) -> Path | None:
        """The folder of the latest checkpoint; None where there is none to go on from.

        One that is not whole, or that another trial wrote, is passed over with a warning: going on from less is safe.
        """
        found = self._latest()
        return None if found is None else found[0]

    def step(self) -> int:
        """How many steps are done in the latest checkpoint; 0 without one."""
        found = self._latest()
        return 0 if found is None else found[1]

    def _latest(self) -> tuple[Path, int] | None:
        for root, trial in ((self._root, self._trial), (self._parent, None)):
            if root is None:
                continue
            for folder in sorted(self._folders(root), reverse=True):
                step = _whole(folder, trial)
                if step is not None:
                    return folder, step
        return None

    @staticmethod
    def _folders(root: Path) -> list[Path]:
        try:
            return [entry for entry in root.iterdir() if entry.name.startswith(_PREFIX) and entry.is_dir()]
        except FileNotFoundError:
            return []


def _whole(folder: Path, trial: str | None) -> int | None:
    """The step of the checkpoint, if all of it is there and it is `trial`'s, None being anybody's."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        step, files, whose = int(manifest["step"]), dict(manifest["files"]), str(manifest["trial"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        logger.warning("the checkpoint %s is passed over: its %s cannot be read (%s)", folder, MANIFEST, error)
        return None
    if trial is not None and whose != trial:
        logger.warning("the checkpoint %s is passed over: it is of %s", folder, whose)
        return None
    for name, size in files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            logger.warning("the checkpoint %s is passed over: %s is missing or cut short", folder, name)
            return None
    return step
