"""The store on SQLite keeps every promise, and what only a file can promise."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future
from pathlib import Path

import pytest
from sqlalchemy import Delete, Select, Update
from sqlalchemy.dialects.sqlite import dialect

from wazir.domain.names import StudyName
from wazir.domain.trial import Measurement
from wazir.storage import statements
from wazir.storage.schema import trials
from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Answer, Store, StudyFilter, Transaction, TrialFilter, View

from ..contract.store import (
    NAME,
    RICH_TRIAL,
    S,
    StoreContract,
    Unit,
    add,
    changes_of,
    in_state,
    insert,
    new_study,
    new_trial,
    points_of,
    put,
    report,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wazir.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    store = open_sqlite(path)
    yield store
    store.close()


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def store(self, path: Path) -> Iterator[Store]:
        store = open_sqlite(path)
        yield store
        store.close()


class Busy:
    """Holds the writer thread in a unit until it is released, so that what is submitted meanwhile is one group."""

    def __init__(self, store: Store) -> None:
        self._released = threading.Event()
        holding = threading.Event()

        def work(_: Transaction) -> None:
            holding.set()
            assert self._released.wait(60)

        self.future: Future[None] = store.submit(work)
        assert holding.wait(60)

    def release(self) -> None:
        self._released.set()
        self.future.result()


def test_the_file_and_its_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b%20 ?c" / "wazir.db"
    open_sqlite(path).close()
    assert [p.name for p in path.parent.iterdir()] == ["wazir.db"]


def test_everything_is_there_when_it_is_opened_again(path: Path) -> None:
    store = open_sqlite(str(path))
    insert(store, new_study())
    (trial,) = add(store, RICH_TRIAL)
    report(store, trial, 1, Measurement(1, {"loss": 0.1}, 1.5))
    store.write(lambda tx: tx.keep_answer("default", "r", Answer("m", "p", "[]", 1.0)))
    study = store.read(lambda view: view.study(NAME))
    changes, points = changes_of(store, study, 0), points_of(store)
    store.close()

    store = open_sqlite(path)
    assert (changes_of(store, study, 0), points_of(store)) == (changes, points)
    assert store.read(lambda view: view.answer("default", "r")) == Answer("m", "p", "[]", 1.0)
    assert [t.id for t in add(store, new_trial(2))] == [2]
    store.close()


def test_a_read_goes_on_seeing_its_moment_after_a_later_commit(store: Store) -> None:
    insert(store, new_study())

    def look(view: View) -> tuple[int, int]:
        before = view.study(NAME).revision
        writer = threading.Thread(target=add, args=(store, new_trial(1)))
        writer.start()
        writer.join()
        study = view.study(NAME)
        return before, study.revision + len(view.trials(study, TrialFilter(), 0, 10))

    assert store.read(look) == (1, 1)
    assert store.read(lambda view: view.study(NAME)).revision == 2


def test_a_unit_that_fails_within_a_group_takes_none_of_the_others_with_it(store: Store) -> None:
    insert(store, new_study())

    def unit_of(number: int) -> Future[int]:
        def work(tx: Transaction) -> int:
            u = Unit(tx)
            (trial,) = u.add(new_trial(0))
            u.finish()
            tx.add_measurements(trial, 1, [Measurement(number, {"loss": 1.0}, 1.0)])
            if number % 4 == 0:
                raise ValueError(number)
            return trial.id

        return store.submit(work)

    busy = Busy(store)
    futures = [unit_of(number) for number in range(20)]
    assert not any(future.done() for future in futures)
    busy.release()
    failed = [number for number, future in enumerate(futures) if future.exception()]
    assert failed == [0, 4, 8, 12, 16]
    assert [f.result() for f in futures if not f.exception()] == list(range(1, 16))
    assert len(points_of(store)) == 15


def test_a_unit_cancelled_before_its_turn_is_not_run(store: Store) -> None:
    busy = Busy(store)
    cancelled = store.submit(lambda tx: tx.insert_study(new_study()))
    kept = store.submit(lambda tx: tx.insert_study(new_study(StudyName("default", "kept"))))
    assert cancelled.cancel()
    busy.release()
    kept.result()
    with pytest.raises(CancelledError):
        cancelled.result()
    assert not kept.cancel()
    assert [s.name.study for s in store.read(lambda view: view.studies("", StudyFilter(), "", 10))] == ["kept"]


def test_two_stores_on_one_file_see_what_each_other_wrote(path: Path, store: Store) -> None:
    """As two servers would, or a server and a command."""
    insert(store, new_study())
    other = open_sqlite(path)
    for number in range(1, 11):
        (trial,) = add(store if number % 2 else other, new_trial(number))
        assert trial.id == number
        assert (other if number % 2 else store).read(lambda view, t=trial: view.trial(t.name)) == trial  # type: ignore[misc]
    other.close()


@pytest.mark.parametrize(("untried", "reads"), [(False, ["SELECT"]), (True, [])], ids=["point to look for", "untried"])
def test_a_trial_is_sent_to_the_database_once_a_unit(store: Store, untried: bool, reads: list[str]) -> None:
    """Handing out a trial inserts, starts and moves it, and ending one may move it twice: its row is written once. And
    nothing is read, unless its point is to be looked for."""
    insert(store, new_study())

    def work(tx: Transaction) -> None:
        u = Unit(tx)
        (trial,) = u.add(new_trial(0), repeats=1, untried=untried)
        trial = u.put(in_state(trial, S.ACTIVE))
        u.put(in_state(trial, S.STOPPING))
        u.finish()

    sent: list[str] = []
    store.write(lambda tx: tx.study(NAME))
    writer = store._writer.raw  # type: ignore[attr-defined]
    writer.set_trace_callback(sent.append)
    store.write(work)
    writer.set_trace_callback(None)
    verbs = [statement.split()[0] for statement in sent]
    assert verbs == ["BEGIN", "PRAGMA", *reads, "INSERT", "UPDATE", "COMMIT"]


def test_trials_share_the_names_of_their_parameters(store: Store) -> None:
    """There may be 100,000 of them in memory."""
    insert(store, new_study())
    made = add(store, new_trial(1, {"learning rate": 0.5}), new_trial(2, {"learning rate": 0.25}))
    (a,), (b,) = (store.read(lambda view, t=t: view.trial(t.name)).parameters for t in made)  # type: ignore[misc]
    assert a is b


OF_POSTGRES = {"SAME_POINTS"}
STATEMENTS = {
    name: value
    for name, value in vars(statements).items()
    if isinstance(value, Select | Update | Delete) and name not in OF_POSTGRES
} | {f"TRIALS{key}": value for key, value in statements.TRIALS.items()}
SORTS = {
    "USAGE": "the studies of all owners, for people",
    "LIVE": "the few trials that live, once at the start of a server",
    "UNENDED": "the studies that are open, once at the start of a server",
    "LONG_CURVES": "the metrics of some trials, while curves are thinned",
    "TOKENS": "all of them, for a list that people read",
    "CURVE": "the points of one trial, by step across its attempts",
    "CURVE_BEYOND": "the same beyond a step",
    "STEP": "the same at one step",
}


@pytest.mark.parametrize("name", [name for name in STATEMENTS if not name.startswith("_")])
def test_every_statement_finds_its_rows_by_an_index(name: str, path: Path, store: Store) -> None:
    """So that no call costs more in a study of 100,000 trials than in one of 100."""
    compiled = STATEMENTS[name].compile(dialect=dialect())
    connection = sqlite3.connect(path)
    try:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {compiled}", [1] * len(compiled.positiontup or ())).fetchall()
    finally:
        connection.close()
    for *_, step in plan:
        if "json_each" in str(compiled) and ("VIRTUAL TABLE" in step or step.startswith("LIST SUBQUERY")):
            continue  # the values looked for, which are few
        assert step.startswith("SEARCH") or step == "SCAN trials USING INDEX ix_trials_live" or name in SORTS, plan
        assert "USE TEMP B-TREE" not in step or name in SORTS, plan


@pytest.mark.parametrize("state", [S.FAILED, S.CANCELLED])
def test_the_index_refuses_a_point_taken_twice_and_lets_it_go_with_its_trial(
    path: Path, store: Store, state: S
) -> None:
    """The promise does not rest on the look before the insert alone."""
    insert(store, new_study())
    (trial,) = add(store, new_trial(1, {"x": 0.5}), repeats=1)
    connection = sqlite3.connect(path)
    again = "INSERT INTO trials SELECT study, 99, {} FROM trials WHERE id = 1".format(
        ", ".join(c.name for c in trials.c if c.name not in ("study", "id"))
    )
    with pytest.raises(sqlite3.IntegrityError, match=r"UNIQUE.*digest.*slot"):
        connection.execute(again)
    connection.rollback()
    put(store, in_state(trial, state))
    connection.execute(again)
    connection.close()
