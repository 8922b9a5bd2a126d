"""A unit's transaction on PostgreSQL. It waits for locks only if it is told to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..domain.names import StudyName, TrialName
from ..domain.study import Study
from ..domain.trial import Measurement, Trial
from .exchange import Topic
from .known import Known
from .pending import Shared
from .sql import SqlTransaction
from .statements import DELETE_FIRST_POINTS, FREE_REVISION, SAME_POINTS

if TYPE_CHECKING:
    from .postgres_link import Link


class LockMet(Exception):
    """Another transaction holds what the unit wants, or an earlier unit of the study waits for it."""

    def __init__(self, study: StudyName | None, *, row: bool) -> None:
        """`study`: the one that the unit is about, if it is about one. `row`: whether it is that study's row that is
        locked."""
        super().__init__(study, row)
        self.study = study
        self.row = row


class PostgresTransaction(SqlTransaction):
    """Notes what other servers are to hear of once it is committed.

    `waits`: whether it waits for locks. `parked`: whether earlier units of that study wait for a lock, which this one
    must not overtake.
    """

    def __init__(
        self, link: Link, known: Known, shared: Shared, *, waits: bool, parked: Callable[[StudyName], bool]
    ) -> None:
        super().__init__(link.session, known, shared)
        self._link = link
        self._waits = waits
        self._parked = parked
        self._subject: StudyName | None = None
        """The study that the unit is about, as far as it has shown."""
        self._at_row = False
        self.news: set[tuple[Topic, StudyName]] = set()

    @property
    def broken(self) -> bool:
        """Whether writes of earlier units could not be sent."""
        return self._shared.broken

    def met(self) -> LockMet:
        """What a lock means that was just met."""
        return LockMet(self._subject, row=self._at_row)

    def study(self, name: StudyName) -> Study:
        self._subject = self._subject or name
        return super().study(name)

    def trial(self, name: TrialName) -> Trial:
        self._subject = self._subject or name.parent
        return super().trial(name)

    def lock(self, name: StudyName) -> Study:
        self._writes_to(name)
        return super().lock(name)

    def _writes_to(self, name: StudyName) -> None:
        self._subject = name
        if self._parked(name):
            raise LockMet(name, row=True)

    def _lock_row(self, name: StudyName) -> Any:
        self._at_row = True
        if self._waits:
            row = super()._lock_row(name)
        else:
            row = self._one(FREE_REVISION, owner=name.owner, id=name.study)
            if row is None:
                self.study(name)
                raise self.met()
        self._at_row = False
        return row

    def _at_points(self, key: int, points: set[str]) -> Iterable[Any]:
        return self._all(SAME_POINTS, study=key, digests=list(points))

    def _begin_sending(self) -> None:
        if not self.sent:
            # What earlier units wrote is not this one's to undo.
            self._shared.flush(self._session)
            self._link.execute("SAVEPOINT unit")
        super()._begin_sending()

    def _delete_first_points(self, key: int, limit: int) -> int:
        return self._send(DELETE_FIRST_POINTS, {"study": key, "limit": limit})

    def insert_study(self, study: Study) -> None:
        self._writes_to(study.name)
        super().insert_study(study)
        self.news.add((Topic.STUDY, study.name))

    def update_study(self, study: Study) -> None:
        super().update_study(study)
        self.news.add((Topic.STUDY, study.name))

    def delete_study(self, study: Study) -> None:
        self._begin_sending()
        with self._link.long_statement():
            super().delete_study(study)
        self.news.add((Topic.STUDY, study.name))

    def add_measurements(self, trial: Trial, attempt: int, measurements: Iterable[Measurement]) -> None:
        self._writes_to(trial.study)
        super().add_measurements(trial, attempt, measurements)
        self.news.add((Topic.POINTS, trial.study))
