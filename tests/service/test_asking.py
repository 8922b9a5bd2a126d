"""Handing out trials: waiting ones first, new points within budget and parallel limit, nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from wazir.domain.attempt import AttemptState, Cause
from wazir.domain.errors import IllegalMove, NotFound, RequestIdReused
from wazir.domain.names import StudyName
from wazir.domain.parameters import canonical
from wazir.domain.space import Categorical, Parameter, Space
from wazir.domain.study import Algorithm, Budget, EndReason, Shortage, StudyState
from wazir.domain.trial import Origin, TrialState
from wazir.service.requests import Request
from wazir.service.trials import Enqueued
from wazir.service.unit import Lease
from wazir.storage.store import Answer

from .conftest import NAME, Scenario, World

Play = Callable[[Scenario], None]


def test_ids_count_up_and_each_trial_has_a_running_attempt(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        trials = (await w.ask(3)).trials
        assert [t.id for t in trials] == [1, 2, 3]
        assert all(t.state is TrialState.ACTIVE for t in trials)
        assert [t.attempts[0].number for t in trials] == [1, 1, 1]
        assert trials[0].attempts[0].state is AttemptState.STARTING
        assert trials[0].client_id == "w"
        assert (await w.study()).counts.live == 3

    play(scenario)


def test_callers_that_wait_together_share_one_round_and_get_different_points(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        await w.ask(1)
        answers = await asyncio.gather(*(w.ask(2, client=f"c{i}") for i in range(10)))
        trials = [t for a in answers for t in a.trials]
        assert len({t.id for t in trials}) == 20
        assert len({canonical(t.parameters) for t in trials}) == 20
        for i, answer in enumerate(answers):
            assert {t.client_id for t in answer.trials} == {f"c{i}"}
        assert (await w.study()).rounds <= 3

    play(scenario)


def test_without_start_trials_are_requested_and_go_to_the_next_asker(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        first = await w.one(start=False)
        assert first.state is TrialState.REQUESTED
        again = await w.one(start=False)
        assert again.id == first.id
        started = await w.one(client="other")
        assert (started.id, started.state) == (first.id, TrialState.ACTIVE)

    play(scenario)


def test_an_enqueued_trial_goes_first_and_its_point_is_not_suggested_again(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(space=Space((Parameter("kind", Categorical(("a", "b"))),)))
        enqueued = await w.service.create_trial(NAME, Enqueued({"kind": "b"}), Request("default", "CreateTrial"))
        assert enqueued.origin is Origin.ENQUEUED
        answer = await w.ask(5)
        assert [t.parameters["kind"] for t in answer.trials] == ["b", "a"]
        assert answer.shortage is not None

    play(scenario)


@pytest.mark.parametrize(
    ("budget", "asked", "given", "shortage"),
    [
        (Budget(), 5, 5, None),
        (Budget(parallel=2), 5, 2, Shortage.PARALLEL),
        (Budget(trials=3), 5, 3, Shortage.BUDGET),
        (Budget(trials=3, parallel=3), 5, 3, Shortage.PARALLEL),
    ],
    ids=["no limit", "parallel", "trials", "both"],
)
def test_no_more_are_handed_out_than_the_budget_allows(
    play: Play, budget: Budget, asked: int, given: int, shortage: Shortage | None
) -> None:
    async def scenario(w: World) -> None:
        await w.create(budget=budget)
        answer = await w.ask(asked)
        assert (len(answer.trials), answer.shortage) == (given, shortage)

    play(scenario)


def test_a_place_is_free_again_when_a_trial_has_ended(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(budget=Budget(parallel=1))
        first = await w.one()
        assert (await w.ask()).trials == []
        await w.end(first, 1.0)
        assert (await w.one()).id == 2

    play(scenario)


def test_a_stopping_trial_counts_until_it_has_ended(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(budget=Budget(parallel=1))
        first = await w.one()
        await w.service.stop_trial(first.name, "")
        assert (await w.ask()).shortage is Shortage.PARALLEL

    play(scenario)


def test_a_failed_trial_is_replaced_within_the_budget(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(budget=Budget(trials=1))
        await w.end(await w.one(), cause=Cause.CODE_FAILED)
        assert (await w.one()).id == 2

    play(scenario)


@pytest.mark.parametrize("algorithm", ["random", "quasirandom", "grid", "shuffled_grid", "auto"])
def test_a_finite_space_is_tried_once_over_and_then_ends_the_study(play: Play, algorithm: str) -> None:
    async def scenario(w: World) -> None:
        kinds = Categorical(("a", "b", "c"))
        await w.create(
            space=Space((Parameter("k", kinds), Parameter("flag", Categorical((True, False))))),
            algorithm=Algorithm(algorithm, seed=3),
        )
        seen = []
        while trials := (await w.ask(4)).trials:
            seen += [(t.parameters["k"], t.parameters["flag"]) for t in trials]
            for trial in trials:
                await w.end(trial, 0.0)
        assert sorted(seen) == [(k, f) for k in "abc" for f in (False, True)]
        study = await w.study()
        assert (study.state, study.ending) == (StudyState.COMPLETED, EndReason.EXHAUSTED)

    play(scenario)


def test_the_same_request_id_gets_the_same_trials_and_makes_none(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        first = await w.ask(2, request_id="r1", payload="p")
        again = await w.ask(2, request_id="r1", payload="p")
        assert [t.id for t in again.trials] == [t.id for t in first.trials] == [1, 2]
        with pytest.raises(RequestIdReused):
            await w.ask(3, request_id="r1", payload="another")
        assert (await w.study()).counts.total == 2

    play(scenario)


@pytest.mark.parametrize("algorithm", ["random", "gp"])
def test_a_repeated_ask_whose_trial_was_deleted_fails_alone(play: Play, algorithm: str) -> None:
    async def scenario(w: World) -> None:
        await w.create(algorithm=Algorithm(algorithm, seed=1))
        first = await w.one(request_id="r1")
        await w.end(first, 0.0)
        await w.service.delete_trial(first.name)
        asks = [w.ask(client=f"c{i}") for i in range(3)]
        again, *others = await asyncio.gather(w.ask(request_id="r1"), *asks, return_exceptions=True)
        assert isinstance(again, NotFound)
        assert not [o for o in others if isinstance(o, BaseException)]

    play(scenario)


@pytest.mark.parametrize("algorithm", ["random", "gp"])
def test_an_ask_that_breaks_its_transaction_fails_alone(play: Play, algorithm: str) -> None:
    async def scenario(w: World) -> None:
        await w.create(algorithm=Algorithm(algorithm, seed=1))
        broken = Answer("SuggestTrials", "", "{no list of numbers", w.clock.now)
        w.store.write(lambda tx: tx.keep_answer("default", "r1", broken))
        asks = [w.ask(client=f"c{i}") for i in range(3)]
        bad, *others = await asyncio.gather(w.ask(request_id="r1"), *asks, return_exceptions=True)
        assert isinstance(bad, ValueError)
        trials = [t.id for o in others if not isinstance(o, BaseException) for t in o.trials]
        assert sorted(trials) == [1, 2, 3]

    play(scenario)


def test_reattach_gives_back_the_clients_live_trials(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        mine = await w.one(client="me")
        await w.one(client="you")
        assert [t.id for t in (await w.ask(1, client="me", reattach=True)).trials] == [mine.id]
        assert [t.id for t in (await w.ask(1, client="me")).trials] == [3]

    play(scenario)


def test_a_paused_study_hands_out_nothing_and_goes_on_when_resumed(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        await w.service.pause_study(NAME)
        assert (await w.ask()).shortage is Shortage.PAUSED
        await w.service.resume_study(NAME)
        assert len((await w.ask()).trials) == 1

    play(scenario)


def test_asking_a_study_that_does_not_exist_is_not_found(play: Play) -> None:
    async def scenario(w: World) -> None:
        with pytest.raises(NotFound, match="nobody"):
            await w.ask(name=StudyName("default", "nobody"))

    play(scenario)


def test_starting_a_trial_twice_is_refused_naming_both_states(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        trial = await w.one()
        with pytest.raises(IllegalMove, match="ACTIVE"):
            await w.service.start_attempt(trial.name, "x", Lease(60), Request("default", "StartAttempt"))

    play(scenario)


def test_a_suggestion_tells_what_it_was_made_from(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        await w.ask(2)
        second_round = await w.one()
        provenance = second_round.provenance
        assert provenance is not None
        assert (provenance.algorithm, provenance.round, provenance.index, provenance.count) == ("random", 1, 0, 1)
        assert provenance.why

    play(scenario)


def test_the_same_seed_and_history_give_the_same_points(play: Play) -> None:
    async def scenario(w: World) -> None:
        points = []
        for name in ("a", "b"):
            study = StudyName("default", name)
            await w.create(study, algorithm=Algorithm("quasirandom", seed=9))
            trials = [*(await w.ask(2, name=study)).trials, *(await w.ask(3, name=study)).trials]
            points.append([dict(t.parameters) for t in trials])
        assert points[0] == points[1]

    play(scenario)
