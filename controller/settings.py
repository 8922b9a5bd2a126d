"""Settings of a controller."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

DEFAULT_PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class Settings:
    """All durations in seconds."""

    address: str
    """host:port at which training code finds the study service."""

    holder: str = ""
    """The id that attempts run here carry; only those are adopted after a restart. Empty is the runtime's identity,
    which is right wherever several controllers may run trials of one study."""

    parallel: int | None = None
    """Processes at a time over all studies. None leaves it to each study's `budget.parallel`."""

    default_parallel: int = field(default_factory=lambda: os.cpu_count() or 1)
    """Processes at a time of a study that sets no `budget.parallel`. Default: the machine's cores, because a training
    process uses at least one."""

    collect_every: float = 0.5
    """Between two looks at what a running trial has printed. Shorter costs CPU, longer delays early stopping."""

    retry_after: float = 2.0
    """After a call has failed although the client has retried it for a while."""

    ask_again: float = 15.0
    """After the service had fewer trials than asked for, when nothing that it depends on is seen to change."""

    patience: float = DEFAULT_PATIENCE
    """How long a pod may wait for something that will not resolve by itself, such as an image that cannot be pulled."""

    launching: int = 64
    """Trials that may be on their way from being asked for to being there."""

    farewell: float = 15.0
    """How long a controller that stops waits for the service to take the last words. What it does not take is told by
    the next controller over the same folder."""

    calls: int = 8
    """Calls to the service under way at a time, each on a thread of its own."""

    until_done: bool = True
    """Return when all studies have ended. False: run until told to stop."""
