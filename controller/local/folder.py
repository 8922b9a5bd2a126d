"""Where attempts keep what they leave: one folder each, and what lies in it.

{root}/identity                        who runs here
{root}/lock                            held by the controller that runs here now
{root}/live/{uid}.{trial}.{attempt}    one empty file for each attempt that is not forgotten
{root}/{uid}/{trial}/checkpoints/      what its attempts save to go on from (`clients/checkpoint.py`)
{root}/{uid}/{trial}/{attempt}/
    launch.json    what was launched, and its supervisor; written before anything runs
    output.log     what it printed, standard output and standard error together
    spool.jsonl    reports that the training code could not deliver (see `spool.py`)
    spool.jsonl.unsaved  whether reports are lost that could not even be spooled (`clients/unsaved.py`)
    ending.json    why and when it was told to end
    exit.json      how it ended; written by its supervisor
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ...clients.private_folder import make_private
from ...clients.unsaved import SIZE as SIGN_SIZE
from ...clients.unsaved import any_unsaved, sign_of
from ...domain.errors import WazirError
from ...domain.names import parse_study
from ..execution import Ending, Execution, Exit, Fault, Key, Phase, Why
from ..runtime import OutputLost
from .reading import NotAFile, read_part
from .zygote import EXIT_RESERVE

T = TypeVar("T")
Record = dict[str, Any]

EXIT_SIZE = 8192
"""Bytes that are kept free for the exit record, more than it ever has."""
MAX_RECORD = 16 * 1024 * 1024
MAX_SPOOL = 128 * 1024 * 1024
"""Bytes of a spool that are read: a million reports."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Supervisor:
    """Names one process, forever: its id, its start in clock ticks since boot, and the boot."""

    pid: int
    start: int
    boot: str


class Folder:
    """The folder of one attempt. Reading is tolerant: a record that is not there or was cut short is None."""

    def __init__(self, root: Path, key: Key) -> None:
        self.key = key
        self.path = root / key.uid / str(key.trial) / str(key.attempt)
        self.checkpoints = checkpoints(root, key.uid, key.trial)
        self.log = self.path / "output.log"
        self.spool = self.path / "spool.jsonl"
        self.sign = sign_of(self.spool)
        self._live = root / "live" / f"{key.uid}.{key.trial}.{key.attempt}"

    def enter(self) -> None:
        """Lists the attempt among those not forgotten, and keeps others out of what its study will leave."""
        of_study = self.path.parent.parent
        # Somebody may have removed the run folder.
        make_private(self._live.parent)
        of_study.mkdir(mode=0o700, exist_ok=True)
        of_study.chmod(0o700)
        self._live.touch(mode=0o600)

    def leave(self) -> None:
        self._live.unlink(missing_ok=True)

    @property
    def reserve(self) -> dict[str, int]:
        """The files that must be writable on a full disk, with their sizes."""
        return {self.sign.name: SIGN_SIZE, EXIT_RESERVE: EXIT_SIZE}

    def launched(self) -> tuple[Execution, Supervisor] | None:
        """What was launched, as if it still ran."""
        return self._record("launch.json", self._launched)

    def _launched(self, record: Record) -> tuple[Execution, Supervisor]:
        execution = Execution(
            key=self.key,
            study=parse_study(record["study"]),
            phase=Phase.RUNNING,
            start_time=float(record["time"]),
            ending=self.ending(),
            node=str(record["node"]),
            devices=tuple(map(str, record["devices"])),
            gpus=float(record["gpus"]),
            log_path=str(self.log),
        )
        return execution, Supervisor(int(record["pid"]), int(record["start"]), str(record["boot"]))

    def exit(self) -> Exit | None:
        """How it ended; None where its supervisor did not come to write it."""
        return self._record("exit.json", self._exit)

    def _exit(self, record: Record) -> Exit:
        failure = record["failure"]
        return Exit(
            code=None if record["code"] is None else int(record["code"]),
            time=float(record["time"]),
            fault=Fault.COMMAND if failure else None,
            error=self._explain(*failure) if failure else "",
            out_of_memory=bool(record["out_of_memory"]),
            max_rss=int(record["max_rss"]),
        )

    def ending(self) -> Ending | None:
        return self._record("ending.json", lambda record: Ending(Why(record["why"]), float(record["time"])))

    def output_lost(self, read: int) -> str:
        """Why not all that an ended attempt has printed is in its log, of which `read` bytes were read; empty if it
        is."""
        return self._record("exit.json", lambda record: self._output_lost(record, read)) or ""

    def _output_lost(self, record: Record, read: int) -> str:
        try:
            found = self.log.lstat()
        except OSError as error:
            return f"{self.log}: {error.strerror}"
        # A supervisor of an earlier version does not say.
        if record.get("log", found.st_ino) != found.st_ino:
            return f"{self.log} is another file now"
        if found.st_size < read:
            return f"{self.log} was cut short to {found.st_size} bytes after {read} were read"
        if record.get("unwritable"):
            return f"nothing more could be written to {self.path} at its end: {record['unwritable']}"
        return ""

    def spooled(self) -> bytes:
        """Reports that the training code could not deliver. Raises OutputLost if they cannot all be read."""
        try:
            spool = read_part(self.spool, 0, MAX_SPOOL + 1)
        except FileNotFoundError:
            return b""
        except (OSError, NotAFile) as error:
            raise OutputLost(str(error)) from error
        if len(spool) > MAX_SPOOL:
            raise OutputLost(f"{self.spool} has more than {MAX_SPOOL >> 20} MiB, and is not read")
        return spool

    def reports_lost(self) -> str:
        """Why reports of an ended attempt are neither delivered nor in its spool; empty if none are known to be."""
        try:
            sign = read_part(self.sign, 0, SIGN_SIZE)
        except (OSError, NotAFile):
            return ""  # of an earlier version, or removed by its own code
        if not any_unsaved(sign):
            return ""
        return f"reports could be neither delivered nor kept in {self.spool}"

    def _record(self, name: str, what: Callable[[Record], T]) -> T | None:
        """What a record says; None if it is not there, was cut short, or says something else: training code may write
        to it, which must not harm more than its own attempt."""
        record = _read(self.path / name)
        try:
            return None if record is None else what(record)
        except (KeyError, TypeError, ValueError, OverflowError, WazirError) as error:
            log.warning("%s: cannot be read: %r", self.path / name, error, extra={"action": "record_unreadable"})
            return None

    def tell_ending(self, ending: Ending) -> None:
        """Remembers, before the signal, why it was told to end: afterwards nobody could tell."""
        fresh = self.path / f"ending.json.{os.getpid()}"
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps({"why": ending.why.value, "time": ending.time}), encoding="utf-8")
        fresh.rename(self.path / "ending.json")

    def _explain(self, stage: str, number: int | None, words: str) -> str:
        """Why the command could not be started, in a sentence that names the field and the way out."""
        record = _read(self.path / "launch.json") or {}
        command = record.get("command", [""])
        program = command[0]
        if stage == "workdir":
            return f"trial.workdir = {record.get('workdir', '')!r}: {words}. Name a folder that is there"
        if number == errno.ENOENT and "/" not in program:
            path = record.get("env", {}).get("PATH", os.environ.get("PATH", ""))
            return f"trial.command: no such program {program!r}; looked in PATH = {path}. Install it or give its path"
        if number == errno.ENOENT:
            return f"trial.command: no such program {program!r}, or no such interpreter as its first line names"
        if number == errno.EACCES:
            return f"trial.command: {program!r} may not be executed; `chmod +x` it, or put its interpreter before it"
        if number == errno.ENOEXEC:
            return f"trial.command: {program!r} is not executable; begin it with a line like #!/bin/sh"
        return f"trial.command: {program!r} could not be started: {words}"


def checkpoints(root: Path, uid: str, trial: int) -> Path:
    return root / uid / str(trial) / "checkpoints"


def discard(root: Path, uid: str, trials: Collection[int] | None) -> None:
    """Removes the checkpoints of these trials of the study, None: of all its trials. Logs stay. Raises OSError."""
    if trials is None:
        trials = [int(folder.parent.name) for folder in (root / uid).glob("[0-9]*/checkpoints")]
    for trial in trials:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(checkpoints(root, uid, trial))


def live(root: Path) -> Iterator[Key]:
    """The attempts that are not forgotten."""
    for name in sorted(entry.name for entry in (root / "live").iterdir()):
        uid, _, numbers = name.partition(".")
        trial, _, attempt = numbers.partition(".")
        if uid and trial.isdecimal() and attempt.isdecimal():
            yield Key(uid, int(trial), int(attempt))


def _read(path: Path) -> Record | None:
    try:
        record = json.loads(read_part(path, 0, MAX_RECORD))
    except (OSError, NotAFile, ValueError, RecursionError):
        # After a power failure a file may be there without what was written to it.
        return None
    return record if isinstance(record, dict) else None
