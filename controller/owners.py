"""Which studies are run here, where a controller works for whole owners: those that it takes, now and later."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from ..domain.errors import NotFound, WazirError
from ..domain.names import StudyName
from ..domain.study import Study
from ..domain.trial import Trial
from .discarding import Discarding
from .errands import Errands
from .runtime import Runtime
from .service import AWAY, Stream, StudyChanges, StudyService
from .studies import ENDED_STUDY, Studies

log = logging.getLogger(__name__)


class Owners:
    """Watches each owner's studies, and has those followed that `takes` accepts. What the runtime still has of deleted
    ones is removed. `retry_after`: seconds until what has failed is tried again."""

    def __init__(
        self,
        owners: Sequence[str],
        takes: Callable[[Study], bool],
        studies: Studies,
        service: StudyService,
        runtime: Runtime,
        errands: Errands,
        discarding: Discarding,
        retry_after: float,
    ) -> None:
        self._owners = frozenset(owners)
        self._takes = takes
        self._studies = studies
        self._service = service
        self._runtime = runtime
        self._errands = errands
        self._discarding = discarding
        self._retry_after = retry_after
        self._listed: set[str] = set()
        """Owners whose studies are all known."""
        self._uids: dict[StudyName, str] = {}
        """Of all their studies, also of those that are not run here."""
        self._entering: set[StudyName] = set()
        self._streams: list[Stream[StudyChanges]] = []

    def __bool__(self) -> bool:
        return bool(self._owners)

    @property
    def complete(self) -> bool:
        """Whether all studies of owners that are to be run here are followed; false where there are no owners."""
        return bool(self._owners) and self._listed == self._owners and not self._entering

    def start(self) -> None:
        for owner in self._owners:
            self._errands.watch(partial(self._watch, owner), f"wazir-watch-{owner}")

    def close(self) -> None:
        for stream in self._streams:
            stream.cancel()

    def _watch(self, owner: str) -> None:
        """Tells what changes among the owner's studies until nobody waits for it."""
        while not self._errands.closing.is_set():
            try:
                stream = self._service.watch_studies(owner)
                self._streams.append(stream)
                for changes in stream:
                    self._errands.tell(partial(self._seen, owner, changes))
            except WazirError as error:
                if self._errands.closing.is_set():
                    return
                self._errands.trouble = str(error)
                log.warning("watching owners/%s: %s", owner, error, extra={"action": "watch_failed", "owner": owner})
            except Exception:
                log.exception("watching owners/%s", owner, extra={"action": "watch_defect", "owner": owner})
            self._errands.closing.wait(self._retry_after)

    def _seen(self, owner: str, changes: StudyChanges) -> None:
        self._errands.trouble = ""
        for study in changes.studies:
            self._uids[study.name] = study.uid
            known = self._studies.get(study.name)
            if known is not None and known.view.study.uid == study.uid:
                known.view.learn(study)
            elif study.name not in self._entering and study.state not in ENDED_STUDY and self._takes(study):
                self._entering.add(study.name)
                self._errands.send(partial(self._enter, study.name))
        for name in changes.deleted:
            uid = self._uids.pop(name, None)
            if uid is not None and name not in self._studies:
                self._discarding.begin(uid, None)
        if changes.deleted or owner not in self._listed:
            self._listed.add(owner)
            if self._listed == self._owners:
                self._runtime.sweep(frozenset(self._uids.values()))

    def _enter(self, name: StudyName) -> None:
        """Reads the study, as often as it takes, to have it followed."""
        while not self._errands.closing.is_set():
            try:
                found = self._studies.read(name)
            except NotFound:
                self._errands.tell(partial(self._entering.discard, name))
                return
            except WazirError as error:
                if not isinstance(error, AWAY):
                    log.error("%s: %s", name.short, error, extra={"action": "study_refused", "study": str(name)})
                self._errands.closing.wait(self._retry_after)
            except Exception:
                log.exception("%s", name.short, extra={"action": "study_defect", "study": str(name)})
                self._errands.closing.wait(self._retry_after)
            else:
                self._errands.tell(partial(self._entered, *found))
                return

    def _entered(self, study: Study, trials: Sequence[Trial]) -> None:
        self._entering.discard(study.name)
        self._studies.follow(study, trials)
