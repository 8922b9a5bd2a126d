"""Where attempts keep what they leave: one folder each, and what lies in it.

{root}/identity                        who runs here
{root}/lock                            held by the controller that runs here now
{root}/live/{uid}.{trial}.{attempt}    one empty file for each attempt that is not forgotten
{root}/{uid}/{trial}/checkpoints/      what its attempts save to go on from (`clients/checkpoint.py`)
{root}/{uid}/{trial}/{attempt}/
    launch.json    what was launched, and its supervisor; written before anything runs
    output.log     what it printed, standard output and standard error together
    spool.jsonl    reports that the training code could not deliver (see `spool.py`)
    ending.json    why and when it was told to end
    exit.json      how it ended; written by its supervisor
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...domain.names import parse_study
from ..execution import Ending, Execution, Exit, Fault, Key, Phase, Why


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
        self._live = root / "live" / f"{key.uid}.{key.trial}.{key.attempt}"

    def enter(self) -> None:
        """Lists the attempt among those not forgotten."""
        self._live.touch()

    def leave(self) -> None:
        self._live.unlink(missing_ok=True)

    def launched(self) -> tuple[Execution, Supervisor] | None:
        """What was launched, as if it still ran."""
        record = _read(self.path / "launch.json")
        if record is None:
            return None
        execution = Execution(
            key=self.key,
            study=parse_study(record["study"]),
            phase=Phase.RUNNING,
            start_time=record["time"],
            ending=self.ending(),
            node=record["node"],
            devices=tuple(record["devices"]),
            gpus=record["gpus"],
            log_path=str(self.log),
        )
        return execution, Supervisor(record["pid"], record["start"], record["boot"])

    def exit(self) -> Exit | None:
        """How it ended; None where its supervisor did not come to write it."""
        record = _read(self.path / "exit.json")
        if record is None:
            return None
        failure = record["failure"]
        return Exit(
            code=record["code"],
            time=record["time"],
            fault=Fault.COMMAND if failure else None,
            error=self._explain(*failure) if failure else "",
            out_of_memory=record["out_of_memory"],
            max_rss=record["max_rss"],
        )

    def ending(self) -> Ending | None:
        record = _read(self.path / "ending.json")
        return None if record is None else Ending(Why(record["why"]), record["time"])

    def tell_ending(self, ending: Ending) -> None:
        """Remembers, before the signal, why it was told to end: afterwards nobody could tell."""
        fresh = self.path / f"ending.json.{os.getpid()}"
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
        uid, trial, attempt = name.rsplit(".", 2)
        yield Key(uid, int(trial), int(attempt))


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        # After a power failure a file may be there without what was written to it.
        return None
    assert isinstance(record, dict), path
    return record
