"""Which owner's turn it is to compute: each gets the same time, however many studies it has (start-time fair queueing;
Goyal, Vin and Cheng, 1996)."""

from __future__ import annotations

from collections import Counter


class Shares:
    """Counts what owners use of the workers. Whoever asked for nothing for a while starts with what the least served of
    the others has had, so nobody saves up turns."""

    def __init__(self) -> None:
        self._used: dict[str, float] = {}
        """Seconds, of owners that have had more than `_floor`."""
        self._floor = 0.0
        self._running: Counter[str] = Counter()

    def rank(self, owner: str) -> tuple[int, float]:
        """The least of these comes next: by the workers that the owner holds, then by the time that it has had."""
        return self._running[owner], max(self._floor, self._used.get(owner, 0.0))

    def begin(self, owner: str) -> None:
        """The owner gets a worker, because nobody's rank was less."""
        _, used = self.rank(owner)
        self._running[owner] += 1
        self._used[owner] = used
        if used > self._floor:
            # Whoever has had less asks for nothing now, and is as good as new.
            self._floor = used
            self._used = {o: seconds for o, seconds in self._used.items() if seconds > used or o in self._running}

    def end(self, owner: str, seconds: float) -> None:
        """It gives the worker back, after so many seconds."""
        self._running[owner] -= 1
        if not self._running[owner]:
            del self._running[owner]
        self._used[owner] = max(self._floor, self._used.get(owner, 0.0)) + seconds
