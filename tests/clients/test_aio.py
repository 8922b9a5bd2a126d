"""What only the asynchronous client can do, or could do otherwise than the blocking one."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

import wazir
from wazir.clients.aio import AsyncClient
from wazir.clients.client import Client
from wazir.domain.errors import InvalidArgument, NotFound, Unavailable
from wazir.domain.study import StudyState
from wazir.domain.trial import TrialState

from .served import ServerProcess, serving, spec

BLOCKING_ONLY = {"patient"}
"""Another patience over the same channel: for threads that share a client."""


def public(client: type) -> dict[str, object]:
    return {name: value for name, value in vars(client).items() if not name.startswith("_")}


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with serving("memory", tmp_path) as address:
        yield address


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path)
    process.start()
    yield process
    process.kill()


def test_both_clients_have_the_same_methods_with_the_same_parameters_and_words() -> None:
    assert set(public(AsyncClient)) == set(public(Client)) - BLOCKING_ONLY
    for name, method in public(AsyncClient).items():
        other = getattr(Client, name)
        if callable(method) and name not in ("close", "watch_trials", "watch_studies"):
            assert inspect.signature(method).parameters == inspect.signature(other).parameters
            assert method.__doc__ == other.__doc__


def test_methods_look_as_if_they_were_written_out() -> None:
    signature = inspect.signature(wazir.AsyncClient.get_study)
    assert list(signature.parameters) == ["self", "name"]
    assert wazir.AsyncClient.get_study.__qualname__ == "AsyncClient.get_study"


def test_many_calls_at_once_need_no_thread_each(address: str) -> None:
    async def main() -> None:
        async with AsyncClient(address) as client:
            await client.create_study("s", spec())
            before = threading.active_count()
            asked = await asyncio.gather(*(client.suggest("s", client_id=f"c{i}", start=True) for i in range(50)))
            ids = {trial.id for answer in asked for trial in answer.trials}
            assert ids == set(range(1, 51))
            # The service runs in this process too, and has threads of its own; fifty more there are not.
            assert threading.active_count() < before + 50

    asyncio.run(main())


def test_a_client_goes_on_in_the_next_event_loop(address: str) -> None:
    client = AsyncClient(address)

    async def main(number: int) -> None:
        await client.create_study(f"s{number}", spec())
        assert [s.name.study async for s in client.list_studies()] == [f"s{i}" for i in range(number + 1)]

    for number in range(3):
        asyncio.run(main(number))


def test_a_cancelled_call_is_over_at_once(process: ServerProcess) -> None:
    async def main() -> None:
        async with AsyncClient(process.address, retry_for=1000.0) as client:
            await client.create_study("s", spec())
            process.kill()
            call = asyncio.create_task(client.get_study("s"))
            _, pending = await asyncio.wait([call], timeout=0.2)
            assert pending, "it has the patience to wait for the service"
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    asyncio.run(main())


def test_calls_go_on_after_a_restart(process: ServerProcess) -> None:
    async def main() -> None:
        async with AsyncClient(process.address) as client:
            await client.create_study("s", spec())
            process.kill()
            call = asyncio.create_task(client.suggest("s", client_id="c", start=True))
            await asyncio.to_thread(process.start)
            (trial,) = (await call).trials
            assert trial.state is TrialState.ACTIVE

    asyncio.run(main())


def test_a_watch_goes_on_where_it_was_after_a_restart(process: ServerProcess) -> None:
    async def main() -> None:
        async with AsyncClient(process.address) as client:
            await client.create_study("s", spec())
            async with aclosing(client.watch_trials("s")) as watch:
                assert (await anext(watch)).study.state is StudyState.ACTIVE
                process.kill()
                await asyncio.to_thread(process.start)
                (trial,) = (await client.suggest("s", client_id="c", start=True)).trials
                async for changes in watch:
                    if changes.trials:
                        assert [t.id for t in changes.trials] == [trial.id]
                        break

    asyncio.run(main())


def test_errors_are_those_of_the_domain(address: str) -> None:
    async def main() -> None:
        async with AsyncClient(address) as client:
            with pytest.raises(NotFound):
                await client.get_study("nobody")
            with pytest.raises(InvalidArgument):
                await client.get_study("Not A Name")
        async with AsyncClient("127.0.0.1:1", retry_for=0.1) as client:
            with pytest.raises(Unavailable, match="no Wazir service answers at 127"):
                await client.get_study("s")

    asyncio.run(main())
