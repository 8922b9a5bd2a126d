"""Units reach the store, and their ends come back to the loop that waits."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from wazir.domain.errors import NotFound
from wazir.domain.names import StudyName
from wazir.service.writer import Writer
from wazir.storage.memory import MemoryStore
from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Store, Transaction


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return MemoryStore() if request.param == "memory" else open_sqlite(tmp_path / "wazir.db")


def test_each_of_many_units_gets_its_own_result(store: Store) -> None:
    async def main() -> list[int]:
        writer = Writer(store)
        return await asyncio.gather(*(writer.submit(lambda _, i=i: i) for i in range(500)))  # type: ignore[misc]

    assert asyncio.run(main()) == list(range(500))
    store.close()


def test_a_unit_that_fails_fails_alone(store: Store) -> None:
    async def main() -> tuple[object, ...]:
        writer = Writer(store)
        lost = StudyName("default", "lost")
        return await asyncio.gather(
            writer.submit(lambda _: 1), writer.submit(lambda tx: tx.study(lost)), writer.submit(lambda _: 3),
            return_exceptions=True,
        )  # fmt: skip

    one, failed, three = asyncio.run(main())
    assert (one, three) == (1, 3)
    assert isinstance(failed, NotFound)
    store.close()


def test_a_unit_given_up_before_its_turn_is_never_run(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "wazir.db")
    begun, go_on, run = threading.Event(), threading.Event(), []

    def first(_: Transaction) -> None:
        begun.set()
        assert go_on.wait(30)

    async def main() -> None:
        writer = Writer(store)
        busy = asyncio.create_task(writer.submit(first))
        await asyncio.to_thread(begun.wait)
        given_up = asyncio.create_task(writer.submit(lambda _: run.append("given up")))
        await asyncio.sleep(0)  # so that it is submitted
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        go_on.set()
        await busy
        await writer.submit(lambda _: run.append("after"))

    asyncio.run(main())
    assert run == ["after"]
    store.close()
