"""What every runtime promises; `tests/contract/runtime.py` checks it for each.

- **Repeatable.** Every verb may be called again; launching twice is adopting, forgetting twice is nothing.
- **Durable.** What runs goes on when the controller dies, by whatever means. A runtime recreated over the same place
  observes it again, with its exit where it has ended meanwhile, with its ending where it was told to end.
- **Whole.** An execution is ENDED when all it started is gone, not before. Its exit code is never made up.
- **Quick.** No verb waits for a process. News come by `wait`.
- **Threads.** `wake`, `output`, `tail`, `spool` and `discard` may be called from every thread; the rest belongs to one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

from .execution import Execution, Key, Order, Why


class OutputLost(Exception):
    """What an execution printed cannot be read to its end any more. Its words say why."""


class Runtime(Protocol):
    @property
    def identity(self) -> str:
        """A name for this runtime and its place, the same after every restart. Attempts that it runs carry it."""

    @property
    def devices(self) -> tuple[str, ...] | None:
        """The GPUs that it may hand out; empty where it has none, None where it leaves that to a scheduler."""

    def observe(self) -> Mapping[Key, Execution]:
        """All executions that are not forgotten, as last seen."""

    def launch(self, order: Order) -> None:
        """Starts it, or adopts what runs or has run under its key. What goes wrong is found in its exit."""

    def terminate(self, key: Key, why: Why) -> None:
        """Asks it to end and remembers why; the first reason stands. Unknown or ended ones are left alone."""

    def kill(self, key: Key) -> None:
        """Ends it and all it has started, without asking."""

    def output(self, key: Key, offset: int) -> bytes:
        """What it has printed from byte `offset` on, some of it or all; empty where there is nothing more yet.

        Raises OutputLost if there was more, and it cannot be had any more, or if nobody knows whether there was.
        """

    def tail(self, key: Key, size: int) -> bytes:
        """At most the last `size` bytes that it has printed."""

    def spool(self, key: Key) -> bytes:
        """Reports that the training code could not deliver: JSON lines, see `spool.py`. Empty where there are none.

        Raises OutputLost if they cannot all be read any more."""

    def reports_lost(self, key: Key) -> str:
        """Why some of an ended execution's reports are neither delivered nor in its spool; empty if none are known to
        be."""

    def forget(self, key: Key) -> None:
        """No longer observes it. Its output stays. Only for what has ended; anything else is left alone."""

    def sweep(self, uids: Collection[str]) -> None:
        """Removes what is left of ended executions of studies other than these, and may be seen by nobody."""

    def discard(self, uid: str, trials: Collection[int] | None) -> None:
        """Removes the checkpoints of these trials of the study, None: of all, where it can reach them; see
        `Order.spent` for where it cannot. None of them runs. Any thread, and may take its time. Raises OSError."""

    def wait(self, timeout: float | None) -> None:
        """Returns when an execution may have changed, when woken, or after `timeout` seconds."""

    def wake(self) -> None:
        """Makes the present or next `wait` return at once."""

    def close(self) -> None:
        """Lets go of everything without ending anything."""
