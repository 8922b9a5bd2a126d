"""Watch streams: what there is, then every change, each answer stating where to go on after a break.

A watcher that is slower than the changes gets them joined: a trial that changed three times is sent once, as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

from ..domain.errors import NotFound, RevisionCompacted, Unavailable
from ..domain.names import StudyName
from ..domain.study import Study
from ..storage.store import Changes, Store, StudyFilter, View
from .feed import Feed
from .pages import Some, read_changes, read_studies, token_of

PAGE = 1_000
QUIET = 5.0
"""Seconds after which a watcher looks at the store though nothing was heard: another server may have written."""


async def watch_trials(store: Store, feed: Feed, name: StudyName, since: int) -> AsyncIterator[Changes]:
    """Changes of the study after revision `since`; the first answer comes at once, with whatever there is.

    Ends with NotFound when the study is deleted, or is recreated under the same name; raises RevisionCompacted.
    """
    uid = ""
    first = True
    beginnings = feed.beginnings
    with feed.news_of(name) as news:
        while True:
            news.clear()
            if feed.beginnings != beginnings:
                raise RevisionCompacted(name.short, since, 0)
            changes = await asyncio.to_thread(store.read, partial(_since, name=name, since=since))
            if uid and changes.study.uid != uid:
                raise NotFound(name.short, "It was deleted and created again; watch the new one from the start")
            uid = changes.study.uid
            if first or changes.revision > since:
                first, since = False, changes.revision
                yield changes
            if changes.revision >= changes.study.revision:
                await _news(feed, news)


async def watch_studies(store: Store, feed: Feed, owner: str) -> AsyncIterator[tuple[list[Study], list[StudyName]]]:
    """All studies of the owner, then those that changed and the names of those that are gone."""
    known: dict[StudyName, tuple[str, int]] = {}
    first = True
    beginnings = feed.beginnings
    with feed.news_of(owner) as news:
        while True:
            news.clear()
            if feed.beginnings != beginnings:
                beginnings, known = feed.beginnings, dict.fromkeys(known, ("", 0))
            now: dict[StudyName, tuple[str, int]] = {}
            after, more = "", True
            while more:
                found = await asyncio.to_thread(store.read, partial(_some_of, owner=owner, after=after))
                now |= {s.name: (s.uid, s.revision) for s in found.items}
                changed = [s for s in found.items if known.get(s.name) != now[s.name]]
                if changed:
                    first = False
                    yield changed, []
                more = found.more
                after = token_of(found.items[-1]) if more else ""

            gone = [name for name in known if name not in now]
            if first or gone:
                first = False
                yield [], gone
            known = now
            await _news(feed, news)


async def _news(feed: Feed, event: asyncio.Event) -> None:
    """Waits for news. Raises Unavailable when the service ends: a watcher would otherwise hold it up."""
    with suppress(TimeoutError):
        if not feed.closed:
            async with asyncio.timeout(QUIET):
                await event.wait()
    if feed.closed:
        raise Unavailable("the service is ending; watch again from the last revision")


def _since(view: View, name: StudyName, since: int) -> Changes:
    return read_changes(view, view.study(name), since, PAGE)


def _some_of(view: View, owner: str, after: str) -> Some[Study]:
    return read_studies(view, owner, StudyFilter(), after, PAGE)
