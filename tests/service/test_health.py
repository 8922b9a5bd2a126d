"""Health follows the pulses, and says so to whoever asks or watches; a loop that is stuck is told of by its stack."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from wazir.clients.client import Client
from wazir.clients.health import is_serving as is_serving_to
from wazir.domain.pulse import Pulse
from wazir.service.health import LIVE, Health
from wazir.service.server import SERVICE_NAME, Server
from wazir.service.settings import ServiceSettings
from wazir.service.watchdog import Watchdog
from wazir.storage.memory import MemoryStore
from wazir.storage.postgres import open_postgres
from wazir.storage.store import Store

from ..postgres import Postgres
from ..waiting import until

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
SETTINGS = ServiceSettings(duty_interval=0.05, health="127.0.0.1:0", drain=1.0)
LIMIT = 60.0


class Stops(MemoryStore):
    """A store with a loop that the test makes turn."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.pulse = Pulse("a loop", 5.0, lambda: self.now)

    @property
    def pulses(self) -> tuple[Pulse, ...]:
        return (self.pulse,)


@asynccontextmanager
async def asking(store: Store) -> AsyncIterator[tuple[Any, Any]]:
    """Stubs of the health of a server on that store, at its own address and at the one for probes."""
    server = Server(store, ["127.0.0.1:0"], SETTINGS)
    await server.start()
    try:
        async with (
            grpc.aio.insecure_channel(f"127.0.0.1:{server.ports[0]}") as one,
            grpc.aio.insecure_channel(f"127.0.0.1:{server.health_port}") as other,
        ):
            stubs: tuple[Any, Any] = health_pb2_grpc.HealthStub(one), health_pb2_grpc.HealthStub(other)
            yield stubs
    finally:
        await server.stop()


@contextmanager
def closing(store: Store) -> Iterator[None]:
    try:
        yield
    finally:
        store.close()


async def is_serving(stub: Any, name: str = "") -> bool:
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=LIMIT)
    return bool(answer.status == SERVING)


def test_health_is_not_serving_while_a_loop_does_not_turn_and_its_watchers_hear_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(store: Stops) -> None:
        async with asking(store) as (stub, probed):
            watch = stub.Watch(health_pb2.HealthCheckRequest(service=SERVICE_NAME), timeout=LIMIT)
            assert (await watch.read()).status == SERVING

            store.now = 6.0
            assert (await watch.read()).status == NOT_SERVING
            for name in ("", SERVICE_NAME):
                assert not await is_serving(stub, name)
                assert not await is_serving(probed, name)
            assert await is_serving(stub, LIVE)
            assert await is_serving(probed, LIVE)

            store.pulse.beat()
            assert (await watch.read()).status == SERVING

    store = Stops()
    with closing(store):
        asyncio.run(main(store))
    said = [r.getMessage() for r in caplog.records if r.name == "wazir.service.health"]
    assert said == ["not healthy: nothing is heard of a loop for 6 s", "healthy again: a loop"]


def test_loops_that_recover_one_after_the_other_are_told_of_once_each_and_once_together(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        now = [0.0]
        first, second = (Pulse(name, limit, lambda: now[0]) for name, limit in (("first", 5.0), ("second", 8.0)))
        health = Health(["a service"], lambda: (first, second))
        for now[0] in (4.0, 6.0, 7.0, 9.0, 10.0):
            health.look()
        second.beat()
        health.look()
        first.beat()
        health.look()

    asyncio.run(main())
    assert [r.getMessage() for r in caplog.records if r.name == "wazir.service.health"] == [
        "not healthy: nothing is heard of first for 6 s",
        "not healthy: nothing is heard of second for 9 s",
        "healthy again: first, second",
    ]


def test_clients_can_ask_for_it() -> None:
    async def main(store: Stops) -> None:
        server = Server(store, ["127.0.0.1:0"], SETTINGS)
        await server.start()
        with Client(f"127.0.0.1:{server.ports[0]}", retry_for=0.0) as client:
            assert await asyncio.to_thread(is_serving_to, client)
            store.now = 6.0
            await until(lambda: _not(asyncio.to_thread(is_serving_to, client)))
        await server.stop()

    store = Stops()
    with closing(store):
        asyncio.run(main(store))


def test_a_watcher_that_never_reads_keeps_health_from_nobody() -> None:
    async def main(store: Stops) -> None:
        async with asking(store) as (stub, _):
            deaf = [stub.Watch(health_pb2.HealthCheckRequest(), timeout=LIMIT) for _ in range(3)]
            assert await is_serving(stub)
            store.now = 6.0
            await until(lambda: _not(is_serving(stub)))
            for watch in deaf:
                watch.cancel()

    store = Stops()
    with closing(store):
        asyncio.run(main(store))


async def _not(answer: Any) -> bool:
    return not await answer


def test_the_address_for_probes_answers_for_nothing_but_health() -> None:
    async def main(store: Stops) -> None:
        async with asking(store) as (_, probed):
            assert await is_serving(probed)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await is_serving(probed, "no such service")
            assert caught.value.code() is grpc.StatusCode.NOT_FOUND

    store = Stops()
    with closing(store):
        asyncio.run(main(store))


@pytest.mark.slow
def test_health_follows_a_database_that_is_away_and_back(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.ready()

    async def main(store: Store) -> None:
        async with asking(store) as (stub, _):
            assert await is_serving(stub)
            await asyncio.to_thread(postgres.stop)
            try:
                await until(lambda: _not(is_serving(stub)))
                assert await is_serving(stub, LIVE)
            finally:
                await asyncio.to_thread(postgres.start)
            await until(lambda: is_serving(stub))

    store = open_postgres(url)
    with closing(store):
        asyncio.run(main(store))
    postgres.drop(url)


def test_a_loop_that_is_stuck_is_told_of_with_its_stack_once(caplog: pytest.LogCaptureFixture) -> None:
    pulse = Pulse("event loop", 0.2)
    watchdog = Watchdog(pulse, look_every=0.02)

    def told(action: str) -> list[logging.LogRecord]:
        return [r for r in caplog.records if getattr(r, "action", "") == action]

    def held_up_here() -> None:
        until = time.monotonic() + LIMIT
        while not told("loop_stuck") and time.monotonic() < until:
            time.sleep(0.01)

    watchdog.start()
    held_up_here()
    for _ in range(10):
        # It has been told, and is not again.
        time.sleep(0.01)
    pulse.rest()
    until = time.monotonic() + LIMIT
    while not told("loop_turns") and time.monotonic() < until:
        time.sleep(0.01)
    watchdog.close()
    (stuck,) = told("loop_stuck")
    assert "held_up_here" in stuck.getMessage()
    assert len(told("loop_turns")) == 1


def test_the_manifest_probes_the_address_for_probes() -> None:
    documents = yaml.safe_load_all((Path(__file__).parents[2] / "deploy" / "server.yaml").read_text())
    (deployment,) = (d for d in documents if d["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    (address,) = (a.partition("=")[2] for a in container["args"] if a.startswith("--health="))
    probes = {name: container[f"{name}Probe"]["grpc"] for name in ("startup", "readiness", "liveness")}
    assert {p["port"] for p in probes.values()} == {int(address.rpartition(":")[2])}
    assert {name: p.get("service", "") for name, p in probes.items()} == {
        "startup": LIVE,
        "readiness": "",
        "liveness": LIVE,
    }
