"""`wazir serve` ends as told at the first signal, at once at the second, and in time whatever hangs."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from wazir.app.ending import Ending
from wazir.clients.cli.errors import Exit
from wazir.clients.client import Client
from wazir.domain.errors import WazirError
from wazir.domain.metric import Goal, Objective
from wazir.domain.space import Double, Parameter, Space
from wazir.domain.study import Algorithm, StudySpec

from ..faults.network import Network
from ..postgres import Postgres
from ..waiting import eventually

SPEC = StudySpec(
    (Objective("loss", Goal.MINIMIZE),), Space((Parameter("x", Double(0.0, 1.0)),)), algorithm=Algorithm("random")
)


def test_the_first_signal_begins_the_end_and_the_second_comes_to_it() -> None:
    left: list[int] = []
    begun = threading.Event()
    ending = Ending(1000.0, left.append)
    ending.then(begun.set)
    ending.heard(signal.SIGTERM)
    assert begun.is_set()
    assert left == []
    late = threading.Event()
    ending.then(late.set)
    assert late.is_set(), "the end has begun already"
    ending.heard(signal.SIGINT)
    assert left == [Exit.INTERRUPTED]


def test_an_end_that_takes_too_long_is_cut_off() -> None:
    left: list[int] = []
    Ending(0.05, left.append).heard(signal.SIGTERM)
    eventually(lambda: left)
    assert left == [Exit.FAILED]


class Serving:
    """`wazir serve` on a database with a study whose row a foreign session may lock."""

    def __init__(self, url: str, folder: Path, drain: str) -> None:
        self.log = folder / "log"
        command = [str(Path(sys.executable).with_name("wazir")), "serve", "--db", url, "--listen", "127.0.0.1:0"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([*command, "--drain", drain], stderr=log)
        eventually(lambda: "Serving" in self.said())
        self.address = next(word for word in self.said().split() if word.startswith("127.0.0.1:"))

    def said(self) -> str:
        return self.log.read_text()


def in_flight(client: Client) -> None:
    with pytest.raises(WazirError):
        client.pause_study("s")


@pytest.mark.slow
def test_a_second_signal_ends_a_server_whose_calls_are_in_flight(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.ready()
    served = Serving(url, tmp_path, "1000")
    with Client(served.address, retry_for=0.0) as client, ThreadPoolExecutor() as pool:
        client.create_study("s", SPEC)
        with psycopg.connect(url) as foreign:
            foreign.execute("SELECT 1 FROM studies FOR UPDATE")
            call = pool.submit(in_flight, client)
            waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            with psycopg.connect(url, autocommit=True) as session:
                eventually(lambda: session.execute(waiting).fetchone())
            served.process.send_signal(signal.SIGTERM)
            eventually(lambda: "Ending" in served.said())
            assert served.process.poll() is None
            served.process.send_signal(signal.SIGINT)
            assert served.process.wait() == Exit.INTERRUPTED
        call.result()
    postgres.drop(url)


@pytest.mark.slow
def test_a_server_whose_database_has_gone_silent_ends_in_time(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.ready()
    with Network(("127.0.0.1", postgres.port)) as network, ThreadPoolExecutor() as pool:
        through = url.replace(str(postgres.port), str(network.port))
        served = Serving(through, tmp_path, "1")
        with Client(served.address, retry_for=0.0) as client:
            client.create_study("s", SPEC)
            network.silence()
            call = pool.submit(in_flight, client)
            began = time.monotonic()
            served.process.send_signal(signal.SIGTERM)
            served.process.wait()
            # The drain, its slack, and a slow machine. Without a limit it would end when the database answers.
            assert time.monotonic() - began < 1 + 5 + 20, served.said()
            call.result()
    postgres.drop(url)
