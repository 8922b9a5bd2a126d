"""The other servers on the same database: their changes are told here as if they had been made here.

What they say is a hint. Whatever it is about is read from the store, from the revision on that this server told last,
and published to its feed: histories, leases, budgets and watch streams need not know who made a change.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from ..domain.errors import InvalidArgument, NotFound, RevisionCompacted
from ..domain.names import StudyName, TrialName, parse_trial
from ..domain.pulse import Pulse
from ..domain.study import Study
from ..domain.trial import LIVE
from ..storage.exchange import News, Topic
from ..storage.store import Changes, Store, TrialFilter, View
from .feed import Change, Feed
from .leases import LeaseKeeper
from .live import LiveStudies
from .pages import AT_A_TIME, read_changes
from .study_tasks import StudyTasks
from .trouble import Trouble
from .unit import PAGE

SAY_EVERY: Final = 1.0
"""Seconds between two words of a server that has nothing else to say."""

SILENT_AFTER: Final = 2.0
"""Seconds without a word after which another server was away."""

AT_ONCE: Final = 8
"""Studies read at a time."""

LEAVES: Final = "leaves"

LIMIT: Final = 30.0
"""Seconds after which a turn that reads what others changed is taken to have stopped."""

logger = logging.getLogger(__name__)


class Neighbours:
    """Used on the event loop only, but for `_hear`. `missed` is called where anything may have been missed, `restored`
    where the database holds another state than before. `patience`: seconds for which a server of which nothing is heard
    is taken to be paused, or cut off, rather than gone."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        live: LiveStudies,
        leases: LeaseKeeper,
        *,
        missed: Callable[[], object],
        restored: Callable[[], object],
        patience: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._feed = feed
        self._live = live
        self._leases = leases
        self._missed = missed
        self._restored = restored
        self._patience = patience
        self._clock = clock
        self.pulse = Pulse("neighbours", LIMIT)
        self._told: dict[StudyName, tuple[Study, int]] = {}
        """Of each study met: its row and the revision up to which its changes were published here."""
        self._waiting: dict[StudyName, None] = {}
        """Studies of which there are news that were not read. Those that could not be stay, and are tried again."""
        self._reading = StudyTasks("reading what others changed in", "news_failed", AT_ONCE)
        self._heard: dict[str, float] = {}
        """When each of the others was heard last."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self.there = store.exchange.shared
        """Whether there may be any."""
        self.cut_off = False
        """Whether nothing of theirs is heard at present, signs of life among it."""
        if self.there:
            feed.listen(self._note)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._store.exchange.listen(self._hear)

    async def keep(self) -> None:
        """Says that this server is there, and reads again what could not be read, until it is cancelled."""
        trouble = Trouble(logger, "listening to other servers", {"action": "neighbours_failed"})
        while True:
            try:
                if self.there:
                    self._store.exchange.tell(Topic.ALIVE, "")
                self._read()
            except Exception as error:  # noqa: BLE001 - the next turn may go well
                trouble.met(error)
            else:
                trouble.over()
                self.pulse.beat()
            await asyncio.sleep(SAY_EVERY)

    async def close(self) -> None:
        self._closed = True
        if self.there:
            self._store.exchange.tell(Topic.ALIVE, LEAVES)
        await self._reading.close()

    def beat(self, uid: str, name: TrialName, attempt: int) -> None:
        """Tells the others of a sign of life: one of them may be the one that ends silent attempts."""
        self._store.exchange.tell(Topic.BEATS, f"{uid} {attempt} {name}")

    def last_word(self, server: str | None) -> float:
        """When the other server was heard last; of None, of the one that was silent for longest. inf for this server
        and for those that are gone. From every thread."""
        since = self._clock() - self._patience
        heard = list(self._heard.values()) if server is None else [self._heard.get(server, math.inf)]
        return min((word for word in heard if word > since), default=math.inf)

    def listen_anew(self) -> None:
        """Nobody could be heard for a while, so nobody has been silent."""
        self._heard = dict.fromkeys(self._heard, self._clock())

    def _hear(self, news: News) -> None:
        """On the exchange's thread."""
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has ended, and the exchange is about to
            self._loop.call_soon_threadsafe(self._take, news)

    def _take(self, news: News) -> None:
        if self._closed:
            return
        if news.sender:
            self._note_word(news.sender)
        match news.topic:
            case Topic.STUDY | Topic.POINTS:
                for line in news.text.splitlines():
                    owner, _, study = line.partition("/")
                    name = StudyName(owner, study)
                    if news.topic is Topic.POINTS:
                        self._live.doubt_curves(name)
                    else:
                        self._waiting[name] = None
                self._read()
            case Topic.BEATS:
                for line in news.text.splitlines():
                    with suppress(ValueError, InvalidArgument):  # a newer server says it in another way
                        uid, number, trial = line.split(" ", 2)
                        self._leases.beat(uid, parse_trial(trial), int(number), news.sender)
            case Topic.ALIVE:
                if news.text == LEAVES:
                    self._heard.pop(news.sender, None)
            case Topic.LOST:
                self.cut_off = True
            case Topic.MISSED:
                self.cut_off = False
                self._live.forget()
                self._feed.publish_uid(None, None)
                self._leases.restart()
                self.listen_anew()
                self._waiting.update(dict.fromkeys(self._told))
                self._missed()
                self._read()
            case Topic.RESTORED:
                self._told.clear()
                self._waiting.clear()
                self._restored()

    def _note_word(self, sender: str) -> None:
        """What that server had heard before it was away is told only now, or waits in its sockets."""
        now = self._clock()
        before = self._heard.get(sender)
        self._heard[sender] = now
        if before is not None and now - before > SILENT_AFTER:
            self._leases.skip(now - before, heard_by=sender)

    def _note(self, change: Change) -> None:
        name, revision = change.study.name, change.study.revision
        known = self._told.get(name)
        if change.deleted:
            self._told.pop(name, None)
        elif known is None or known[0].uid != change.study.uid or revision == known[1] + 1:
            self._told[name] = (change.study, revision)
        # Otherwise another server's change lies between, of which there will be news.

    def _read(self) -> None:
        for name in self._waiting:
            self._reading.send(name, partial(self._catch_up, name))

    async def _catch_up(self, name: StudyName) -> None:
        """Publishes whatever there are news of, until there are no more."""
        while name in self._waiting:
            # Before reading: what is told from now on may have been changed after that.
            del self._waiting[name]
            try:
                await self._publish(name)
            except BaseException:
                self._waiting[name] = None
                raise

    async def _publish(self, name: StudyName) -> None:
        known = self._told.get(name)
        try:
            if known is None:
                changes = await asyncio.to_thread(self._store.read, partial(_live_of, name=name))
            else:
                changes = await asyncio.to_thread(self._store.read, partial(_since, study=known[0], since=known[1]))
        except NotFound:
            if known is not None:
                self._feed.publish(Change(known[0], deleted=True))
            else:
                self._feed.publish_uid(name, None)
            return
        except RevisionCompacted:
            changes = await asyncio.to_thread(self._store.read, partial(_live_of, name=name))
        if known is None or changes.revision > known[1]:
            self._feed.publish(Change(changes.study, changes.trials, changes.deleted))
            self._told[name] = (changes.study, changes.revision)
        if changes.revision < changes.study.revision:
            self._waiting[name] = None


def _since(view: View, study: Study, since: int) -> Changes:
    return read_changes(view, study, since, PAGE, AT_A_TIME)


def _live_of(view: View, name: StudyName) -> Changes:
    """The study as it is, with the trials that somebody holds."""
    study = view.study(name)
    trials = view.trials(study, TrialFilter(states=LIVE), 0, study.counts.live + 1)
    return Changes(study, trials, (), study.revision)
