"""A server that can write nothing says that it is not serving, and as soon as it can write again, that it is."""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import pytest

from wazir.clients.aio import AsyncClient
from wazir.domain.errors import WazirError

from .stage import RECOVERY, Stage, on_file, on_postgres
from .workload import spec

pytestmark = pytest.mark.slow

NOTICED = 60.0
"""Seconds within which a server has to see that nothing can be written, on a machine that is busy with other tests."""


def one_on_postgres(folder: Path, seed: int) -> AbstractContextManager[Stage]:
    return on_postgres(folder, seed, servers=1)


def fill_the_disk(stage: Stage) -> None:
    assert stage.shim is not None
    stage.shim.fail("write", error=errno.ENOSPC, path="wazir.db")


def empty_the_disk(stage: Stage) -> None:
    assert stage.shim is not None
    stage.shim.heal()


def silence(stage: Stage) -> None:
    stage.wires[0].silence()


def cut(stage: Stage) -> None:
    stage.wires[0].refuse()
    stage.wires[0].reset()


def heal(stage: Stage) -> None:
    stage.wires[0].heal()


def fail(stage: Stage) -> None:
    stage.servers[0].failpoints.fail("file writer")


def mend(stage: Stage) -> None:
    stage.servers[0].failpoints.heal()


Change = Callable[[Stage], None]

FAULTS = [
    pytest.param(on_file, fill_the_disk, empty_the_disk, id="the disk is full"),
    pytest.param(on_file, fail, mend, id="the writer raises", marks=pytest.mark.soak),
    pytest.param(one_on_postgres, silence, heal, id="PostgreSQL is silent"),
    pytest.param(one_on_postgres, cut, heal, id="PostgreSQL is away", marks=pytest.mark.soak),
]


@pytest.mark.parametrize(("where", "break_it", "mend_it"), FAULTS)
def test_health_while_nothing_can_be_written(
    where: Callable[[Path, int], AbstractContextManager[Stage]], break_it: Change, mend_it: Change, tmp_path: Path
) -> None:
    with where(tmp_path, 1) as stage:
        asyncio.run(told(stage, break_it, mend_it))


async def told(stage: Stage, break_it: Change, mend_it: Change) -> None:
    server = stage.servers[0]
    async with AsyncClient(server.address, retry_for=0.0, timeout=5.0) as client:

        async def write() -> None:
            """Somebody has to want to write."""
            number = 0
            while True:
                number += 1
                with suppress(WazirError):
                    await client.create_study(f"s{number}", spec(1))
                await asyncio.sleep(0.2)

        async def until(serving: bool, limit: float) -> None:
            end = time.monotonic() + limit
            while await server.serving() is not serving:
                assert time.monotonic() < end, f"after {limit:g} s it is not so: serving={serving}\n{server.log()}"
                await asyncio.sleep(0.1)

        await until(True, RECOVERY)
        writer = asyncio.create_task(write())
        break_it(stage)
        await until(False, NOTICED)
        mend_it(stage)
        await until(True, RECOVERY)
        writer.cancel()
