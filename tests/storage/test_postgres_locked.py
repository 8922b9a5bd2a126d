"""Somebody else holds a lock on PostgreSQL for long: who needs it waits, hears who has it, and holds up nobody."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from typing import Any

import psycopg
import pytest

from wazir.domain.errors import Unavailable
from wazir.domain.names import StudyName
from wazir.domain.trial import Measurement
from wazir.storage.limits import Limits
from wazir.storage.postgres import open_postgres
from wazir.storage.store import Answer, Store, Transaction

from ..contract.store import NAME, Unit, add, insert, new_study, new_trial
from ..postgres import Postgres
from ..waiting import eventually

QUIET = StudyName("default", "quiet")
SHORT = Limits(lock=0.5, lock_turn=0.2)
LONG = Limits(lock=60.0, lock_turn=1.0)


@contextmanager
def serving(url: str, limits: Limits) -> Iterator[Store]:
    store = open_postgres(url, limits=limits)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def locked(url: str, statement: str) -> Iterator[int]:
    """A person's transaction, open as long as the block; the process id of the person's session."""
    with psycopg.connect(url, application_name="somebody's psql") as person:
        person.execute(statement)
        yield person.info.backend_pid
        person.rollback()


def raised(tx: Transaction, name: StudyName = NAME) -> int:
    """A unit that changes nothing but the study's revision; the new one."""
    study = Unit(tx, name).study
    tx.update_study(study)
    return study.revision


ROW = "SELECT 1 FROM studies WHERE id = 's' FOR UPDATE"


def waiting(url: str) -> bool:
    """Whether a session of Wazir waits for a lock."""
    with psycopg.connect(url, autocommit=True) as watcher:
        found = watcher.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'wazir%' "
            "AND wait_event_type = 'Lock'"
        )
        return found.fetchone() is not None


def error(future: Future[Any]) -> str:
    failed = future.exception(60)
    assert isinstance(failed, Unavailable)
    assert failed.retry_after > 0
    return str(failed)


def test_units_of_a_locked_study_wait_and_those_of_others_do_not(url: str) -> None:
    with serving(url, LONG) as store:
        insert(store, new_study())
        insert(store, new_study(QUIET))
        with locked(url, ROW):
            blocked = []
            for _ in range(20):
                blocked += [store.submit(raised) for _ in range(4)]
                store.submit(partial(raised, name=QUIET)).result(60)
            assert not any(future.done() for future in blocked)
        assert [future.result(60) for future in blocked] == list(range(2, 82)), "in the order of their submission"


def test_no_later_unit_of_the_study_overtakes_one_that_waits(url: str) -> None:
    """Also not one that needs no lock of the study's row, nor one that comes when the lock is just given up."""
    order: list[str] = []

    def first(tx: Transaction) -> None:
        raised(tx)
        order.append("first")

    def report(tx: Transaction) -> None:
        tx.add_measurements(trial, 1, [Measurement(1, {"loss": 0.5}, 1.0)])
        order.append("report")

    def last(number: int, tx: Transaction) -> None:
        raised(tx)
        order.append(str(number))

    with serving(url, LONG) as store:
        insert(store, new_study())
        (trial,) = add(store, new_trial(1))
        futures = []
        with locked(url, ROW):
            futures.append(store.submit(first))
            eventually(lambda: waiting(url))
            futures.append(store.submit(report))
            # Once this one is done the writer has met the report too.
            store.write(lambda tx: None)
            assert not futures[1].done()
        futures += [store.submit(partial(last, number)) for number in range(20)]
        for future in futures:
            future.result(60)
    assert order == ["first", "report", *map(str, range(20))]


def test_who_has_waited_too_long_hears_what_is_locked_since_when_and_by_whom(url: str) -> None:
    with serving(url, Limits(lock=1.5, lock_turn=1.0)) as store:
        insert(store, new_study())
        with locked(url, ROW) as pid:
            said = error(store.submit(raised))
            assert "the row of study s in postgresql://" in said
            assert f"by pid {pid} (somebody's psql, user wazir, idle in transaction, its transaction began" in said
            assert "the call has waited 1.5 s" in said
        assert store.write(raised) == 2


def with_a_trial(tx: Transaction) -> None:
    unit = Unit(tx)
    unit.add(new_trial(unit.study.next_trial_id))
    unit.finish()


def with_a_moved_trial(tx: Transaction) -> None:
    unit = Unit(tx)
    tx.update_trial(unit.study, tx.trial(NAME.trial(1)))
    unit.finish()


def with_a_report(tx: Transaction) -> None:
    tx.add_measurements(tx.trial(NAME.trial(1)), 1, [Measurement(1, {"loss": 0.5}, 1.0)])


def with_an_answer(tx: Transaction) -> None:
    tx.keep_answer("default", "once", Answer("CreateTrial", "digest", "1", 1.0))


OTHER_LOCKS: dict[str, tuple[str, Callable[[Transaction], object]]] = {
    "the table of trials": ("LOCK TABLE trials IN ACCESS EXCLUSIVE MODE", with_a_trial),
    "the table of studies": ("LOCK TABLE studies IN ACCESS EXCLUSIVE MODE", raised),
    "a trial's row": ("SELECT 1 FROM trials FOR UPDATE", with_a_moved_trial),
    "the sequence of measurements": ("SELECT 1 FROM sequences FOR UPDATE", with_a_report),
    "an answer": ("INSERT INTO answers VALUES ('default', 'once', 'CreateTrial', 'digest', '1', 1.0)", with_an_answer),
}


@pytest.mark.parametrize("what", OTHER_LOCKS)
def test_every_other_lock_is_met_in_the_same_way(url: str, what: str) -> None:
    statement, unit = OTHER_LOCKS[what]
    with serving(url, SHORT) as store:
        insert(store, new_study())
        add(store, new_trial(1))
        with locked(url, statement):
            blocked = store.submit(unit)
            free = store.submit(lambda tx: tx.keep_secret("free", "value"))
            assert free.result(60) == "value"
            assert "has been locked since" in error(blocked)
        store.write(unit)


def test_more_locked_studies_than_connections_that_wait_for_them(url: str) -> None:
    names = [StudyName("default", f"locked-{number}") for number in range(12)]
    with serving(url, SHORT) as store:
        for name in [*names, QUIET]:
            insert(store, new_study(name))
        with locked(url, "SELECT 1 FROM studies WHERE id LIKE 'locked%' FOR UPDATE"):
            blocked = [store.submit(partial(raised, name=name)) for name in names]
            store.submit(partial(raised, name=QUIET)).result(60)
            for future, name in zip(blocked, names, strict=True):
                assert name.study in error(future)
        for name in names:
            assert store.write(partial(raised, name=name)) == 2


def test_a_store_that_closes_finishes_those_that_wait(url: str) -> None:
    with serving(url, LONG) as store:
        insert(store, new_study())
        with locked(url, ROW):
            blocked = store.submit(raised)
            eventually(lambda: waiting(url))
            closing = threading.Thread(target=store.close)
            closing.start()
            assert not wait([blocked], 0.2).done
        closing.join(60)
        assert blocked.result(0) == 2


def test_those_that_wait_hear_when_the_database_goes_away(postgres: Postgres, url: str) -> None:
    with serving(url, LONG) as store:
        insert(store, new_study())
        with locked(url, ROW):
            blocked = store.submit(raised)
            eventually(lambda: waiting(url))
            postgres.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE datname = '{url.rpartition('/')[2]}' AND application_name LIKE '% waits for locks'"
            )
            assert "is away" in error(blocked)


def test_two_servers_on_one_study_take_turns(url: str) -> None:
    """A unit that meets the other server's lock waits for it, and is not overtaken by that server again and again."""
    with serving(url, Limits()) as one, serving(url, Limits()) as other:
        insert(one, new_study())
        futures = [store.submit(raised) for _ in range(300) for store in (one, other)]
        revisions = [future.result(60) for future in futures]
    assert sorted(revisions) == list(range(2, 602))
    for mine in (revisions[::2], revisions[1::2]):
        assert mine == sorted(mine)
