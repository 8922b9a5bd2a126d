"""Trials that are paused at a rung and resumed by the study's algorithm."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from wazir.domain.attempt import Cause, RetryPolicy
from wazir.domain.metric import Goal, Objective
from wazir.domain.study import Algorithm, Budget, EndReason, Stopping, StudyState
from wazir.domain.template import TrialTemplate
from wazir.domain.trial import Measurement, StopGoal, Trial, TrialState
from wazir.service.attempts import End

from .conftest import NAME, Scenario, World

Play = Callable[[Scenario], None]
RANDOM = Algorithm("random", seed=1)
ASHA = Algorithm("asha", seed=1, settings={"min": 1, "max": 9, "eta": 3})


async def train(w: World, trial: Trial, last: int, loss: float) -> tuple[StopGoal | None, Trial]:
    """Goes on until it is told to stop, at `last` by itself; what it was told, and what became of it."""
    assert trial.attempt is not None
    number, told = trial.attempt.number, None
    done = 0 if trial.final_step is None else trial.final_step
    for step in range(done + 1, last + 1):
        told = (await w.service.report(trial.name, number, [Measurement(step, {"loss": loss}, 0.0)], "")).stop
        if told is not None:
            break
    return told, await w.service.end_attempt(trial.name, number, End(Cause.SUCCEEDED))


def test_a_trial_is_paused_at_its_rung_and_keeps_what_it_has(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(algorithm=ASHA)
        trial = await w.one()
        assert trial.until_step == 1
        told, trial = await train(w, trial, 9, 0.5)
        assert told is StopGoal.PAUSE
        assert (trial.state, trial.final, trial.final_step) == (TrialState.PAUSED, {"loss": 0.5}, 1)
        assert "it was to go to step 1 and wait there" in trial.reason
        assert (await w.study()).counts.live == 0

    play(scenario)


def test_the_best_of_three_goes_on_in_a_new_attempt(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(algorithm=ASHA)
        for loss in (0.5, 0.1, 0.9):
            await train(w, await w.one(), 9, loss)
        trial = await w.one()
        assert (trial.id, trial.until_step, len(trial.attempts)) == (2, 3, 2)
        assert trial.state is TrialState.ACTIVE
        whys = [attempt.why for attempt in (await w.service.trial(trial.name)).attempts]
        assert whys == ["", "step 1: rank 1 of 3, eta 3; goes on to step 3"]
        told, trial = await train(w, trial, 9, 0.1)
        assert (told, trial.state, trial.final_step) == (StopGoal.PAUSE, TrialState.PAUSED, 3)

    play(scenario)


def test_with_several_objectives_those_that_nothing_dominates_go_on(play: Play) -> None:
    """An objective may come in a report of its own; asha answers from a worker process then."""

    async def scenario(w: World) -> None:
        objectives = (Objective("loss", Goal.MINIMIZE), Objective("size", Goal.MINIMIZE))
        await w.create(algorithm=ASHA, objectives=objectives)
        pairs = [(0.5, 9.0), (0.5, 1.0), (0.1, 5.0), (0.6, 6.0), (0.7, 7.0), (0.8, 8.0)]
        for (loss, size), trial in zip(pairs, (await w.ask(6)).trials, strict=True):
            for metrics in ({"loss": loss}, {"size": size}):
                told = await w.service.report(trial.name, 1, [Measurement(1, metrics, 0.0)], "")
            assert told.stop is StopGoal.PAUSE
            await w.service.end_attempt(trial.name, 1, End(Cause.SUCCEEDED))
        assert [(await w.one()).id for _ in range(2)] == [3, 2]

    play(scenario)


@pytest.mark.parametrize(
    ("reports", "told", "why"),
    [
        ([(1, {"loss": 0.5, "size": 9.0})], [True], "all at once"),
        ([(1, {"loss": 0.5}), (1, {"size": 9.0})], [False, True], "what it is compared by is waited for"),
        ([(1, {"size": 9.0}), (1, {"loss": 0.5})], [False, True], "in any order"),
        ([(1, {"train": 0.1}), (1, {"size": 9.0, "loss": 0.5})], [False, True], "another metric is none of these"),
        ([(1, {"loss": 0.5}), (2, {"loss": 0.4})], [False, True], "what has not come by the next step does not come"),
        ([(2, {"loss": 0.5}), (1, {"size": 9.0})], [False, True], "it went past the step meanwhile"),
    ],
)
def test_a_trial_pauses_when_all_that_it_is_compared_by_is_there(
    play: Play, reports: list[tuple[int, dict[str, float]]], told: list[bool], why: str
) -> None:
    async def scenario(w: World) -> None:
        objectives = (Objective("loss", Goal.MINIMIZE), Objective("size", Goal.MINIMIZE))
        await w.create(algorithm=ASHA, objectives=objectives)
        trial = await w.one()
        answers = [await w.service.report(trial.name, 1, [Measurement(s, m, 0.0)], "") for s, m in reports]
        assert [answer.stop is StopGoal.PAUSE for answer in answers] == told, why
        assert (await w.service.end_attempt(trial.name, 1, End(Cause.SUCCEEDED))).state is TrialState.PAUSED

    play(scenario)


def test_a_study_goes_to_its_end_and_what_is_parked_then_counts(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(algorithm=ASHA, budget=Budget(trials=9))
        attempts = 0
        while trials := (await w.ask(1)).trials:
            attempts += 1
            (trial,) = trials
            await train(w, trial, 9, trial.id / 10)
        study = await w.study()
        assert (study.state, study.ending) == (StudyState.COMPLETED, EndReason.TRIALS)
        ended = [await w.service.trial(trial.name.parent.trial(n)) for n in range(1, 10)]
        assert {t.state for t in ended} == {TrialState.STOPPED, TrialState.SUCCEEDED}
        assert sorted(t.final_step or 0 for t in ended) == [1] * 6 + [3, 3, 9]
        assert attempts == 9 + 3 + 1

    play(scenario)


@pytest.mark.parametrize(
    ("algorithm", "stopping", "steps", "reason"),
    [
        (ASHA, None, 0, "it reported no objective by step, so it could be neither paused nor stopped early"),
        (
            RANDOM,
            Stopping("median"),
            0,
            "it reported no objective by step, so it could be neither paused nor stopped early",
        ),
        (
            Algorithm("hyperband", seed=1, settings={"min": 3, "max": 9}),
            None,
            2,
            "it ended by itself at step 2, and algorithm.max takes a whole trial to do 9",
        ),
        (
            RANDOM,
            Stopping("asha", {"max": 9}),
            8,
            "it ended by itself at step 8, and stopping.max takes a whole trial to do 9",
        ),
        (RANDOM, Stopping("asha", {"max": 9}), 9, ""),
        (RANDOM, Stopping("median"), 2, ""),
        (RANDOM, None, 0, ""),
    ],
)
def test_a_trial_that_never_reaches_the_maximum_says_so(
    play: Play, algorithm: Algorithm, stopping: Stopping | None, steps: int, reason: str
) -> None:
    async def scenario(w: World) -> None:
        await w.create(algorithm=algorithm, stopping=stopping)
        trial = await w.one()
        if steps:
            measured = [Measurement(step, {"loss": 0.5}, 0.0) for step in range(1, steps + 1)]
            await w.service.report(trial.name, 1, measured, "")
        ended = await w.end(trial, 0.5)
        assert (ended.state, ended.reason) == (TrialState.SUCCEEDED, reason)

    play(scenario)


def test_reports_of_other_metrics_are_nothing_to_judge_a_trial_by(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(stopping=Stopping("median"))
        trial = await w.one()
        await w.service.report(trial.name, 1, [Measurement(1, {"acc": 0.5}, 0.0)], "")
        assert (await w.end(trial, 0.5)).reason.startswith("it reported no objective by step")

    play(scenario)


def test_a_lost_attempt_is_tried_again_to_the_same_rung(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(algorithm=ASHA)
        trial = await w.one()
        await w.service.end_attempt(trial.name, 1, End(Cause.PREEMPTED, message="evicted"))
        again = await w.one()
        assert (again.id, again.until_step, [a.why for a in again.attempts]) == (trial.id, 1, ["", "evicted"])

    play(scenario)


@pytest.mark.parametrize("seed", range(4))
def test_every_rung_of_hyperband_gets_its_number_though_attempts_are_lost_and_fail(play: Play, seed: int) -> None:
    """R = 9, eta = 3, three at a time; one attempt in five is pre-empted, one in ten fails, once a trial at most."""

    async def scenario(w: World) -> None:
        algorithm = Algorithm("hyperband", seed=1, settings={"max": 9})
        template = TrialTemplate(("train", "${x}"), retries=RetryPolicy(failed=1))
        await w.create(algorithm=algorithm, budget=Budget(trials=17, parallel=3), trial=template)
        dice, running = random.Random(seed), list[Trial]()
        while trials := [*running, *(await w.ask(3 - len(running), leased=False)).trials]:
            running = dice.sample(trials, len(trials))
            trial = running.pop()
            thrown = dice.random()
            causes = {a.cause for a in trial.attempts}
            if thrown < 0.2:
                await w.service.end_attempt(trial.name, len(trial.attempts), End(Cause.PREEMPTED))
            elif thrown < 0.3 and Cause.CODE_FAILED not in causes:
                await w.service.end_attempt(trial.name, len(trial.attempts), End(Cause.CODE_FAILED))
            else:
                await train(w, trial, 9, float(trial.parameters["x"]))
        assert (await w.study()).state is StudyState.COMPLETED
        steps: dict[int, list[int]] = {}
        for number in range(1, 18):
            trial = await w.service.trial(NAME.trial(number))
            assert trial.provenance is not None
            steps.setdefault(int(trial.provenance.details["bracket"]), []).append(trial.final_step or 0)
        assert {b: sorted(s) for b, s in steps.items()} == {0: [1] * 6 + [3] * 2 + [9], 1: [3] * 4 + [9], 2: [9] * 3}

    play(scenario)


def test_one_that_knew_how_far_to_go_is_paused_by_its_last_report(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(algorithm=ASHA)
        trial = await w.one()
        last = End(Cause.SUCCEEDED, measurements=[Measurement(1, {"loss": 0.5}, 0.0)])
        assert (await w.service.end_attempt(trial.name, 1, last)).state is TrialState.PAUSED

    play(scenario)


@pytest.mark.parametrize("cause", [Cause.STOPPED, Cause.SUCCEEDED])
@pytest.mark.parametrize("name", ["asha", "hyperband"])
def test_what_went_on_to_the_end_though_it_was_to_pause_is_whole(play: Play, name: str, cause: Cause) -> None:
    """Training code that never asks whether to stop, or that was quicker than the word."""

    async def scenario(w: World) -> None:
        await w.create(algorithm=Algorithm(name, seed=1, settings={"max": 9}), budget=Budget(trials=9))
        for trial in (await w.ask(9)).trials:
            curve = [Measurement(step, {"loss": trial.id / step}, 0.0) for step in range(1, 10)]
            assert (await w.service.report(trial.name, 1, curve, "")).stop is StopGoal.PAUSE
            for _ in range(2):  # to say it again is harmless
                ended = await w.service.end_attempt(trial.name, 1, End(cause))
                assert (ended.state, ended.final_step, ended.reason) == (TrialState.SUCCEEDED, 9, "")
        assert (await w.ask(1)).trials == [], "nobody has to go on"
        assert (await w.study()).state is StudyState.COMPLETED

    play(scenario)


def test_what_did_not_come_to_the_end_before_it_was_ended_is_paused(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(algorithm=ASHA)
        trial = await w.one()
        curve = [Measurement(step, {"loss": 0.5}, 0.0) for step in range(1, 9)]
        await w.service.report(trial.name, 1, curve, "")
        assert (await w.end(trial, cause=Cause.STOPPED)).state is TrialState.PAUSED

    play(scenario)


def test_a_study_that_ends_meanwhile_stops_what_was_to_wait(play: Play) -> None:
    async def scenario(w: World) -> None:
        study = await w.create(algorithm=ASHA)
        trial = await w.one()
        await w.service.report(trial.name, 1, [Measurement(1, {"loss": 0.5}, 0.0)], "")
        await w.service.stop_study(study.name, "enough")
        ended = await w.service.end_attempt(trial.name, 1, End(Cause.SUCCEEDED))
        assert ended.state is TrialState.STOPPED
        assert (await w.study()).state is StudyState.COMPLETED

    play(scenario)
