"""How far running trials are, as screens ask for it: on every store, with and without a stopping rule."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import replace

import pytest

from wazir.domain.attempt import Cause
from wazir.domain.errors import InvalidArgument, NotFound
from wazir.domain.metric import Goal, Objective
from wazir.domain.names import StudyName
from wazir.domain.progress import MetricProgress, Pace, StudyProgress
from wazir.domain.study import Algorithm, Stopping
from wazir.domain.template import TrialTemplate
from wazir.domain.trial import Measurement, Trial, TrialState
from wazir.service.attempts import End
from wazir.service.progress import Progresses
from wazir.service.service import Service
from wazir.storage.memory import MemoryStore
from wazir.storage.postgres import open_postgres

from ..postgres import Postgres
from .conftest import NAME, Clock, Scenario, World

Play = Callable[[Scenario], None]
LATE = Stopping("median", {"min": 1000})
"""A rule that is told of every report and never stops anything here."""


async def report(world: World, trial: Trial, values: dict[int, float], *, start: float = 100.0) -> None:
    """One report a step, each a second after the one before."""
    measurements = [Measurement(step, {"loss": value}, start + step) for step, value in values.items()]
    await world.service.report(trial.name, len(trial.attempts), measurements, "")


async def progress(world: World, limit: int = 0, points: int = 0) -> StudyProgress:
    return await world.service.progress(NAME, limit, points)


async def ranks(world: World) -> dict[int, tuple[int, int]]:
    return {t.trial_id: (m.rank, m.ranked) for t in (await progress(world)).trials for m in t.metrics}


@pytest.mark.parametrize("stopping", [None, LATE], ids=["no-rule", "rule"])
def test_a_trial_shows_its_step_value_curve_and_pace(play: Play, stopping: Stopping | None) -> None:
    async def scenario(world: World) -> None:
        await world.create(stopping=stopping)
        trial = await world.one()
        assert (await progress(world)).trials == (), "it has not reported yet"

        await report(world, trial, {1: 3.0, 2: 2.0})
        await report(world, trial, {4: 1.5})
        answer = await progress(world)
        assert answer.time == world.clock.now
        assert answer.whole_steps is None
        (found,) = answer.trials
        assert found.trial_id == trial.id
        assert found.pace == Pace(1, first_step=1, first_time=101.0, last_step=4, last_time=104.0)
        assert found.metrics == (
            MetricProgress("loss", 4, 1.5, rank=1, ranked=1, curve=((1, 3.0), (2, 2.0), (4, 1.5))),
        )

    play(scenario)


@pytest.mark.parametrize("stopping", [None, LATE], ids=["no-rule", "rule"])
def test_a_trial_is_ranked_at_its_own_step_among_all_that_have_a_value_by_then(
    play: Play, stopping: Stopping | None
) -> None:
    async def scenario(world: World) -> None:
        await world.create(stopping=stopping)
        slow, fast, ended, late = [await world.one() for _ in range(4)]
        await report(world, slow, {1: 5.0, 2: 4.0})
        await report(world, fast, {1: 9.0, 2: 3.0, 3: 1.0})
        await report(world, ended, {1: 2.0})
        await world.end(ended)
        await report(world, late, {3: 0.5})
        # At step 2: slow 4, fast 3, ended 2 from step 1; late has nothing by then. At step 3: 4, 1, 2 and 0.5.
        assert await ranks(world) == {slow.id: (3, 3), fast.id: (2, 4), late.id: (1, 4)}

    play(scenario)


def test_more_is_better_where_it_is_maximised_and_nan_ranks_last(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.create(objectives=(Objective("loss", Goal.MAXIMIZE),))
        high, low, broken = [await world.one() for _ in range(3)]
        await report(world, high, {1: 0.9})
        await report(world, low, {1: 0.1})
        await report(world, broken, {1: math.nan})
        assert await ranks(world) == {high.id: (1, 3), low.id: (2, 3), broken.id: (3, 3)}
        (value,) = (t.metrics[0].value for t in (await progress(world)).trials if t.trial_id == broken.id)
        assert math.isnan(value)

    play(scenario)


def test_each_of_several_objectives_has_its_own_step(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.create(
            objectives=(Objective("loss", Goal.MINIMIZE), Objective("size", Goal.MINIMIZE)),
            algorithm=Algorithm("quasirandom", seed=1),
        )
        trial = await world.one()
        await world.service.report(trial.name, 1, [Measurement(1, {"loss": 2.0, "size": 7.0}, 0.0)], "")
        await report(world, trial, {2: 1.0})
        (found,) = (await progress(world)).trials
        assert [(m.metric, m.step, m.value) for m in found.metrics] == [("loss", 2, 1.0), ("size", 1, 7.0)]
        assert found.pace.last_step == 2

    play(scenario)


def test_a_second_attempt_counts_from_its_own_first_report(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.create(trial=TrialTemplate(command=("train",)))
        trial = await world.one(leased=False)
        await report(world, trial, {1: 3.0, 2: 2.0, 3: 1.0})
        await world.end(trial, cause=Cause.PREEMPTED)
        again = await world.one(leased=False)
        assert (again.id, len(again.attempts)) == (trial.id, 2)
        await report(world, again, {2: 2.5}, start=500.0)
        (found,) = (await progress(world)).trials
        assert found.pace == Pace(2, first_step=2, first_time=502.0, last_step=2, last_time=502.0)
        assert found.metrics[0].curve == ((1, 3.0), (2, 2.5)), "what the first attempt did beyond is over"

    play(scenario)


def test_ended_and_deleted_trials_are_not_shown(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.create()
        trials = [await world.one() for _ in range(3)]
        for trial in trials:
            await report(world, trial, {1: 1.0})
        await progress(world)
        assert (await world.end(trials[0])).state is TrialState.SUCCEEDED
        await world.service.cancel_trial(trials[1].name, "")
        await world.service.end_attempt(trials[1].name, 1, End(Cause.STOPPED))
        assert [t.trial_id for t in (await progress(world)).trials] == [trials[2].id]

    play(scenario)


def test_whole_steps_come_from_the_setting_else_from_most_of_the_latest_whole_trials(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.create()
        for steps in (3, 4, 4):
            trial = await world.one()
            await report(world, trial, dict.fromkeys(range(1, steps + 1), 1.0))
            await world.end(trial)
        assert (await progress(world)).whole_steps == 4
        for steps in (5, 6, 7):
            trial = await world.one()
            await report(world, trial, {steps: 1.0})
            await world.end(trial)
        assert (await progress(world)).whole_steps is None, "they do not agree"

        asha = Stopping("asha", {"min": 1, "max": 27})
        await world.create(StudyName("default", "asha"), stopping=asha)
        assert (await world.service.progress(StudyName("default", "asha"), 0, 0)).whole_steps == 27

    play(scenario)


def test_it_is_bounded(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.create()
        trials = [await world.one() for _ in range(3)]
        for trial in trials:
            await report(world, trial, {step: 1 / step for step in range(1, 1001)})
        answer = await progress(world, limit=2)
        assert [t.trial_id for t in answer.trials] == [trials[0].id, trials[1].id]
        curve = answer.trials[0].metrics[0].curve
        assert 30 <= len(curve) <= 60
        assert (curve[0], curve[-1]) == ((1, 1.0), (1000, 0.001))
        assert len((await progress(world, points=2)).trials[0].metrics[0].curve) == 2
        for limit, points in ((-1, 0), (1001, 0), (0, 61), (0, -1)):
            with pytest.raises(InvalidArgument):
                await progress(world, limit, points)
        with pytest.raises(NotFound):
            await world.service.progress(StudyName("default", "nope"), 0, 0)

    play(scenario)


def test_it_answers_while_reports_never_cease(play: Play) -> None:
    """At every look at the store there are new reports."""

    async def scenario(world: World) -> None:
        await world.create()
        trial = await world.one()
        step = 0

        async def flood() -> None:
            nonlocal step
            while True:
                step += 1
                await report(world, trial, {step: 1.0})
                await asyncio.sleep(0)  # a store in memory is done at once, and nobody else would have a turn

        floods = [asyncio.create_task(flood()) for _ in range(4)]
        for _ in range(5):
            await progress(world)
        for task in floods:
            task.cancel()
        await asyncio.gather(*floods, return_exceptions=True)

    play(scenario)


def test_screens_that_ask_at_once_share_one_answer(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.create()
        await report(world, await world.one(), {1: 1.0})
        gone = asyncio.create_task(progress(world))
        others = [asyncio.create_task(progress(world)) for _ in range(10)]
        await asyncio.sleep(0)
        gone.cancel()
        first, *rest = await asyncio.gather(*others)
        assert all(answer is first for answer in rest)

        for asked in (
            asyncio.create_task(world.service.progress(StudyName("default", "nope"), 0, 0)) for _ in range(2)
        ):
            with pytest.raises(NotFound):
                await asked

    play(scenario)


def test_neither_the_study_nor_its_revision_is_touched(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.create()
        await report(world, await world.one(), {1: 1.0})
        before = await world.study()
        await progress(world)
        assert await world.study() == before

    play(scenario)


def test_a_costly_answer_is_given_for_twenty_times_as_long_as_it_took_to_make() -> None:
    clock = Clock()

    class Slow:
        """The clock goes on by a tenth of a second between two looks at it while an answer is made."""

        def __init__(self) -> None:
            self.step = 0.1

        def __call__(self) -> float:
            clock.now += self.step
            return clock.now

    async def main() -> None:
        store = MemoryStore()
        service = Service(store, None, clock)
        await service.start()
        world = World(service, clock, store)
        await world.create()
        await report(world, await world.one(), {1: 1.0})
        slow = Slow()
        asked = Progresses(service._live, slow)
        first = await asked.of(NAME, 10, 10)
        slow.step = 0.0
        clock.now += 1.5
        assert await asked.of(NAME, 10, 10) is first
        clock.now += 1.0
        assert await asked.of(NAME, 10, 10) == replace(first, time=clock.now)
        await service.close()
        store.close()

    asyncio.run(main())


def test_a_server_knows_what_was_reported_to_another(postgres: Postgres) -> None:
    url = postgres.ready()
    stores = open_postgres(url), open_postgres(url)
    clock = Clock()

    async def main() -> None:
        services = [Service(store, None, clock) for store in stores]
        for service in services:
            await service.start()
        one, other = (World(service, clock, store) for service, store in zip(services, stores, strict=True))
        try:
            await one.create(stopping=LATE)
            trial = await one.one()
            await progress(other)
            await report(one, trial, {1: 2.0})
            await report(other, trial, {2: 1.0})
            for world in (one, other):
                found = (await progress(world)).trials
                while not found or found[0].pace.last_step < 2:  # until the other server's hint has come
                    found = (await progress(world)).trials
                assert found[0].metrics[0].curve == ((1, 2.0), (2, 1.0))
        finally:
            for service in services:
                await service.close()

    try:
        asyncio.run(main())
    finally:
        for store in stores:
            store.close()
        postgres.drop(url)
