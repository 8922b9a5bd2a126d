"""The first points of an algorithm need no model and no worker, so a service whose workers are all busy gives the same
ones as any other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from wazir.domain.names import StudyName
from wazir.domain.study import Algorithm
from wazir.service.compute.answering import Question, answer, problem_of
from wazir.suggestion.designer import New
from wazir.suggestion.history import TrialHistory, observe
from wazir.suggestion.registry import make_designer

from .conftest import World
from .scripted import Script, installed
from .test_compute import SHORT, play, stood_in

WITH_A_MODEL = [
    Algorithm("auto", seed=5),
    Algorithm("gp", seed=5),
    Algorithm("tpe", seed=5),
    Algorithm("bayesian", seed=5),
    Algorithm("freeze_thaw", seed=5, settings={"max": 9}),
    Algorithm("bohb", seed=5, settings={"max": 9}),
]
OTHER = StudyName("default", "other")


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    with installed(tmp_path) as script:
        yield script


@asynccontextmanager
async def busy(w: World, script: Script) -> AsyncIterator[None]:
    """Within it the only worker computes for another study."""
    await w.create(OTHER, algorithm=script.algorithm())
    script.say("wait")
    waiting = asyncio.create_task(w.ask(name=OTHER))
    await script.started()
    yield
    script.go()
    await waiting


@pytest.mark.parametrize("algorithm", WITH_A_MODEL, ids=lambda a: a.name)
def test_busy_workers_do_not_change_a_study_s_first_points(script: Script, algorithm: Algorithm) -> None:
    async def scenario(w: World) -> None:
        study = await w.create(algorithm=algorithm)
        async with busy(w, script):
            trials = [trial for count in (1, 3) for trial in (await w.ask(count, fallback=False)).trials]
        assert not any(map(stood_in, trials))

        # What a worker would have answered, which is given no more than this.
        problem = problem_of(study.spec)
        assert problem is not None
        designer, history, memo = make_designer(algorithm, problem), TrialHistory(), ""
        expected: list[New] = []
        for number, count in enumerate((1, 3)):
            question = Question(study.seed, number, count, memo)
            found = answer(designer, problem, history, question)
            memo = found.memo
            expected += [p for p in found.proposals if isinstance(p, New)]
            history.put(observe(trials[0], study.spec.objectives))
        assert [dict(t.parameters) for t in trials] == [dict(p.parameters) for p in expected]
        assert [t.provenance.why for t in trials if t.provenance] == [p.why for p in expected]
        assert (await w.study()).memo == memo

    play(scenario)


def test_callers_who_want_more_than_the_first_points_share_what_there_is_of_them(script: Script) -> None:
    async def scenario(w: World) -> None:
        await w.create(algorithm=Algorithm("gp", seed=5))
        for value in range(4):
            await w.end(await w.one(), float(value))
        async with busy(w, script):
            callers = [w.ask(client=f"c{i}", deadline=2 * SHORT) for i in range(4)]
            trials = [trial for asked in await asyncio.gather(*callers) for trial in asked.trials]
        # Six points need no model.
        assert [bool(stood_in(trial)) for trial in sorted(trials, key=lambda t: t.id)] == [False, False, True, True]

    play(scenario)


def test_a_round_that_needs_the_model_waits_for_a_worker(script: Script) -> None:
    async def scenario(w: World) -> None:
        await w.create(algorithm=Algorithm("gp", seed=5))
        for value in range(6):
            await w.end(await w.one(), float(value))
        async with busy(w, script):
            assert "no worker was free in time" in stood_in(await w.one(deadline=SHORT))
        assert not stood_in(await w.one())

    play(scenario)
