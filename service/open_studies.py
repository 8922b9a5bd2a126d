"""The studies that have not ended, as last heard of, and the attempts in them that live by heartbeats."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from types import MappingProxyType

from ..domain.names import StudyName
from ..domain.study import UNENDED, Study
from ..domain.trial import Trial
from ..storage.store import Store, View
from .feed import Change, Feed
from .leases import LeaseKeeper

logger = logging.getLogger(__name__)


class OpenStudies:
    """Used on the event loop only. Fed by changes, and read again if some were missed."""

    def __init__(self, store: Store, feed: Feed, leases: LeaseKeeper) -> None:
        self._store = store
        self._leases = leases
        self._open: dict[StudyName, Study] = {}
        self._unreadable: set[StudyName] = set()
        self._doubtful = False
        feed.listen(self._hear)

    @property
    def by_name(self) -> Mapping[StudyName, Study]:
        return MappingProxyType(self._open)

    def get(self, name: StudyName) -> Study | None:
        return self._open.get(name)

    def forget(self, name: StudyName) -> None:
        """It is not there any more."""
        self._open.pop(name, None)

    def clear(self) -> None:
        """Nothing that is known is true any more."""
        self._open.clear()

    def doubt(self) -> None:
        """Changes were missed: the next `bring` reads everything."""
        self._doubtful = True

    async def bring(self) -> None:
        """Up to date with the store, if there is reason to think that it is not."""
        if self._doubtful:
            await self.survey()

    async def survey(self) -> None:
        """Reads which studies are open, and which attempts have leases. Raises what reading raises: what was doubtful
        still is, then."""
        unreadable: dict[StudyName, Exception] = {}

        def live(view: View) -> list[Trial]:
            return view.live(unreadable.__setitem__)

        def unended(view: View) -> list[Study]:
            return view.unended(unreadable.__setitem__)

        self._doubtful = False
        before = dict(self._open)
        try:
            # One after the other: somebody who changes both tables could wait for one while this holds the other.
            trials = await asyncio.to_thread(self._store.read, live)
            studies = await asyncio.to_thread(self._store.read, unended)
        except BaseException:
            self._doubtful = True
            raise

        present = {study.name for study in studies} | unreadable.keys()
        for name, study in before.items():
            if name not in present and self._open.get(name) is study:
                self.forget(name)
        for study in studies:
            known = self._open.get(study.name)
            # What was heard meanwhile is newer.
            if known is None or known.uid != study.uid or known.revision < study.revision:
                self._open[study.name] = study
        for trial in trials:
            if (of := self._open.get(trial.study)) is not None:
                self._leases.watch(of.uid, trial)
        self._say(unreadable)

    def _say(self, unreadable: Mapping[StudyName, Exception]) -> None:
        for name, error in unreadable.items():
            if name not in self._unreadable:
                logger.error(
                    "the study %s cannot be read, so nobody ends its silent attempts, nor the study when its time is "
                    "up: %s: %s",
                    name.short,
                    type(error).__name__,
                    error,
                    extra={"action": "study_unreadable", "study": str(name)},
                )
        self._unreadable = set(unreadable)

    def _hear(self, change: Change) -> None:
        study = change.study
        if change.deleted or study.state not in UNENDED:
            self._open.pop(study.name, None)
        else:
            self._open[study.name] = study
