"""Rows of deleted studies, and curves of studies that ended long ago, go in small batches."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from wazir.domain.names import StudyName, TrialName
from wazir.domain.study import Budget, Stopping, Study, StudyState, Thinning
from wazir.domain.trial import Instruction, Measurement, Trial
from wazir.service import thinning
from wazir.service.settings import ServiceSettings
from wazir.service.upkeep import FEWEST_ROWS, MOST_ROWS, Batch
from wazir.storage import sql
from wazir.storage.memory import MemoryStore
from wazir.storage.store import Point

from ..waiting import until
from .conftest import NAME, World

Play = Callable[..., None]
DAY = 86_400.0
SETTINGS = ServiceSettings(keep_measurements=30 * DAY, keep_points=10, upkeep_interval=0.01, duty_interval=0.01)
ONE_TRIAL = Budget(trials=1)
LIMIT = 30.0
"""Seconds, within which everything is done even on a busy machine."""


async def report(world: World, trial: Trial, first: int, last: int, loss: Callable[[int], float]) -> Instruction:
    points = [Measurement(step, {"loss": loss(step)}, 1.0) for step in range(first, last + 1)]
    return await world.service.report(trial.name, 1, points, "")


async def trained(world: World, name: StudyName = NAME) -> TrialName:
    """A trial of 100 steps, the best of them the 30th, at its end."""
    trial = await world.one(name=name)
    await report(world, trial, 1, 100, lambda step: abs(step - 30) / 8)
    await world.end(trial)
    return trial.name


async def steps(world: World, trial: TrialName) -> list[int]:
    return [m.step for m in await world.service.measurements(trial)]


async def thinned(world: World, name: StudyName = NAME, since: float = 0.0) -> Study:
    """The study once all of it is thinned, after that time."""

    async def done() -> bool:
        thinning = (await world.study(name)).thinning
        return thinning is not None and thinning.time is not None and thinning.time > since

    await until(done)
    return await world.study(name)


# Curves


def test_curves_of_a_study_that_ended_long_ago_are_thinned_and_the_study_says_so(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(budget=ONE_TRIAL)
        trial = await trained(w)
        before = await w.service.trial(trial)
        w.clock.now += 31 * DAY
        study = await thinned(w)
        assert study.thinning == Thinning(10, w.clock.now)
        assert await steps(w, trial) == [1, 13, 25, 30, 38, 50, 62, 75, 87, 100]
        assert await w.service.trial(trial) == before, "its results are untouched"

    play(scenario, SETTINGS)


def test_curves_are_whole_until_the_time_is_over_and_for_ever_without_a_policy(play: Play) -> None:
    async def whole(w: World) -> None:
        trial = await trained(w)
        study = await w.study()
        assert study.thinning is None
        assert len(await steps(w, trial)) == 100

    async def scenario(w: World) -> None:
        other = StudyName("default", "earlier")
        await w.create(other, budget=ONE_TRIAL)
        await trained(w, other)
        w.clock.now += 29 * DAY
        await w.create(budget=ONE_TRIAL)
        w.clock.now += 2 * DAY
        await thinned(w, other)
        await whole(w)

    play(scenario, SETTINGS)


def test_a_study_that_is_active_or_paused_is_never_thinned(play: Play) -> None:
    async def scenario(w: World) -> None:
        paused, ended = StudyName("default", "paused"), StudyName("default", "ended")
        trials = []
        for name in (NAME, paused, ended):
            await w.create(name, budget=ONE_TRIAL if name == ended else Budget())
            trials.append(await trained(w, name))
        await w.service.pause_study(paused)
        w.clock.now += 400 * DAY
        await thinned(w, ended)
        assert [len(await steps(w, trial)) for trial in trials] == [100, 100, 10]

    play(scenario, SETTINGS)


def test_a_thinned_study_whose_budget_is_raised_goes_on_and_is_thinned_again(play: Play) -> None:
    async def scenario(w: World) -> None:
        median = Stopping("median", {"min": 20, "min_trials": 1})
        study = await w.create(budget=ONE_TRIAL, stopping=median)
        old = await trained(w)
        w.clock.now += 31 * DAY
        study = await thinned(w)

        w.clock.now += 1
        more = replace(study.spec, budget=Budget(trials=3))
        await w.service.update_study(NAME, more, ["spec.budget"], "")
        trial = await w.one()
        told = await report(w, trial, 1, 40, lambda step: 1000.0)
        assert told.stop is not None, "it is compared with what is left of the first curve"
        await w.end(trial)
        last = await trained(w)
        assert len(await steps(w, last)) == 100

        w.clock.now += 31 * DAY
        await thinned(w, since=w.clock.now - 1)
        assert [len(await steps(w, t)) for t in (old, trial.name, last)] == [10, 10, 10]

    play(scenario, SETTINGS)


def test_a_study_that_goes_on_meanwhile_is_left_alone(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(budget=ONE_TRIAL)
        trial = await trained(w)
        ended = await w.study()
        more = replace(ended.spec, budget=Budget(trials=2))
        await w.service.update_study(NAME, more, ["spec.budget"], "")
        assert (await w.study()).state is StudyState.ACTIVE
        with pytest.raises(thinning.GoesOn):
            await asyncio.to_thread(w.store.write, lambda tx: thinning.remove(tx, ended, [(trial, (1, 50, "loss"))]))
        assert len(await steps(w, trial)) == 100

    play(scenario)


def test_what_a_later_attempt_reported_anew_is_not_part_of_the_curve() -> None:
    def row(attempt: int, step: int, metric: str = "loss") -> Point:
        return Point(1, attempt, step, metric=metric, value=float(step), time=1.0, sequence=1)

    rows = [row(1, 1), row(1, 2), row(2, 2), row(2, 3), row(2, 4), row(2, 5), row(2, 5, "accuracy")]
    assert thinning.excess_of(rows, 5) == [(1, 2, "loss")]
    assert thinning.excess_of(rows, 4) == [(1, 2, "loss"), (2, 4, "loss")]


# Deleted studies


def test_the_rows_of_a_large_study_that_was_deleted_are_removed_in_the_background(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sql, "AT_ONCE", 20)

    async def scenario(w: World) -> None:
        await w.create()
        await trained(w)
        await w.service.delete_study(NAME, force=True)

        async def gone() -> bool:
            return isinstance(w.store, MemoryStore) or not await asyncio.to_thread(left, w)

        await until(gone)

    # It would look again in an hour, if the deletion were no reason to look at once.
    play(scenario, ServiceSettings(duty_interval=0.01, upkeep_interval=3600.0))


def left(world: World) -> int:
    """Rows of deleted studies that a unit finds, which is then undone."""

    class Undo(Exception):
        pass

    found = []

    def look(tx: sql.SqlTransaction) -> None:
        found.append(tx.purge(1))
        raise Undo

    with pytest.raises(Undo):
        world.store.write(look)  # type: ignore[arg-type]
    return found[0]


def test_batches_become_as_large_as_takes_little_time() -> None:
    batch = Batch()
    for _ in range(20):
        batch.note(batch.rows, 0.001)
    assert batch.rows == MOST_ROWS
    for _ in range(20):
        batch.note(batch.rows, 1.0)
    assert batch.rows == FEWEST_ROWS
    batch.note(1, 0.0001)
    assert batch.rows == FEWEST_ROWS, "one row says nothing about more of them"
