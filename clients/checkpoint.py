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
    {root}/.saving-{attempt}-{pid}-{step}/   one that is being written

A trial that begins from another's takes over a copy of it first, because that one may go on and save, or be collected,
while this one reads.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ..domain.errors import InvalidArgument

MANIFEST = "wazir.json"
TRIES = 5
"""Checkpoints of a parent that may go away while they are copied."""
_PREFIX = "step-"
_DRAFT = ".saving-"

logger = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one trial. Attempts of it may be on different machines, if they see the same folder."""

    def __init__(self, root: Path | None, trial: str, attempt: int = 0, parent: Path | None = None) -> None:
        """`root`: None outside a study. `parent`: another trial's, to begin from where there is none of its own."""
        self._root = root
        self._trial = trial
        self._drafts = f"{_DRAFT}{attempt}-"
        self._parent = parent

    @contextmanager
    def save(self, step: int) -> Iterator[Path]:
        """A new folder to write to. At the end of the block it becomes the latest checkpoint, of `step` finished steps,
        and older ones are removed; if the block raises, nothing has happened.

        Without a study around it the folder is thrown away. Raises InvalidArgument for a negative step, OSError.
        """
        if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < 10**12:
            raise InvalidArgument("step", step, "must be a whole number of 0 or more: it counts finished work")
        if self._root is None:
            with tempfile.TemporaryDirectory(prefix="wazir-checkpoint-") as name:
                yield Path(name)
            return
        target = self._root / f"{_PREFIX}{step:012d}"
        with self._draft(step) as draft:
            yield draft
            files = {str(f.relative_to(draft)): f.stat().st_size for f in sorted(draft.rglob("*")) if f.is_file()}
            self._describe(draft, step, files)
            shutil.rmtree(target, ignore_errors=True)
            draft.rename(target)
        # No two attempts of a trial run at the same time: what another one was writing, it was killed at.
        killed = [d for d in self._root.glob(f"{_DRAFT}*") if not d.name.startswith(self._drafts)]
        for older in [*_folders(self._root), *killed]:
            if older != target:
                shutil.rmtree(older, ignore_errors=True)

    @contextmanager
    def _draft(self, step: int) -> Iterator[Path]:
        """A folder to write to, which is removed if the block raises."""
        assert self._root is not None
        self._root.mkdir(parents=True, exist_ok=True)
        draft = self._root / f"{self._drafts}{os.getpid()}-{step}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            yield draft
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise

    def _describe(self, draft: Path, step: int, files: Mapping[str, int]) -> None:
        with (draft / MANIFEST).open("w", encoding="utf-8") as manifest:
            json.dump({"trial": self._trial, "step": step, "files": dict(files)}, manifest)
            manifest.flush()
            os.fsync(manifest.fileno())

    def latest(self) -> Path | None:
        """The folder of the latest checkpoint; None if there is none to go on from.

        One that is not whole, or that another trial wrote, is passed over with a warning: going on from less is safe.
        """
        found = self._latest()
        return None if found is None else found[0]

    def step(self) -> int:
        """How many steps are done in the latest checkpoint; 0 without one."""
        found = self._latest()
        return 0 if found is None else found[1]

    def _latest(self) -> tuple[Path, int] | None:
        if self._root is None:
            return None
        found = _newest(self._root, self._trial)
        if found is None and self._parent is not None:
            self._take_over(self._parent)
            found = _newest(self._root, self._trial)
        return found

    def _take_over(self, parent: Path) -> None:
        """Copies the parent's latest checkpoint, if it has one; where it saves meanwhile, that next one."""
        assert self._root is not None
        tried: set[Path] = set()
        while (found := _newest(parent, None)) is not None and found[0] not in tried and len(tried) < TRIES:
            folder, step = found
            tried.add(folder)
            target = self._root / folder.name
            try:
                with self._draft(step) as draft:
                    shutil.copytree(folder, draft, dirs_exist_ok=True)
                    self._describe(draft, step, _read(folder, None).files)
                    draft.rename(target)
            except (OSError, _Unfit) as error:
                if target.exists():
                    return  # another process of this attempt was quicker
                logger.warning("the checkpoint %s could not be taken over: %s", folder, error)
            else:
                return


def discard(root: Path, trials: Iterable[str]) -> None:
    """Removes the folders of these trials below `root`, in a thread: training does not wait for it."""

    def remove() -> None:
        for trial in trials:
            if trial.isdecimal():
                shutil.rmtree(root / trial, ignore_errors=True)

    threading.Thread(target=remove, name="wazir-discard", daemon=True).start()


class _Unfit(Exception):
    """Why a checkpoint is passed over."""


@dataclass(frozen=True, slots=True)
class _Manifest:
    step: int
    files: Mapping[str, int]


def _folders(root: Path) -> list[Path]:
    try:
        return [entry for entry in root.iterdir() if entry.name.startswith(_PREFIX) and entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        logger.warning("checkpoints cannot be looked for: %s", error)
        return []


def _newest(root: Path, trial: str | None) -> tuple[Path, int] | None:
    """The latest checkpoint that is whole and `trial`'s, None being anybody's, and its step."""
    for folder in sorted(_folders(root), reverse=True):
        try:
            return folder, _read(folder, trial).step
        except _Unfit as reason:
            logger.warning("the checkpoint %s is passed over: %s", folder, reason)
    return None


def _read(folder: Path, trial: str | None) -> _Manifest:
    """What a checkpoint's manifest says. Raises _Unfit where it, or a file it names, is not whole, or not `trial`'s."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        step, files, whose = int(manifest["step"]), dict(manifest["files"]), str(manifest["trial"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _Unfit(f"its {MANIFEST} cannot be read ({error})") from error
    if trial is not None and whose != trial:
        raise _Unfit(f"it is of {whose}")
    for name, size in files.items():
        try:
            there = (folder / name).stat().st_size
        except (OSError, ValueError) as error:
            raise _Unfit(f"{name} is missing ({error})") from error
        if there != size:
            raise _Unfit(f"{name} is cut short: {there} bytes instead of {size}")
    return _Manifest(step, files)
