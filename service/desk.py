"""Who waits for trials of one study, and what is being done about it: the state that `asking.py` works on.

All of it is used on the event loop only. Times are in seconds, by the loop's clock.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ..domain.names import StudyName
from ..domain.study import Shortage, Study
from .compute.pool import Ticket
from .handing_out import Ask, Asked, Round, closed


@dataclass(eq=False, slots=True)
class Caller:
    ask: Ask
    future: asyncio.Future[Asked]
    patience: float
    """When a stand-in is made: so long before the deadline that the answer arrives in time."""
    deadline: float
    tried: bool = False
    """Whether what it wants was looked for, and was not there, as the study is now."""
    failed: bool = False
    """Whether the computation that it waited for came to nothing."""

    def answer(self, given: Asked | Exception) -> None:
        if self.future.done():
            return
        if isinstance(given, Exception):
            self.future.set_exception(given)
        else:
            self.future.set_result(given)


@dataclass(eq=False, slots=True)
class Computation:
    ticket: Ticket
    task: asyncio.Task[Round | None] = field(init=False)
    study: Study | None = None
    """What it is made for, once it has a worker."""
    since: float = 0.0
    """When it got the worker."""

    def serves(self, study: Study) -> bool:
        """Whether its outcome may still be committed."""
        if closed(study) is Shortage.ENDED:
            return False
        return self.study is None or self.study.next_round == study.next_round


@dataclass(eq=False, slots=True)
class Desk:
    """Who waits for trials of one study, and what is being done about it."""

    name: StudyName
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    callers: list[Caller] = field(default_factory=list)
    computation: Computation | None = None
    round: Round | None = None
    """What was computed and is not committed."""
    failures: int = 0
    """Computations in a row that came to nothing though the algorithm may be sound; those where it failed are counted
    with the study."""
    trouble: str = ""
    """Why the last computation came to nothing."""
    rest_until: float = 0.0
    """Until then no computation is begun."""
    keep_until: float = 0.0
    """Until then `round` or `failures` are kept though nobody waits."""
    task: asyncio.Task[None] | None = None

    def present(self) -> list[Caller]:
        """Those who wait, in order of arrival. Of a request that is made twice at a time, the first one: the other is
        answered from what the first one got."""
        self.callers = [c for c in self.callers if not c.future.done()]
        seen: set[tuple[str, str]] = set()
        found = []
        for caller in self.callers:
            request = caller.ask.request
            key = (request.owner, request.id)
            if not request.id or key not in seen:
                found.append(caller)
                seen.add(key)
        return found

    def busy(self, now: float) -> bool:
        """Whether there is something to keep for those who come next."""
        return self.computation is not None or ((self.round is not None or self.failures > 0) and now < self.keep_until)

    def deadline(self) -> float:
        return min((c.deadline for c in self.callers if not c.future.done()), default=float("inf"))

    def look_again(self) -> None:
        """What the callers want may be there now."""
        for caller in self.callers:
            caller.tried = False
        self.wake.set()
