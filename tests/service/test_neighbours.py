"""Two servers on one PostgreSQL: each answers any call, hears of the other's changes, and neither does a duty twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing

import pytest

from wazir.domain.attempt import Cause
from wazir.domain.errors import NotFound
from wazir.domain.names import StudyName
from wazir.domain.study import Algorithm, Stopping
from wazir.domain.trial import LIVE, Measurement, StopGoal, TrialState
from wazir.service.attempts import Sight
from wazir.service.service import Service
from wazir.service.settings import ServiceSettings
from wazir.service.unit import Lease
from wazir.storage.postgres import open_postgres
from wazir.storage.store import Changes

from ..postgres import Postgres
from .conftest import NAME, Clock, World

Scenario = Callable[[World, World], Awaitable[None]]
Play = Callable[[Scenario], None]


@pytest.fixture
def play(postgres: Postgres) -> Iterator[Play]:
    """Runs a scenario against two servers on one database."""
    url = postgres.ready()

    def run(scenario: Scenario) -> None:
        stores = open_postgres(url), open_postgres(url)
        clock = Clock()

        async def main() -> None:
            services = [Service(store, ServiceSettings(duty_interval=0.05), clock) for store in stores]
            for service in services:
                await service.start()
            try:
                one, other = (World(service, clock, store) for service, store in zip(services, stores, strict=True))
                await scenario(one, other)
            finally:
                for service in services:
                    await service.close()

        try:
            asyncio.run(main())
        finally:
            for store in stores:
                store.close()

    yield run
    postgres.drop(url)


async def first(watch: AsyncIterator[Changes], wanted: Callable[[Changes], bool]) -> Changes:
    async for changes in watch:
        if wanted(changes):
            return changes
    raise AssertionError("the watch ended")


def test_either_server_answers_any_call(play: Play) -> None:
    async def scenario(one: World, other: World) -> None:
        await one.create()
        trial = await other.one()
        await one.service.report(trial.name, 1, [Measurement(1, {"loss": 2.0}, 0.0)], "")
        ended = await other.end(trial)
        assert (ended.state, ended.final) == (TrialState.SUCCEEDED, {"loss": 2.0})
        assert await one.service.trial(trial.name) == ended

    play(scenario)


def test_asked_by_turns_they_suggest_what_one_alone_would(play: Play) -> None:
    async def scenario(one: World, other: World) -> None:
        names = [StudyName("default", "by-turns"), StudyName("default", "alone")]
        for name in names:
            await one.create(name, algorithm=Algorithm("quasirandom", seed=7))
        by_turns = [(await world.one(name=names[0])).parameters for world in (one, other) * 4]
        alone = [(await one.one(name=names[1])).parameters for _ in range(8)]
        assert by_turns == alone

    play(scenario)


def test_many_askers_of_both_get_different_points_and_ids(play: Play) -> None:
    async def scenario(one: World, other: World) -> None:
        await one.create()
        asked = await asyncio.gather(*(world.ask(3, client=f"c{i}") for i in range(10) for world in (one, other)))
        trials = [trial for answer in asked for trial in answer.trials]
        assert sorted(t.id for t in trials) == list(range(1, 61))
        assert len({t.parameters["x"] for t in trials}) == 60

    play(scenario)


def test_a_repeated_request_is_known_to_both(play: Play) -> None:
    async def scenario(one: World, other: World) -> None:
        await one.create()
        trial = await one.one(request_id="r1")
        again = await other.one(request_id="r1")
        assert again.id == trial.id
        assert (await one.study()).counts.live == 1

    play(scenario)


def test_a_watcher_of_one_sees_what_the_other_does(play: Play) -> None:
    async def scenario(one: World, other: World) -> None:
        await one.create()
        async with aclosing(one.service.watch_trials(NAME, 0)) as watch:  # type: ignore[type-var]
            await first(watch, lambda changes: True)
            trial = await other.one()
            seen = await first(watch, lambda changes: bool(changes.trials))
            assert [t.id for t in seen.trials] == [trial.id]
            await other.end(trial, 0.5)
            await first(watch, lambda changes: [t.state for t in changes.trials] == [TrialState.SUCCEEDED])
            await other.service.delete_study(NAME, force=True)
            with pytest.raises(NotFound):
                await first(watch, lambda changes: False)

    play(scenario)


def test_a_rule_sees_the_reports_that_the_other_server_took(play: Play) -> None:
    async def scenario(one: World, other: World) -> None:
        await one.create(stopping=Stopping("median", {"min": 1}))
        early = await one.one()

        def bad(step: int) -> list[Measurement]:
            return [Measurement(step, {"loss": 100.0}, 0.0)]

        # From here on this server has the study's curves in memory, and nothing to compare with.
        assert (await one.service.report(early.name, 1, bad(1), "")).stop is None
        for value in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0):
            trial = await other.one()
            await other.service.report(trial.name, 1, [Measurement(1, {"loss": value}, 0.0)], "")
            await other.end(trial, value)
        told, step = await one.service.report(early.name, 1, bad(1), ""), 1
        while told.stop is None:  # that there is something to read is heard in a moment
            step += 1
            told = await one.service.report(early.name, 1, bad(step), "")
        assert told.stop is StopGoal.STOP

    play(scenario)


def test_beats_given_to_either_server_keep_a_lease(play: Play) -> None:
    """Whoever has the duty hears of beats that the other was given, and sees the silence for a whole lease."""

    async def scenario(one: World, other: World) -> None:
        await one.create()
        trial = await one.one(lease=Lease(1.0))
        loop = asyncio.get_running_loop()
        end = loop.time() + 3.0
        while loop.time() < end:  # three leases long, each server is given every other beat
            for world in (one, other):
                await world.service.heartbeat(trial.name, 1, Sight())
                await asyncio.sleep(0.2)
        assert (await one.service.trial(trial.name)).state in LIVE
        async with aclosing(other.service.watch_trials(NAME, 0)) as watch:  # type: ignore[type-var]
            lost = await first(watch, lambda changes: any(t.state not in LIVE for t in changes.trials))
        (trial,) = lost.trials
        assert [a.cause for a in trial.attempts] == [Cause.LEASE_LOST]

    play(scenario)


def test_a_server_takes_the_duties_over_when_the_other_ends(play: Play) -> None:
    async def scenario(one: World, other: World) -> None:
        await one.create()
        await one.one(lease=Lease(0.3))
        await one.service.close()
        async with aclosing(other.service.watch_trials(NAME, 0)) as watch:  # type: ignore[type-var]
            lost = await first(watch, lambda changes: any(t.state not in LIVE for t in changes.trials))
        assert [a.cause for a in lost.trials[0].attempts] == [Cause.LEASE_LOST]

    play(scenario)
