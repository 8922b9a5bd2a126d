"""The store on PostgreSQL keeps every promise, and what only a database of several servers can promise."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from types import NoneType
from typing import TypeVar

import psycopg
import pytest

from wazir.domain.errors import FailedPrecondition, InvalidArgument, Unavailable
from wazir.domain.names import StudyName
from wazir.storage.limits import Limits
from wazir.storage.postgres import open_postgres
from wazir.storage.store import Store, Transaction

from ..contract.store import NAME, S, StoreContract, Unit, add, insert, move, new_study, new_trial
from ..postgres import Postgres, running
from ..waiting import once_back

T = TypeVar("T")


def raised(tx: Transaction, name: StudyName = NAME) -> int:
    """A unit that changes nothing but the study's revision; the new one."""
    study = Unit(tx, name).study
    tx.update_study(study)
    return study.revision


def held(tx: Transaction, gate: threading.Event) -> None:
    """A unit that keeps the writer busy until the gate opens; what is submitted meanwhile is one group."""
    assert gate.wait(60)


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[str]:
    url = postgres.fresh()
    yield url
    postgres.drop(url)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = open_postgres(url)
    yield store
    store.close()


class TestPostgresStore(StoreContract):
    @pytest.fixture
    def store(self, url: str) -> Iterator[Store]:
        store = open_postgres(url)
        yield store
        store.close()


# Several servers on one database


def test_units_of_two_servers_on_one_study_never_overlap(url: str, store: Store) -> None:
    insert(store, new_study())
    other = open_postgres(url)
    try:
        futures = [s.submit(raised) for _ in range(50) for s in (store, other)]
        for future in futures:
            future.result()
    finally:
        other.close()
    assert store.read(lambda view: view.study(NAME)).revision == 1 + 100


def test_groups_that_want_each_other_s_studies_both_get_on(postgres: Postgres, url: str, store: Store) -> None:
    """Server A holds the first study and wants the second, B the other way round: neither waits while it holds one."""
    names = [NAME, StudyName("default", "t")]
    for name in names:
        insert(store, new_study(name))
    other = open_postgres(url)
    together = threading.Barrier(2)

    def meet(tx: Transaction, name: StudyName) -> None:
        raised(tx, name)
        with suppress(threading.BrokenBarrierError):  # run again, after the other has gone on
            together.wait(10)

    def go_on(tx: Transaction, name: StudyName) -> None:
        raised(tx, name)

    try:
        futures = []
        for s, (first, second) in ((store, names), (other, names[::-1])):
            gate = threading.Event()
            futures.append(s.submit(partial(held, gate=gate)))
            futures.append(s.submit(partial(meet, name=first)))
            futures.append(s.submit(partial(go_on, name=second)))
            gate.set()
        for future in futures:
            future.result(60)
    finally:
        other.close()
    assert [study.revision for study in store.read(lambda view: list(map(view.study, names)))] == [3, 3]
    assert "deadlock detected" not in postgres.log(), "PostgreSQL had to notice it, which takes it a second"


def test_a_study_that_is_locked_for_long_fails_its_own_units_only(postgres: Postgres, url: str) -> None:
    store = open_postgres(url, limits=Limits(lock=0.2))
    quiet = StudyName("default", "quiet")
    insert(store, new_study())
    insert(store, new_study(quiet))
    with psycopg.connect(url) as person:
        person.execute("SELECT 1 FROM studies WHERE id = 's' FOR UPDATE")
        gate = threading.Event()
        busy = store.submit(partial(held, gate=gate))
        blocked = store.submit(raised)
        free = store.submit(lambda tx: raised(tx, quiet))
        gate.set()
        busy.result()
        free.result()
        with pytest.raises(Unavailable, match=r"row of study s .* waited 0\.2 s"):
            blocked.result()
    store.write(raised)
    store.close()


# A database that goes away


def test_a_trial_is_found_by_its_key_though_the_table_was_empty_at_first(store: Store) -> None:
    """PostgreSQL keeps the plans that it made then, when every index was as good as another."""
    insert(store, new_study())
    for number in range(1, 301):
        (trial,) = add(store, new_trial(number, {"x": float(number)}), repeats=1)
        move(store, trial, S.ACTIVE)

    def plan(tx: Transaction) -> str:
        cursor = tx._link.cursor  # type: ignore[attr-defined]
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(
            "SELECT name, cardinality(parameter_types) FROM pg_prepared_statements "
            "WHERE statement LIKE 'UPDATE trials SET state%'"
        )
        ((name, parameters),) = cursor.fetchall()
        cursor.execute(f'EXPLAIN EXECUTE "{name}" ({", ".join(["NULL"] * parameters)})')
        return "\n".join(line for (line,) in cursor.fetchall())

    assert "Index Scan using pk_trials" in store.write(plan)


def test_a_connection_that_is_cut_is_made_anew(postgres: Postgres, url: str, store: Store) -> None:
    insert(store, new_study())
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{url.rpartition('/')[2]}'"
    store.read(lambda view: view.study(NAME))
    postgres.execute(cut)
    for call in (
        lambda: store.write(raised),
        lambda: store.read(lambda view: view.study(NAME)),
    ):
        with suppress(Unavailable):  # the one call that meets the cut
            call()
        call()
    assert store.read(lambda view: view.study(NAME)).revision in (2, 3)


def test_what_was_acknowledged_is_there_after_a_crash_of_the_database() -> None:
    """Durable for real: its processes die at once, in the middle of units."""
    with running(durable=True) as server:
        url = server.fresh()
        store = open_postgres(url)
        insert(store, new_study())
        acknowledged: list[int] = []
        enough = threading.Event()

        def count(future: Future[int]) -> None:
            if future.exception() is None:
                acknowledged.append(future.result())
                if len(acknowledged) == 100:
                    enough.set()

        futures = [store.submit(raised) for _ in range(100)]
        for future in futures:
            future.add_done_callback(count)
        enough.wait(60)
        late = [store.submit(raised) for _ in range(2000)]
        for future in late:
            future.add_done_callback(count)
        server.stop("immediate")
        for future in late:
            assert isinstance(future.exception(60), Unavailable | NoneType)
        with pytest.raises(Unavailable, match="is away"):
            store.read(lambda view: view.study(NAME))
        server.start()
        revision = once_back(lambda: store.read(lambda view: view.study(NAME)).revision)
        assert revision >= max(acknowledged)
        assert len(set(acknowledged)) == len(acknowledged)
        store.close()


# What is refused


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("nonsense", InvalidArgument, "postgresql://USER@HOST:PORT/DATABASE"),
        ("mysql://wazir@127.0.0.1/x", InvalidArgument, "postgresql://USER@HOST/DATABASE"),
        ("postgresql://wazir:secret@127.0.0.1:5432", InvalidArgument, "names no database"),
        ("postgresql://wazir:secret@127.0.0.1:1/x", Unavailable, "is away"),
    ],
)
def test_a_database_that_cannot_be_reached(url: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as refused:
        open_postgres(url)
    assert "secret" not in str(refused.value)


def test_a_database_that_is_not_there(postgres: Postgres) -> None:
    with pytest.raises(FailedPrecondition, match="does not exist"):
        open_postgres(postgres.url("nowhere"))


def test_the_tables_of_another_program_are_left_alone(empty: str) -> None:
    with psycopg.connect(empty) as person:
        person.execute("CREATE TABLE theirs (x int)")
    with pytest.raises(FailedPrecondition, match="holds the tables of another program"):
        open_postgres(empty)


@pytest.mark.parametrize(
    ("version", "words"), [("v9999", "was written by a newer Wazir"), ("v0001", "call `wazir db upgrade")]
)
def test_another_schema_is_refused(url: str, version: str, words: str) -> None:
    open_postgres(url).close()
    with psycopg.connect(url) as person:
        person.execute("UPDATE wazir_schema SET version_num = %s", (version,))
    with pytest.raises(FailedPrecondition, match=words):
        open_postgres(url)


def test_two_servers_that_start_at_once_make_one_schema(empty: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: open_postgres(empty), range(4)))
    insert(stores[0], new_study())
    assert stores[-1].read(lambda view: view.study(NAME)).revision == 1
    for store in stores:
        store.close()
