"""Servers killed, PostgreSQL restarted, workers silent past their lease: the history that clients saw is possible.

The checker itself is tried on services with planted bugs: it has to find each of them.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wazir.domain.trial import ENDED, Measurement, Trial, TrialState
from wazir.service import attempts, handing_out, reporting, trials, watching
from wazir.service.server import Server
from wazir.service.settings import ServiceSettings
from wazir.service.unit import Unit
from wazir.storage import memory
from wazir.storage.memory import MemoryStore
from wazir.storage.store import View

from ..postgres import Postgres, running
from .workload import Workload

KILLS = int(os.environ.get("SOAK_KILLS", "4"))


class Served:
    """A `wazir serve` at one address that is killed and started again."""

    def __init__(self, database: str, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self._command = [
            str(Path(sys.executable).with_name("wazir")),
            "serve",
            "--db",
            database,
            "--listen",
            self.address,
        ]
        self._log = folder / f"serve-{self.address}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)

    def keep(self) -> None:
        """Starts it again if it has ended, as a supervisor does; it may also have found the database away."""
        if self._process is not None and self._process.poll() is not None:
            self.start()

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@asynccontextmanager
async def supervised(servers: list[Served]) -> AsyncIterator[None]:
    async def supervise() -> None:
        while True:
            for server in servers:
                server.keep()
            await asyncio.sleep(0.2)

    task = asyncio.create_task(supervise())
    try:
        yield
    finally:
        task.cancel()


async def kill_now_and_then(servers: list[Served], chance: random.Random, kills: int) -> None:
    """Some moment of what the clients do: here the time is the point, not a wait."""
    for _ in range(kills):
        await asyncio.sleep(chance.uniform(0.1, 1.5))
        server = chance.choice(servers)
        await asyncio.to_thread(server.kill)
        server.keep()


def outcome(seed: int, found: list[str]) -> None:
    print(f"seed {seed}")
    assert found == []


@pytest.mark.slow
def test_a_server_on_sqlite_that_is_killed(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    server = Served(str(tmp_path / "wazir.db"), tmp_path)
    server.start()
    try:
        workload = Workload([server.address], seed)
        outcome(seed, asyncio.run(workload.run(lambda: kill_now_and_then([server], random.Random(seed), KILLS))))
        assert len(workload.history.calls) > 100
    finally:
        server.kill()


@pytest.mark.slow
def test_two_servers_on_postgresql_that_are_killed_while_it_restarts(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    with running(durable=True) as postgres:
        url = postgres.ready()
        servers = [Served(url, tmp_path), Served(url, tmp_path)]
        for server in servers:
            server.start()

        async def trouble() -> None:
            chance = random.Random(seed)
            await kill_now_and_then(servers, chance, KILLS // 2)
            await asyncio.to_thread(restart, postgres)
            # A server that hangs for longer than a lease, and goes on as if nothing had been.
            servers[0].signal(signal.SIGSTOP)
            await asyncio.sleep(2.0)
            servers[0].signal(signal.SIGCONT)
            await kill_now_and_then(servers, chance, KILLS - KILLS // 2)

        async def run() -> list[str]:
            async with supervised(servers):
                return await workload.run(trouble)

        try:
            workload = Workload([server.address for server in servers], seed, trials=40)
            outcome(seed, asyncio.run(run()))
            assert len(workload.history.calls) > 100
        finally:
            for server in servers:
                server.kill()


def restart(postgres: Postgres) -> None:
    postgres.stop("immediate")
    for _ in range(100):
        try:
            return postgres.start()
        except AssertionError:
            time.sleep(0.1)  # what is left of it still holds its memory, and goes in a moment
    raise AssertionError(postgres.log()[-2000:])


# The checker


def in_process(folder: Path, patience: float = 100.0, seed: int = 7) -> list[str]:
    """What the checker finds in a history of a server in this process, whose bugs are the test's."""

    async def main() -> list[str]:
        store = MemoryStore()
        server = Server(store, [f"unix:{folder}/s"], ServiceSettings(duty_interval=0.05))
        await server.start()
        try:
            return await Workload([f"unix:{folder}/s"], seed=seed, patience=patience).run()
        finally:
            await server.stop(0)
            store.close()

    return asyncio.run(main())


@pytest.mark.slow
def test_a_sound_service_is_found_sound(tmp_path: Path) -> None:
    assert in_process(tmp_path) == []


Plant = Callable[[pytest.MonkeyPatch], None]


def forgets_measurements(patch: pytest.MonkeyPatch) -> None:
    add = memory._MemoryTransaction.add_measurements
    count = iter(range(10**9))

    def forgetful(self: Any, trial: Trial, attempt: int, measurements: list[Measurement]) -> None:
        if next(count) % 10 != 9:
            add(self, trial, attempt, measurements)

    patch.setattr(memory._MemoryTransaction, "add_measurements", forgetful)


def answers_before_it_has_stored(patch: pytest.MonkeyPatch) -> None:
    submit = MemoryStore.submit
    count = iter(range(10**9))

    def hasty(self: MemoryStore, work: Callable[[Any], Any]) -> Future[Any]:
        if next(count) % 25 != 24:
            return submit(self, work)
        result: list[Any] = []

        def undone(tx: Any) -> None:
            result.append(work(tx))
            raise KeyError("the power fails")

        future = submit(self, undone)
        if isinstance(future.exception(), KeyError):
            future = Future()
            future.set_result(result[0])
        return future

    patch.setattr(MemoryStore, "submit", hasty)


def ignores_request_ids(patch: pytest.MonkeyPatch) -> None:
    for module in (handing_out, trials):
        patch.setattr(module, "recall", lambda tx, request: None)
        patch.setattr(module, "remember", lambda tx, request, numbers, now: None)


def hears_stale_attempts(patch: pytest.MonkeyPatch) -> None:
    for module in (attempts, reporting):
        patch.setattr(module, "current", lambda trial, number: trial.attempts[number - 1])


def starts_more_than_may_run(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(handing_out, "full", lambda study: False)
    patch.setattr(handing_out, "_room", lambda study, asked, waiting, start: max(0, asked - waiting))


def shows_watchers_all_but_some(patch: pytest.MonkeyPatch) -> None:
    since = watching._since

    def gaps(view: View, name: Any, since_revision: int = 0, **more: Any) -> Any:
        changes = since(view, name, more.get("since", since_revision))
        return replace(changes, trials=[t for t in changes.trials if t.id % 7])

    patch.setattr(watching, "_since", gaps)


def revives_the_dead(patch: pytest.MonkeyPatch) -> None:
    stop = trials.stop

    def reviving(tx: Any, name: Any, reason: str, now: float) -> Any:
        unit = Unit.lock(tx, name.parent, now)
        trial = unit.trial(name.id)
        if trial.state not in ENDED:
            return stop(tx, name, reason, now)
        trial = unit.put(trial, replace(trial, state=TrialState.STOPPED, reason="stopped after its end"))
        return trial, unit.finish()

    patch.setattr(trials, "stop", reviving)


BUGS: list[tuple[Plant, str]] = [
    # What is planted; what the checker says of it.
    (forgets_measurements, "was acknowledged, and it is not there"),
    (answers_before_it_has_stored, "was acknowledged"),
    (ignores_request_ids, "was answered with trials"),
    (hears_stale_attempts, "was taken after the next began"),
    (starts_more_than_may_run, "were live at once, and 4 may be"),
    (shows_watchers_all_but_some, "never saw trial 7"),
    (revives_the_dead, "to stopped"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("plant", "words"), BUGS, ids=[plant.__name__ for plant, _ in BUGS])
def test_the_checker_finds_a_planted_bug(
    plant: Plant, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    # A bug shows when clients happen to meet it, and nobody's clock decides that: a few histories are looked at.
    found: list[str] = []
    for seed in range(7, 13):
        found = in_process(tmp_path, 10.0, seed)  # with a bug it may go on for ever
        if any(words in sentence for sentence in found):
            return
    pytest.fail(f"six histories, and nothing was found but {found[:10]}")
