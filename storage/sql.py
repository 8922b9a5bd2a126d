"""Transactions on an SQL database, whichever it is; their reads are those of `view.py`.

A transaction gathers what its unit writes, and leaves it to the commit that the unit shares with others (`pending`):
inserting a trial, starting it and moving it again are one row of one statement.

A store on top of this opens the connection, begins, calls `SqlTransaction.finish` after a unit's work and
`Shared.flush` after that of all of them, and commits; an error of the database passes through here as its driver
raises it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Executable

from ..domain.access import Token
from ..domain.audit import AuditFilter, AuditRecord
from ..domain.errors import AlreadyExists, NotFound
from ..domain.fault import uses_point
from ..domain.names import StudyName, TrialName
from ..domain.parameters import digest
from ..domain.study import Study
from ..domain.trial import Measurement, Trial
from . import rows
from .known import Known
from .pending import PendingStudy, PendingTrial, Shared, Writes
from .session import Session
from .statements import (
    ABANDON_STUDY,
    AUDIT_CEILING,
    DELETE_POINT,
    DELETE_STUDY,
    DELETE_TRIAL,
    FIRST_POINTS,
    FIRST_TRIALS,
    FORGET_ANSWERS,
    FORGET_AUDIT_RECORDS,
    INSERT_SEQUENCE,
    INSERT_TOMBSTONE,
    LOCKED_REVISION,
    MEASURED,
    NEXT_SEQUENCE,
    NOBODYS,
    SAME_POINT,
    SECRET,
    SPELLINGS,
    UPDATE_TOKEN,
)
from .store import (
    Answer,
    AuditPage,
    Changes,
    DuplicatePoint,
    PointKey,
    StudyFilter,
    Transaction,
    TrialFilter,
    Unreadable,
    Usage,
    refuse,
)
from .view import SqlView

AT_ONCE = 5_000
"""Rows of a study that are deleted with it; of a larger one they stay until `purge`. These take some 30 ms."""
ROWS_OF_A_TRIAL = 5
"""As many rows of measurements take as long to delete as a trial, with its entries in all indexes."""


class SqlTransaction(SqlView, Transaction):
    """One unit's writes. They are kept in memory until the commit, or until something is read that they may change."""

    def __init__(self, session: Session, known: Known, shared: Shared) -> None:
        """`known`: what units before this one left for it, and what it leaves for those behind it. `shared`: what the
        units of the same commit share."""
        super().__init__(session)
        self._session: Session = session
        self._known = known
        self._shared = shared
        self._spelling = SPELLINGS[session.database]
        self._writes = Writes()
        self._stored: dict[TrialName, Trial] = {}
        """Trials as this transaction read or wrote them last."""
        self._locked: dict[StudyName, Study] = {}
        """As this transaction read or wrote them last."""
        self._as_locked: dict[StudyName, Study] = {}
        """As they were when this transaction locked them."""
        self.sent = False
        """Whether it has sent a write of its own, which is to be undone in the database where it fails."""

    # Reads see what is written.

    def study(self, name: StudyName) -> Study:
        for writes in (self._writes, self._shared.writes):
            if (pending := writes.studies.get(name)) is not None:
                self._note_key(pending.study, pending.key)
                return pending.study
        return super().study(name)

    def studies(self, owner: str, where: StudyFilter, after: str, limit: int) -> list[Study]:
        self.flush()
        return super().studies(owner, where, after, limit)

    def usage(self, owner: str) -> list[Usage]:
        self.flush()
        return super().usage(owner)

    def revisions(self, owner: str) -> dict[StudyName, tuple[str, int]]:
        self.flush()
        return super().revisions(owner)

    def trial(self, name: TrialName) -> Trial:
        for writes in (self._writes, self._shared.writes):
            if (pending := writes.trials.get(name)) is not None:
                return self._stored.setdefault(name, pending.trial)
        parent = name.parent
        study = self._as_locked.get(parent)
        if study is None and (held := self._held(parent)) is not None:
            key, study = held
            self._note_key(study, key)
        trial = None if study is None else self._known.trial(study, name.id)
        if trial is None:
            return super().trial(name)
        return self._stored.setdefault(name, trial)

    def trials(
        self, study: Study, where: TrialFilter, after: int, limit: int, *, descending: bool = False
    ) -> list[Trial]:
        self.flush()
        return super().trials(study, where, after, limit, descending=descending)

    def best(self, study: Study, limit: int, skip: int = 0) -> list[Trial]:
        self.flush()
        return super().best(study, limit, skip)

    def unended(self, unreadable: Unreadable = refuse) -> list[Study]:
        self.flush()
        return super().unended(unreadable)

    def live(self, unreadable: Unreadable = refuse) -> list[Trial]:
        self.flush()
        return super().live(unreadable)

    def changes(self, study: Study, since: int, limit: int = 10_000) -> Changes:
        self.flush()
        return super().changes(study, since, limit)

    def answer(self, owner: str, request_id: str) -> Answer | None:
        for writes in (self._writes, self._shared.writes):
            if (answer := writes.answers.get((owner, request_id))) is not None:
                return answer
        return super().answer(owner, request_id)

    def audit_records(self, where: AuditFilter, before: str, limit: int) -> AuditPage:
        self.flush()
        return super().audit_records(where, before, limit)

    def audit_id(self, most: int) -> str | None:
        self.flush()
        return super().audit_id(most)

    # Studies

    def lock(self, name: StudyName) -> Study:
        if name in self._locked:
            return self._locked[name]
        held = self._held(name)
        if held is not None:
            key, study = held
            self._note_key(study, key)
        else:
            row = self._lock_row(name)
            known = None if row is None else self._known.study(name, row.uid, row.revision)
            if known is not None:
                self._note_key(known, row.key)
            study = known or self.study(name)
        self._locked[name] = self._as_locked[name] = study
        return study

    def _held(self, name: StudyName) -> tuple[int, Study] | None:
        """The study with its key, where an earlier unit of this commit has locked it, or all are."""
        return self._shared.locked.get(name) or (self._known.latest(name) if self._shared.exclusive else None)

    def _lock_row(self, name: StudyName) -> Any:
        """Key, uid and revision of the study, locked; None where it is not there."""
        return self._one(LOCKED_REVISION, owner=name.owner, id=name.study)

    def insert_study(self, study: Study) -> None:
        self._begin_sending()
        row = self._session.one(self._spelling.new_study, rows.study_values(study))
        if row is None:
            raise AlreadyExists(study.name.short)
        self._session.run(INSERT_SEQUENCE, {"study": row.key, "value": 0})
        self._note_key(study, row.key)
        self._locked[study.name] = study

    def update_study(self, study: Study) -> None:
        key = self._key(study)
        if key is None:
            return
        before, pending = self._locked.get(study.name), self._writes.studies.get(study.name)
        # Encoding a specification costs more than all the rest, so it is compared by identity, not written each time.
        same = (
            before is not None
            and study.spec is before.spec
            and study.metadata is before.metadata
            and (study.spec_version, study.growing) == (before.spec_version, before.growing)
            and study.thinning == before.thinning
            and (study.uid, study.seed, study.create_time) == (before.uid, before.seed, before.create_time)
        )
        earlier = pending or self._shared.writes.studies.get(study.name)
        whole = not same or (earlier is not None and earlier.whole)
        self._writes.studies[study.name] = PendingStudy(key, study, whole)
        self._locked[study.name] = study

    def delete_study(self, study: Study) -> None:
        self.flush()
        key = self._key(study)
        if key is not None:
            self._delete_study(key, study)
        self._keys.pop(study.uid, None)
        self._keys.pop(study.name, None)
        self._stored.clear()
        self._locked.pop(study.name, None)
        self._as_locked.pop(study.name, None)
        self._shared.locked.pop(study.name, None)
        self._known.forget(study.name)

    def _delete_study(self, key: int, study: Study) -> None:
        measured = self._one(MEASURED, study=key)
        rows_of_it = (study.next_trial_id - 1) * ROWS_OF_A_TRIAL + (measured.value if measured else 0)
        if rows_of_it > AT_ONCE:
            # Everybody else would wait for all of it.
            self._send(ABANDON_STUDY, {"this_study": key, "nobodys_id": str(key), "nobodys_uid": f"deleted-{key}"})
        else:
            self._send(DELETE_STUDY, {"this_study": key})

    def purge(self, limit: int) -> int:
        self.flush()
        row = self._one(NOBODYS)
        if row is None:
            return 0
        points = self._delete_first_points(row.key, limit)
        if points:
            return points
        found = self._all(FIRST_TRIALS, study=row.key, limit=max(1, limit // ROWS_OF_A_TRIAL))
        if found:
            return self._send_many(DELETE_TRIAL, [{"this_study": row.key, "this_trial": trial.id} for trial in found])
        return self._send(DELETE_STUDY, {"this_study": row.key})

    def _delete_first_points(self, key: int, limit: int) -> int:
        points = self._all(FIRST_POINTS, study=key, limit=limit)
        return self._send_many(DELETE_POINT, [_this(point) for point in points])

    # Trials

    def insert_trials(
        self, study: Study, trials: Sequence[Trial], repeats: int | None, *, untried: bool = False
    ) -> None:
        key = self._key(study)
        if key is None:
            raise NotFound(study.name.short)
        if repeats is None:
            for trial in trials:
                self._writes.trials[trial.name] = PendingTrial(key, study.spec, trial, new=True)
                self._stored[trial.name] = trial
            return

        points = [digest(trial.parameters) for trial in trials]
        times: Counter[str] = Counter()
        taken: dict[str, set[int]] = defaultdict(set)
        if not untried:
            times, taken = self._places(key, set(points))

        new: dict[TrialName, PendingTrial] = {}
        for trial, point in zip(trials, points, strict=True):
            if times[point] >= repeats:
                raise DuplicatePoint(f"{trial.name.short} has the parameters of {times[point]} others")
            slot = None
            if uses_point(trial.state, trial.attempt):
                # There are fewer trials than slots, so one is free.
                slot = next(slot for slot in range(repeats) if slot not in taken[point])
                taken[point].add(slot)
                times[point] += 1
            new[trial.name] = PendingTrial(key, study.spec, trial, new=True, slot=slot, point=point)

        self._writes.trials |= new
        self._stored.update((trial.name, trial) for trial in trials)

    def _places(self, key: int, points: set[str]) -> tuple[Counter[str], dict[str, set[int]]]:
        """How many trials that count are at each of these points, and which slots they take."""
        pending = {p.trial.id: p for w in (self._shared.writes, self._writes) for p in w.of_study(key)}
        if not all(p.same_point for p in pending.values()):
            self.flush()
            pending = {}
        times: Counter[str] = Counter()
        taken: dict[str, set[int]] = defaultdict(set)
        for row in self._at_points(key, points):
            written = pending.get(row.id)
            counts = written.counts if written else rows.uses_point(row)
            times[row.digest] += counts
            if row.slot is not None and (written is None or written.keeps_slot):
                taken[row.digest].add(row.slot)
        for p in pending.values():
            if p.new and p.counts and (point := p.point or digest(p.trial.parameters)) in points:
                times[point] += 1
                if p.slot is not None and p.keeps_slot:
                    taken[point].add(p.slot)
        return times, taken

    def _at_points(self, key: int, points: set[str]) -> Iterable[Any]:
        """Rows of the trials at these points."""
        for point in points:
            yield from self._all(SAME_POINT, study=key, digest=point)

    def update_trial(self, study: Study, trial: Trial) -> None:
        key = self._key(study)
        if key is None:
            raise NotFound(study.name.short)
        earlier = self._writes.trials.get(trial.name) or self._shared.writes.trials.get(trial.name)
        if earlier is None:
            pending = PendingTrial(key, study.spec, trial, self._stored.get(trial.name))
        else:
            pending = earlier.then(study.spec, trial)
        self._writes.trials[trial.name] = pending
        self._stored[trial.name] = trial

    def delete_trial(self, study: Study, trial: Trial) -> None:
        self.flush()
        key = self._key(study)
        if key is None:
            raise NotFound(study.name.short)
        self._send(DELETE_TRIAL, {"this_study": key, "this_trial": trial.id})
        self._send(INSERT_TOMBSTONE, {"study": key, "revision": study.revision, "trial": trial.id})
        self._stored.pop(trial.name, None)
        self._known.forget(study.name)

    def finish(self) -> None:
        """Leaves what was written to the commit, and lets the units behind this one know. Nothing fails here."""
        self._shared.writes.absorb(self._writes)
        for name, study in self._locked.items():
            key = self._keys[study.uid]
            self._shared.locked[name] = (key, study)
            self._known.remember(key, study, [trial for trial in self._stored.values() if trial.study == name])

    def flush(self) -> None:
        """Sends what was written and not sent yet, by this unit and by those before it."""
        self._shared.flush(self._session)
        if self._writes:
            self._begin_sending()
            self._writes.send(self._session)

    def _begin_sending(self) -> None:
        """Before each write that this unit sends."""
        self.sent = True

    def _send(self, statement: Executable, values: rows.Values) -> int:
        self._begin_sending()
        return self._session.run(statement, values)

    def _send_many(self, statement: Executable, batch: Sequence[rows.Values]) -> int:
        if not batch:
            return 0
        self._begin_sending()
        return self._session.run_many(statement, batch)

    # Measurements and answers

    def add_measurements(self, trial: Trial, attempt: int, measurements: Iterable[Measurement]) -> None:
        key = self._key_named(trial.study)
        batch = [
            {
                "study": key,
                "trial": trial.id,
                "attempt": attempt,
                "step": m.step,
                "metric": metric,
                "value": value,
                "time": m.time,
            }
            for m in measurements
            for metric, value in m.metrics.items()
        ]

        if not batch:
            return

        self.flush()
        self._begin_sending()
        last = self._one(NEXT_SEQUENCE, this_study=key, more=len(batch)).value
        for sequence, values in enumerate(batch, start=last - len(batch) + 1):
            values["sequence"] = sequence

        try:
            self._session.run_many(self._spelling.measurement, batch)
        except self._session.integrity_error:
            raise NotFound(trial.name.short) from None

    def delete_points(self, trial: TrialName, keys: Sequence[PointKey]) -> int:
        key = self._key_named(trial.parent)
        self.flush()
        names = ("this_study", "this_trial", "this_attempt", "this_step", "this_metric")
        return self._send_many(DELETE_POINT, [dict(zip(names, (key, trial.id, *k), strict=True)) for k in keys])

    def keep_answer(self, owner: str, request_id: str, answer: Answer) -> None:
        if (owner, request_id) in self._shared.writes.answers or (owner, request_id) in self._writes.answers:
            raise AlreadyExists(f"request_id {request_id!r}")
        # Where the table has one, this commit ends there, and the unit fails when it is tried alone.
        self._writes.answers[owner, request_id] = answer

    def forget_answers(self, before: float) -> int:
        self.flush()
        return self._send(FORGET_ANSWERS, {"before": before})

    # Who may call

    def insert_token(self, token: Token) -> None:
        if not self._send(self._spelling.new_token, rows.token_values(token)):
            raise AlreadyExists(f"token {token.id}")

    def update_token(self, token: Token) -> None:
        if not self._send(UPDATE_TOKEN, rows.token_values(token) | {"this_id": token.id}):
            raise NotFound(f"token {token.id}")

    def keep_secret(self, name: str, value: str) -> str:
        self._send(self._spelling.new_secret, {"name": name, "value": value})
        return str(self._one(SECRET, name=name).value)

    # Who did what

    def add_audit_records(self, records: Sequence[AuditRecord]) -> None:
        self._writes.audit += records

    def forget_audit_records(self, before: str, limit: int) -> int:
        self.flush()
        beyond = self._one(AUDIT_CEILING, before=before, most=limit)
        return self._send(FORGET_AUDIT_RECORDS, {"before": before if beyond is None else beyond.id})

    def _note_key(self, study: Study, key: int) -> None:
        self._keys[study.uid] = self._keys[study.name] = key

    def _trials_of(self, key: int, name: StudyName, page: Sequence[Any]) -> list[Trial]:
        found = super()._trials_of(key, name, page)
        self._stored.update((trial.name, trial) for trial in found)
        self._keys[name] = key
        return found


def _this(row: Any) -> rows.Values:
    """The row's columns, as the parameters of a statement about it."""
    return {f"this_{name}": value for name, value in row._asdict().items()}
