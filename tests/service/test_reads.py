"""Reads for callers have threads of their own: whatever holds them up holds up nothing else, nor the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest

from wazir.domain.errors import Unavailable
from wazir.service.reads import THREADS, Reads
from wazir.service.service import Service
from wazir.storage.memory import MemoryStore
from wazir.storage.store import View

from .conftest import NAME, Clock, World

T = TypeVar("T")
LIMIT = 30.0


class Held(MemoryStore):
    """A store whose reads wait, from `hold` on, until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.go.set()
        self.held = threading.Semaphore(0)

    def read(self, work: Callable[[View], T]) -> T:
        if not self.go.is_set():
            self.held.release()
            self.go.wait(LIMIT)
        return super().read(work)

    def wait_for(self, reads: int) -> None:
        for _ in range(reads):
            assert self.held.acquire(timeout=LIMIT)


@pytest.fixture
def store() -> Iterator[Held]:
    held = Held()
    yield held
    held.go.set()
    held.close()


def test_claims_and_writes_go_on_while_all_reads_hang(store: Held) -> None:
    async def main() -> None:
        service = Service(store, clock=Clock())
        await service.start()
        world = World(service, Clock(), store)
        await world.create()

        store.go.clear()
        reading = [asyncio.create_task(service.study(NAME)) for _ in range(10 * THREADS)]
        await asyncio.to_thread(store.wait_for, THREADS)

        async with asyncio.timeout(LIMIT / 2):
            claim = await asyncio.to_thread(store.exchange.claim, "some duty")
            assert claim is not None
            await asyncio.to_thread(claim.release)
            await service.pause_study(NAME)

        store.go.set()
        assert {study.name for study in await asyncio.gather(*reading)} == {NAME}
        await service.close()

    asyncio.run(main())


def test_the_end_does_not_wait_for_reads_that_hang(store: Held) -> None:
    async def main() -> None:
        reads = Reads(store, "reads", threads=1)
        store.go.clear()
        begun, waiting = (asyncio.create_task(reads.read(lambda view: view.tokens())) for _ in range(2))
        await asyncio.to_thread(store.wait_for, 1)

        await reads.close(limit=0.0)
        assert not begun.done()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(Unavailable, match="the service is ending"):
            await reads.read(lambda view: view.tokens())

        store.go.set()
        assert await begun == []

    asyncio.run(main())


def test_a_read_whose_caller_has_left_is_not_made(store: Held) -> None:
    made = []

    async def main() -> None:
        reads = Reads(store, "reads", threads=1)
        store.go.clear()
        begun = asyncio.create_task(reads.read(lambda view: view.tokens()))
        await asyncio.to_thread(store.wait_for, 1)

        left = asyncio.create_task(reads.read(lambda view: made.append(view)))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.wait([left])

        store.go.set()
        await begun
        await reads.read(lambda view: view.tokens())
        await reads.close()

    asyncio.run(main())
    assert not made
