"""Servers, their database and the networks between, for faults to break.

    clients ── door (a Network) ── `wazir serve` ── wire (a Network) ── PostgreSQL
                                          └──────────────────────────── or a SQLite file

Servers run with failpoints, and on SQLite with a disk and a clock that can be made bad.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from wazir.domain.audit import AuditFilter, Outcome
from wazir.storage.open import open_store
from wazir.storage.problems import problems
from wazir.storage.store import View

from ..postgres import Postgres, running
from .failpoints import Failpoints
from .history import History
from .network import Network
from .shim import Shim

RECOVERY = 60.0
"""Seconds within which a server has to be well again once nothing is broken: 15, and what a busy machine adds. What
hangs, hangs for longer."""


class Served:
    """A `wazir serve` at one address that is killed and started again."""

    def __init__(self, database: str, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.port = _free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.failpoints = Failpoints(folder / f"failpoints-{self.port}")
        self._command = self.failpoints.command("serve", "--db", database, "--listen", self.address)
        self._environment = {**os.environ, **(environment or {})}
        self._log = folder / f"serve-{self.port}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, env=self._environment)

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

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    async def serving(self) -> bool:
        """Whether it says that it is well, on a connection of its own that no test breaks."""
        async with grpc.aio.insecure_channel(self.address) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            try:
                answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=2.0)
            except grpc.aio.AioRpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@dataclass
class Stage:
    database: str
    """A path or a URL, by which the test itself reaches it undisturbed."""
    servers: list[Served]
    doors: list[Network]
    """Of each server: between it and its clients."""
    wires: list[Network]
    """Of each server: between it and PostgreSQL."""
    chance: random.Random
    postgres: Postgres | None = None
    shim: Shim | None = None
    clock: float = 0.0
    """By how many seconds the servers' clock is ahead."""
    told: list[str] = field(default_factory=list)
    """What was broken, in order."""

    @property
    def addresses(self) -> list[str]:
        return [door.address for door in self.doors]

    def one(self) -> int:
        """The number of some server."""
        return self.chance.randrange(len(self.servers))

    async def a_while(self, least: float, most: float) -> None:
        """Some time in which clients go on: here the time is the point, not a wait."""
        await asyncio.sleep(self.chance.uniform(least, most))

    async def recovered(self) -> list[str]:
        """What is wrong with servers that nothing keeps from being well."""
        until = time.monotonic() + RECOVERY
        ill = list(self.servers)
        while ill and time.monotonic() < until:
            ill = [server for server in ill if not await server.serving()]
            await asyncio.sleep(0.1)
        return [f"{server.address} is not serving {RECOVERY:g} s after its start or the last fault" for server in ill]

    def audit(self, history: History) -> list[str]:
        """What does not agree in the database, with itself and with what clients were told. Ends the servers."""
        self.close()
        path = self.database if self.postgres else Path(self.database)
        with closing(open_store(path)) as store:
            return store.read(lambda view: [*problems(view), *_unrecorded(view, history)])

    @asynccontextmanager
    async def supervised(self) -> AsyncIterator[None]:
        """Servers that end are started again, for the time of the block."""

        async def supervise() -> None:
            while True:
                for server in self.servers:
                    server.keep()
                await asyncio.sleep(0.2)

        task = asyncio.create_task(supervise())
        try:
            yield
        finally:
            task.cancel()

    def close(self) -> None:
        for server in self.servers:
            server.kill()


def _unrecorded(view: View, history: History) -> Iterator[str]:
    """What a person changes is recorded with the change."""
    made = {call.request_id for call in history.calls if call.what == "enqueue"}
    where = AuditFilter(method="CreateTrial", outcomes=frozenset({Outcome.DONE}))
    recorded, before = 0, ""
    while True:
        page = view.audit_records(where, before, 1_000)
        recorded += sum(record.count for record in page.records)
        before = page.before
        if not before:
            break
    if recorded < len(made):
        yield f"{len(made)} trials were made and acknowledged, and there are {recorded} records of that"


@contextmanager
def on_file(folder: Path, seed: int) -> Iterator[Stage]:
    """One server on a SQLite file."""
    database = str(folder / "wazir.db")
    shim = Shim(folder / "shim")
    with _stage(database, [Served(database, folder, shim.environment)], [], seed) as stage:
        stage.shim = shim
        yield stage


@contextmanager
def on_postgres(folder: Path, seed: int, servers: int = 2) -> Iterator[Stage]:
    """Servers on one PostgreSQL, each with a wire of its own to it."""
    with running(durable=True) as postgres, ExitStack() as stack:
        url = postgres.ready()
        wires = [stack.enter_context(Network(("127.0.0.1", postgres.port))) for _ in range(servers)]
        started = [Served(url.replace(f":{postgres.port}/", f":{wire.port}/"), folder) for wire in wires]
        with _stage(url, started, wires, seed) as stage:
            stage.postgres = postgres
            yield stage


@contextmanager
def _stage(database: str, servers: list[Served], wires: list[Network], seed: int) -> Iterator[Stage]:
    with ExitStack() as stack:
        doors = [stack.enter_context(Network(("127.0.0.1", server.port))) for server in servers]
        stage = Stage(database, servers, doors, wires, random.Random(seed))
        stack.callback(stage.close)
        for server in servers:
            server.start()
        ill = asyncio.run(stage.recovered())
        assert not ill, "\n".join([*ill, *(server.log() for server in servers)])
        yield stage


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
