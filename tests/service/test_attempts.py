"""Attempts are fenced, ended once, and decide what becomes of their trials; leases are kept; budgets end studies."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from wazir.domain.attempt import Attempt, AttemptState, Cause, RetryPolicy
from wazir.domain.errors import FailedPrecondition, InvalidArgument, StaleAttempt
from wazir.domain.metric import Goal, Objective, Pick, SafetyMetric
from wazir.domain.study import Budget, EndReason, Stopping, StudyState
from wazir.domain.template import TrialTemplate
from wazir.domain.trial import Measurement, StopGoal, Trial, TrialState
from wazir.service.attempts import End, Sight
from wazir.service.feed import Feed
from wazir.service.leases import LeaseKeeper

from .conftest import NAME, Clock, Scenario, World

Play = Callable[[Scenario], None]


def curve(*values: float) -> list[Measurement]:
    return [Measurement(i + 1, {"loss": v}, 0.0) for i, v in enumerate(values)]


def test_a_trial_that_ends_with_a_value_has_succeeded(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        ended = await w.end(await w.one(), 0.5)
        assert (ended.state, ended.final, ended.end_time) == (TrialState.SUCCEEDED, {"loss": 0.5}, w.clock.now)
        assert (await w.service.optimal_trials(NAME, 0)).items[0].id == ended.id

    play(scenario)


def test_without_a_final_value_the_last_report_counts(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        trial = await w.one()
        await w.service.report(trial.name, 1, curve(3.0, 1.0, 2.0), "")
        ended = await w.end(trial)
        assert (ended.final, ended.final_step) == ({"loss": 2.0}, 3)

    play(scenario)


def test_pick_best_makes_the_best_report_count(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(objectives=(Objective("loss", Goal.MINIMIZE, pick=Pick.BEST),))
        trial = await w.one()
        await w.service.report(trial.name, 1, curve(3.0, 1.0, 2.0), "")
        ended = await w.end(trial)
        assert (ended.final, ended.final_step) == ({"loss": 1.0}, 2)

    play(scenario)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_non_finite_value_is_infeasible(play: Play, value: float) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        ended = await w.end(await w.one(), value)
        assert ended.state is TrialState.INFEASIBLE
        assert "diverged" in ended.reason

    play(scenario)


def test_a_trial_that_never_reports_its_metric_fails_and_says_what_was_looked_for(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        trial = await w.one()
        await w.service.report(trial.name, 1, [Measurement(1, {"accuracy": 1.0}, 0.0)], "")
        how = End(Cause.SUCCEEDED, log_tail="epoch 1\n\nval_loss is 0.5\n")
        ended = await w.service.end_attempt(trial.name, 1, how)
        assert ended.state is TrialState.FAILED
        assert ended.reason == (
            "ended well but never reported 'loss'; it reported 'accuracy'; the last it "
            "printed: epoch 1 | val_loss is 0.5"
        )

    play(scenario)


def test_ending_twice_the_same_way_is_harmless_and_another_way_refused(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        trial = await w.one()
        first = await w.end(trial, 0.5)
        assert await w.end(trial, 0.5) == first
        with pytest.raises(FailedPrecondition, match="SUCCEEDED"):
            await w.end(trial, 0.7)
        with pytest.raises(FailedPrecondition, match="succeeded"):
            await w.end(trial, cause=Cause.CODE_FAILED)
        assert (await w.service.trial(trial.name)) == first

    play(scenario)


def test_a_stale_attempt_can_neither_report_nor_end(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        trial = await w.one()
        await w.service.end_attempt(trial.name, 1, End(Cause.LEASE_LOST))
        again = await w.one(client="other")
        assert (again.id, len(again.attempts)) == (trial.id, 2)
        with pytest.raises(StaleAttempt):
            await w.service.report(trial.name, 1, curve(1.0), "")
        with pytest.raises(StaleAttempt):
            await w.end(trial, 1.0)
        with pytest.raises(StaleAttempt):
            await w.service.heartbeat(trial.name, 1, Sight())
        assert (await w.end(again, 2.0)).final == {"loss": 2.0}

    play(scenario)


def test_retries_are_counted_by_whose_fault_it_was(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(trial=TrialTemplate(("true", "${args}"), retries=RetryPolicy(failed=1, preempted=1)))
        trial = await w.one()
        states = []
        for cause in (Cause.CODE_FAILED, Cause.PREEMPTED, Cause.CODE_FAILED):
            states.append((await w.end(trial, cause=cause)).state)
            if states[-1] is TrialState.REQUESTED:
                trial = await w.one()
        assert states == [TrialState.REQUESTED, TrialState.REQUESTED, TrialState.FAILED]
        assert len(trial.attempts) == 3
        assert (await w.study()).counts[TrialState.FAILED] == 1

    play(scenario)


def test_a_value_from_before_reports_were_lost_is_no_value(play: Play) -> None:
    """The second attempt goes on from a checkpoint that lies beyond what the first could report."""

    async def scenario(w: World) -> None:
        await w.create(trial=TrialTemplate(("true", "${args}"), retries=RetryPolicy(preempted=5)))
        trial = await w.one()
        await w.service.report(trial.name, 1, curve(4.0), "")
        assert (await w.end(trial, cause=Cause.REPORTS_LOST)).state is TrialState.REQUESTED

        await w.one()
        ended = await w.service.end_attempt(trial.name, 2, End(Cause.SUCCEEDED))
        assert ended.state is TrialState.FAILED
        assert [a.cause for a in ended.attempts] == [Cause.REPORTS_LOST, Cause.REPORTS_LOST]
        assert ended.reason.startswith("attempt 1 lost reports, and attempt 2 went on after them")
        assert await w.service.end_attempt(trial.name, 2, End(Cause.SUCCEEDED)) == ended

    play(scenario)


def test_after_lost_reports_a_new_attempt_that_measures_succeeds(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(trial=TrialTemplate(("true", "${args}"), retries=RetryPolicy(preempted=5)))
        trial = await w.one()
        await w.service.report(trial.name, 1, curve(4.0), "")
        await w.end(trial, cause=Cause.REPORTS_LOST)

        await w.one()
        await w.service.report(trial.name, 2, [Measurement(40, {"loss": 1.0}, 0.0)], "")
        ended = await w.service.end_attempt(trial.name, 2, End(Cause.SUCCEEDED))
        assert (ended.state, ended.final) == (TrialState.SUCCEEDED, {"loss": 1.0})

    play(scenario)


def test_the_training_code_may_call_its_parameters_infeasible(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        trial = await w.one()
        told = await w.service.report(trial.name, 1, [], "needs 80 GiB")
        assert told.stop is StopGoal.STOP
        ended = await w.end(trial, cause=Cause.CODE_FAILED)
        assert (ended.state, ended.reason) == (TrialState.INFEASIBLE, "needs 80 GiB")
        assert await w.end(trial, cause=Cause.CODE_FAILED) == ended, "said again, it is no contradiction"

    play(scenario)


def test_a_stopped_trial_is_told_so_and_its_measurements_count(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        trial = await w.one()
        await w.service.report(trial.name, 1, curve(4.0), "")
        await w.service.stop_trial(trial.name, "enough")
        told = await w.service.report(trial.name, 1, [Measurement(2, {"loss": 3.0}, 0.0)], "")
        assert (told.stop, told.reason) == (StopGoal.STOP, "enough")
        ended = await w.end(trial, cause=Cause.STOPPED)
        assert (ended.state, ended.final) == (TrialState.STOPPED, {"loss": 3.0})

    play(scenario)


def test_a_script_that_ends_with_success_because_it_was_told_to_stop_was_stopped(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        trial = await w.one()
        await w.service.report(trial.name, 1, curve(4.0), "")
        await w.service.stop_trial(trial.name, "enough")
        ended = await w.end(trial, cause=Cause.SUCCEEDED)
        assert (ended.state, ended.final) == (TrialState.STOPPED, {"loss": 4.0})
        assert await w.end(trial, cause=Cause.SUCCEEDED) == ended, "said again, it is no contradiction"

    play(scenario)


def test_a_trial_stopped_before_it_measured_anything_is_cancelled(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        trial = await w.one()
        await w.service.stop_trial(trial.name, "")
        assert (await w.end(trial, cause=Cause.STOPPED)).state is TrialState.CANCELLED

    play(scenario)


@pytest.mark.parametrize(
    ("field", "seen"),
    [
        pytest.param("state", {"state": AttemptState.ENDED}, id="ended: without a cause, its trial would hang"),
        pytest.param("state", {"state": AttemptState.STARTING}, id="starting: it has been numbered already"),
        pytest.param("gpus", {"gpus": -1.0}, id="GPU hours would go down"),
        pytest.param("gpus", {"gpus": math.nan}, id="or be no number any more"),
        pytest.param("gpus", {"gpus": 1e18}, id="or be used up at once"),
        pytest.param("devices", {"devices": ("0",) * 2_000}, id="devices without end"),
        pytest.param("devices", {"devices": ("0\n1",)}, id="a device of two lines"),
        pytest.param("node", {"node": "n" * 5_000}, id="a node's name without end"),
        pytest.param("log_path", {"log_path": "/log\0"}, id="a path that no file has"),
    ],
)
def test_what_nobody_can_have_seen_is_refused(field: str, seen: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        Sight(**seen)
    assert refusal.value.field == field


def test_a_heartbeat_notes_what_was_seen(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        trial = await w.one()
        await w.service.heartbeat(trial.name, 1, Sight(AttemptState.QUEUED, "no GPU is free"))
        assert (await w.service.trial(trial.name)).attempts[0].message == "no GPU is free"
        await w.service.heartbeat(trial.name, 1, Sight(AttemptState.RUNNING, node="n1", devices=("3",), gpus=1.0))
        attempt = (await w.service.trial(trial.name)).attempts[0]
        assert (attempt.state, attempt.node, attempt.devices, attempt.message) == (
            AttemptState.RUNNING,
            "n1",
            ("3",),
            "",
        )
        assert attempt.run_time == w.clock.now

    play(scenario)


@pytest.mark.parametrize(
    ("said", "noted"), [(None, 60.0), (40.0, 40.0), (-5.0, 0.0), (1000.0, 60.0)], ids=["now", "then", "before", "after"]
)
def test_an_attempt_runs_since_its_holder_saw_it(play: Play, said: float | None, noted: float) -> None:
    """Seconds after its start; news of it may come late, and holders' clocks may be wrong."""

    async def scenario(w: World) -> None:
        await w.create()
        trial = await w.one()
        began = w.clock.now
        w.clock.now += 60.0
        said_time = None if said is None else began + said
        await w.service.heartbeat(trial.name, 1, Sight(AttemptState.RUNNING, gpus=2.0, run_time=said_time))
        attempt = (await w.service.trial(trial.name)).attempts[0]
        assert attempt.run_time == began + noted
        w.clock.now = began + 100.0
        await w.service.end_attempt(trial.name, 1, End(Cause.SUCCEEDED, {"loss": 1.0}))
        assert (await w.service.study(trial.study)).gpu_seconds == pytest.approx(2.0 * (100.0 - noted))

    play(scenario)


@pytest.mark.parametrize(
    ("measurements", "match"),
    [
        ([Measurement(-1, {"loss": 1.0}, 0.0)], "step"),
        ([Measurement(1, {}, 0.0)], "names no metric"),
        ([Measurement(1, {"": 1.0}, 0.0)], "name"),
        ([Measurement(i, {f"m{j}": 0.0 for j in range(101)}, 0.0) for i in range(100)], "several reports"),
    ],
)
def test_a_bad_report_is_refused_and_nothing_of_it_kept(
    play: Play, measurements: list[Measurement], match: str
) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        trial = await w.one()
        with pytest.raises(InvalidArgument, match=match):
            await w.service.report(trial.name, 1, [Measurement(7, {"loss": 1.0}, 0.0), *measurements], "")
        assert await w.service.measurements(trial.name) == []

    play(scenario)


def test_the_study_is_completed_when_its_trials_are_done(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(budget=Budget(trials=2))
        first, second = (await w.ask(2)).trials
        await w.end(first, 1.0)
        assert (await w.study()).state is StudyState.ACTIVE
        await w.end(second, 1.0)
        study = await w.study()
        assert (study.state, study.ending, study.end_time) == (StudyState.COMPLETED, EndReason.TRIALS, w.clock.now)

    play(scenario)


def test_a_reached_target_stops_the_others(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(objectives=(Objective("loss", Goal.MINIMIZE, target=0.1),))
        first, second = (await w.ask(2)).trials
        waiting = await w.one(start=False)
        await w.end(first, 0.1)
        assert (await w.service.trial(second.name)).state is TrialState.STOPPING
        assert (await w.service.trial(waiting.name)).state is TrialState.CANCELLED
        await w.end(second, cause=Cause.STOPPED)
        study = await w.study()
        assert (study.state, study.ending) == (StudyState.COMPLETED, EndReason.TARGET)
        assert "trial 1 reached loss = 0.1" in study.reason

    play(scenario)


def test_an_unsafe_trial_reaches_no_target_and_is_not_best(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(
            objectives=(Objective("loss", Goal.MINIMIZE, target=0.1),), safety=(SafetyMetric("latency", at_most=5.0),)
        )
        unsafe, safe = (await w.ask(2)).trials
        await w.service.end_attempt(unsafe.name, 1, End(Cause.SUCCEEDED, {"loss": 0.0, "latency": 9.0}))
        assert (await w.study()).ending is None
        await w.service.end_attempt(safe.name, 1, End(Cause.SUCCEEDED, {"loss": 0.5, "latency": 5.0}))
        assert [t.id for t in (await w.service.optimal_trials(NAME, 5)).items] == [safe.id]

    play(scenario)


def test_too_many_failed_trials_fail_the_study(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(budget=Budget(failed=1))
        for _ in range(2):
            await w.end(await w.one(), cause=Cause.CODE_FAILED)
        study = await w.study()
        assert (study.state, study.ending) == (StudyState.FAILED, EndReason.FAILURES)
        await w.service.retry_trial(NAME.trial(1))
        assert (await w.study()).state is StudyState.ACTIVE
        assert (await w.one()).id == 1

    play(scenario)


def test_the_duration_ends_a_study_in_which_nothing_happens(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(budget=Budget(duration=100.0))
        trial = await w.one()
        w.clock.now += 100.0
        async for changes in w.service.watch_trials(NAME, 0):
            if changes.study.ending is not None:
                break
        assert (await w.service.trial(trial.name)).state is TrialState.STOPPING
        await w.end(trial, cause=Cause.STOPPED)
        assert (await w.study()).ending is EndReason.DURATION

    play(scenario)


def test_several_objectives_give_the_trials_that_no_other_dominates(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(objectives=(Objective("loss", Goal.MINIMIZE), Objective("acc", Goal.MAXIMIZE)))
        values = [(1.0, 0.5), (0.5, 0.4), (0.7, 0.3), (0.5, 0.4), (2.0, 0.9)]
        for loss, acc in values:
            trial = await w.one()
            await w.service.end_attempt(trial.name, 1, End(Cause.SUCCEEDED, {"loss": loss, "acc": acc}))
        assert [t.id for t in (await w.service.optimal_trials(NAME, 0)).items] == [1, 2, 4, 5]

    play(scenario)


def test_the_median_rule_stops_a_trial_in_the_reply_to_its_report(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(stopping=Stopping("median", {"min_trials": 3}))
        for value in (1.0, 2.0, 3.0):
            trial = await w.one()
            await w.service.report(trial.name, 1, curve(value, value), "")
            await w.end(trial)
        bad = await w.one()
        told = await w.service.report(bad.name, 1, curve(9.0, 9.0), "")
        assert told.stop is StopGoal.STOP
        assert "median" in told.reason
        stored = await w.service.trial(bad.name)
        assert (stored.state, stored.reason) == (TrialState.STOPPING, told.reason)

    play(scenario)


def test_silence_for_a_whole_lease_loses_it_and_a_beat_keeps_it() -> None:
    clock = Clock()
    keeper = LeaseKeeper(Feed(), clock)
    trial = _active_trial()
    keeper.watch("uid", trial)
    clock.now += 59.9
    assert keeper.overdue() == []
    keeper.beat("uid", trial.name, 1)
    clock.now += 59.9
    assert keeper.overdue() == []
    clock.now += 0.2
    assert [(name, number) for _, name, number, _ in keeper.overdue()] == [(trial.name, 1)]


def _active_trial() -> Trial:
    attempt = Attempt(1, AttemptState.RUNNING, 0.0, lease_seconds=60.0)
    return Trial(NAME.trial(1), TrialState.ACTIVE, {}, 0.0, attempts=(attempt,))
