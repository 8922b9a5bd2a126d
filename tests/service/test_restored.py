"""A backup is put into a database under two running servers: both forget all, and go on with what is there."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import psycopg
import pytest

from wazir.domain.errors import RevisionCompacted, Unavailable
from wazir.domain.trial import TrialState
from wazir.service.service import Service
from wazir.service.settings import ServiceSettings
from wazir.service.store_check import until_lost
from wazir.storage.postgres import open_postgres
from wazir.storage.store import Changes, Store, TrialFilter

from ..postgres import program
from .conftest import NAME, Clock, World


def tool(name: str, *arguments: str) -> None:
    path = program(name)
    assert path is not None
    subprocess.run([path, *arguments], check=True, capture_output=True)


async def two_servers(url: str, scenario: Callable[[World, World], Awaitable[None]]) -> None:
    stores: list[Store] = [open_postgres(url), open_postgres(url)]
    clock = Clock()
    services = [Service(store, ServiceSettings(duty_interval=0.05), clock) for store in stores]
    looks = [asyncio.create_task(until_lost(store, _unexpected, every=0.05)) for store in stores]
    for service in services:
        await service.start()
    try:
        one, other = (World(service, clock, store) for service, store in zip(services, stores, strict=True))
        await scenario(one, other)
    finally:
        for look in looks:
            look.cancel()
        await asyncio.gather(*looks, return_exceptions=True)
        for service in services:
            await service.close()
        for store in stores:
            store.close()


async def _unexpected(why: str) -> None:
    raise AssertionError(why)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - nothing inside the service tells
            await asyncio.sleep(0.02)


async def _to_the_end(watch: AsyncIterator[Changes]) -> None:
    async for _ in watch:
        pass


def test_a_backup_that_is_restored_by_hand_under_two_servers_is_what_they_go_on_with(url: str, tmp_path: Path) -> None:
    backup = str(tmp_path / "backup")

    async def scenario(one: World, other: World) -> None:
        await one.create()
        first = await one.one(leased=True)
        await asyncio.to_thread(tool, "pg_dump", f"--dbname={url}", "--format=custom", f"--file={backup}")
        for world in (one, other, one, other):
            await world.end(await world.one(), 1.0)
        assert (await other.study()).counts[TrialState.SUCCEEDED] == 4
        # Half-way through a watch, with histories and counts of six trials in memory.
        async with aclosing(other.service.watch_trials(NAME, 0)) as watch:  # type: ignore[type-var]
            await anext(watch)
            feeds = [world.service._feed for world in (one, other)]
            await asyncio.to_thread(tool, "pg_restore", f"--dbname={url}", "--clean", "--single-transaction", backup)
            await until(lambda: all(feed.beginnings for feed in feeds))
            with pytest.raises(RevisionCompacted):
                await asyncio.wait_for(_to_the_end(watch), 30)

        # Trial 1 is live as it was, and what comes next are trials 2 and 3 again.
        await until(lambda: all(world.service.leases == 1 for world in (one, other)))
        await other.end(first, 2.0)
        seconds = [await other.one(client="a"), await one.one(client="b")]
        assert [trial.id for trial in seconds] == [2, 3]
        for world in (one, other):
            study = await world.study()
            listed = await world.service.trials(NAME, TrialFilter(), 0, 100, False)
            assert study.counts.live == 2
            assert {t.id: t.state for t in listed.items} == {
                1: TrialState.SUCCEEDED,
                2: TrialState.ACTIVE,
                3: TrialState.ACTIVE,
            }

    asyncio.run(two_servers(url, scenario))


def test_a_newer_schema_is_noticed_though_nobody_calls(url: str) -> None:
    store = open_postgres(url)

    async def look() -> list[str]:
        said: list[str] = []

        async def on_lost(why: str) -> None:
            said.append(why)

        with psycopg.connect(url, autocommit=True) as person:
            person.execute("UPDATE wazir_schema SET version_num = 'v9000'")
        async with asyncio.timeout(30):
            await until_lost(store, on_lost, every=0.01)
        return said

    try:
        (why,) = asyncio.run(look())
        assert "schema v9000 by a newer Wazir" in why
        with pytest.raises(Unavailable, match="v9000"):
            store.read(lambda view: view.study(NAME))
    finally:
        store.close()
