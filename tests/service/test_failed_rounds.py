"""Stand-ins are counted with their study, and an algorithm that fails again and again pauses it, in its own words."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from wazir.domain.algorithm_status import MAX_FAILED_ROUNDS
from wazir.domain.study import Algorithm, Shortage, StudyState
from wazir.service.service import Service
from wazir.service.settings import ServiceSettings
from wazir.storage.sqlite import open_sqlite

from .conftest import NAME, Clock, World
from .scripted import Script, installed
from .test_compute import SHORT, play, stood_in

NONSENSE = [
    ("raise", "it raised ValueError: no luck at all"),
    ("nothing", "it answered with NoneType and not with Suggestions"),
    ("outside", "it proposed a point outside the space: parameters.x = 1.5"),
]


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    with installed(tmp_path) as script:
        yield script


async def fail(w: World, times: int) -> None:
    """So many rounds in a row, each of which somebody waits for."""
    for _ in range(times):
        assert len((await w.ask()).trials) <= 1


@pytest.mark.parametrize("cheap", [True, False], ids=["cheap", "costly"])
class TestAnAlgorithmThatFails:
    @pytest.mark.parametrize(("words", "reason"), NONSENSE)
    def test_five_rounds_in_a_row_pauses_its_study_and_says_why(
        self, script: Script, cheap: bool, words: str, reason: str
    ) -> None:
        async def scenario(w: World) -> None:
            algorithm = script.algorithm(cheap=cheap)
            await w.create(algorithm=algorithm)
            script.say(words)
            await fail(w, MAX_FAILED_ROUNDS - 1)
            assert (await w.study()).state is StudyState.ACTIVE
            answer = await w.ask(2)
            assert (list(answer.trials), answer.shortage) == ([], Shortage.PAUSED)
            study = await w.study()
            assert study.state is StudyState.PAUSED
            assert study.reason.startswith(f"{algorithm.name} failed {MAX_FAILED_ROUNDS} rounds in a row: {reason}")
            assert study.needs_a_person
            assert study.rounds == 0

        play(scenario)

    def test_its_stand_ins_are_counted_with_the_latest_reason(self, script: Script, cheap: bool) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm(cheap=cheap))
            await w.ask(2)
            assert (await w.study()).algorithm_status.stand_ins == 0
            script.say("nothing")
            await w.ask(3)
            script.say("raise")
            await w.ask(2)
            status = (await w.study()).algorithm_status
            assert status.stand_ins == 5
            assert status.stand_in_reason.startswith("it raised ValueError")
            assert status.failed_rounds == 2

        play(scenario)

    def test_a_good_round_begins_the_count_again(self, script: Script, cheap: bool) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm(cheap=cheap))
            for _ in range(3):
                script.say("raise")
                await fail(w, MAX_FAILED_ROUNDS - 1)
                script.say("answer")
                assert not stood_in(await w.one())
            study = await w.study()
            assert study.state is StudyState.ACTIVE
            assert study.algorithm_status.failed_rounds == 0
            assert study.algorithm_status.stand_ins == 3 * (MAX_FAILED_ROUNDS - 1)

        play(scenario)

    def test_a_resumed_study_tries_again(self, script: Script, cheap: bool) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm(cheap=cheap))
            script.say("raise")
            await fail(w, MAX_FAILED_ROUNDS)
            await w.service.resume_study(NAME)
            await fail(w, MAX_FAILED_ROUNDS - 1)
            assert (await w.study()).state is StudyState.ACTIVE
            script.say("answer")
            assert not stood_in(await w.one())

        play(scenario)

    def test_another_algorithm_begins_the_count_again(self, script: Script, cheap: bool) -> None:
        async def scenario(w: World) -> None:
            study = await w.create(algorithm=script.algorithm(cheap=cheap))
            script.say("raise")
            await fail(w, MAX_FAILED_ROUNDS - 1)
            spec = replace(study.spec, algorithm=Algorithm("random", seed=1))
            changed = await w.service.update_study(NAME, spec, ["spec.algorithm"], "")
            assert changed.algorithm_status.failed_rounds == 0

        play(scenario)

    def test_the_count_survives_the_server(self, script: Script, cheap: bool, tmp_path: Path) -> None:
        async def serve(rounds: int, *, first: bool) -> StudyState:
            with closing(open_sqlite(tmp_path / "wazir.db")) as store:
                clock = Clock()
                service = Service(store, ServiceSettings(compute_workers=1), clock)
                await service.start()
                try:
                    w = World(service, clock, store)
                    if first:
                        await w.create(algorithm=script.algorithm(cheap=cheap))
                    await fail(w, rounds)
                    return (await w.study()).state
                finally:
                    await service.close()

        script.say("raise")
        assert asyncio.run(serve(MAX_FAILED_ROUNDS - 1, first=True)) is StudyState.ACTIVE
        assert asyncio.run(serve(1, first=False)) is StudyState.PAUSED

    def test_rounds_of_nothing_but_its_own_stand_ins_count_as_failed(self, script: Script, cheap: bool) -> None:
        async def scenario(w: World) -> None:
            await w.create(algorithm=script.algorithm(cheap=cheap))
            script.say("fallback")
            trial = await w.one()
            assert trial.provenance is not None
            assert trial.provenance.fallback
            assert trial.provenance.algorithm.startswith("scripted")
            await fail(w, MAX_FAILED_ROUNDS - 1)
            study = await w.study()
            assert study.state is StudyState.PAUSED
            assert "its model cannot be fitted" in study.reason
            assert study.algorithm_status.stand_ins == MAX_FAILED_ROUNDS
            assert study.algorithm_status.stand_in_reason == "its model cannot be fitted"

        play(scenario)


def test_a_round_that_is_late_is_a_stand_in_and_no_failure(script: Script) -> None:
    async def scenario(w: World) -> None:
        await w.create(algorithm=script.algorithm())
        script.say("wait")
        assert all(map(stood_in, (await w.ask(2, deadline=SHORT)).trials))
        study = await w.study()
        assert study.state is StudyState.ACTIVE
        assert study.algorithm_status.stand_ins == 2
        assert study.algorithm_status.failed_rounds == 0
        assert "no worker was free in time" in study.algorithm_status.stand_in_reason or (
            "it was not done after" in study.algorithm_status.stand_in_reason
        )

    play(scenario)


def test_a_worker_that_is_killed_from_outside_is_no_failure_of_the_algorithm(script: Script) -> None:
    async def scenario(w: World) -> None:
        await w.create(algorithm=script.algorithm())
        script.say("kill")
        assert stood_in(await w.one())
        assert (await w.study()).algorithm_status.failed_rounds == 0

    play(scenario)


def test_a_failure_counts_though_nobody_waits_for_it_any_more(script: Script) -> None:
    async def scenario(w: World) -> None:
        await w.create(algorithm=script.algorithm())
        script.say("wait raise")
        assert stood_in(await w.one(deadline=SHORT))
        await script.started()
        with w.service._feed.news_of(NAME) as news:
            script.go()
            await news.wait()
        assert (await w.study()).algorithm_status.failed_rounds == 1

    play(scenario)
