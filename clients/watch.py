"""Changes as they come: streams of the service that connect again by themselves and can be cancelled."""

from __future__ import annotations

import abc
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from ..domain.errors import RevisionCompacted, WazirError
from ..domain.names import StudyName, parse_study
from ..domain.study import Study
from ..domain.trial import Trial
from ..proto.v1 import study_service_pb2 as api
from ..wire.study import study_from_wire
from ..wire.trial import trial_from_wire
from .connection import Connection
from .endpoint import Patience

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TrialChanges:
    """The study as it is, its trials that are new or changed, by revision, and the ids of those deleted."""

    study: Study
    trials: tuple[Trial, ...]
    deleted: tuple[int, ...]
    revision: int
    """Watch from here to go on after this answer."""


@dataclass(frozen=True, slots=True)
class StudyChanges:
    """Studies that are new or changed, and the names of those that are gone."""

    studies: tuple[Study, ...]
    deleted: tuple[StudyName, ...]


class Cursor(abc.ABC, Generic[T]):
    """How far a watch has got: what to ask for next, and what an answer means. No I/O."""

    method: str

    @abc.abstractmethod
    def request(self) -> Message:
        """Asks for a stream that goes on after the last answer."""

    @abc.abstractmethod
    def read(self, response: Any) -> T: ...

    def restarts(self, error: WazirError) -> bool:
        """Whether the next stream will not meet this error again."""
        return False


class TrialCursor(Cursor[TrialChanges]):
    """A study and its trials.

    If the service no longer keeps what changed since the last answer, all trials come once more; ids that are not
    among them are then gone without having stood in `deleted`.
    """

    method = "WatchTrials"

    def __init__(self, study: StudyName, since: int) -> None:
        self._study = study
        self._since = since

    def request(self) -> Message:
        return api.WatchTrialsRequest(parent=str(self._study), since=self._since)

    def read(self, response: api.WatchTrialsResponse) -> TrialChanges:
        self._since = response.revision
        return TrialChanges(
            study_from_wire(response.study),
            tuple(map(trial_from_wire, response.trials)),
            tuple(response.deleted),
            response.revision,
        )

    def restarts(self, error: WazirError) -> bool:
        known, self._since = self._since, 0
        return isinstance(error, RevisionCompacted) and known > 0


class StudyCursor(Cursor[StudyChanges]):
    """The studies of an owner. After a break all present ones come again."""

    method = "WatchStudies"

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._known: set[StudyName] = set()
        self._fresh = True

    def request(self) -> Message:
        self._fresh = True
        return api.WatchStudiesRequest(parent=f"owners/{self._owner}")

    def read(self, response: api.WatchStudiesResponse) -> StudyChanges:
        studies = tuple(map(study_from_wire, response.studies))
        names = {study.name for study in studies}
        deleted = {parse_study(name) for name in response.deleted}
        if self._fresh:
            # The first answer of a stream holds every study, so whatever it lacks went during the break.
            deleted |= self._known - names
            self._fresh = False
        self._known = (self._known | names) - deleted
        return StudyChanges(studies, tuple(sorted(deleted)))


class Watch(Iterator[T]):
    """An iterator that blocks until something changes, and goes on through a service's restarts.

    `cancel` from any thread ends the iteration. Raises Unavailable if the service stays away for as long as the
    client is patient, and whatever else the service refuses with: NotFound where the study is deleted meanwhile.
    """

    def __init__(self, connection: Connection, retry_for: float, cursor: Cursor[T]) -> None:
        self._connection = connection
        self._retry_for = retry_for
        self._cursor = cursor
        self._cancelled = threading.Event()
        self._call: grpc.Call | None = None
        self._items = self._watch()

    def __next__(self) -> T:
        return next(self._items)

    def cancel(self) -> None:
        """Ends the iteration, also while it waits. Harmless to repeat."""
        self._cancelled.set()
        if self._call is not None:
            self._call.cancel()

    def _watch(self) -> Iterator[T]:
        # Counted from the break: a stream may have been quiet for longer than that before.
        patience = Patience(self._retry_for)
        while not self._cancelled.is_set():
            call = self._call = self._connection.stream(self._cursor.method, self._cursor.request())
            wait, answered = None, False
            try:
                # `cancel` may have come before there was a call to cancel.
                if self._cancelled.is_set():
                    return
                for response in call:
                    patience.answered()
                    answered = True
                    yield self._cursor.read(response)
            except grpc.RpcError as error:
                told = self._connection.endpoint.explain_stream(error, answered=answered)
                if told is None:
                    continue
                wait = patience.wait_after(told, time.monotonic())
                if not self._cancelled.is_set() and wait is None and not self._cursor.restarts(told):
                    raise told from None
            finally:
                call.cancel()
            self._cancelled.wait(patience.pause() if wait is None else wait)


TrialWatch = Watch[TrialChanges]
StudyWatch = Watch[StudyChanges]
