"""The pulse of a loop that must not die, by which health and figures tell if it still turns."""

from __future__ import annotations

import time
from collections.abc import Callable


class Pulse:
    """A loop calls `beat` after each turn that went well, and `rest` before it waits for work without a limit.

    May be used from every thread.
    """

    def __init__(self, name: str, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`limit`: seconds after which a loop that has not beaten is taken to have stopped."""
        self.name = name
        self.limit = limit
        self._clock = clock
        self._last: float | None = clock()

    def beat(self) -> None:
        self._last = self._clock()

    def rest(self) -> None:
        """Fresh until the next `beat`, however long that takes."""
        self._last = None

    @property
    def age(self) -> float:
        """Seconds since the last beat; 0 at rest."""
        last = self._last
        return 0.0 if last is None else self._clock() - last

    @property
    def fresh(self) -> bool:
        return self.age <= self.limit
