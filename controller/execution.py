"""What a runtime runs and what it sees of it: an attempt as a process or pod of this world."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..domain.names import StudyName


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One attempt for ever: the study's uid is in it, so a study made anew under an old name adopts nothing old."""

    uid: str
    trial: int
    attempt: int

    def __str__(self) -> str:
        return f"{self.uid}/{self.trial}/{self.attempt}"

    @classmethod
    def parse(cls, text: str) -> Key:
        """From what `str` gives. Raises ValueError on anything else."""
        uid, trial, attempt = text.split("/")
        return cls(uid, int(trial), int(attempt))


class Phase(enum.Enum):
    STARTING = "starting"
    RUNNING = "running"
    ENDED = "ended"
    """Gone with all it started; nothing of it holds a slot."""


class Why(enum.Enum):
    """Why the controller told a process to end."""

    STOP = "stop"
    """Its trial is to stop, pause or be cancelled."""
    TIMEOUT = "timeout"
    SHUTDOWN = "shutdown"
    """The controller stops; the trial is tried again later."""
    ORPHAN = "orphan"
    """Its attempt no longer holds the trial, or its study is gone."""


class Fault(enum.Enum):
    """Why there is no exit code."""

    COMMAND = "command"
    """The command could not be started."""
    MACHINE = "machine"
    """Nothing could be started: no memory, no disk."""
    LOST = "lost"
    """Gone without a word: power failure, or its supervisor was killed."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended. `code` is minus the signal's number where a signal ended it; None with a `fault`.

    `time` in Unix seconds. `out_of_memory`: the kernel counted an out-of-memory kill while it ran. `max_rss` in bytes,
    of the process itself or the largest of those it waited for; 0 where unknown.
    """

    code: int | None
    time: float
    fault: Fault | None = None
    error: str = ""
    """With a fault: one sentence for people."""
    out_of_memory: bool = False
    max_rss: int = 0


@dataclass(frozen=True, slots=True)
class Ending:
    """That a process was asked to end (SIGTERM), why and when (Unix seconds)."""

    why: Why
    time: float


@dataclass(frozen=True, slots=True)
class Execution:
    """An attempt as its runtime sees it. Times are Unix seconds."""

    key: Key
    study: StudyName
    phase: Phase
    start_time: float
    exit: Exit | None = None
    """Set where it has ended."""
    ending: Ending | None = None
    killed: bool = False
    """Whether it was sent SIGKILL."""
    node: str = ""
    devices: tuple[str, ...] = ()
    gpus: float = 0.0
    """GPUs held: how many, or which part of one."""
    log_path: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run for an attempt. No shell sees any of it."""

    key: Key
    study: StudyName
    command: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """In addition to what the runtime's own environment has."""
    workdir: str = ""
    devices: tuple[str, ...] | None = None
    """GPUs it may use; None leaves the choice to the environment."""
    gpus: float = 0.0
    checkpoint_of: int | None = None
    """The trial of the same study whose checkpoint it begins from, where it has none of its own."""
