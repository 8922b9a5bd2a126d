"""Trials that fail: which count against `budget.failed`, and when a study pauses or has failed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from wazir.domain.attempt import Cause, RetryPolicy
from wazir.domain.study import Budget, EndReason, StudyState
from wazir.domain.template import TrialTemplate
from wazir.domain.trial import Trial, TrialState
from wazir.service.attempts import End
from wazir.service.requests import Request
from wazir.service.trials import Enqueued

from .conftest import NAME, Scenario, World

Play = Callable[[Scenario], None]
TEMPLATE = TrialTemplate(("train", "${args}"))
KEY = "exit code 1: KeyError: 'val_loss'"
METRIC = "looked for 'loss' in what it printed; the last lines were: los=0.5"


async def fail(w: World, trial: Trial, words: str = KEY, cause: Cause = Cause.CODE_FAILED) -> Trial:
    return await w.service.end_attempt(trial.name, len(trial.attempts), End(cause, message=words))


async def enqueue(w: World, x: float) -> None:
    await w.service.create_trial(NAME, Enqueued({"x": x, "kind": "a"}), Request(NAME.owner, "CreateTrial"))


async def behind_a_wall(w: World, trials: int) -> None:
    """Trials with x above 0.5 fail, and the others end well, until the study asks for no more of them."""
    for _ in range(trials):
        asked = (await w.ask()).trials
        if not asked:
            return
        x = asked[0].parameters["x"]
        assert isinstance(x, float)
        if x > 0.5:
            await fail(w, asked[0])
        else:
            await w.end(asked[0], x)


class TestTheLimit:
    def test_failures_that_parameters_explain_do_not_count(self, play: Play) -> None:
        async def scenario(w: World) -> None:
            await w.create(budget=Budget(failed=10, trials=30), trial=TEMPLATE)
            await behind_a_wall(w, 120)
            study = await w.study()
            assert study.counts[TrialState.FAILED] > 10
            assert (study.state, study.ending) == (StudyState.COMPLETED, EndReason.TRIALS)

        play(scenario)

    def test_those_that_they_do_not_explain_end_the_study(self, play: Play) -> None:
        async def scenario(w: World) -> None:
            await w.create(budget=Budget(failed=5), trial=TEMPLATE)
            for _ in range(30):
                await w.end(await w.one(), 0.5)
            while (await w.study()).state is StudyState.ACTIVE:
                await fail(w, await w.one())
            study = await w.study()
            assert study.ending is EndReason.FAILURES
            assert study.reason == f"6 trials failed, more than budget.failed = 5 allows: {KEY}"

        play(scenario)

    def test_the_reason_tells_how_many_are_explained(self, play: Play) -> None:
        async def scenario(w: World) -> None:
            await w.create(budget=Budget(failed=2), trial=TEMPLATE)
            for _ in range(3):
                await w.end(await w.one(), 0.5)
            for step in range(12):
                # A wall, as a person enqueues it.
                await enqueue(w, 0.95 if step % 2 else 0.05)
                trial = await w.one()
                await (fail(w, trial) if step % 2 else w.end(trial, 0.1))
            assert (await w.study()).state is StudyState.ACTIVE
            for _ in range(3):
                await enqueue(w, 0.05)
                await fail(w, await w.one(), "exit code 2: disk full")
            study = await w.study()
            assert study.state is StudyState.FAILED
            assert "more than budget.failed = 2 allows: exit code 2: disk full (6 more failed where" in study.reason

        play(scenario)

    def test_failures_of_the_platform_always_count(self, play: Play) -> None:
        async def scenario(w: World) -> None:
            template = TrialTemplate(("train", "${args}"), retries=RetryPolicy(preempted=0))
            await w.create(budget=Budget(failed=10), trial=template)
            for _ in range(11):
                await enqueue(w, 0.05)
                await w.end(await w.one(), 0.1)
                await enqueue(w, 0.95)
                await fail(w, await w.one(), "its node is gone", Cause.NODE_LOST)
            assert (await w.study()).ending is EndReason.FAILURES

        play(scenario)

    def test_a_raised_limit_lets_it_go_on(self, play: Play) -> None:
        async def scenario(w: World) -> None:
            study = await w.create(budget=Budget(failed=0), trial=TEMPLATE)
            await fail(w, await w.one())
            assert (await w.study()).state is StudyState.FAILED
            more = replace(study.spec, budget=Budget(failed=1))
            await w.service.update_study(NAME, more, ["spec.budget"], "")
            assert (await w.study()).state is StudyState.ACTIVE

        play(scenario)


class TestAStudyThatIsBroken:
    def test_pauses_if_its_first_three_trials_fail_alike(self, play: Play) -> None:
        async def scenario(w: World) -> None:
            await w.create(trial=TEMPLATE)
            trials = (await w.ask(5)).trials
            for trial in trials[:2]:
                await fail(w, trial)
            assert (await w.study()).state is StudyState.ACTIVE
            await fail(w, trials[2])
            study = await w.study()
            assert study.state is StudyState.PAUSED
            assert study.needs_a_person
            assert study.reason == (
                f"the first three trials failed in the same way: {KEY}. Fix the script, then: wazir resume s"
            )
            # What runs goes on, and a person who resumes the study is believed.
            await fail(w, trials[3])
            await w.service.resume_study(NAME)
            await fail(w, trials[4])
            await fail(w, await w.one())
            assert (await w.study()).state is StudyState.ACTIVE

        play(scenario)

    def test_goes_on_if_they_fail_in_different_ways(self, play: Play) -> None:
        async def scenario(w: World) -> None:
            await w.create(trial=TEMPLATE)
            for said in (KEY, KEY, "exit code 1: ValueError: bad lr"):
                await fail(w, await w.one(), said)
            assert (await w.study()).state is StudyState.ACTIVE

        play(scenario)

    def test_pauses_at_the_first_trial_without_the_metric(self, play: Play) -> None:
        async def scenario(w: World) -> None:
            await w.create(trial=TEMPLATE)
            first, second = (await w.ask(2)).trials
            await fail(w, first, METRIC, Cause.SUCCEEDED)
            study = await w.study()
            assert study.state is StudyState.PAUSED
            assert study.reason.startswith(f"trial {first.id} has no value: {METRIC}. If its name is wrong,")
            await w.service.resume_study(NAME)
            await fail(w, second, METRIC.replace("0.5", "0.6"), Cause.SUCCEEDED)
            assert (await w.study()).state is StudyState.ACTIVE

        play(scenario)

    def test_goes_on_if_others_have_reported_it(self, play: Play) -> None:
        async def scenario(w: World) -> None:
            await w.create(trial=TEMPLATE)
            await w.end(await w.one(), 0.5)
            await fail(w, await w.one(), METRIC, Cause.SUCCEEDED)
            assert (await w.study()).state is StudyState.ACTIVE

        play(scenario)

    def test_pauses_when_what_it_is_to_run_cannot_be_started_any_more(self, play: Play) -> None:
        async def scenario(w: World) -> None:
            await w.create(trial=TEMPLATE)
            await w.end(await w.one(), 0.5)
            await fail(w, await w.one(), "ErrImagePull: not found", Cause.CONFIG_BROKEN)
            study = await w.study()
            assert study.reason == (
                "trial 2 could not be started: ErrImagePull: not found. Fix that, or section `trial` of the study file "
                "(`wazir create FILE --resume` applies it), then: wazir resume s"
            )

        play(scenario)

    def test_goes_on_if_its_caller_evaluates_its_trials_himself(self, play: Play) -> None:
        async def scenario(w: World) -> None:
            await w.create()
            for _ in range(4):
                await fail(w, await w.one())
            assert (await w.study()).state is StudyState.ACTIVE

        play(scenario)


def test_a_study_of_which_nothing_came_has_failed_and_says_why(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(budget=Budget(trials=4))
        for memory in range(4):
            await fail(w, await w.one(), f"exit code 1: CUDA out of memory: {memory} GiB", Cause.OUT_OF_MEMORY)
        study = await w.study()
        assert study.counts[TrialState.INFEASIBLE] == 4
        assert (study.state, study.ending) == (StudyState.FAILED, EndReason.TRIALS)
        assert study.reason == (
            "budget.trials = 4 is reached, and no trial has a result; 4 of them: exit code 1: CUDA out of memory: 3 GiB"
        )

    play(scenario)
