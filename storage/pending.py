"""What the units of one database transaction have written, until it is sent.

Units that share a commit often change the same study, and each changes a few trials. Sent one by one, that is several
statements a unit, and on PostgreSQL as many round trips. Kept here, a study is written once a commit, in its last
state, and its trials by one statement for all of them:

    a unit ──> its own writes ──finish──> those of the commit ──flush──> the database
                     └── it failed: forgotten, nothing to undo

Every trial still carries the revision of its own unit, so the change feed tells of each of them.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import Executable

from ..domain.audit import AuditRecord
from ..domain.errors import AlreadyExists
from ..domain.fault import uses_point
from ..domain.names import StudyName, TrialName
from ..domain.study import Study, StudySpec
from ..domain.trial import Trial
from . import rows
from .session import Session
from .statements import (
    INSERT_TRIAL,
    SPELLINGS,
    UPDATE_MOVED,
    UPDATE_PROGRESS,
    UPDATE_RELEASED,
    UPDATE_STUDY,
    UPDATE_TRIAL,
)
from .store import Answer


@dataclass(frozen=True, slots=True)
class PendingStudy:
    key: int
    study: Study
    whole: bool
    """Whether more of it has changed than what changes as its trials do."""


@dataclass(frozen=True, slots=True)
class PendingTrial:
    """`stored`: as its row has it, where that is known; `slot` and `point` of a new one; `released`: whether it has
    given up its slot in between, which another may have taken since."""

    key: int
    spec: StudySpec
    trial: Trial
    stored: Trial | None = None
    new: bool = False
    slot: int | None = None
    point: str | None = None
    released: bool = False

    def then(self, spec: StudySpec, trial: Trial) -> PendingTrial:
        """The same, written once more."""
        later = replace(self, spec=spec, trial=trial, released=not self.keeps_slot)
        # With other parameters it is no longer the point that it was proposed as.
        return later if trial.parameters is self.trial.parameters else replace(later, slot=None, point=None)

    @property
    def counts(self) -> bool:
        return uses_point(self.trial.state, self.trial.attempt)

    @property
    def keeps_slot(self) -> bool:
        return self.counts and not self.released

    @property
    def same_point(self) -> bool:
        """Whether it is known to have the parameters that its row has."""
        return self.new or (self.stored is not None and self.stored.parameters is self.trial.parameters)


@dataclass(slots=True)
class Writes:
    """In the order of their first write."""

    studies: dict[StudyName, PendingStudy] = field(default_factory=dict)
    trials: dict[TrialName, PendingTrial] = field(default_factory=dict)
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)
    """By owner and request id."""
    audit: list[AuditRecord] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.studies or self.trials or self.answers or self.audit)

    def of_study(self, key: int) -> Iterator[PendingTrial]:
        return (pending for pending in self.trials.values() if pending.key == key)

    def absorb(self, later: Writes) -> None:
        """Takes over what a later unit wrote, which had these before it."""
        self.studies |= later.studies
        self.trials |= later.trials
        self.answers |= later.answers
        self.audit += later.audit

    def clear(self) -> None:
        self.studies.clear()
        self.trials.clear()
        self.answers.clear()
        self.audit.clear()

    def send(self, session: Session) -> None:
        """Sends all of it, and forgets it. Raises AlreadyExists where a request id is answered already."""
        if self.trials:
            _send_trials(session, self.trials)
        for whole, statement in ((False, UPDATE_PROGRESS), (True, UPDATE_STUDY)):
            values = rows.study_values if whole else rows.progress_values
            batch = [values(p.study) | {"this_study": p.key} for p in self.studies.values() if p.whole is whole]
            if batch:
                session.run_many(statement, batch)
        if self.answers:
            _send_answers(session, self.answers)
        if self.audit:
            _send_audit_records(session, self.audit)
        self.clear()


@dataclass(slots=True)
class Shared:
    """What the units of one commit share. A study that one of them has locked stays locked until the commit."""

    writes: Writes = field(default_factory=Writes)
    locked: dict[StudyName, tuple[int, Study]] = field(default_factory=dict)
    """With their keys, as the last unit left them."""
    exclusive: bool = False
    """Whether nobody else can write, nor has since this writer's last commit: all studies count as locked, and what is
    remembered of them is true."""
    broken: bool = False
    """Whether writes of earlier units could not be sent: the transaction is lost, and no unit of it to blame."""

    def flush(self, session: Session) -> None:
        if self.writes:
            self.broken = True
            self.writes.send(session)
            self.broken = False


def _send_trials(session: Session, trials: dict[TrialName, PendingTrial]) -> None:
    batches: dict[Executable, list[rows.Values]] = defaultdict(list)
    earlier: list[rows.Values] = []
    for name, pending in trials.items():
        statement, values = _statement(pending)
        batches[statement].append(values)
        known = len(pending.stored.attempts) if pending.stored else 0
        # The row holds the latest attempt; those before it go to the table of attempts when it passes on.
        for attempt in pending.trial.attempts[max(known - 1, 0) : -1]:
            text = rows.encode_attempt(attempt)
            earlier.append({"study": pending.key, "trial": name.id, "number": attempt.number, "attempt": text})
    # Last of all those that are new: one may take the place at its point that another gives up.
    new = batches.pop(INSERT_TRIAL, None)
    for statement, batch in batches.items():
        session.run_many(statement, batch)
    if new:
        session.run_many(INSERT_TRIAL, new)
    if earlier:
        session.run_many(SPELLINGS[session.database].earlier_attempt, earlier)


def _send_answers(session: Session, answers: dict[tuple[str, str], Answer]) -> None:
    batch: list[rows.Values] = [
        {
            "owner": owner,
            "request_id": request_id,
            "method": answer.method,
            "payload": answer.payload,
            "result": answer.result,
            "time": answer.time,
        }
        for (owner, request_id), answer in answers.items()
    ]
    if session.run_many(SPELLINGS[session.database].new_answer, batch) != len(batch):
        raise AlreadyExists(" or ".join(f"request_id {values['request_id']!r}" for values in batch))


def _send_audit_records(session: Session, records: Sequence[AuditRecord]) -> None:
    document = json.dumps([rows.audit_values(record) for record in records])
    session.run(SPELLINGS[session.database].audit_records, {"records": document})


def _statement(pending: PendingTrial) -> tuple[Executable, rows.Values]:
    """The cheapest statement that writes the trial, and its values."""
    key, spec, trial, before = pending.key, pending.spec, pending.trial, pending.stored
    if pending.new:
        values = rows.trial_values(key, spec, trial, pending.point)
        return INSERT_TRIAL, values | {"slot": pending.slot if pending.keeps_slot else None}
    if before is not None and (
        trial.parameters is before.parameters
        and trial.labels is before.labels
        and trial.metadata is before.metadata
        and trial.provenance is before.provenance
        and (trial.create_time, trial.origin) == (before.create_time, before.origin)
    ):
        statement = UPDATE_MOVED if pending.keeps_slot else UPDATE_RELEASED
        values = rows.moved_values(key, spec, trial)
    else:
        statement, values = UPDATE_TRIAL, rows.trial_values(key, spec, trial) | {"keeps_slot": pending.keeps_slot}
    values["this_study"], values["this_trial"] = values.pop("study"), values.pop("id")
    return statement, values
