"""What changed, told inside this process right after it became durable.

The store's change feed is the truth; this is the short cut beside it. A subscriber that meets a gap in the revisions
(another server's change, or two units that told their news in the other order) reads the store instead.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from ..domain.names import StudyName
from ..domain.study import Study
from ..domain.trial import Trial

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """One unit's changes: the study and the trials as they are after it. It took exactly one revision."""

    study: Study
    trials: Sequence[Trial] = ()
    deleted_trials: Sequence[int] = ()
    deleted: bool = False
    """The study itself is gone."""


UidListener = Callable[[StudyName | None, str | None], None]
"""Is told a study's uid, None if the study is gone; or None and None if any may be another than before."""


class News(asyncio.Event):
    """Is set whenever something changes."""

    def __init__(self) -> None:
        super().__init__()
        self._changed: set[StudyName] = set()

    def note(self, name: StudyName) -> None:
        self._changed.add(name)
        self.set()

    def take(self) -> set[StudyName]:
        """What has changed since this was asked last; clears the event."""
        self.clear()
        changed, self._changed = self._changed, set()
        return changed


class Feed:
    """Used on the event loop only."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[Change], None]] = []
        self._uid_listeners: list[UidListener] = []
        self._waiting: defaultdict[StudyName | str, set[News]] = defaultdict(set)
        self.beginnings = 0
        """Rises when the database was restored: what was told before is no longer what came before the next news."""
        self.closed = False
        """There will be no more news here; waiters are to go."""

    def listen(self, listener: Callable[[Change], None]) -> None:
        """Calls `listener` with every change from now on. It must be quick."""
        self._listeners.append(listener)

    def listen_for_uids(self, listener: UidListener) -> None:
        """Calls `listener` with the uid of each study that changes, also of one of which nothing but its end is known
        here. It must be quick."""
        self._uid_listeners.append(listener)

    def publish(self, change: Change) -> None:
        for listener in self._listeners:
            try:
                listener(change)
            except Exception:
                # It is a defect of that listener; the change is durable, and the others are to hear of it.
                logger.exception(
                    "a change of %s was not taken in",
                    change.study.name.short,
                    extra={"action": "change_not_heard", "study": str(change.study.name)},
                )
        self.publish_uid(change.study.name, None if change.deleted else change.study.uid)
        for key in (change.study.name, change.study.name.owner):
            for news in self._waiting.get(key, ()):
                news.note(change.study.name)

    def publish_uid(self, name: StudyName | None, uid: str | None) -> None:
        """Part of `publish`; by itself where there is no more to tell."""
        for listener in self._uid_listeners:
            listener(name, uid)

    def begin_anew(self) -> None:
        """Wakes all who wait for news, to read everything again."""
        self.beginnings += 1
        self.publish_uid(None, None)
        self._wake()

    def close(self) -> None:
        """Wakes all who wait for news. Harmless to repeat."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        for events in self._waiting.values():
            for event in events:
                event.set()

    @contextmanager
    def news_of(self, key: StudyName | str) -> Iterator[News]:
        """News of the study, or of all studies of the owner."""
        news = News()
        self._waiting[key].add(news)
        try:
            yield news
        finally:
            self._waiting[key].discard(news)
            if not self._waiting[key]:
                del self._waiting[key]
