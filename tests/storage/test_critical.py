"""Threads that a store cannot do without survive what units and hearers raise, and their pulses tell if they turn."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from wazir.domain.errors import Internal, Unavailable
from wazir.domain.pulse import Pulse
from wazir.storage.exchange import News, Topic
from wazir.storage.postgres import open_postgres
from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Store, Transaction

from ..contract.store import insert, new_study
from ..postgres import Postgres, running
from ..waiting import eventually


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = open_postgres(url)
    yield store
    store.close()


def pulse(store: Store, name: str) -> Pulse:
    return next(pulse for pulse in store.pulses if pulse.name == name)


def test_a_defect_of_the_writer_fails_its_units_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_sqlite(tmp_path / "wazir.db")
    insert(store, new_study())
    with monkeypatch.context() as broken:
        broken.setattr(store, "_commit", lambda units: 1 / 0)
        with pytest.raises(Internal, match="ZeroDivisionError in the writer"):
            store.submit(lambda tx: None).result(30)
    assert store.submit(lambda tx: "well").result(30) == "well"
    store.close()


def test_the_writer_s_pulse_is_at_rest_until_there_is_work(store: Store) -> None:
    gate, begun = threading.Event(), threading.Event()

    def busy(tx: Transaction) -> None:
        begun.set()
        assert gate.wait(60)

    store.write(lambda tx: None)
    future = store.submit(busy)
    assert begun.wait(60)
    assert pulse(store, "writer").age > 0
    gate.set()
    future.result(60)
    eventually(lambda: not pulse(store, "writer").age)


def test_the_writer_s_pulse_stands_still_while_the_database_is_away_and_recovers_though_nobody_writes() -> None:
    with running() as server:
        store = open_postgres(server.fresh())
        server.stop()
        with pytest.raises(Unavailable):
            store.write(lambda tx: None)
        assert pulse(store, "writer").age > 0, "it is not at rest"
        server.start()
        eventually(lambda: not pulse(store, "writer").age)
        store.close()


def test_the_exchange_survives_what_its_hearer_raises(store: Store, url: str) -> None:
    heard: list[News] = []
    twice = threading.Event()

    def hear(news: News) -> None:
        heard.append(news)
        if news.topic is Topic.BEATS:
            twice.set()
        raise ZeroDivisionError

    other = open_postgres(url)
    store.exchange.listen(hear)
    other.exchange.listen(lambda news: None)
    while not twice.wait(0.2):
        other.exchange.tell(Topic.BEATS, "hello")
    assert heard[0].topic is Topic.MISSED
    assert pulse(store, "exchange").fresh
    other.close()


def test_the_exchange_survives_a_database_that_is_renamed(postgres: Postgres) -> None:
    """Which is not away: it does not exist."""
    url = postgres.ready()
    name = url.rpartition("/")[2]
    store = open_postgres(url)
    missed: list[News] = []
    store.exchange.listen(missed.append)
    eventually(lambda: bool(missed))

    postgres.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false")
    cut = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    postgres.execute(cut)
    renamed = False
    while not renamed:  # until the last connection is gone
        with suppress(Exception):
            postgres.execute(f"ALTER DATABASE {name} RENAME TO {name}_elsewhere")
            renamed = True
    eventually(lambda: pulse(store, "exchange").age > 3)

    postgres.execute(f"ALTER DATABASE {name}_elsewhere RENAME TO {name}")
    postgres.execute(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true")
    eventually(lambda: missed[-1].topic is Topic.MISSED)
    store.close()
    postgres.drop(url)


def test_a_process_whose_critical_thread_dies_ends() -> None:
    program = (
        "import time\n"
        "from wazir.storage.critical import CriticalThread\n"
        "CriticalThread(target=lambda: 1 / 0, name='wazir-writer').start()\n"
        "time.sleep(1000)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.returncode == -15
    assert "the thread wazir-writer ended" in ended.stderr
