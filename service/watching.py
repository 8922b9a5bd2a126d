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
from ..domain.size import size_of_study
from ..domain.study import Study
from ..storage.store import Changes, StudyFilter, View
from .feed import Feed
from .pages import PAGE_BYTES, Some, read_changes, read_studies, token_of
from .reads import Reads

PAGE = 1_000
QUIET = 5.0
"""Seconds after which a watcher looks at the store though nothing was heard: another server may have written."""


async def watch_trials(reads: Reads, feed: Feed, name: StudyName, since: int) -> AsyncIterator[Changes]:
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
            changes = await reads.read(partial(_since, name=name, since=since))
            if uid and changes.study.uid != uid:
                raise NotFound(name.short, "It was deleted and created again; watch the new one from the start")
            uid = changes.study.uid
            if first or changes.revision > since:
                first, since = False, changes.revision
                yield changes
            if changes.revision >= changes.study.revision:
                await _news(feed, news)


async def watch_studies(reads: Reads, feed: Feed, owner: str) -> AsyncIterator[tuple[list[Study], list[StudyName]]]:
    """All studies of the owner, then those that changed and the names of those that are gone."""
    known: dict[StudyName, tuple[str, int]] = {}
    beginnings = feed.beginnings
    with feed.news_of(owner) as news:
        async for studies in _all_of(reads, owner):
            known |= {s.name: (s.uid, s.revision) for s in studies}
            yield studies, []
        compared = _now()

        while True:
            await _news(feed, news)
            changed = news.take()
            if feed.beginnings != beginnings or _now() - compared >= QUIET:
                if feed.beginnings != beginnings:
                    beginnings, known = feed.beginnings, dict.fromkeys(known, ("", 0))
                # The others may have written unheard. There may be thousands of studies, so they are compared first.
                there = await reads.read(lambda view: view.revisions(owner))
                changed |= {name for name in known.keys() | there.keys() if known.get(name) != there.get(name)}
                compared = _now()

            names = sorted(changed)
            while names:
                found, gone, names = await reads.read(partial(_named, names=names))
                new = [s for s in found if known.get(s.name) != (s.uid, s.revision)]
                gone = [name for name in gone if known.pop(name, None) is not None]
                known |= {s.name: (s.uid, s.revision) for s in new}
                if new or gone:
                    yield new, gone


async def _all_of(reads: Reads, owner: str) -> AsyncIterator[list[Study]]:
    """In pages; one empty page if there are none."""
    after, more = "", True
    while more:
        found = await reads.read(partial(_some_of, owner=owner, after=after))
        yield list(found.items)
        more = found.more
        after = token_of(found.items[-1]) if more else ""


async def _news(feed: Feed, event: asyncio.Event) -> None:
    """Waits for news. Raises Unavailable when the service ends: a watcher would otherwise hold it up."""
    with suppress(TimeoutError):
        if not feed.closed:
            async with asyncio.timeout(QUIET):
                await event.wait()
    if feed.closed:
        raise Unavailable("the service is ending; watch again from the last revision")


def _now() -> float:
    return asyncio.get_running_loop().time()


def _named(view: View, names: list[StudyName]) -> tuple[list[Study], list[StudyName], list[StudyName]]:
    """The first studies of these names, the names of those among them that are gone, and the names that are left."""
    found: list[Study] = []
    gone: list[StudyName] = []
    size = 0
    for place, name in enumerate(names):
        if size > PAGE_BYTES or len(found) + len(gone) >= PAGE:
            return found, gone, names[place:]
        try:
            found.append(view.study(name))
        except NotFound:
            gone.append(name)
        else:
            size += size_of_study(found[-1])
    return found, gone, []


def _since(view: View, name: StudyName, since: int) -> Changes:
    return read_changes(view, view.study(name), since, PAGE)


def _some_of(view: View, owner: str, after: str) -> Some[Study]:
    return read_studies(view, owner, StudyFilter(), after, PAGE)
