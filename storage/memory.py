"""A store in memory: all promises but durability.

One lock makes units and reads serial; a journal of overwritten values undoes a unit that failed. Units run on the
thread that submits them. Filters and `best` look at every trial of the study: for tests and for small studies.
"""

from __future__ import annotations

import contextlib
import heapq
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from ..domain.access import Token
from ..domain.audit import AuditFilter, AuditRecord, id_at
from ..domain.errors import AlreadyExists, NotFound, RevisionCompacted, Unavailable
from ..domain.fault import uses_point
from ..domain.names import StudyName, TrialName
from ..domain.parameters import digest
from ..domain.size import MEASUREMENT
from ..domain.study import UNENDED, Study
from ..domain.trial import Measurement, Trial
from .derived import audited, curve, labelled, loss, no_study
from .exchange import LocalExchange
from .store import (
    AUDIT_SCAN,
    Answer,
    AuditPage,
    Changes,
    DuplicatePoint,
    Point,
    PointKey,
    Store,
    StudyFilter,
    Transaction,
    TrialFilter,
    Unreadable,
    Usage,
    View,
    refuse,
)

T = TypeVar("T")
_ABSENT = object()
_TrialPointKey = tuple[int, int, int, str]
"""Trial, attempt, step, metric."""


class _Tables:
    """All that is kept. What belongs to a study is kept under its uid, and every table is a plain dict, so that one
    journal can undo every change."""

    def __init__(self) -> None:
        self.studies: dict[StudyName, Study] = {}
        self.trials: dict[str, dict[int, Trial]] = {}
        self.touched: dict[str, dict[int, tuple[int, ...]]] = {}
        """Ids of the trials written or deleted at each revision."""
        self.deleted: dict[str, dict[int, int]] = {}
        """The revision at which a trial was deleted, by id."""
        self.same: dict[str, dict[str, frozenset[int]]] = {}
        """Ids of the trials at a point, by its digest."""
        self.points: dict[str, dict[_TrialPointKey, Point]] = {}
        self.sequences: dict[str, int] = {}
        self.answers: dict[tuple[str, str], Answer] = {}
        self.tokens: dict[str, Token] = {}
        self.secrets: dict[str, str] = {}
        self.audit: dict[str, AuditRecord] = {}

    def of_study(self) -> tuple[dict[str, Any], ...]:
        return self.trials, self.touched, self.deleted, self.same, self.points, self.sequences


class _MemoryView(View):
    def __init__(self, tables: _Tables) -> None:
        self._tables = tables

    def study(self, name: StudyName) -> Study:
        try:
            return self._tables.studies[name]
        except KeyError:
            raise no_study(name, (n.study for n in self._tables.studies if n.owner == name.owner)) from None

    def studies(self, owner: str, where: StudyFilter, after: str, limit: int) -> list[Study]:
        beyond = StudyName(*after.split("/")) if after else StudyName("", "")
        found = (
            s
            for name, s in self._tables.studies.items()
            if name > beyond
            and owner in ("", name.owner)
            and (not where.states or s.state in where.states)
            and labelled(s.spec.labels, where.labels)
            and (where.since is None or s.create_time >= where.since)
        )
        return heapq.nsmallest(limit, found, key=lambda s: s.name)

    def usage(self, owner: str) -> list[Usage]:
        found: dict[str, Usage] = {}
        for study in self._tables.studies.values():
            name = study.name.owner
            if owner in ("", name):
                known = found.get(name, Usage(name))
                size = study.size + self._tables.sequences[study.uid] * MEASUREMENT
                found[name] = Usage(name, known.studies + 1, known.trials + study.counts.total, known.bytes + size)
        return [found[name] for name in sorted(found)]

    def revisions(self, owner: str) -> dict[StudyName, tuple[str, int]]:
        return {s.name: (s.uid, s.revision) for s in self._tables.studies.values() if s.name.owner == owner}

    def trial(self, name: TrialName) -> Trial:
        try:
            return self._trials_of(self.study(name.parent))[name.id]
        except KeyError:
            raise NotFound(name.short) from None

    def trials(
        self, study: Study, where: TrialFilter, after: int, limit: int, *, descending: bool = False
    ) -> list[Trial]:
        found = (
            t
            for t in self._trials_of(study).values()
            if (not after or (t.id < after if descending else t.id > after))
            and (not where.states or t.state in where.states)
            and labelled(t.labels, where.labels)
            and (where.since is None or t.create_time >= where.since)
        )
        return heapq.nsmallest(limit, found, key=lambda t: -t.id if descending else t.id)

    def best(self, study: Study, limit: int, skip: int = 0) -> list[Trial]:
        losses = ((loss(study.spec, t), t) for t in self._trials_of(study).values())
        ranked = ((value, t.id, t) for value, t in losses if value is not None)
        return [t for _, _, t in heapq.nsmallest(skip + limit, ranked)[skip:]]

    def unended(self, unreadable: Unreadable = refuse) -> list[Study]:
        return sorted((s for s in self._tables.studies.values() if s.state in UNENDED), key=lambda s: s.name)

    def live(self, unreadable: Unreadable = refuse) -> list[Trial]:
        found = (t for trials in self._tables.trials.values() for t in trials.values())
        return sorted((t for t in found if t.attempt is not None and t.attempt.live), key=lambda t: t.name)

    def changes(self, study: Study, since: int, limit: int = 10_000) -> Changes:
        now = self._current(study)
        if not 0 <= since <= now.revision:
            raise RevisionCompacted(study.name.short, since, now.revision)
        touched = self._tables.touched[study.uid]
        deleted = self._tables.deleted[study.uid]
        trials: list[Trial] = []
        gone: list[int] = []
        for revision in range(since + 1, now.revision + 1):
            ids = sorted(touched.get(revision, ()))
            alive = [t for i in ids if (t := self._trials_of(study).get(i)) is not None and t.revision == revision]
            dead = [i for i in ids if deleted.get(i) == revision]
            if (trials or gone) and len(trials) + len(gone) + len(alive) + len(dead) > limit:
                return Changes(now, trials, gone, revision - 1)
            trials += alive
            gone += dead
            if len(trials) + len(gone) > limit:
                # A single unit that changed more than `limit` trials is told in one piece.
                return Changes(now, trials, gone, revision)
        return Changes(now, trials, gone, now.revision)

    def measurements(self, trial: Trial, attempt: int | None = None) -> list[Measurement]:
        uid = self.study(trial.study).uid
        of_trial = (p for p in self._tables.points[uid].values() if p.trial_id == trial.id)
        rows = (p for p in of_trial if attempt in (None, p.attempt))
        return curve(sorted(rows, key=lambda p: (p.step, p.attempt, p.sequence)))

    def steps(self, trial: Trial, after: int, limit: int) -> list[Measurement]:
        found: list[Measurement] = []
        values = 0
        for m in self.measurements(trial):
            if m.step > after:
                values += len(m.metrics)
                if found and values > limit:
                    break
                found.append(m)
        return found

    def points(self, study: Study, since: int, limit: int = 100_000) -> list[Point]:
        rows = (p for p in self._tables.points.get(study.uid, {}).values() if p.sequence > since)
        return heapq.nsmallest(limit, rows, key=lambda p: p.sequence)

    def curve(self, trial: TrialName) -> list[Point]:
        found = (p for p in self._tables.points[self.study(trial.parent).uid].values() if p.trial_id == trial.id)
        return sorted(found, key=lambda p: (p.step, p.attempt, p.sequence))

    def long_curves(self, study: Study, first: int, beyond: int, points: int) -> list[int]:
        rows = Counter((p.trial_id, p.metric) for p in self._tables.points.get(study.uid, {}).values())
        return sorted({trial for (trial, _), n in rows.items() if n > points and first <= trial < beyond})

    def to_thin(self, before: float, points: int, limit: int, after: Study | None = None) -> list[Study]:
        beyond = (0.0, "") if after is None else (after.end_time or 0.0, after.uid)
        ended = ((s.end_time, s.uid, s) for s in self._tables.studies.values() if s.end_time is not None)
        found = (
            (end, uid, s)
            for end, uid, s in ended
            if beyond < (end, uid)
            and end < before
            and (s.thinning is None or (s.thinning.time or 0.0) < end or s.thinning.points > points)
        )
        return [s for _, _, s in heapq.nsmallest(limit, found)]

    def answer(self, owner: str, request_id: str) -> Answer | None:
        return self._tables.answers.get((owner, request_id))

    def token(self, token_id: str) -> Token | None:
        return self._tables.tokens.get(token_id)

    def tokens(self) -> list[Token]:
        return sorted(self._tables.tokens.values(), key=lambda t: (t.owner, t.create_time, t.id))

    def secret(self, name: str) -> str | None:
        return self._tables.secrets.get(name)

    def audit_records(self, where: AuditFilter, before: str, limit: int) -> AuditPage:
        since = "" if where.since is None else id_at(where.since)
        there = sorted((i for i in self._tables.audit if i >= since and (not before or i < before)), reverse=True)
        looked_at = there[:AUDIT_SCAN]
        found = [record for i in looked_at if audited(record := self._tables.audit[i], where)]
        if len(found) > limit:
            return AuditPage(found[:limit], found[limit - 1].id)
        return AuditPage(found, looked_at[-1] if len(there) > AUDIT_SCAN else "")

    def audit_id(self, most: int) -> str | None:
        ids = sorted(self._tables.audit, reverse=True)
        return ids[most] if len(ids) > most else None

    def _trials_of(self, study: Study) -> dict[int, Trial]:
        return self._tables.trials.get(study.uid, {})

    def _current(self, study: Study) -> Study:
        """The study as it is now. Raises NotFound where it is gone, also where its name was given again."""
        now = self.study(study.name)
        if now.uid != study.uid:
            raise NotFound(study.name.short, "It was deleted and created again")
        return now


class _MemoryTransaction(_MemoryView, Transaction):
    def __init__(self, tables: _Tables) -> None:
        super().__init__(tables)
        self._journal: list[tuple[dict[Any, Any], Any, object]] = []

    def undo(self) -> None:
        for table, key, old in reversed(self._journal):
            if old is _ABSENT:
                del table[key]
            else:
                table[key] = old

    def lock(self, name: StudyName) -> Study:
        return self.study(name)

    def insert_study(self, study: Study) -> None:
        if study.name in self._tables.studies:
            raise AlreadyExists(study.name.short)
        self._set(self._tables.studies, study.name, study)
        for table in self._tables.of_study():
            self._set(table, study.uid, 0 if table is self._tables.sequences else {})

    def update_study(self, study: Study) -> None:
        self._set(self._tables.studies, study.name, study)

    def delete_study(self, study: Study) -> None:
        self._remove(self._tables.studies, study.name)
        for table in self._tables.of_study():
            self._remove(table, study.uid)

    def purge(self, limit: int) -> int:
        return 0

    def insert_trials(
        self, study: Study, trials: Sequence[Trial], repeats: int | None, *, untried: bool = False
    ) -> None:
        if repeats is not None and not untried:
            new: Counter[str] = Counter()
            for trial in trials:
                point = digest(trial.parameters)
                there = self._tables.same[study.uid].get(point, ())
                known = (self._tables.trials[study.uid][i] for i in there)
                counted = sum(uses_point(t.state, t.attempt) for t in known)
                if counted + new[point] >= repeats:
                    raise DuplicatePoint(f"{trial.name.short} has the parameters of {counted + new[point]} others")
                new[point] += uses_point(trial.state, trial.attempt)
        for trial in trials:
            self._put(study, trial)

    def update_trial(self, study: Study, trial: Trial) -> None:
        self._put(study, trial)

    def delete_trial(self, study: Study, trial: Trial) -> None:
        uid = study.uid
        self._forget_point(uid, trial.id)
        self._remove(self._tables.trials[uid], trial.id)
        for key in [key for key in self._tables.points[uid] if key[0] == trial.id]:
            self._remove(self._tables.points[uid], key)
        self._set(self._tables.deleted[uid], trial.id, study.revision)
        self._touch(uid, study.revision, trial.id)

    def add_measurements(self, trial: Trial, attempt: int, measurements: Iterable[Measurement]) -> None:
        uid = self.study(trial.study).uid
        if trial.id not in self._tables.trials[uid]:
            raise NotFound(trial.name.short)
        sequence = self._tables.sequences[uid]
        for m in measurements:
            for metric, value in m.metrics.items():
                sequence += 1
                point = Point(trial.id, attempt, m.step, metric=metric, value=value, time=m.time, sequence=sequence)
                self._set(self._tables.points[uid], (trial.id, attempt, m.step, metric), point)
        self._set(self._tables.sequences, uid, sequence)

    def delete_points(self, trial: TrialName, keys: Sequence[PointKey]) -> int:
        points = self._tables.points[self.study(trial.parent).uid]
        found = [key for attempt, step, metric in keys if (key := (trial.id, attempt, step, metric)) in points]
        for key in found:
            self._remove(points, key)
        return len(found)

    def keep_answer(self, owner: str, request_id: str, answer: Answer) -> None:
        if (owner, request_id) in self._tables.answers:
            raise AlreadyExists(f"request_id {request_id!r}")
        self._set(self._tables.answers, (owner, request_id), answer)

    def forget_answers(self, before: float) -> int:
        old = [key for key, answer in self._tables.answers.items() if answer.time < before]
        for key in old:
            self._remove(self._tables.answers, key)
        return len(old)

    def insert_token(self, token: Token) -> None:
        if token.id in self._tables.tokens:
            raise AlreadyExists(f"token {token.id}")
        self._set(self._tables.tokens, token.id, token)

    def update_token(self, token: Token) -> None:
        if token.id not in self._tables.tokens:
            raise NotFound(f"token {token.id}")
        self._set(self._tables.tokens, token.id, token)

    def keep_secret(self, name: str, value: str) -> str:
        if name not in self._tables.secrets:
            self._set(self._tables.secrets, name, value)
        return self._tables.secrets[name]

    def add_audit_records(self, records: Sequence[AuditRecord]) -> None:
        for record in records:
            if record.id not in self._tables.audit:
                self._set(self._tables.audit, record.id, record)

    def forget_audit_records(self, before: str, limit: int) -> int:
        old = sorted(i for i in self._tables.audit if i < before)[:limit]
        for i in old:
            self._remove(self._tables.audit, i)
        return len(old)

    def _put(self, study: Study, trial: Trial) -> None:
        uid = study.uid
        self._forget_point(uid, trial.id)
        point = digest(trial.parameters)
        same = self._tables.same[uid]
        self._set(same, point, same.get(point, frozenset()) | {trial.id})
        self._set(self._tables.trials[uid], trial.id, trial)
        self._touch(uid, trial.revision, trial.id)

    def _forget_point(self, uid: str, trial_id: int) -> None:
        old = self._tables.trials[uid].get(trial_id)
        if old is not None:
            point = digest(old.parameters)
            self._set(self._tables.same[uid], point, self._tables.same[uid][point] - {trial_id})

    def _touch(self, uid: str, revision: int, trial_id: int) -> None:
        ids = self._tables.touched[uid].get(revision, ())
        if trial_id not in ids:
            self._set(self._tables.touched[uid], revision, (*ids, trial_id))

    def _set(self, table: dict[Any, Any], key: Any, value: object) -> None:
        self._journal.append((table, key, table.get(key, _ABSENT)))
        table[key] = value

    def _remove(self, table: dict[Any, Any], key: Any) -> None:
        self._journal.append((table, key, table.pop(key)))


class MemoryStore(Store):
    """See the module. Everything is gone when the process ends."""

    def __init__(self) -> None:
        self.exchange = LocalExchange()
        self._tables = _Tables()
        self._lock = threading.RLock()
        self._closed = False

    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._opened():
            transaction = _MemoryTransaction(self._tables)
            try:
                result = work(transaction)
            except BaseException as error:  # noqa: BLE001 - the caller gets it from the future
                transaction.undo()
                done: Callable[[], None] = partial(future.set_exception, error)
            else:
                done = partial(future.set_result, result)
        done()
        return future

    def read(self, work: Callable[[View], T]) -> T:
        with self._opened():
            return work(_MemoryView(self._tables))

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self.exchange.close()

    @contextlib.contextmanager
    def _opened(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise Unavailable("the store is closed; open it again")
            yield
