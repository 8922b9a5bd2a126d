"""Views and transactions on an SQL database, whichever it is.

Statements are built once and carry their values as parameters, so that SQLAlchemy compiles each of them once. A
transaction gathers what is written to a trial and sends it when the unit ends or reads on: inserting a trial, starting
it and moving it again are one statement. What a database spells its own way is in `Upserts`.

A store on top of this opens the connection, begins, calls `SqlTransaction.finish` after the work, and commits; an error
of the database passes through here as its driver raises it.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import (
    Executable,
    Insert,
    Select,
    bindparam,
    case,
    delete,
    insert,
    null,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from ..domain.access import Token
from ..domain.attempt import Attempt
from ..domain.errors import AlreadyExists, NotFound, RevisionCompacted
from ..domain.names import StudyName, TrialName
from ..domain.parameters import digest
from ..domain.study import Study
from ..domain.trial import UNCOUNTED, Measurement, Trial, TrialState
from . import rows
from .derived import curve, labelled, no_study
from .known import Known
from .schema import answers, attempts, measurements, secrets, sequences, studies, tokens, tombstones, trials
from .session import Session
from .store import Answer, Changes, DuplicatePoint, Point, StudyFilter, Transaction, TrialFilter, View

CHUNK = 500
"""The least number of rows fetched at a time where some may be left out of the answer."""
_MOST_HINTS = 10_000
_BEYOND_ALL = 2**63 - 1
_UNCOUNTED = frozenset(state.value for state in UNCOUNTED)

# Reads

_of_study = trials.c.study == bindparam("study")

STUDY = select(studies).where(studies.c.owner == bindparam("owner"), studies.c.id == bindparam("id"))
LOCKED_REVISION = (
    select(studies.c.key, studies.c.uid, studies.c.revision)
    .where(studies.c.owner == bindparam("owner"), studies.c.id == bindparam("id"))
    .with_for_update()
)
STUDY_OF_UID = select(studies).where(studies.c.uid == bindparam("uid"))
KEY_OF_UID = select(studies.c.key).where(studies.c.uid == bindparam("uid"))
IDS_OF_OWNER = (
    select(studies.c.id).where(studies.c.owner == bindparam("owner")).order_by(studies.c.id).limit(bindparam("limit"))
)
TRIAL = (
    select(trials)
    .join(studies, studies.c.key == trials.c.study)
    .where(
        studies.c.owner == bindparam("owner"),
        studies.c.id == bindparam("study_id"),
        trials.c.id == bindparam("trial"),
    )
)
EARLIER = (
    select(attempts.c.attempt)
    .where(attempts.c.study == bindparam("study"), attempts.c.trial == bindparam("trial"))
    .order_by(attempts.c.number)
)
LIVE = (
    select(trials, studies.c.owner, studies.c.id.label("study_id"))
    .join(studies, studies.c.key == trials.c.study)
    .where(trials.c.live)
    .order_by(studies.c.owner, studies.c.id, trials.c.id)
)
BEST = (
    select(trials)
    .where(_of_study, trials.c.loss.is_not(None))
    .order_by(trials.c.loss, trials.c.id)
    .limit(bindparam("limit"))
)
CHANGED = (
    select(trials)
    .where(_of_study, trials.c.revision > bindparam("since"), trials.c.revision <= bindparam("until"))
    .order_by(trials.c.revision, trials.c.id)
    .limit(bindparam("limit"))
)
DELETED = (
    select(tombstones.c.revision, tombstones.c.trial)
    .where(
        tombstones.c.study == bindparam("study"),
        tombstones.c.revision > bindparam("since"),
        tombstones.c.revision <= bindparam("until"),
    )
    .order_by(tombstones.c.revision, tombstones.c.trial)
    .limit(bindparam("limit"))
)
CURVE = (
    select(measurements)
    .where(measurements.c.study == bindparam("study"), measurements.c.trial == bindparam("trial"))
    .order_by(measurements.c.step, measurements.c.attempt, measurements.c.sequence)
)
POINTS = (
    select(measurements)
    .where(measurements.c.study == bindparam("study"), measurements.c.sequence > bindparam("since"))
    .order_by(measurements.c.sequence)
    .limit(bindparam("limit"))
)
ANSWER = select(answers).where(answers.c.owner == bindparam("owner"), answers.c.request_id == bindparam("request_id"))
TOKEN = select(tokens).where(tokens.c.id == bindparam("id"))
TOKENS = select(tokens).order_by(tokens.c.owner, tokens.c.create_time, tokens.c.id)
SECRET = select(secrets.c.value).where(secrets.c.name == bindparam("name"))
SAME_POINT = select(trials.c.slot, trials.c.state).where(_of_study, trials.c.digest == bindparam("digest"))


def _trials_by_id(state: bool, since: bool, descending: bool) -> Select[Any]:
    statement = select(trials).where(_of_study)
    if state:
        statement = statement.where(trials.c.state == bindparam("state"))
    if since:
        statement = statement.where(trials.c.create_time >= bindparam("since"))
    beyond = trials.c.id < bindparam("after") if descending else trials.c.id > bindparam("after")
    order = trials.c.id.desc() if descending else trials.c.id
    return statement.where(beyond).order_by(order).limit(bindparam("limit"))


TRIALS = {
    (state, since, descending): _trials_by_id(state, since, descending)
    for state in (False, True)
    for since in (False, True)
    for descending in (False, True)
}
"""By whether one state is asked for, whether a least time is, and whether the order descends."""

_beyond = tuple_(studies.c.owner, studies.c.id) > tuple_(bindparam("after_owner"), bindparam("after_id"))
_page = select(studies).order_by(studies.c.owner, studies.c.id).limit(bindparam("limit"))
STUDIES = _page.where(_beyond)
STUDIES_OF_OWNER = _page.where(studies.c.owner == bindparam("owner"), studies.c.id > bindparam("after_id"))

# Writes

_this_study = studies.c.key == bindparam("this_study")
_PROGRESS = (
    "state", "ending", "reason", "end_time", "counts", "next_trial_id", "rounds", "memo", "exhausted", "gpu_seconds",
    "revision",
)  # fmt: skip
_SPEC = ("uid", "create_time", "seed", "spec", "spec_version", "growing", "metadata")
UPDATE_PROGRESS = update(studies).where(_this_study).values({c: bindparam(c) for c in _PROGRESS})
UPDATE_STUDY = update(studies).where(_this_study).values({c: bindparam(c) for c in (*_PROGRESS, *_SPEC)})
DELETE_STUDY = delete(studies).where(studies.c.uid == bindparam("this_uid"))
INSERT_SEQUENCE = insert(sequences)
NEXT_SEQUENCE = (
    update(sequences)
    .where(sequences.c.study == bindparam("this_study"))
    .values(value=sequences.c.value + bindparam("more"))
    .returning(sequences.c.value)
)

_this_trial = (trials.c.study == bindparam("this_study"), trials.c.id == bindparam("this_trial"))
_MOVED = (
    "state", "live", "revision", "start_time", "end_time", "client_id", "reason", "goal", "final", "final_step", "loss",
    "until_step", "checkpoint_of", "attempt",
)  # fmt: skip
_FIXED = ("create_time", "origin", "parameters", "digest", "provenance", "labels", "metadata")
_moved: dict[str, object] = {c: bindparam(c) for c in _MOVED}
INSERT_TRIAL = insert(trials)
UPDATE_MOVED = update(trials).where(*_this_trial).values(_moved)
"""Of a trial that goes on counting: its slot is not touched, nor is the index of points."""
UPDATE_RELEASED = update(trials).where(*_this_trial).values({**_moved, "slot": null()})
UPDATE_TRIAL = (
    update(trials)
    .where(*_this_trial)
    .values(
        {
            **{c: bindparam(c) for c in (*_MOVED, *_FIXED)},
            # Another point has slots of its own, and this trial was not proposed for one of them.
            "slot": case((bindparam("counts") & (trials.c.digest == bindparam("digest")), trials.c.slot)),
        }
    )
)
DELETE_TRIAL = delete(trials).where(*_this_trial)
INSERT_TOMBSTONE = insert(tombstones)
FORGET_ANSWERS = delete(answers).where(answers.c.time < bindparam("before"))
UPDATE_TOKEN = (
    update(tokens)
    .where(tokens.c.id == bindparam("this_id"))
    .values({c.name: bindparam(c.name) for c in tokens.c if not c.primary_key})
)


class Upserts:
    """Inserts that meet a row that is there, as the database spells them. One for each supported database."""

    def __init__(self, insert: Callable[..., Any]) -> None:
        # All columns but the key, which the database gives.
        study = insert(studies).values({c.name: bindparam(c.name) for c in studies.c if not c.primary_key})
        self.new_study: Insert = study.on_conflict_do_nothing(index_elements=["owner", "id"]).returning(studies.c.key)
        self.new_answer: Insert = insert(answers).on_conflict_do_nothing(index_elements=["owner", "request_id"])
        self.earlier_attempt: Insert = insert(attempts).on_conflict_do_nothing(
            index_elements=["study", "trial", "number"]
        )
        self.new_token: Insert = insert(tokens).on_conflict_do_nothing(index_elements=["id"])
        self.new_secret: Insert = insert(secrets).on_conflict_do_nothing(index_elements=["name"])
        measurement = insert(measurements)
        self.measurement: Insert = measurement.on_conflict_do_update(
            index_elements=["study", "trial", "attempt", "step", "metric"],
            set_={c: measurement.excluded[c] for c in ("value", "time", "sequence")},
        )


UPSERTS = {"sqlite": Upserts(sqlite.insert), "postgresql": Upserts(postgresql.insert)}


class SqlView(View):
    """Reads over a connection that is in a transaction. Not for two threads at a time."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._keys: dict[str | StudyName, int] = {}
        """Of the studies met so far, by uid and by name."""

    def study(self, name: StudyName) -> Study:
        return self._study(STUDY, name)

    def studies(self, owner: str, where: StudyFilter, after: str, limit: int) -> list[Study]:
        after_owner, _, after_id = after.partition("/")
        if owner and after_owner > owner:
            return []
        if after_owner < owner:
            after_id = ""
        statement = STUDIES_OF_OWNER if owner else STUDIES
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

    def trial(self, name: TrialName) -> Trial:
        row = self._one(TRIAL, owner=name.owner, study_id=name.study, trial=name.id)
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

    def best(self, study: Study, limit: int) -> list[Trial]:
        key = self._key(study)
        return [] if key is None else self._trials_of(key, study.name, self._all(BEST, study=key, limit=limit))

    def live(self) -> list[Trial]:
        found: list[Trial] = []
        by_study: dict[int, list[Any]] = defaultdict(list)
        for row in self._all(LIVE):
            by_study[row.study].append(row)
        for key, page in by_study.items():
            found.extend(self._trials_of(key, StudyName(page[0].owner, page[0].study_id), page))
        return found

    def changes(self, study: Study, since: int, limit: int = 10_000) -> Changes:
        row = self._one(STUDY_OF_UID, uid=study.uid)
        if row is None:
            raise NotFound(study.name.short)
        now = self._met(row)
        if not 0 <= since <= now.revision:
            raise RevisionCompacted(study.name.short, since, now.revision)
        # One row more than asked for shows where the answer is cut, which is never within a revision.
        span = {"study": row.key, "since": since, "until": now.revision, "limit": limit + 1}
        changed, deleted = self._all(CHANGED, **span), self._all(DELETED, **span)
        until = now.revision
        if len(changed) + len(deleted) > limit:
            told = sorted(r.revision for r in (*changed, *deleted))
            until = told[limit] - 1
            if until < told[0]:
                # A single unit that changed more than `limit` trials is told in one piece.
                until = told[0]
                span |= {"until": until, "limit": _BEYOND_ALL}
                changed, deleted = self._all(CHANGED, **span), self._all(DELETED, **span)
        changed = [r for r in changed if r.revision <= until]
        return Changes(
            now,
            self._trials_of(row.key, study.name, changed),
            [r.trial for r in deleted if r.revision <= until],
            until,
        )

    def measurements(self, trial: Trial) -> list[Measurement]:
        key = self._key_named(trial.study)
        return curve(map(rows.point_of, self._all(CURVE, study=key, trial=trial.id)))

    def points(self, study: Study, since: int, limit: int = 100_000) -> list[Point]:
        key = self._key(study)
        return [] if key is None else [rows.point_of(r) for r in self._all(POINTS, study=key, since=since, limit=limit)]

    def answer(self, owner: str, request_id: str) -> Answer | None:
        row = self._one(ANSWER, owner=owner, request_id=request_id)
        return None if row is None else Answer(row.method, row.payload, row.result, row.time)

    def token(self, token_id: str) -> Token | None:
        row = self._one(TOKEN, id=token_id)
        return None if row is None else rows.token_of(row)

    def tokens(self) -> list[Token]:
        return list(map(rows.token_of, self._all(TOKENS)))

    def secret(self, name: str) -> str | None:
        row = self._one(SECRET, name=name)
        return None if row is None else str(row.value)

    def _all(self, statement: Executable, **values: object) -> list[Any]:
        return self._session.all(statement, values)

    def _one(self, statement: Executable, **values: object) -> Any:
        return self._session.one(statement, values)

    def _study(self, statement: Executable, name: StudyName) -> Study:
        row = self._one(statement, owner=name.owner, id=name.study)
        if row is None:
            raise no_study(name, [r.id for r in self._all(IDS_OF_OWNER, owner=name.owner, limit=_MOST_HINTS)])
        return self._met(row)

    def _met(self, row: Any) -> Study:
        study = rows.study_of(row)
        self._keys[study.uid] = self._keys[study.name] = row.key
        return study

    def _key(self, study: Study) -> int | None:
        """None where the study is gone."""
        key = self._keys.get(study.uid)
        if key is None and (row := self._one(KEY_OF_UID, uid=study.uid)) is not None:
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
        statement = TRIALS[state is not None, where.since is not None, descending]
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
        return tuple(rows.decode_attempt(row.attempt) for row in self._all(EARLIER, study=key, trial=trial))


def _meets(study: Study, where: StudyFilter) -> bool:
    return (
        (not where.states or study.state in where.states)
        and labelled(study.spec.labels, where.labels)
        and (where.since is None or study.create_time >= where.since)
    )


@dataclass(slots=True)
class _Pending:
    """A trial to be written. `stored`: as its row has it, where that is known; `slot` and `point` of a new one."""

    study: Study
    trial: Trial
    stored: Trial | None
    new: bool = False
    slot: int | None = None
    point: str | None = None


class SqlTransaction(SqlView, Transaction):
    """Writes over a connection that is in a transaction; the store calls `finish` before it commits."""

    def __init__(self, session: Session, known: Known) -> None:
        """`known`: what units before this one left for it, and what it leaves for those behind it."""
        super().__init__(session)
        self._known = known
        self._upserts = UPSERTS[session.database]
        self._pending: dict[tuple[int, int], _Pending] = {}
        """By study key and trial id, in the order of their first write."""
        self._stored: dict[tuple[int, int], Trial] = {}
        """Trials as this transaction read or wrote them last."""
        self._locked: dict[str, Study] = {}
        """By uid, as this transaction read or wrote them last."""
        self._as_locked: dict[StudyName, Study] = {}
        """As they were when this transaction locked them."""

    # Reads see what is written.

    def trial(self, name: TrialName) -> Trial:
        key = self._keys.get(name.parent, 0)
        pending = self._pending.get((key, name.id))
        if pending is not None:
            return pending.trial
        study = self._as_locked.get(name.parent)
        trial = None if study is None else self._known.trial(study, name.id)
        if trial is None:
            return super().trial(name)
        return self._stored.setdefault((key, name.id), trial)

    def trials(
        self, study: Study, where: TrialFilter, after: int, limit: int, *, descending: bool = False
    ) -> list[Trial]:
        self.flush()
        return super().trials(study, where, after, limit, descending=descending)

    def best(self, study: Study, limit: int) -> list[Trial]:
        self.flush()
        return super().best(study, limit)

    def live(self) -> list[Trial]:
        self.flush()
        return super().live()

    def changes(self, study: Study, since: int, limit: int = 10_000) -> Changes:
        self.flush()
        return super().changes(study, since, limit)

    # Studies

    def lock(self, name: StudyName) -> Study:
        row = self._one(LOCKED_REVISION, owner=name.owner, id=name.study)
        known = None if row is None else self._known.study(name, row.uid, row.revision)
        if known is None:
            known = self.study(name)
        else:
            self._keys[known.uid] = self._keys[name] = row.key
        self._locked[known.uid] = self._as_locked[name] = known
        return known

    def insert_study(self, study: Study) -> None:
        row = self._session.one(self._upserts.new_study, rows.study_values(study))
        if row is None:
            raise AlreadyExists(study.name.short)
        key = row.key
        self._session.run(INSERT_SEQUENCE, {"study": key, "value": 0})
        self._keys[study.uid] = self._keys[study.name] = key
        self._locked[study.uid] = study

    def update_study(self, study: Study) -> None:
        before = self._locked.get(study.uid)
        # Encoding a specification costs more than all the rest, so it is compared by identity, not written each time.
        same = (
            before is not None
            and study.spec is before.spec
            and study.metadata is before.metadata
            and (study.spec_version, study.growing) == (before.spec_version, before.growing)
            and (study.seed, study.create_time) == (before.seed, before.create_time)
        )
        values = rows.progress_values(study) if same else rows.study_values(study)
        values["this_study"] = self._key(study)
        self._session.run(UPDATE_PROGRESS if same else UPDATE_STUDY, values)
        self._locked[study.uid] = study

    def delete_study(self, study: Study) -> None:
        self.flush()
        self._session.run(DELETE_STUDY, {"this_uid": study.uid})
        self._keys.pop(study.uid, None)
        self._keys.pop(study.name, None)
        self._stored.clear()
        self._locked.pop(study.uid, None)
        self._as_locked.pop(study.name, None)
        self._known.forget(study.name)

    # Trials

    def insert_trials(self, study: Study, trials: Sequence[Trial], repeats: int | None) -> None:
        key = self._key(study)
        if key is None:
            raise NotFound(study.name.short)
        if repeats is None:
            for trial in trials:
                self._pending[key, trial.id] = _Pending(study, trial, None, new=True)
            return
        self.flush()
        points = [digest(trial.parameters) for trial in trials]
        taken: dict[str, set[int]] = defaultdict(set)
        times: Counter[str] = Counter()
        for point in set(points):
            there = [row for row in self._all(SAME_POINT, study=key, digest=point) if row.state not in _UNCOUNTED]
            times[point] = len(there)
            taken[point] = {row.slot for row in there if row.slot is not None}
        new: dict[tuple[int, int], _Pending] = {}
        for trial, point in zip(trials, points, strict=True):
            if times[point] >= repeats:
                raise DuplicatePoint(f"{trial.name.short} has the parameters of {times[point]} others")
            pending = new[key, trial.id] = _Pending(study, trial, None, new=True, point=point)
            if trial.state not in UNCOUNTED:
                # There are fewer trials than slots, so one is free.
                pending.slot = next(slot for slot in range(repeats) if slot not in taken[point])
                taken[point].add(pending.slot)
                times[point] += 1
        self._pending |= new

    def update_trial(self, study: Study, trial: Trial) -> None:
        key = self._key(study)
        if key is None:
            raise NotFound(study.name.short)
        pending = self._pending.get((key, trial.id))
        if pending is None:
            self._pending[key, trial.id] = _Pending(study, trial, self._stored.get((key, trial.id)))
            return
        if trial.parameters is not pending.trial.parameters:
            # It is no longer the point that it was proposed as.
            pending.slot = pending.point = None
        pending.study, pending.trial = study, trial

    def delete_trial(self, study: Study, trial: Trial) -> None:
        self.flush()
        key = self._key(study)
        if key is None:
            raise NotFound(study.name.short)
        self._session.run(DELETE_TRIAL, {"this_study": key, "this_trial": trial.id})
        tombstone = {"study": key, "revision": study.revision, "trial": trial.id}
        self._session.run(INSERT_TOMBSTONE, tombstone)
        self._stored.pop((key, trial.id), None)
        self._known.forget(study.name)

    def finish(self) -> None:
        """Sends what was not sent yet, and lets the units behind this one know."""
        self.flush()
        for study in self._locked.values():
            key = self._keys[study.uid]
            self._known.remember(study, [trial for (of, _), trial in self._stored.items() if of == key])

    def flush(self) -> None:
        """Sends the trials that were written and not sent yet."""
        if not self._pending:
            return
        batches: dict[Executable, list[rows.Values]] = defaultdict(list)
        earlier: list[rows.Values] = []
        for (key, trial_id), pending in self._pending.items():
            statement, values = _write(key, pending)
            batches[statement].append(values)
            known = len(pending.stored.attempts) if pending.stored else 0
            # The row holds the latest attempt; those before it go to the table of attempts when it passes on.
            for attempt in pending.trial.attempts[max(known - 1, 0) : -1]:
                text = rows.encode_attempt(attempt)
                earlier.append({"study": key, "trial": trial_id, "number": attempt.number, "attempt": text})
            self._stored[key, trial_id] = pending.trial
        self._pending.clear()
        for statement, batch in batches.items():
            self._session.run_many(statement, batch)
        if earlier:
            self._session.run_many(self._upserts.earlier_attempt, earlier)

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
        last = self._one(NEXT_SEQUENCE, this_study=key, more=len(batch)).value
        for sequence, values in enumerate(batch, start=last - len(batch) + 1):
            values["sequence"] = sequence
        try:
            self._session.run_many(self._upserts.measurement, batch)
        except self._session.integrity_error:
            raise NotFound(trial.name.short) from None

    def keep_answer(self, owner: str, request_id: str, answer: Answer) -> None:
        values = {
            "owner": owner,
            "request_id": request_id,
            "method": answer.method,
            "payload": answer.payload,
            "result": answer.result,
            "time": answer.time,
        }
        if not self._session.run(self._upserts.new_answer, values):
            raise AlreadyExists(f"request_id {request_id!r}")

    def forget_answers(self, before: float) -> int:
        return self._session.run(FORGET_ANSWERS, {"before": before})

    # Who may call

    def insert_token(self, token: Token) -> None:
        if not self._session.run(self._upserts.new_token, rows.token_values(token)):
            raise AlreadyExists(f"token {token.id}")

    def update_token(self, token: Token) -> None:
        if not self._session.run(UPDATE_TOKEN, rows.token_values(token) | {"this_id": token.id}):
            raise NotFound(f"token {token.id}")

    def keep_secret(self, name: str, value: str) -> str:
        self._session.run(self._upserts.new_secret, {"name": name, "value": value})
        return str(self._one(SECRET, name=name).value)

    def _trials_of(self, key: int, name: StudyName, page: Sequence[Any]) -> list[Trial]:
        found = super()._trials_of(key, name, page)
        self._stored.update(((key, trial.id), trial) for trial in found)
        self._keys[name] = key
        return found


def _write(key: int, pending: _Pending) -> tuple[Executable, rows.Values]:
    """The cheapest statement that writes the trial, and its values."""
    trial, before, spec = pending.trial, pending.stored, pending.study.spec
    counts = trial.state not in UNCOUNTED
    if pending.new:
        values = rows.trial_values(key, spec, trial, pending.point)
        return INSERT_TRIAL, values | {"slot": pending.slot if counts else None}
    if before is not None and (
        trial.parameters is before.parameters
        and trial.labels is before.labels
        and trial.metadata is before.metadata
        and trial.provenance is before.provenance
        and (trial.create_time, trial.origin) == (before.create_time, before.origin)
    ):
        statement, values = UPDATE_MOVED if counts else UPDATE_RELEASED, rows.moved_values(key, spec, trial)
    else:
        statement, values = UPDATE_TRIAL, rows.trial_values(key, spec, trial) | {"counts": counts}
    values["this_study"], values["this_trial"] = values.pop("study"), values.pop("id")
    return statement, values
