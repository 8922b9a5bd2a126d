"""The store: what it keeps, and what it promises. It decides nothing; the use cases in `service/` do.

    Store ── submit(work) ──> work(Transaction)    writes, one unit, durable when the future is done
          └─ read(work)   ──> work(View)           a consistent picture

Promises that no signature can tell, kept by every implementation and checked by `tests/contract/store.py`:

- **Atomic.** All that `work` wrote is there, or nothing of it where it raised; its exception reaches the caller.
- **Serial.** Two units that `lock` the same study never overlap, and the later one sees what the earlier one wrote.
- **Durable.** When the future of `submit` is done the unit survives `kill -9` and power loss (not `MemoryStore`).
  Several units may share one commit; one that fails takes none of the others with it.
- **Repeatable.** `work` may be run again after a conflict and so has no effect but through its transaction.
- **Exact.** Values come back as they were given: integers are integers, 0 is 0, NaN is NaN, times keep fractions.
- **Owned.** What is returned is immutable and stays true for the revision it was read at.
- **Ascending.** Revisions of a study rise by one with each unit that changes it or its trials; trial ids rise and are
  never given twice, even after a deletion.
- **Threads.** Every method may be called from every thread.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NoReturn, TypeVar

from ..domain.access import Token
from ..domain.audit import AuditFilter, AuditRecord
from ..domain.names import StudyName, TrialName
from ..domain.pulse import Pulse
from ..domain.study import Study, StudyState
from ..domain.trial import Measurement, Trial, TrialState
from .exchange import Exchange

T = TypeVar("T")


class DuplicatePoint(Exception):
    """`Transaction.insert_trials` was told that points are unique and met one that is there already."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What changed in a study after a revision: trials as they are now, by revision, and ids of deleted ones."""

    study: Study
    trials: Sequence[Trial]
    deleted: Sequence[int]
    revision: int
    """Ask for changes since this one next. Less than the study's where `limit` cut the answer."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What an owner has, as its studies count it."""

    owner: str
    studies: int = 0
    trials: int = 0
    bytes: int = 0
    """About: see `domain/size.py`."""


@dataclass(frozen=True, slots=True)
class Point:
    """One metric at one step, as the measurement table keeps it."""

    trial_id: int
    attempt: int
    step: int
    metric: str
    value: float
    time: float
    """Unix seconds."""
    sequence: int
    """Rises within the study with every row written or replaced."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The first answer to a `request_id`. `payload` is a digest of the request, `result` text of the service's own."""

    method: str
    payload: str
    result: str
    time: float


@dataclass(frozen=True, slots=True)
class TrialFilter:
    """Trials that meet all of it; an empty part asks nothing."""

    states: frozenset[TrialState] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    since: float | None = None
    """Created at or after, Unix seconds."""


@dataclass(frozen=True, slots=True)
class StudyFilter:
    states: frozenset[StudyState] = frozenset()
    labels: Mapping[str, str] = field(default_factory=dict)
    since: float | None = None


AUDIT_SCAN = 20_000
"""Audit records that one read looks at, however few of them it is asked for."""


@dataclass(frozen=True, slots=True)
class AuditPage:
    """Records, the latest first. There may be none of them and more on the next page."""

    records: Sequence[AuditRecord]
    before: str
    """Ask for those before this one next; empty: there are no more."""


PointKey = tuple[int, int, str]
"""What a row of the measurement table is found by within a trial: attempt, step and metric."""

Unreadable = Callable[[StudyName, Exception], object]
"""Is told of a study whose stored form cannot be read, and why."""


def refuse(study: StudyName, error: Exception) -> NoReturn:
    """Raises the error: what cannot be read is not to be left out."""
    raise error


class View(abc.ABC):
    """Reads. All see one moment; inside a transaction they see its own writes too."""

    @abc.abstractmethod
    def study(self, name: StudyName) -> Study:
        """Raises NotFound, with the nearest name of the owner's studies as a hint where there is one."""

    @abc.abstractmethod
    def studies(self, owner: str, where: StudyFilter, after: str, limit: int) -> list[Study]:
        """At most `limit` studies of `owner` (of all where it is empty), ordered by (owner, id), those after `after`
        (`{owner}/{study}`, or empty)."""

    @abc.abstractmethod
    def usage(self, owner: str) -> list[Usage]:
        """Of that owner, or of all where it is empty, by owner. Who has no study is left out. Costs in proportion to
        the number of studies."""

    @abc.abstractmethod
    def revisions(self, owner: str) -> dict[StudyName, tuple[str, int]]:
        """The uid and the revision of each study of the owner."""

    @abc.abstractmethod
    def trial(self, name: TrialName) -> Trial:
        """With all its attempts. Raises NotFound for an unknown study or trial."""

    @abc.abstractmethod
    def trials(
        self, study: Study, where: TrialFilter, after: int, limit: int, *, descending: bool = False
    ) -> list[Trial]:
        """At most `limit` trials by id, those beyond `after` (0: from the start, or from the end if descending)."""

    @abc.abstractmethod
    def best(self, study: Study, limit: int, skip: int = 0) -> list[Trial]:
        """The best safe SUCCEEDED or STOPPED trials by the first objective, best first, earlier id first on a tie,
        without the first `skip`. A trial whose value is NaN is not among them."""

    @abc.abstractmethod
    def unended(self, unreadable: Unreadable = refuse) -> list[Study]:
        """All studies that are ACTIVE or PAUSED. One that cannot be read is left out, and `unreadable` told."""

    @abc.abstractmethod
    def live(self, unreadable: Unreadable = refuse) -> list[Trial]:
        """All trials with a live attempt, in every study: for the lease keeper, at its start. Studies of which one
        cannot be read are left out, and `unreadable` told."""

    @abc.abstractmethod
    def changes(self, study: Study, since: int, limit: int = 10_000) -> Changes:
        """What changed after revision `since` (0: everything), with the study as it is now. A revision is told whole:
        where a single one changed more than `limit` trials, the answer holds them all. Raises RevisionCompacted where
        `since` is beyond the study's revision or older than what is kept, NotFound where the study is gone. Costs in
        proportion to what changed."""

    @abc.abstractmethod
    def measurements(self, trial: Trial, attempt: int | None = None) -> list[Measurement]:
        """By step; where attempts overlap, the later attempt's value of a metric wins at a step. `attempt`: only what
        that one reported."""

    @abc.abstractmethod
    def steps(self, trial: Trial, after: int, limit: int) -> list[Measurement]:
        """As `measurements`, the steps beyond `after`, each of them whole, with about `limit` values: with one step at
        least where there is any."""

    @abc.abstractmethod
    def points(self, study: Study, since: int, limit: int = 100_000) -> list[Point]:
        """Rows of the measurement table with a sequence beyond `since`, by sequence."""

    @abc.abstractmethod
    def curve(self, trial: TrialName) -> list[Point]:
        """Rows of the measurement table of one trial, by step, attempt and sequence."""

    @abc.abstractmethod
    def long_curves(self, study: Study, first: int, beyond: int, points: int) -> list[int]:
        """Ids within [first, beyond) of trials that have more than `points` rows of some metric, in order."""

    @abc.abstractmethod
    def to_thin(self, before: float, points: int, limit: int, after: Study | None = None) -> list[Study]:
        """At most `limit` studies that ended before that time, in the order of their ends, beyond `after`: those whose
        curves have not been thinned since, or to more than `points`."""

    @abc.abstractmethod
    def answer(self, owner: str, request_id: str) -> Answer | None:
        """What was first answered to that request id."""

    @abc.abstractmethod
    def token(self, token_id: str) -> Token | None:
        """None for one that was never made."""

    @abc.abstractmethod
    def tokens(self) -> list[Token]:
        """All, those expired or revoked as well, by (owner, create_time, id)."""

    @abc.abstractmethod
    def secret(self, name: str) -> str | None:
        """What `keep_secret` kept under that name."""

    @abc.abstractmethod
    def audit_records(self, where: AuditFilter, before: str, limit: int) -> AuditPage:
        """At most `limit` audit records with ids below `before` (empty: the latest), found among AUDIT_SCAN of them."""

    @abc.abstractmethod
    def audit_id(self, most: int) -> str | None:
        """The id of the latest audit record beyond the `most` latest; None where there are no more than these."""


class Transaction(View):
    """Writes. Nothing is checked here beyond what the tables enforce."""

    @abc.abstractmethod
    def lock(self, name: StudyName) -> Study:
        """The study, locked against other units until this one ends. Every change of a study or its trials starts
        here. Raises NotFound like `study`."""

    @abc.abstractmethod
    def insert_study(self, study: Study) -> None:
        """Raises AlreadyExists."""

    @abc.abstractmethod
    def update_study(self, study: Study) -> None:
        """Writes all of it. The caller has raised its revision."""

    @abc.abstractmethod
    def delete_study(self, study: Study) -> None:
        """With its trials, attempts and measurements: its name is free, and nothing of it is found any more. A database
        may keep rows of a large one until `purge` removes them."""

    @abc.abstractmethod
    def purge(self, limit: int) -> int:
        """Removes at most `limit` rows of studies that were deleted; returns how many. 0: there are none left."""

    @abc.abstractmethod
    def insert_trials(
        self, study: Study, trials: Sequence[Trial], repeats: int | None, *, untried: bool = False
    ) -> None:
        """Adds trials, with their attempts. With `repeats`, raises DuplicatePoint where that many trials with the same
        parameters are there already, as `fault.uses_point` counts them; a unique index enforces it. Without it,
        the points are not unique: those that people give, and blank ones of a growing space. `untried`: the caller has
        seen that no trial that counts has one of these points, and that they differ; they are not looked for again."""

    @abc.abstractmethod
    def update_trial(self, study: Study, trial: Trial) -> None:
        """Writes the trial and its latest attempt (earlier ones never change)."""

    @abc.abstractmethod
    def delete_trial(self, study: Study, trial: Trial) -> None:
        """With attempts and measurements; `changes` tells of it at `study.revision`."""

    @abc.abstractmethod
    def add_measurements(self, trial: Trial, attempt: int, measurements: Iterable[Measurement]) -> None:
        """Keyed by (attempt, step, metric): a repeat replaces. Takes no lock on the study. Raises NotFound."""

    @abc.abstractmethod
    def delete_points(self, trial: TrialName, keys: Sequence[PointKey]) -> int:
        """Removes rows of the measurement table; returns how many were there. The caller has locked the study."""

    @abc.abstractmethod
    def keep_answer(self, owner: str, request_id: str, answer: Answer) -> None:
        """Keeps the first answer to a request id. Raises AlreadyExists where one is kept. A store whose units run side
        by side then runs `work` again, which finds that answer."""

    @abc.abstractmethod
    def forget_answers(self, before: float) -> int:
        """Drops answers given before that time; returns how many."""

    @abc.abstractmethod
    def insert_token(self, token: Token) -> None:
        """Raises AlreadyExists."""

    @abc.abstractmethod
    def update_token(self, token: Token) -> None:
        """Writes all of it. Raises NotFound."""

    @abc.abstractmethod
    def keep_secret(self, name: str, value: str) -> str:
        """Keeps the value where none is kept under that name; returns the one that is, so that of several servers that
        make a secret at once all get the same."""

    @abc.abstractmethod
    def add_audit_records(self, records: Sequence[AuditRecord]) -> None:
        """Leaves those out that are there already, by their ids, so that repeating is harmless."""

    @abc.abstractmethod
    def forget_audit_records(self, before: str, limit: int) -> int:
        """Drops at most `limit` records with ids below `before`, the earliest ones; returns how many."""


class Store(abc.ABC):
    exchange: Exchange
    """With the other processes on this database. Closed with the store."""
    lost: str = ""
    """Why this store can be used no more, with the way out: the database was replaced, or has the schema of a newer
    version. Every call then raises Unavailable. Each unit finds out, one that changes nothing too."""

    @property
    def pulses(self) -> Sequence[Pulse]:
        """Those of its loops and of its exchange's. A loop whose database is away or silent does not beat."""
        return self.exchange.pulses

    @abc.abstractmethod
    def submit(self, work: Callable[[Transaction], T]) -> Future[T]:
        """Runs `work` as one unit, soon and in order of submission, on a thread of the store's choice.

        The future is done once the unit is durable. It fails with what `work` raised; with Unavailable where the
        database is locked or away, ResourceExhausted where it is full, FailedPrecondition where it is read-only.
        """

    @abc.abstractmethod
    def read(self, work: Callable[[View], T]) -> T:
        """Runs `work` on the calling thread. It must not keep the view."""

    @abc.abstractmethod
    def close(self) -> None:
        """Finishes the units submitted, then lets everything go. Afterwards every call raises Unavailable."""

    def write(self, work: Callable[[Transaction], T]) -> T:
        """`submit`, and wait for it."""
        return self.submit(work).result()
