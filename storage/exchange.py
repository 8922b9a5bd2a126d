"""What the servers on one database tell each other, and what only one of them may do at a time.

News are hints, sent as well as may be: whoever hears one looks at the store, which is the truth. A server that may have
missed some is told so. Where there is one server, on a file or in memory, nobody has anything to say.
"""

from __future__ import annotations

import abc
import enum
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..domain.pulse import Pulse


class Topic(enum.Enum):
    STUDY = "study"
    """Another server's unit changed a study; the text is `{owner}/{study}`. Comes once the unit is committed."""
    POINTS = "points"
    """Another server's unit stored measurements of a study; the text is `{owner}/{study}`."""
    BEATS = "beats"
    """Signs of life that another server was given; the text is its own business."""
    ALIVE = "alive"
    """The sender is there; the text is empty, or `leaves` from one that ends."""
    LOST = "lost"
    """The connection is broken: nothing is heard until MISSED. Never comes from another server."""
    MISSED = "missed"
    """A connection was broken for a while, here or at another server: anything may have been missed."""
    RESTORED = "restored"
    """The database holds what a backup held: nothing that is remembered of it is true any more."""


@dataclass(frozen=True, slots=True)
class News:
    topic: Topic
    text: str = ""
    sender: str = ""
    """The process that says it, by a name of its own; empty if nobody does."""


Hear = Callable[[News], None]


class Claim(abc.ABC):
    """A duty that is this process's alone until it is released or lost."""

    @property
    @abc.abstractmethod
    def held(self) -> bool:
        """False once it was released, or may have passed to another: the connection broke."""

    @abc.abstractmethod
    def release(self) -> None:
        """Lets others have it. Harmless to repeat."""


class Exchange(abc.ABC):
    """May be used from every thread."""

    shared: bool
    """Whether there may be other processes on the database at all."""

    @property
    def pulses(self) -> Sequence[Pulse]:
        """Those of its loops; a loop beats only if the database has answered it."""
        return ()

    @abc.abstractmethod
    def listen(self, hear: Hear) -> None:
        """From now on calls `hear` with the other processes' news, never with one's own, on the exchange's thread."""

    @abc.abstractmethod
    def tell(self, topic: Topic, text: str) -> None:
        """Tells the other processes, soon, without waiting. Lost where the database is away."""

    @abc.abstractmethod
    def claim(self, duty: str) -> Claim | None:
        """The duty, where no process on this database has it, this one included; None at once otherwise.

        Raises Unavailable where the database is away.
        """

    @abc.abstractmethod
    def close(self) -> None:
        """Releases all claims; `hear` is not called any more."""


class LocalExchange(Exchange):
    """For a database that one process serves."""

    shared = False

    def __init__(self) -> None:
        self._claimed: set[str] = set()
        self._lock = threading.Lock()

    def listen(self, hear: Hear) -> None:
        pass  # there is nobody who could say anything

    def tell(self, topic: Topic, text: str) -> None:
        pass  # there is nobody who could hear it

    def claim(self, duty: str) -> Claim | None:
        with self._lock:
            if duty in self._claimed:
                return None
            self._claimed.add(duty)
        return _LocalClaim(self, duty)

    def close(self) -> None:
        with self._lock:
            self._claimed.clear()

    def holds(self, duty: str) -> bool:
        with self._lock:
            return duty in self._claimed

    def release(self, duty: str) -> None:
        with self._lock:
            self._claimed.discard(duty)


class _LocalClaim(Claim):
    def __init__(self, exchange: LocalExchange, duty: str) -> None:
        self._exchange = exchange
        self._duty = duty
        self._released = False

    @property
    def held(self) -> bool:
        return not self._released and self._exchange.holds(self._duty)

    def release(self) -> None:
        if not self._released:
            self._released = True
            self._exchange.release(self._duty)
