"""A server that was paused has heard nobody, and ends nobody's attempt for that.

The server is a real process that is stopped by SIGSTOP, as a machine that is moved or swaps stops it. The workers beat
all the time, each by a client of its own.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest

from wazir.clients.client import Client
from wazir.clients.heartbeats import Heartbeats
from wazir.domain.attempt import Cause
from wazir.domain.metric import Goal, Objective
from wazir.domain.names import TrialName
from wazir.domain.space import Double, Parameter, Space
from wazir.domain.study import Algorithm, StudySpec
from wazir.domain.trial import LIVE, Trial
from wazir.service.server import Server
from wazir.service.settings import ServiceSettings
from wazir.storage.memory import MemoryStore

from ..postgres import Postgres
from .world import World

SPEC = StudySpec(
    (Objective("loss", Goal.MINIMIZE),), Space((Parameter("x", Double(0.0, 1.0)),)), algorithm=Algorithm("random")
)


@dataclass
class Workers:
    """Clients that hold an attempt each, and beat four times a lease."""

    trials: list[TrialName] = field(default_factory=list)
    beating: list[Heartbeats] = field(default_factory=list)

    def lost(self, client: Client) -> list[Trial]:
        return [t for name in self.trials if (t := client.get_trial(name)).state not in LIVE or len(t.attempts) > 1]


@contextmanager
def workers(address: str, number: int, lease: float) -> Iterator[Workers]:
    with ExitStack() as stack:
        found = Workers()
        for i in range(number):
            client = stack.enter_context(Client(address))
            (trial,) = client.suggest("s", client_id=f"w{i}", start=True, lease=lease).trials
            beats = Heartbeats(client, lease)
            beats.hold(trial.name, 1, lambda reason: None)
            stack.callback(beats.close)
            found.trials.append(trial.name)
            found.beating.append(beats)
        yield found


def serve(world: World, database: str, listen: str) -> subprocess.Popen[bytes]:
    server = world.wazir("serve", "--db", database, "--listen", listen)
    world.says(server, "Serving")
    return server


def address_of(world: World, server: subprocess.Popen[bytes]) -> str:
    """Where it listens, as it says itself."""
    words = world.said(server).split()
    return next(word for word in words if word.startswith("127.0.0.1:"))


def pause(world: World, server: subprocess.Popen[bytes], seconds: float) -> None:
    server.send_signal(signal.SIGSTOP)
    since = time.monotonic()
    world.until(lambda: time.monotonic() > since + seconds, "it was paused for long enough")
    server.send_signal(signal.SIGCONT)


def paused(world: World, *, number: int, lease: float, seconds: float) -> None:
    server = serve(world, str(world.database), "127.0.0.1:0")
    address = address_of(world, server)
    with Client(address) as client:
        client.create_study("s", SPEC)
        with workers(address, number, lease) as those:
            pause(world, server, seconds)
            since = time.monotonic()
            # Long enough for whatever the pause may have led to.
            world.until(lambda: time.monotonic() > since + 2 * lease, "two leases have passed")
            assert those.lost(client) == [], world.said(server)
            silent = those.trials[0]
            those.beating[0].close()
            world.until(lambda: client.get_trial(silent).attempts[0].cause is Cause.LEASE_LOST, "silence is noticed")
            assert [t.name for t in those.lost(client)] == [silent]
    assert "this process did nothing for" in world.said(server)
    server.terminate()
    assert world.ended(server) == 0


@pytest.mark.slow
def test_no_live_attempt_ends_when_the_server_was_paused(world: World) -> None:
    paused(world, number=4, lease=1.0, seconds=3.0)


@pytest.mark.soak
def test_no_live_attempt_of_ten_ends_when_the_server_was_paused_for_three_leases(world: World) -> None:
    paused(world, number=10, lease=10.0, seconds=30.0)


@pytest.mark.slow
def test_no_live_attempt_ends_when_work_holds_up_the_event_loop() -> None:
    """Meanwhile beats wait in sockets."""
    store, loops, ended = MemoryStore(), list[asyncio.AbstractEventLoop](), threading.Event()
    server = Server(store, ["127.0.0.1:0"], ServiceSettings(duty_interval=0.05))

    async def main() -> None:
        await server.start()
        loops.append(asyncio.get_running_loop())
        await asyncio.to_thread(ended.wait)
        await server.stop(0)

    with ThreadPoolExecutor(1) as pool:
        serving = pool.submit(lambda: asyncio.run(main()))
        try:
            while not loops:
                time.sleep(0.01)
            address = f"127.0.0.1:{server.ports[0]}"
            with Client(address) as client:
                client.create_study("s", SPEC)
                with workers(address, 3, 1.0) as those:
                    held_up = threading.Event()
                    loops[0].call_soon_threadsafe(time.sleep, 3.0)
                    loops[0].call_soon_threadsafe(held_up.set)
                    assert held_up.wait(60.0)
                    since = time.monotonic()
                    while time.monotonic() < since + 2.0:
                        assert those.lost(client) == []
        finally:
            ended.set()
        serving.result()
    store.close()


@pytest.mark.slow
def test_no_live_attempt_ends_when_the_server_that_hears_its_beats_was_paused(world: World, postgres: Postgres) -> None:
    """Another server has the duty to end silent attempts, and hears nothing of these meanwhile."""
    url = postgres.ready()
    on_duty = serve(world, url, "127.0.0.1:0")
    hearing = serve(world, url, "127.0.0.1:0")
    address = address_of(world, hearing)
    with Client(address_of(world, on_duty)) as client:
        client.create_study("s", SPEC)
        with workers(address, 3, 1.0) as those:
            since = time.monotonic()
            world.until(lambda: time.monotonic() > since + 2.0, "both have heard of the attempts")
            pause(world, hearing, 4.0)
            since = time.monotonic()
            world.until(lambda: time.monotonic() > since + 2.0, "two leases have passed")
            assert those.lost(client) == [], world.said(on_duty) + world.said(hearing)
            silent = those.trials[0]
            those.beating[0].close()
            world.until(lambda: client.get_trial(silent).attempts[0].cause is Cause.LEASE_LOST, "silence is noticed")
    for server in (on_duty, hearing):
        server.terminate()
        assert world.ended(server) == 0
    postgres.drop(url)
