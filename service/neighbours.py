"""The other servers on the same database: their changes are told here as if they had been made here.

What they say is a hint. Whatever it is about is read from the store, from the revision on that this server told last,
and published to its feed: histories, leases, budgets and watch streams need not know who made a change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from ..domain.errors import NotFound, RevisionCompacted, WazirError
from ..domain.names import StudyName, TrialName, parse_trial
from ..domain.study import Study
from ..domain.trial import LIVE
from ..storage.exchange import News, Topic
from ..storage.store import Changes, Store, TrialFilter, View
from .feed import Change, Feed
from .leases import LeaseKeeper
from .live import LiveStudies
from .unit import PAGE

logger = logging.getLogger(__name__)


class Neighbours:
    """Used on the event loop only, but for `_hear`. `missed` is called where anything may have been, `restored` where
    the database holds another state than before."""

    def __init__(
        self,
        store: Store,
        feed: Feed,
        live: LiveStudies,
        leases: LeaseKeeper,
        missed: Callable[[], object],
        *,
        restored: Callable[[], object],
    ) -> None:
        self._store = store
        self._feed = feed
        self._live = live
        self._leases = leases
        self._missed = missed
        self._restored = restored
        self._told: dict[StudyName, tuple[Study, int]] = {}
        """Of each study met: its row and the revision up to which its changes were published here."""
        self._waiting: dict[StudyName, None] = {}
        self._worker: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self.there = store.exchange.shared
        """Whether there may be any."""
        if self.there:
            feed.listen(self._note)

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._store.exchange.listen(self._hear)

    async def close(self) -> None:
        self._closed = True
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)

    def beat(self, uid: str, name: TrialName, attempt: int) -> None:
        """Tells the others of a sign of life: one of them may be the one that ends silent attempts."""
        self._store.exchange.tell(Topic.BEATS, f"{uid} {attempt} {name}")

    def _hear(self, news: News) -> None:
        """On the exchange's thread."""
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop has ended, and the exchange is about to
            self._loop.call_soon_threadsafe(self._take, news)

    def _take(self, news: News) -> None:
        if self._closed:
            return
        match news.topic:
            case Topic.STUDY | Topic.POINTS:
                for line in news.text.splitlines():
                    owner, _, study = line.partition("/")
                    name = StudyName(owner, study)
                    if news.topic is Topic.POINTS:
                        self._live.doubt_curves(name)
                    else:
                        self._waiting[name] = None
                        self._work()
            case Topic.BEATS:
                for line in news.text.splitlines():
                    uid, number, trial = line.split(" ", 2)
                    self._leases.beat(uid, parse_trial(trial), int(number))
            case Topic.MISSED:
                self._live.forget()
                self._feed.publish_uid(None, None)
                self._leases.restart()
                self._waiting.update(dict.fromkeys(self._told))
                self._missed()
                self._work()
            case Topic.RESTORED:
                self._told.clear()
                self._waiting.clear()
                self._restored()

    def _note(self, change: Change) -> None:
        name, revision = change.study.name, change.study.revision
        known = self._told.get(name)
        if change.deleted:
            self._told.pop(name, None)
        elif known is None or known[0].uid != change.study.uid or revision == known[1] + 1:
            self._told[name] = (change.study, revision)
        # Otherwise another server's change lies between, of which there will be news.

    def _work(self) -> None:
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._catch_up())

    async def _catch_up(self) -> None:
        while self._waiting:
            name = next(iter(self._waiting))
            del self._waiting[name]
            try:
                await self._publish(name)
            except WazirError:
                # The store is away; when the exchange is back it says that news were missed.
                logger.exception("reading what others changed in %s failed", name.short, extra={"study": str(name)})

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
    return view.changes(study, since, PAGE)


def _live_of(view: View, name: StudyName) -> Changes:
    """The study as it is, with the trials that somebody holds."""
    study = view.study(name)
    trials = view.trials(study, TrialFilter(states=LIVE), 0, study.counts.live + 1)
    return Changes(study, trials, (), study.revision)
