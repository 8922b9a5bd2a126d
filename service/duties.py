"""What one of the servers on a database does for all of them: it ends silent attempts, and studies whose time is up.

Each study is looked after by itself: one whose row is locked, or that is gone or broken, neither ends nor delays what
is done about the others.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Final

from ..domain.attempt import Cause
from ..domain.errors import FailedPrecondition, NotFound, StaleAttempt
from ..domain.names import StudyName, TrialName
from ..domain.pulse import Pulse
from ..domain.study import Study
from ..domain.trial import Trial
from ..storage.exchange import Claim, Exchange
from ..storage.store import Transaction
from . import attempts
from .attempts import End
from .claiming import claim
from .feed import Change
from .leases import LeaseKeeper
from .neighbours import Neighbours
from .observe.observer import Observer
from .open_studies import OpenStudies
from .presence import Presence
from .settings import ServiceSettings
from .study_tasks import StudyTasks
from .trouble import Trouble
from .unit import Unit
from .upkeep import Upkeep
from .writer import Units

SLOWEST_TURN: Final = 15.0
"""Seconds that a turn may take, and two of its pauses more, until the duties are taken to have stopped. A database that
does not answer is given up sooner."""

AT_ONCE: Final = 64
"""Studies looked after at a time. Most take milliseconds, and one whose row somebody has locked takes its time."""

AT_ONCE_OF_ONE: Final = 16
"""Attempts of one study ended at a time, in a commit or two."""

FORGET_EVERY: Final = 600.0
"""Seconds between two looks for answers that are too old to keep."""

logger = logging.getLogger(__name__)
Overdue = tuple[str, TrialName, int, float]


class Duties:
    """Used on the event loop only."""

    def __init__(
        self,
        exchange: Exchange,
        units: Units,
        leases: LeaseKeeper,
        studies: OpenStudies,
        *,
        presence: Presence,
        neighbours: Neighbours,
        upkeep: Upkeep,
        settings: ServiceSettings,
    ) -> None:
        self.pulse = Pulse("duties", 2 * settings.duty_interval + SLOWEST_TURN)
        self.observer: Observer | None = None
        self._exchange = exchange
        self._units = units
        self._leases = leases
        self._studies = studies
        self._presence = presence
        self._neighbours = neighbours
        self._upkeep = upkeep
        self._settings = settings
        self._claim: Claim | None = None
        self._forgot = units.clock()
        self._trouble = Trouble(logger, "background duties", {"action": "duties_failed"})
        self._expiring = StudyTasks("ending silent attempts of", "expiry_failed", AT_ONCE)
        self._settling = StudyTasks("looking at the budget of", "budget_failed", AT_ONCE)

    @property
    def mine(self) -> bool:
        """Whether they are this server's, as far as is known."""
        return self._claim is not None

    async def keep(self) -> None:
        """Looks again and again, whatever happens, until it is cancelled."""
        while True:
            await asyncio.sleep(self._settings.duty_interval)
            try:
                await self._turn()
            except Exception as error:  # noqa: BLE001 - the next turn may go well
                # Who could not be heard, or not be looked up, is not silent.
                self._leases.restart()
                self._trouble.met(error)
            else:
                self._trouble.over()
                self.pulse.beat()

    async def close(self) -> None:
        """To be called once nobody keeps them any more."""
        await self._expiring.close()
        await self._settling.close()
        await self._upkeep.close()
        held, self._claim = self._claim, None
        if held is not None:
            await asyncio.to_thread(held.release)

    async def _turn(self) -> None:
        await self._studies.bring()
        if not await self._taken():
            return

        self._presence.look()
        if self._hears:
            self._expire()
        self._settle()
        self._upkeep.look()
        await self._forget()

    @property
    def _hears(self) -> bool:
        """Whether signs of life reach this server, those that others are given too."""
        return self._presence.here and not self._neighbours.cut_off

    async def _taken(self) -> bool:
        """Whether the duties are this server's. One that gets them waits for a whole lease before it ends anything."""
        held = self._claim
        if held is not None and await asyncio.to_thread(lambda: held.held):
            return True
        self._claim = await claim(self._exchange, "duties")
        if self._claim is None:
            return False
        self._leases.restart()
        await self._studies.survey()
        return True

    async def _forget(self) -> None:
        now = self._units.clock()
        if now - self._forgot > FORGET_EVERY:
            await self._units.submit(lambda tx: tx.forget_answers(now - self._settings.answer_lifetime))
            self._forgot = now

    # Leases

    def _expire(self) -> None:
        by_study: defaultdict[StudyName, list[Overdue]] = defaultdict(list)
        for overdue in self._leases.overdue(self._neighbours.last_word):
            by_study[overdue[1].parent].append(overdue)
        for name, found in by_study.items():
            self._expiring.send(name, partial(self._expire_all, found))

    async def _expire_all(self, found: list[Overdue]) -> None:
        for start in range(0, len(found), AT_ONCE_OF_ONE):
            some = map(self._expire_one, found[start : start + AT_ONCE_OF_ONE])
            failures = [e for e in await asyncio.gather(*some, return_exceptions=True) if e is not None]
            if failures:
                raise failures[0]

    async def _expire_one(self, overdue: Overdue) -> None:
        uid, name, number, lease = overdue
        message = f"its holder has not been heard of for {lease:g} s"
        how = End(Cause.LEASE_LOST, message=message)

        def silent() -> bool:
            return self._hears and self._leases.is_overdue(uid, name, number, self._neighbours.last_word)

        try:
            ended = await self._units.write(partial(_expire, name=name, number=number, how=how, silent=silent))
        except (NotFound, StaleAttempt, FailedPrecondition):
            self._leases.drop(uid, name, number)
            return
        if ended is None:
            return

        if self.observer is not None:
            self.observer.lease_lost()
        extra = {"action": "lease_lost", "trial": str(name), "attempt": number}
        logger.warning("attempt %d of %s lost its lease: %s", number, name.short, message, extra=extra)

    # Budgets

    def _settle(self) -> None:
        """Looks at studies whose budget of time or GPU hours may run out while nothing happens."""
        now = self._units.clock()
        for study in list(self._studies.by_name.values()):
            if study.ending is None and _may_be_due(study, now):
                self._settling.send(study.name, partial(self._settle_one, study.name))

    async def _settle_one(self, name: StudyName) -> None:
        try:
            await self._units.write(partial(_settle, name=name))
        except NotFound:
            # Another server has deleted it, and this one has not heard of it yet.
            self._studies.forget(name)


def _may_be_due(study: Study, now: float) -> bool:
    budget = study.spec.budget
    if budget.duration is not None and now - study.create_time >= budget.duration:
        return True
    return budget.gpu_hours is not None and study.counts.live > 0


def _expire(
    tx: Transaction, now: float, name: TrialName, number: int, how: End, silent: Callable[[], bool]
) -> tuple[Trial | None, Change | None]:
    """Ends the attempt if its holder is silent still: the study may have been locked for long, and the process may have
    been away since that was last asked."""
    Unit.lock(tx, name.parent, now)
    if not silent():
        return None, None
    return attempts.end(tx, name, number, how, now)


def _settle(tx: Transaction, now: float, name: StudyName) -> tuple[None, Change | None]:
    unit = Unit.lock(tx, name, now)
    unit.settle()
    return None, unit.finish()
