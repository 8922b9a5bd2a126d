"""Reads over a connection to an SQL database, whichever it is and however its statements are spelt.

Nothing of SQLAlchemy is needed here: a store brings its statements (`statements.py`), and whoever only looks at a file
of SQLite brings plain ones (`sqlite_look.py`).
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

from ..domain.access import Token
from ..domain.attempt import Attempt
from ..domain.audit import AuditFilter, Outcome, id_at
from ..domain.errors import NotFound, RevisionCompacted
from ..domain.names import StudyName, TrialName
from ..domain.size import MEASUREMENT
from ..domain.study import UNENDED, Study, StudyState
from ..domain.trial import Measurement, Trial, TrialState
from . import rows
from .derived import curve, labelled, no_study
from .store import (
    AUDIT_SCAN,
    Answer,
    AuditPage,
    Changes,
    Point,
    StudyFilter,
    TrialFilter,
    Unreadable,
    Usage,
    View,
    refuse,
)

CHUNK = 100
"""The least number of rows fetched at a time where some may be left out of the answer."""
_MOST_HINTS = 500
"""Names that an unknown one is compared with, which takes 10 ms: anybody may ask for unknown names all day."""
_BEYOND_ALL = 2**63 - 1
_BEYOND_ALL_IDS = "~"
_ENDED = frozenset(state.value for state in StudyState if state not in UNENDED)
NOBODY = ""
"""The owner of studies that were deleted, whose rows are removed bit by bit."""


class ReadSession(Protocol):
    """One connection in a transaction, for one thread at a time."""

    @property
    def reads(self) -> Any:
        """Its statements, as attributes with the names that `statements.py` gives them."""

    def all(self, statement: Any, values: Mapping[str, object]) -> list[Any]:
        """All rows, with their columns as attributes."""

    def one(self, statement: Any, values: Mapping[str, object]) -> Any:
        """The first row, or None."""


class SqlView(View):
    """Reads over a connection that is in a transaction. Not for two threads at a time."""

    def __init__(self, session: ReadSession) -> None:
        self._session = session
        self._reads = session.reads
        self._keys: dict[str | StudyName, int] = {}
        """Of the studies met so far, by uid and by name."""

    def study(self, name: StudyName) -> Study:
        return self._study(self._reads.STUDY, name)

    def studies(self, owner: str, where: StudyFilter, after: str, limit: int) -> list[Study]:
        after_owner, _, after_id = after.partition("/")
        if owner and after_owner > owner:
            return []
        if after_owner < owner:
            after_id = ""
        if not owner and not after_owner:
            # Beyond those without an owner, which were deleted.
            after_id = _BEYOND_ALL_IDS
        statement = self._reads.STUDIES_OF_OWNER if owner else self._reads.STUDIES
        found: list[Study] = []
        while len(found) < limit:
            # The few facts that filters ask about are not worth an index: there are far fewer studies than trials.
            wanted = max(CHUNK, limit) if where != StudyFilter() else limit - len(found)
            page = self._all(statement, owner=owner, after_owner=after_owner, after_id=after_id, limit=wanted)
            found.extend(s for s in map(self._met, page) if _meets(s, where))
            if len(page) < wanted:
                break
            after_owner, after_id = page[-1].owner, page[-1].id
        return found[:limit]

    def usage(self, owner: str) -> list[Usage]:
        found = self._all(self._reads.USAGE_OF_OWNER, owner=owner) if owner else self._all(self._reads.USAGE)
        return [
            Usage(row.owner, row.studies, int(row.trials), int(row.bytes) + int(row.values_reported) * MEASUREMENT)
            for row in found
        ]

    def revisions(self, owner: str) -> dict[StudyName, tuple[str, int]]:
        found = self._all(self._reads.REVISIONS, owner=owner)
        return {StudyName(owner, row.id): (row.uid, row.revision) for row in found}

    def trial(self, name: TrialName) -> Trial:
        row = self._one(self._reads.TRIAL, owner=name.owner, study_id=name.study, trial=name.id)
        if row is None:
            self.study(name.parent)
            raise NotFound(name.short)
        return self._trials_of(row.study, name.parent, [row])[0]

    def trials(
        self, study: Study, where: TrialFilter, after: int, limit: int, *, descending: bool = False
    ) -> list[Trial]:
        key = self._key(study)
        if key is None or limit < 1:
            return []
        # One scan a state, each in the order of its index, joined here: a database would sort all of them first.
        states: Iterable[TrialState | None] = where.states or (None,)
        scans = (self._scan(key, state, where, after, limit, descending) for state in states)
        found: Iterator[Any] = heapq.merge(*scans, key=lambda row: row.id, reverse=descending)
        if where.labels:
            found = (row for row in found if labelled(rows.from_text(row.labels), where.labels))
        return self._trials_of(key, study.name, list(islice(found, limit)))

    def best(self, study: Study, limit: int, skip: int = 0) -> list[Trial]:
        key = self._key(study)
        if key is None:
            return []
        return self._trials_of(key, study.name, self._all(self._reads.BEST, study=key, limit=limit, skip=skip))

    def unended(self, unreadable: Unreadable = refuse) -> list[Study]:
        found: list[Study] = []
        for row in self._all(self._reads.UNENDED):
            if row.state in _ENDED:
                continue
            try:
                found.append(self._met(row))
            except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the others can be read
                unreadable(StudyName(row.owner, row.id), error)
        return found

    def live(self, unreadable: Unreadable = refuse) -> list[Trial]:
        found: list[Trial] = []
        by_study: dict[int, list[Any]] = defaultdict(list)
        for row in self._all(self._reads.LIVE):
            by_study[row.study].append(row)
        for key, page in by_study.items():
            if page[0].owner == NOBODY:
                continue
            name = StudyName(page[0].owner, page[0].study_id)
            try:
                found.extend(self._trials_of(key, name, page))
            except (ValueError, LookupError, TypeError) as error:
                unreadable(name, error)
        return found

    def changes(self, study: Study, since: int, limit: int = 10_000) -> Changes:
        row = self._one(self._reads.STUDY_OF_UID, uid=study.uid)
        if row is None:
            raise NotFound(study.name.short)
        now = self._met(row)
        if not 0 <= since <= now.revision:
            raise RevisionCompacted(study.name.short, since, now.revision)

        # One row more than asked for shows where the answer is cut, which is never within a revision.
        span = {"study": row.key, "since": since, "until": now.revision, "limit": limit + 1}
        changed, deleted = self._all(self._reads.CHANGED, **span), self._all(self._reads.DELETED, **span)

        until = now.revision
        if len(changed) + len(deleted) > limit:
            told = sorted(r.revision for r in (*changed, *deleted))
            until = told[limit] - 1
            if until < told[0]:
                # A single unit that changed more than `limit` trials is told in one piece.
                until = told[0]
                span |= {"until": until, "limit": _BEYOND_ALL}
                changed, deleted = self._all(self._reads.CHANGED, **span), self._all(self._reads.DELETED, **span)

        changed = [r for r in changed if r.revision <= until]
        return Changes(
            now,
            self._trials_of(row.key, study.name, changed),
            [r.trial for r in deleted if r.revision <= until],
            until,
        )

    def measurements(self, trial: Trial, attempt: int | None = None) -> list[Measurement]:
        key = self._key_named(trial.study)
        points = map(rows.point_of, self._all(self._reads.CURVE, study=key, trial=trial.id))
        return curve(p for p in points if attempt in (None, p.attempt))

    def steps(self, trial: Trial, after: int, limit: int) -> list[Measurement]:
        values = {"study": self._key_named(trial.study), "trial": trial.id, "after": after}
        page = self._all(self._reads.CURVE_BEYOND, **values, limit=limit + 1)
        if len(page) > limit:
            # The last step may go on.
            last = page[-1].step
            page = [row for row in page if row.step < last] or self._all(self._reads.STEP, **values | {"step": last})
        return curve(map(rows.point_of, page))

    def points(self, study: Study, since: int, limit: int = 100_000) -> list[Point]:
        key = self._key(study)
        if key is None:
            return []
        return [rows.point_of(r) for r in self._all(self._reads.POINTS, study=key, since=since, limit=limit)]

    def curve(self, trial: TrialName) -> list[Point]:
        key = self._key_named(trial.parent)
        return [rows.point_of(row) for row in self._all(self._reads.CURVE, study=key, trial=trial.id)]

    def long_curves(self, study: Study, first: int, beyond: int, points: int) -> list[int]:
        key = self._key(study)
        if key is None:
            return []
        found = self._all(self._reads.LONG_CURVES, study=key, first=first, beyond=beyond, points=points)
        return list(dict.fromkeys(row.trial for row in found))

    def to_thin(self, before: float, points: int, limit: int, after: Study | None = None) -> list[Study]:
        span = {"after_time": 0.0, "after_key": 0}
        if after is not None and after.end_time is not None:
            span = {"after_time": after.end_time, "after_key": self._key(after) or 0}
        return [
            self._met(row) for row in self._all(self._reads.TO_THIN, before=before, points=points, limit=limit, **span)
        ]

    def answer(self, owner: str, request_id: str) -> Answer | None:
        row = self._one(self._reads.ANSWER, owner=owner, request_id=request_id)
        return None if row is None else Answer(row.method, row.payload, row.result, row.time)

    def token(self, token_id: str) -> Token | None:
        row = self._one(self._reads.TOKEN, id=token_id)
        return None if row is None else rows.token_of(row)

    def tokens(self) -> list[Token]:
        return list(map(rows.token_of, self._all(self._reads.TOKENS)))

    def secret(self, name: str) -> str | None:
        row = self._one(self._reads.SECRET, name=name)
        return None if row is None else str(row.value)

    def audit_records(self, where: AuditFilter, before: str, limit: int) -> AuditPage:
        span = {"since": "" if where.since is None else id_at(where.since), "before": before or _BEYOND_ALL_IDS}
        last = self._one(self._reads.AUDIT_FLOOR, scan=AUDIT_SCAN - 1, **span)
        if last is not None:
            span["since"] = last.id

        found = self._all(self._reads.AUDIT_RECORDS, limit=limit + 1, **span, **_audit_values(where))
        records = [rows.audit_record_of(row) for row in found[:limit]]
        if len(found) > limit:
            return AuditPage(records, records[-1].id)
        return AuditPage(records, "" if last is None else last.id)

    def audit_id(self, most: int) -> str | None:
        row = self._one(self._reads.AUDIT_FLOOR, since="", before=_BEYOND_ALL_IDS, scan=most)
        return None if row is None else str(row.id)

    def _all(self, statement: Any, **values: object) -> list[Any]:
        return self._session.all(statement, values)

    def _one(self, statement: Any, **values: object) -> Any:
        return self._session.one(statement, values)

    def _study(self, statement: Any, name: StudyName) -> Study:
        row = self._one(statement, owner=name.owner, id=name.study)
        if row is None:
            raise no_study(
                name, [r.id for r in self._all(self._reads.IDS_OF_OWNER, owner=name.owner, limit=_MOST_HINTS)]
            )
        return self._met(row)

    def _met(self, row: Any) -> Study:
        study = rows.study_of(row)
        self._keys[study.uid] = self._keys[study.name] = row.key
        return study

    def _key(self, study: Study) -> int | None:
        """None where the study is gone."""
        key = self._keys.get(study.uid)
        if key is None and (row := self._one(self._reads.KEY_OF_UID, uid=study.uid)) is not None:
            key = self._keys[study.uid] = row.key
        return key

    def _key_named(self, name: StudyName) -> int:
        if name not in self._keys:
            self.study(name)
        return self._keys[name]

    def _scan(
        self, key: int, state: TrialState | None, where: TrialFilter, after: int, limit: int, descending: bool
    ) -> Iterator[Any]:
        """Rows of the trials in one state, or in any, by id."""
        statement = self._reads.TRIALS[state is not None, where.since is not None, descending]
        wanted = max(CHUNK, limit) if where.labels else limit
        values: dict[str, object] = {"study": key, "limit": wanted}
        if state is not None:
            values["state"] = state.value
        if where.since is not None:
            values["since"] = where.since
        last = after or (_BEYOND_ALL if descending else 0)
        while True:
            page = self._all(statement, after=last, **values)
            yield from page
            if len(page) < wanted:
                return
            last = page[-1].id

    def _trials_of(self, key: int, name: StudyName, page: Sequence[Any]) -> list[Trial]:
        """The trials of these rows, all of one study."""
        latest = [None if row.attempt is None else rows.decode_attempt(row.attempt) for row in page]
        return [
            rows.trial_of(row, name, attempt, self._earlier(key, row.id) if attempt and attempt.number > 1 else ())
            for row, attempt in zip(page, latest, strict=True)
        ]

    def _earlier(self, key: int, trial: int) -> tuple[Attempt, ...]:
        return tuple(rows.decode_attempt(row.attempt) for row in self._all(self._reads.EARLIER, study=key, trial=trial))


def _meets(study: Study, where: StudyFilter) -> bool:
    return (
        (not where.states or study.state in where.states)
        and labelled(study.spec.labels, where.labels)
        and (where.since is None or study.create_time >= where.since)
    )


def _audit_values(where: AuditFilter) -> dict[str, object]:
    """What the filter asks, as `AUDIT_RECORDS` takes it: the empty text asks nothing."""
    outcomes = sorted(outcome.value for outcome in where.outcomes or Outcome)
    study = "" if where.study is None else str(where.study)
    return {
        "owner": where.owner,
        "study": study,
        "of_study": f"{study}/%",
        "caller": where.caller,
        "method": where.method,
        # As many as there are outcomes; one that is given twice changes nothing.
        **{f"outcome{i}": outcomes[min(i, len(outcomes) - 1)] for i in range(len(Outcome))},
    }
