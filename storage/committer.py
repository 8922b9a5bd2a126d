"""Runs units in one transaction on one connection to PostgreSQL, and commits what they wrote together.

Only units that must send something before the commit get a SAVEPOINT; of the others nothing is in the database that
could be undone. What breaks the whole transaction is met again by each unit alone, so that none takes others with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from ..domain.names import StudyName
from .exchange import Topic
from .group import Outcome, Unit
from .known import Known
from .pending import Shared
from .postgres_database import LOCK_TAKEN, PostgresDatabase
from .postgres_exchange import CHANNEL, payload
from .postgres_stamp import Stamp
from .postgres_transaction import LockMet, PostgresTransaction

if TYPE_CHECKING:
    from .postgres_link import Link

GROUP_LOCK = 0.002
"""Seconds for which a unit waits for a lock while others wait for it."""
_READ_ONLY = "25006"


class Committer:
    """For one thread. `parked`: whether earlier units of that study wait for a lock elsewhere. `check`: raises unless
    the database holds what this store may write to."""

    def __init__(
        self,
        database: PostgresDatabase,
        role: str,
        parked: Callable[[StudyName], bool],
        check: Callable[[Stamp | None], None],
    ) -> None:
        self._database = database
        self._role = role
        self._parked = parked
        self._check = check
        self._stamp: Stamp | None = None
        """What the database held at this committer's last commit."""
        self._link: Link | None = None
        self._known = Known()
        self._met: set[StudyName] = set()
        """Studies whose lock was met by the units at hand, so that those behind do not overtake."""

    @property
    def reached(self) -> bool:
        """Whether the database answered last."""
        return self._link is not None and not self._link.lost

    @property
    def pid(self) -> int:
        """Of the session's process; 0 without a connection."""
        return 0 if self._link is None else self._link.raw.pid

    def commit(self, units: Sequence[Unit]) -> list[Outcome]:
        """The units' outcomes; LockMet is the error of one that waits for a lock. No lock is waited for, but for some
        milliseconds."""
        self._met.clear()
        outcomes: list[Outcome] = []
        if not units:
            self._group(units)
        while len(outcomes) < len(units):
            outcomes += self._group(units[len(outcomes) :])
        return outcomes

    def commit_patiently(self, units: Sequence[Unit], seconds: float, slow: Callable[[], None]) -> list[Outcome]:
        """The same for units of one study. The first waits for locks for so long, and the others wait with it. `slow`
        is called once it has waited a while."""
        self._met.clear()
        outcomes: list[Outcome] = []
        while len(outcomes) < len(units):
            outcomes += self._group(units[len(outcomes) :], seconds, slow)
            if (met := _met(outcomes[-1])) is not None:
                outcomes += [(None, LockMet(met.study, row=met.row))] * (len(units) - len(outcomes))
        return outcomes

    def close(self) -> None:
        if self._link is not None:
            self._link.close()

    def _group(
        self, units: Sequence[Unit], patience: float = 0.0, slow: Callable[[], None] | None = None
    ) -> list[Outcome]:
        """Commits units in order; the outcomes of all of them, or where the transaction broke, of the first ones."""
        outcomes: list[Outcome] = []
        shared = Shared()
        news: set[tuple[Topic, StudyName]] = set()
        transaction: PostgresTransaction | None = None

        try:
            link = self._begun()
            link.raw.slow = slow
            if patience:
                link.wait_for_locks(patience)
            for unit in units:
                waits = bool(patience) and not outcomes
                transaction = PostgresTransaction(link, self._known, shared, waits=waits, parked=self._is_parked)
                outcomes.append(self._run(link, unit, transaction, news))
                if waits and len(units) > 1:
                    if _met(outcomes[0]) is not None:
                        break
                    # From here on this transaction holds locks that others wait for.
                    link.wait_for_locks(GROUP_LOCK)
            shared.flush(link.session)
            for topic, name in news:
                text = payload(self._database.sender, topic, f"{name.owner}/{name.study}")
                link.execute("SELECT pg_notify(%s, %s)", (CHANNEL, text))
            link.execute("COMMIT")
        except Exception as error:  # noqa: BLE001 - the callers get it from their futures
            self._undo(error)
            tried = units[: max(1, len(outcomes))]
            if _state(error) == LOCK_TAKEN and transaction is not None and (len(units) == 1 or not outcomes):
                return [(None, self._note(transaction.met()))]
            if self.reached and len(units) > 1:
                # One of them is too much for the database, perhaps. Each on its own, it takes no other with it.
                return self._alone(tried, patience, slow)
            meaning = self._database.meaning(error)
            return [(None, meaning) for _ in tried]
        return outcomes

    def _alone(self, units: Sequence[Unit], patience: float, slow: Callable[[], None] | None) -> list[Outcome]:
        outcomes: list[Outcome] = []
        for unit in units:
            outcomes += self._group([unit], patience, slow)
            if patience and _met(outcomes[-1]) is not None:
                break
        return outcomes

    def _undo(self, error: Exception) -> None:
        self._known.forget_all()
        if self._link is None:
            return
        self._link.roll_back()
        if self._link.lost or _state(error) == _READ_ONLY:
            # The second means that another server of the database is the one to write to.
            self._drop(error)

    def _drop(self, why: object) -> None:
        if self._link is not None:
            self._database.lose(self._link.raw, why)
            self._link.close()
            self._link = None

    def _begun(self) -> Link:
        """The connection, with a transaction begun. One that was cut while nobody used it is made anew: nothing was
        done on it."""
        if self._link is not None and self._link.lost:
            self._drop("")
        if self._link is not None:
            try:
                self._begin(self._link)
                return self._link
            except Exception as error:
                if not self._link.lost or self._link.raw.silent:
                    raise
                self._undo(error)
        self._known.forget_all()
        self._link = self._database.connect(self._role, lock_timeout=f"{round(GROUP_LOCK * 1000)}")
        self._begin(self._link)
        return self._link

    def _begin(self, link: Link) -> None:
        stamp = link.begin_stamped()
        self._check(stamp)
        if stamp != self._stamp:
            self._known.forget_all()
            self._stamp = stamp

    def _run(
        self, link: Link, unit: Unit, transaction: PostgresTransaction, news: set[tuple[Topic, StudyName]]
    ) -> Outcome:
        """Raises what broke the whole transaction."""
        try:
            result = unit.work(transaction)
        except BaseException as error:  # the caller gets it from the future
            if link.lost or transaction.broken:
                raise
            if transaction.sent:
                link.execute("ROLLBACK TO SAVEPOINT unit")
                link.execute("RELEASE SAVEPOINT unit")
            elif link.failed:
                raise
            if isinstance(error, LockMet):
                return None, self._note(error)
            if _state(error) == LOCK_TAKEN:
                return None, self._note(transaction.met())
            return None, self._database.meaning(error)
        if transaction.sent:
            link.execute("RELEASE SAVEPOINT unit")
        transaction.finish()
        news |= transaction.news
        return result, None

    def _is_parked(self, name: StudyName) -> bool:
        return name in self._met or self._parked(name)

    def _note(self, met: LockMet) -> LockMet:
        if met.study is not None:
            self._met.add(met.study)
        return met


def _met(outcome: Outcome) -> LockMet | None:
    return outcome[1] if isinstance(outcome[1], LockMet) else None


def _state(error: BaseException) -> str | None:
    cause = error.orig if isinstance(error, DBAPIError) else error
    state: str | None = getattr(cause, "sqlstate", None)
    return state
