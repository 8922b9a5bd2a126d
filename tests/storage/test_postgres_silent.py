"""PostgreSQL, or the network before it, falls silent instead of dying: nothing waits for it without a limit."""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from typing import TypeVar

import psycopg
import pytest

from wazir.domain.errors import NotFound, Unavailable
from wazir.storage.exchange import News, Topic
from wazir.storage.limits import Limits
from wazir.storage.postgres import open_postgres
from wazir.storage.store import Store, StudyFilter, Transaction, View

from ..contract.store import NAME, Unit, insert, new_study
from ..faults.network import Network
from ..postgres import Postgres, running
from ..waiting import eventually, once_back

T = TypeVar("T")
SHORT = Limits(
    connect=2.0,
    answer=1.5,
    statement=1.2,
    network=4.0,
    idle=2.0,
    lock=5.0,
    lock_turn=0.5,
    pulse=0.2,
    silence=0.6,
    held=1.5,
    retry=0.2,
)
PATIENT = Limits(connect=2.0, answer=60.0, pulse=0.2, silence=0.6, retry=0.2)
"""So that no statement is given up before the database is known to be away."""


@contextmanager
def serving(url: str, limits: Limits = SHORT) -> Iterator[Store]:
    store = open_postgres(url, limits=limits)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def network(url: str) -> Iterator[tuple[Network, str]]:
    """A network before that database, and the URL through it."""
    port = int(url.rpartition("/")[0].rpartition(":")[2])
    with Network(("127.0.0.1", port)) as net:
        yield net, url.replace(f":{port}/", f":{net.port}/")


@contextmanager
def stopped(url: str, role: str) -> Iterator[None]:
    """The sessions with that role hang: the kernel acknowledges what is sent to them, and they never answer."""
    with psycopg.connect(url, autocommit=True) as watcher:
        rows = watcher.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE %s",
            (f"wazir %{role}",),
        ).fetchall()
        assert rows
        for (pid,) in rows:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for (pid,) in rows:
                os.kill(pid, signal.SIGCONT)


def raised(tx: Transaction) -> int:
    """A unit that changes nothing but the study's revision; the new one."""
    study = Unit(tx, NAME).study
    tx.update_study(study)
    return study.revision


def revision(view: View) -> int:
    return view.study(NAME).revision


def heard_by(store: Store) -> queue.SimpleQueue[News]:
    news: queue.SimpleQueue[News] = queue.SimpleQueue()
    store.exchange.listen(news.put)
    while news.get(timeout=60).topic is not Topic.MISSED:
        pass
    return news


# A silent network


@pytest.mark.parametrize("how", ["silence", "hold"])
def test_calls_on_a_silent_network_end_are_then_refused_at_once_and_go_on_when_it_is_well(url: str, how: str) -> None:
    with network(url) as (net, through), serving(through) as store:
        insert(store, new_study())
        store.read(revision)
        getattr(net, how)()
        with ThreadPoolExecutor(8) as pool:
            calls = [pool.submit(store.write, raised) for _ in range(4)]
            calls += [pool.submit(store.read, revision) for _ in range(4)]
            for call in calls:
                failed = call.exception(60)
                assert isinstance(failed, Unavailable)
                assert failed.retry_after == pytest.approx(SHORT.retry)

        known = net.connections
        eventually(lambda: refused_at_once(store))
        for _ in range(100):
            with pytest.raises(Unavailable, match="is away"):
                store.read(revision)
        assert net.connections <= known + 2, "only the one thread that looks for it connects"

        net.heal()
        before = once_back(lambda: store.read(revision))
        assert once_back(lambda: store.write(raised)) > before


def refused_at_once(store: Store) -> bool:
    database = store._database  # type: ignore[attr-defined]
    try:
        database.availability.check()
    except Unavailable:
        return True
    return False


def test_a_call_in_flight_ends_as_soon_as_the_database_is_known_to_be_away(url: str) -> None:
    """Which the pulse of the exchange finds out before the limit of a statement does."""
    with network(url) as (net, through), serving(through, PATIENT) as store:
        insert(store, new_study())
        store.read(revision)
        news = heard_by(store)
        net.silence()
        with ThreadPoolExecutor(2) as pool:
            write, read = pool.submit(store.write, raised), pool.submit(store.read, revision)
            assert isinstance(write.exception(30), Unavailable)
            assert isinstance(read.exception(30), Unavailable)
        assert news.get(timeout=60).topic is Topic.LOST
        net.heal()
        once_back(lambda: store.write(raised))


def test_locks_of_a_connection_that_was_given_up_do_not_outlast_it(url: str) -> None:
    """Its session ends when the database is reached again, and does not wait for its own limit."""
    patient = Limits(connect=2.0, answer=1.0, statement=0.8, idle=600.0, retry=0.2, lock=30.0)
    locked, gate = threading.Event(), threading.Event()

    def hang(tx: Transaction) -> None:
        raised(tx)
        locked.set()
        assert gate.wait(60)
        tx.studies("", StudyFilter(), "", 1)

    with network(url) as (net, through), serving(through, patient) as store:
        insert(store, new_study())
        hanging = store.submit(hang)
        assert locked.wait(60)
        net.silence()
        gate.set()
        assert isinstance(hanging.exception(60), Unavailable)
        net.heal()
        assert once_back(lambda: store.write(raised)) == 2


# A hung session


@pytest.mark.parametrize(
    ("role", "call"), [("writes", lambda s: s.write(raised)), ("reads", lambda s: s.read(revision))]
)
def test_one_hung_session_costs_one_call(url: str, role: str, call: Callable[[Store], int]) -> None:
    with serving(url) as store:
        insert(store, new_study())
        store.read(revision)
        with stopped(url, role):
            with pytest.raises(Unavailable, match="no answer for"):
                call(store)
            assert call(store) >= 1


def test_a_connection_that_listens_and_falls_silent_is_made_anew(url: str) -> None:
    with serving(url) as store, serving(url) as other:
        insert(store, new_study())
        news = heard_by(store)
        with stopped(url, "listens"):
            assert news.get(timeout=60).topic is Topic.LOST
            while news.get(timeout=60).topic is not Topic.MISSED:
                pass
            other.write(raised)
            while (heard := news.get(timeout=60)).topic is not Topic.STUDY:
                pass
            assert heard.text == "default/s"


def test_others_hear_that_they_may_have_missed_what_was_told_into_the_silence(url: str) -> None:
    with serving(url) as speaker, serving(url) as hearer:
        news = heard_by(hearer)
        heard_by(speaker)
        name = speaker.exchange.sender  # type: ignore[attr-defined]
        with stopped(url, f"{name} listens"):
            while (heard := news.get(timeout=60)).topic is not Topic.MISSED:
                pass
            assert heard.sender == name


# A server whose machine vanishes


def test_a_study_is_free_soon_after_its_writer_vanished_in_the_middle_of_a_unit(url: str) -> None:
    locked, gate = threading.Event(), threading.Event()

    def hang(tx: Transaction) -> None:
        raised(tx)
        locked.set()
        assert gate.wait(60)

    with network(url) as (net, through), serving(through) as vanishes, serving(url) as stays:
        insert(stays, new_study())
        hanging = vanishes.submit(hang)
        assert locked.wait(60)
        net.silence()
        assert stays.write(raised) == 2
        gate.set()
        assert isinstance(hanging.exception(60), Unavailable)


def test_another_server_ends_the_session_of_one_that_vanished_if_postgresql_does_not(url: str) -> None:
    vanished = psycopg.connect(url, application_name="wazir vanished")
    with serving(url) as stays, closing(vanished):
        stays.exchange.listen(lambda news: None)
        insert(stays, new_study())
        # It has no limit of its own.
        vanished.execute("SELECT * FROM studies FOR UPDATE")
        eventually(lambda: not connected(url, vanished.info.backend_pid))
        assert stays.write(raised) == 2


def connected(url: str, pid: int) -> bool:
    with psycopg.connect(url) as watcher:
        return watcher.execute("SELECT FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone() is not None


def test_duties_pass_on_when_their_holder_vanishes_and_it_knows_that_before(url: str) -> None:
    with network(url) as (net, through), serving(through) as vanishes, serving(url) as stays:
        claim = vanishes.exchange.claim("duties")
        assert claim is not None
        held = claim.held
        assert held
        assert stays.exchange.claim("duties") is None
        net.silence()
        eventually(lambda: stays.exchange.claim("duties") is not None)
        held = claim.held
        assert not held


def test_duties_of_a_holder_that_is_paused_pass_on_and_do_not_come_back(url: str) -> None:
    with serving(url) as one, serving(url) as other:
        claim = one.exchange.claim("duties")
        assert claim is not None
        with stopped(url, "duties"):
            eventually(lambda: not claim.held)
        eventually(lambda: other.exchange.claim("duties") is not None)
        assert not claim.held


def test_duties_of_a_holder_that_was_paused_for_less_than_its_session_lives_can_be_had_again(url: str) -> None:
    """The holder takes them to be lost, and PostgreSQL does not: its session must not keep them from everybody."""
    rare = replace(SHORT, held=0.5, pulse=1.0, idle=30.0)
    with serving(url, rare) as one, serving(url) as other:
        claim = one.exchange.claim("duties")
        assert claim is not None
        eventually(lambda: not claim.held)  # between two beats
        assert other.exchange.claim("duties") is None
        eventually(lambda: one.exchange.claim("duties") is not None)
        assert not claim.held

    with serving(url) as later:
        eventually(lambda: later.exchange.claim("duties") is not None)


# A database that is replaced, or locks this server out


def test_a_restart_of_the_database_is_told_in_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wazir")
    with running() as server:
        url = server.ready()
        with serving(url) as store:
            insert(store, new_study())
            assert store.exchange.claim("duties") is not None
            news = heard_by(store)
            store.read(revision)
            caplog.clear()

            server.stop()
            with suppress(Unavailable):
                store.write(raised)
            eventually(lambda: refused_at_once(store))
            server.start()
            once_back(lambda: store.write(raised))
            once_back(lambda: store.read(revision))
            while news.get(timeout=60).topic is not Topic.MISSED:
                pass

            told = [record for record in caplog.records if record.levelno >= logging.WARNING]
            assert [record.message.partition(": ")[0] for record in told][:1] == [f"{url} is away"]
            assert [" is back after " in record.message for record in told] == [False, True]
            assert not any(record.exc_info for record in caplog.records)


def test_a_password_that_is_changed_for_a_while_ends_nothing() -> None:
    """Nor does it say to callers that it is their mistake."""
    with running() as server:
        url = server.ready()
        ask_for_passwords(server)
        server.execute("ALTER ROLE wazir PASSWORD 'right'")
        with serving(url.replace("wazir@", "wazir:right@")) as store:
            insert(store, new_study())
            claim = store.exchange.claim("duties")
            assert claim is not None
            news = heard_by(store)
            server.execute("ALTER ROLE wazir PASSWORD 'other'")
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'wazir%'"
            )
            assert news.get(timeout=60).topic is Topic.LOST
            eventually(lambda: refused_at_once(store))
            with pytest.raises(Unavailable, match="does not let this user in"):
                store.write(raised)
            eventually(lambda: not claim.held)

            server.execute("ALTER ROLE wazir PASSWORD 'right'")
            once_back(lambda: store.write(raised))
            while news.get(timeout=60).topic is not Topic.MISSED:
                pass
            assert once_back(lambda: store.exchange.claim("duties")) is not None


def ask_for_passwords(server: Postgres) -> None:
    """Of who connects to a database of a test; the person who looks after the server needs none."""
    rules = server._folder / "data" / "pg_hba.conf"
    text = rules.read_text()
    rules.write_text("host postgres all 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n" + text)
    server.execute("SELECT pg_reload_conf()")


def test_nothing_of_a_database_is_remembered_that_was_made_anew_under_the_server(postgres: Postgres) -> None:
    url = postgres.ready()
    name = url.rpartition("/")[2]
    with serving(url) as store:
        insert(store, new_study())
        store.write(raised)
        postgres.drop(url)
        with pytest.raises(Unavailable):
            store.write(raised)

        postgres.execute(f"CREATE DATABASE {name}")
        with pytest.raises(Unavailable, match="lacks what Wazir keeps there"):
            write_where_it_is(store)

        open_postgres(url).close()
        with pytest.raises(NotFound):
            once_back(lambda: store.write(raised))
        with pytest.raises(NotFound):
            once_back(lambda: store.read(revision))
        insert(store, new_study())
        assert store.write(raised) == 2
    postgres.drop(url)


def write_where_it_is(store: Store) -> None:
    eventually(lambda: not refused_at_once(store))
    store.write(raised)
