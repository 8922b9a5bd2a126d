"""Whether this process was there: one that was stopped, swapped out or blocked has heard nobody, which is no silence.

The event loop looks at the time again and again. If much more has passed than it meant to wait, it was away: SIGSTOP,
a machine that was paused or moved, swap, or work that held the loop up. Calls that came meanwhile wait in sockets.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from ..domain.pulse import Pulse

Clock = Callable[[], float]

INTERVAL: Final = 0.25
"""Seconds between two looks. The shortest lease is four times that."""

TOLERANCE: Final = 0.25
"""Seconds that a look may be late on a busy machine."""

LONG: Final = 2.0
"""Seconds away that are logged, and after which what waits in sockets is heard first. A shorter absence is only taken
off: on a machine that is always late nobody would ever be found silent."""

LIMIT: Final = 10.0
"""Seconds after which an event loop that does not turn is taken to be stuck."""

logger = logging.getLogger(__name__)


def boottime() -> float:
    """Seconds that go on while the machine is suspended, when `time.monotonic` stands still."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Presence:
    """Used on the event loop; `here` from every thread."""

    def __init__(self, clocks: Sequence[Clock] = (time.monotonic, boottime)) -> None:
        self.pulse = Pulse("event loop", LIMIT, clocks[0])
        self._clocks = clocks
        self._last = [clock() for clock in clocks]
        self._back: float | None = None
        self._listeners: list[Callable[[float], object]] = []

    def tell(self, listener: Callable[[float], object]) -> None:
        """Calls `listener` with the seconds of each absence, as soon as it is over."""
        self._listeners.append(listener)

    async def keep_looking(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(INTERVAL)

    def look(self) -> None:
        now = [clock() for clock in self._clocks]
        away = max(n - before for n, before in zip(now, self._last, strict=True)) - INTERVAL
        self._last = now
        self.pulse.beat()
        if away <= TOLERANCE:
            return

        for listener in self._listeners:
            listener(away)
        if away > LONG:
            self._back = now[0]
            logger.warning(
                "this process did nothing for %.1f s: it was stopped, its machine was, or something held it up",
                away,
                extra={"action": "away", "seconds": round(away, 1)},
            )

    @property
    def here(self) -> bool:
        """Whether this process has been there without a break for so long that it has heard what waited in sockets."""
        now = self._clocks[0]()
        looked = now - self._last[0] <= LONG
        return looked and (self._back is None or now - self._back > INTERVAL + TOLERANCE)
