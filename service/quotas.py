"""How much the studies of one owner may hold: so many studies, trials and bytes.

The database counts with each study what its trials take, so all servers agree. An owner's sum is read in the
transaction that adds something; while most of the quota is free, a sum that is some seconds old does, and adding costs
nothing. Servers that add at the same moment may go beyond a quota by what they add in that moment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..domain.errors import ResourceExhausted
from ..storage.store import Usage, View

FREE = 0.1
"""Part of a quota: with less left, each addition looks at the sum as it is."""

OLDEST = 5.0
"""Seconds that a sum is good for where more is left."""

ROOM = "Delete studies or trials (`wazir delete`), or have the service's `wazir serve --quota` raised"


@dataclass(frozen=True, slots=True)
class Quota:
    """None: no limit."""

    studies: int | None = None
    trials: int | None = None
    bytes: int | None = None

    def lacks(self, used: Usage) -> str:
        """What there is too much of; empty if nothing."""
        for name, limit in (("studies", self.studies), ("trials", self.trials), ("bytes", self.bytes)):
            if limit is not None and getattr(used, name) > limit:
                return name
        return ""

    def nearly_used(self, used: Usage) -> bool:
        return any(
            limit is not None and amount > (1 - FREE) * limit
            for limit, amount in ((self.studies, used.studies), (self.trials, used.trials), (self.bytes, used.bytes))
        )


@dataclass(frozen=True)
class QuotaSettings:
    """Of every owner, and of some instead."""

    default: Quota = Quota()
    owners: Mapping[str, Quota] = field(default_factory=dict)

    def of(self, owner: str) -> Quota | None:
        quota = self.owners.get(owner, self.default)
        return None if quota == Quota() else quota


class Quotas:
    """For every thread. `clock`: seconds that only rise."""

    def __init__(self, settings: QuotaSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Usage]] = {}

    def admit(self, view: View, owner: str, *, studies: int = 0, trials: int = 0, size: int = 0) -> None:
        """Raises ResourceExhausted where the owner has no room for so much more, naming the limit and how to make room.
        `size` in bytes."""
        quota = self._settings.of(owner)
        if quota is None:
            return

        added = Usage(owner, studies, trials, size)
        wanted = _sum(self._read(view, owner, fresh=False), added)
        if quota.nearly_used(wanted):
            used = self._read(view, owner, fresh=True)
            wanted = _sum(used, added)
            if lacking := quota.lacks(wanted):
                raise exhausted(owner, lacking, getattr(used, lacking), getattr(quota, lacking))

    def note(self, added: Usage) -> None:
        """Something was added, for which there was room."""
        with self._lock:
            if added.owner in self._known:
                read_at, used = self._known[added.owner]
                self._known[added.owner] = read_at, _sum(used, added)

    def room(self, view: View, owner: str, trials: int, size: int) -> int:
        """For how many of so many trials, of `size` bytes each, the owner has room. Raises ResourceExhausted where that
        is none."""
        quota = self._settings.of(owner)
        if quota is None or not trials:
            return trials
        used = self._read(view, owner, fresh=False)
        if quota.nearly_used(_sum(used, Usage(owner, 0, trials, trials * size))):
            used = self._read(view, owner, fresh=True)
        left = trials
        if quota.trials is not None:
            left = min(left, quota.trials - used.trials)
        if quota.bytes is not None:
            left = min(left, (quota.bytes - used.bytes) // size)
        if left < 1:
            # Says what there is too much of.
            self.admit(view, owner, trials=1, size=size)
        return left

    def _read(self, view: View, owner: str, *, fresh: bool) -> Usage:
        now = self._clock()
        known = self._known.get(owner)
        if known is not None and not fresh and now - known[0] < OLDEST:
            return known[1]
        used = next(iter(view.usage(owner)), Usage(owner))
        with self._lock:
            self._known[owner] = now, used
        return used


UNLIMITED = Quotas(QuotaSettings())


def exhausted(owner: str, what: str, used: int, limit: int) -> ResourceExhausted:
    return ResourceExhausted(
        f"{owner} has {used} of the {limit} {what} that its quota allows. {ROOM}",
        details={"owner": owner, "quota": what, "used": str(used), "limit": str(limit)},
    )


def _sum(used: Usage, added: Usage) -> Usage:
    return Usage(used.owner, used.studies + added.studies, used.trials + added.trials, bytes=used.bytes + added.bytes)
