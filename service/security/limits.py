"""How much one caller may ask for, so that a loop gone wild at one desk does not starve the rest of the team.

Token buckets: a bucket fills at the rate and holds the burst, a call takes from it, and a call that finds too little is
refused together with the time after which it is worth trying again. A refused call costs the service microseconds.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ...domain.access import EVERY_OWNER
from ...domain.errors import RateLimited
from .callers import Caller

_SWEEP = 4_096
"""Callers met between two looks for those that can be forgotten."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`rate` a second in the long run, `burst` at once."""

    rate: float
    burst: float


@dataclass(frozen=True, slots=True)
class Allowed:
    """For all callers of one owner together, because an owner can have many tokens, and each attempt has one. Callers
    who may touch everybody's studies are not among them."""

    calls: Rate = Rate(5_000, 20_000)
    points: Rate = Rate(2_000, 40_000)
    streams: int = 2_000


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """For each caller: a token, an attempt, or a host where no tokens are asked for. A Unix socket has no limits. The
    defaults are far above what a busy controller needs, and what one service can answer at all."""

    calls: Rate = Rate(5_000, 10_000)
    points: Rate = Rate(2_000, 20_000)
    """Trials asked for by SuggestTrials, which are what computing costs."""
    streams: int = 500
    """Watches at a time."""
    strangers: Rate = Rate(20, 200)
    """For each host: tokens nobody has heard of, because each is looked up in the database. Those that were good a
    moment ago go on working."""
    owner: Allowed = Allowed()


class Bucket:
    __slots__ = ("_at", "_level")

    def __init__(self, limit: Rate, now: float) -> None:
        self._level = limit.burst
        self._at = now

    def take(self, amount: float, limit: Rate, now: float) -> float:
        """Takes the amount and returns 0, or takes nothing and returns the seconds after which there will be enough. An
        amount above the burst, which there never could be, counts as the burst."""
        amount = min(amount, limit.burst)
        level = self.level(limit, now)
        self._at = now
        if level >= amount:
            self._level = level - amount
            return 0.0
        self._level = level
        return (amount - level) / limit.rate

    def level(self, limit: Rate, now: float) -> float:
        return min(limit.burst, self._level + (now - self._at) * limit.rate)


class _Use:
    __slots__ = ("calls", "points", "settings", "strangers", "streams")

    def __init__(self, settings: LimitSettings | Allowed, strangers: Rate, now: float) -> None:
        self.settings = settings
        self.calls = Bucket(settings.calls, now)
        self.points = Bucket(settings.points, now)
        self.strangers = Bucket(strangers, now)
        self.streams = 0


class Limits:
    """For one event loop, and one server: two servers allow twice as much. `clock`: seconds that only rise."""

    def __init__(self, settings: LimitSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._uses: dict[str, _Use] = {}
        self._sweep_at = _SWEEP

    def call(self, caller: Caller) -> None:
        """Raises RateLimited, as all of these."""
        now = self._clock()
        for whose, use in self._uses_of(caller, now):
            wait = use.calls.take(1, use.settings.calls, now)
            if wait:
                raise RateLimited(f"more than {use.settings.calls.rate:g} calls a second{whose}", wait)

    def points(self, caller: Caller, count: int) -> None:
        now = self._clock()
        for whose, use in self._uses_of(caller, now) if count > 0 else ():
            wait = use.points.take(count, use.settings.points, now)
            if wait:
                raise RateLimited(f"more than {use.settings.points.rate:g} trials asked for a second{whose}", wait)

    def stranger(self, host: str) -> None:
        """Of a token that nobody has heard of."""
        now = self._clock()
        wait = self._use(host, now).strangers.take(1, self._settings.strangers, now)
        if wait:
            raise RateLimited("too many unknown tokens from this host", wait)

    @contextlib.contextmanager
    def stream(self, caller: Caller) -> Iterator[None]:
        """For as long as a stream is open."""
        uses = self._uses_of(caller, self._clock())
        for whose, use in uses:
            if use.streams >= use.settings.streams:
                # One may end at any moment, or in hours.
                raise RateLimited(f"more than {use.settings.streams} watches at a time{whose}", 1.0)
        for _, use in uses:
            use.streams += 1
        try:
            yield
        finally:
            for _, use in uses:
                use.streams -= 1

    def _uses_of(self, caller: Caller, now: float) -> tuple[tuple[str, _Use], ...]:
        """What the caller's calls count against, each with what to say of whose it is."""
        if not caller.limited:
            return ()
        own = ("", self._use(caller.id, now))
        if caller.owner == EVERY_OWNER:
            return (own,)
        return own, (
            f" by all callers of {caller.owner}",
            self._use(f"owner:{caller.owner}", now, self._settings.owner),
        )

    def _use(self, key: str, now: float, settings: Allowed | None = None) -> _Use:
        use = self._uses.get(key)
        if use is None:
            if len(self._uses) >= self._sweep_at:
                self._uses = {known: use for known, use in self._uses.items() if not self._idle(use, now)}
                self._sweep_at = len(self._uses) + _SWEEP
            use = self._uses[key] = _Use(settings or self._settings, self._settings.strangers, now)
        return use

    def _idle(self, use: _Use, now: float) -> bool:
        """Whether it is as if it had never been met."""
        full = (
            (use.calls, use.settings.calls),
            (use.points, use.settings.points),
            (use.strangers, self._settings.strangers),
        )
        return not use.streams and all(bucket.level(limit, now) >= limit.burst for bucket, limit in full)
