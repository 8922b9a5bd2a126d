"""What a runtime runs and what it sees of it: an attempt as a process or pod of this world."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..domain.names import StudyName
from ..domain.pod import PodOptions
from ..domain.template import Resources


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """One attempt, forever: the study's uid is in it, so a recreated study adopts nothing of the old one."""

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
    BROKEN = "broken"
    """It cannot start as it is: no such image, a secret that is missing."""
    TOO_LARGE = "too_large"
    """No place would ever take it, by its size."""
    UNSCHEDULABLE = "unschedulable"
    """It waited for a place longer than it may."""
    SHUTDOWN = "shutdown"
    """The controller stops; the trial is tried again later."""
    ORPHAN = "orphan"
    """Its attempt no longer holds the trial, or its study is gone."""


class Fault(enum.Enum):
    """Why there is no exit code."""

    COMMAND = "command"
    """What it is to run could not be started: no such command, folder or image; a pod that the cluster refuses."""
    TOO_LARGE = "too_large"
    """It was refused for its size, for good."""
    MACHINE = "machine"
    """Nothing could be started: no memory, no disk."""
    PREEMPTED = "preempted"
    """Ended by the platform or a person: evicted, pre-empted, deleted."""
    NODE = "node"
    """Its node went away."""
    DEADLINE = "deadline"
    """It ran over a limit of its own, which the platform enforces."""
    LOST = "lost"
    """Gone without a word: power failure, or its supervisor was killed."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process ended. `code` is minus the signal's number where a signal ended it; None with a `fault`, and where
    it was ended before it had begun.

    `time` in Unix seconds. `out_of_memory`: memory ran out and the kernel killed it, or in a pod any process of its
    container. `max_rss` in bytes, of the process itself or the largest of those it waited for; 0 where unknown.
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
    """That a process was asked to end (SIGTERM), why and when (Unix seconds). `words`: what it waited for then."""

    why: Why
    time: float
    words: str = ""


@dataclass(frozen=True, slots=True)
class Execution:
    """An attempt as its runtime sees it. Times are Unix seconds.

    `start_time`: since when it runs; while it is STARTING, since when it waits.
    """

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
    waiting: str = ""
    """What it waits for, in the words of what holds it up; empty if nothing is known to hold it up."""
    stuck_since: float | None = None
    """Since when it waits for something that will not resolve by itself; minus infinity if that is certain."""
    too_large_since: float | None = None
    """Since when it is known to be too large for any place, even an empty one."""
    ordered: bool = False
    """Its launch was asked for, and nothing of it is there yet."""
    silent: bool = False
    """It was told to end, and its node does not answer: nobody knows whether it still runs."""
    partial: bool = False
    """Its launch was cut short. Launching it again completes it."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run for an attempt. No shell sees any of it."""

    key: Key
    study: StudyName
    command: tuple[str, ...]
    args: tuple[str, ...] = ()
    """After the command; where a pod has none, of its image's own program."""
    env: Mapping[str, str] = field(default_factory=dict)
    """In addition to what the runtime's own environment has."""
    workdir: str = ""
    devices: tuple[str, ...] | None = None
    """GPUs it may use; None leaves the choice to the environment."""
    gpus: float = 0.0
    image: str = ""
    resources: Resources = Resources()
    pod: PodOptions = PodOptions()
    """For pods; its manifest is filled in."""
    grace: float = 30.0
    """Seconds from being told to end to being killed."""
    checkpoint_of: int | None = None
    """The trial of the same study whose checkpoint it begins from, where it has none of its own."""
    spent: tuple[int, ...] = ()
    """Trials of the study whose checkpoints may go: where only what runs can reach them, it removes them."""
