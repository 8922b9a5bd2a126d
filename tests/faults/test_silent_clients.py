"""A network that goes silent between clients and a server ends no watch for good, and leaves none at the server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wazir.clients import aio as aio_module
from wazir.clients import connection as connection_module
from wazir.clients.aio import AsyncClient
from wazir.clients.client import Client
from wazir.clients.endpoint import OPTIONS
from wazir.domain.names import StudyName
from wazir.service import server as server_module
from wazir.service.server import Server
from wazir.storage.memory import MemoryStore

from ..clients.served import spec
from ..waiting import eventually
from .network import Network

NAME = StudyName("default", "s")
QUICK = [("grpc.keepalive_time_ms", 500), ("grpc.keepalive_timeout_ms", 500), ("grpc.http2.ping_timeout_ms", 500)]


class Served:
    """A server in a thread."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._thread.start()
        assert self._ready.wait(30)

    async def _main(self) -> None:
        self.server = Server(self.store, ["127.0.0.1:0"])
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        await self.server.start()
        self._ready.set()
        await self._ended.wait()
        await self.server.stop(0)

    @property
    def port(self) -> int:
        return self.server.ports[0]

    @property
    def watchers(self) -> int:
        """Streams that wait for news of the study."""
        return len(self.server.service.feed._waiting.get(NAME, ()))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()
        self.store.close()


@contextmanager
def world() -> Iterator[tuple[Served, Client, Network]]:
    """A server with a study, a client that reaches it, and a network to it that may break."""
    served = Served()
    try:
        with Client(f"127.0.0.1:{served.port}") as direct, Network(("127.0.0.1", served.port)) as network:
            direct.create_study("s", spec())
            yield served, direct, network
    finally:
        served.close()


def test_the_server_ends_the_watch_of_a_client_that_has_gone_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "KEEPALIVE", (*QUICK, ("grpc.http2.max_pings_without_data", 0)))
    with world() as (served, _, network), Client(network.address, retry_for=0.0) as client:
        watch = client.watch_trials("s")
        next(watch)
        eventually(lambda: served.watchers == 1)
        network.silence()
        eventually(lambda: served.watchers == 0)
        watch.cancel()


def test_a_watch_goes_on_after_a_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [option for option in OPTIONS if option[0] not in dict(QUICK)]
    monkeypatch.setattr(connection_module, "OPTIONS", [*kept, *QUICK])
    with world() as (_, direct, network), Client(network.address) as client:
        watch = client.watch_trials("s")
        next(watch)
        network.silence()
        direct.create_trial("s", {"x": 0.5, "n": 1, "kind": "a"})
        network.heal()
        assert next(changes for changes in watch if changes.trials).trials[0].id == 1
        watch.cancel()


def test_a_watch_outlives_its_streams(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in (connection_module, aio_module):
        monkeypatch.setattr(module, "STREAM_SECONDS", 0.3)
    with world() as (served, direct, _):
        address = f"127.0.0.1:{served.port}"
        timer = threading.Timer(1.0, lambda: direct.create_trial("s", {"x": 0.5, "n": 1, "kind": "a"}))
        timer.start()
        with Client(address, retry_for=0.0) as client:
            watch = client.watch_trials("s")
            assert next(changes for changes in watch if changes.trials).trials[0].id == 1
            watch.cancel()

        async def main() -> None:
            async with AsyncClient(address, retry_for=0.0) as client:
                timer = threading.Timer(1.0, lambda: direct.create_trial("s", {"x": 0.6, "n": 1, "kind": "a"}))
                timer.start()
                async for changes in client.watch_trials("s"):
                    if any(trial.id == 2 for trial in changes.trials):
                        return

        asyncio.run(main())
