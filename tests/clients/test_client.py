"""Both clients against a real service: what goes in comes out as the domain has it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wazir.clients.client import Client
from wazir.clients.reporter import Reporter
from wazir.clients.trial import Trial as TrainingTrial
from wazir.domain.attempt import AttemptState, Cause
from wazir.domain.errors import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    IllegalMove,
    InvalidArgument,
    NotFound,
    RequestIdReused,
    SpecChanged,
    StaleAttempt,
)
from wazir.domain.names import StudyName
from wazir.domain.parameters import Parameters
from wazir.domain.space import Double, Parameter, Space
from wazir.domain.study import Budget, EndReason, Shortage, StudyState
from wazir.domain.trial import Instruction, Measurement, Origin, StopGoal, Trial, TrialState

from .awaited import awaited
from .served import SPACE, ServerProcess, serving, spec

POINT: Parameters = {"x": 0.5, "n": 3, "kind": True}


@pytest.fixture(params=["memory", "sqlite", "asyncio"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    """The blocking client on two stores, and the asynchronous one, whose calls are waited for here."""
    if request.param == "asyncio":
        with serving("memory", tmp_path) as address, awaited(address) as client:
            yield client
    else:
        with serving(request.param, tmp_path) as address, Client(address, retry_for=5.0) as client:
            yield client


@pytest.fixture
def process(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path)
    process.start()
    yield process
    process.kill()


def started(client: Client, study: str = "s") -> Trial:
    (trial,) = client.suggest(study, client_id="w", start=True).trials
    return trial


# Studies


def test_a_study_comes_back_as_it_was_asked_for(client: Client) -> None:
    asked = spec(budget=Budget(trials=3, parallel=2, duration=12.5), labels={"team": "vision"})
    made = client.create_study("vision/resnet", asked, metadata={"note": "first"})
    assert made.name == StudyName("vision", "resnet")
    assert made.spec == asked
    assert (made.state, made.metadata) == (StudyState.ACTIVE, {"note": "first"})
    assert client.get_study("vision/resnet") == made
    assert client.get_study(made.name) == made


def test_a_taken_name_is_refused_unless_it_is_gone_on_with(client: Client) -> None:
    client.create_study("s", spec())
    with pytest.raises(AlreadyExists):
        client.create_study("s", spec())
    more = client.create_study("s", spec(budget=Budget(trials=9)), resume=True)
    assert more.spec.budget.trials == 9
    with pytest.raises(SpecChanged, match="parameters"):
        client.create_study("s", spec(space=Space((Parameter("x", Double(0.0, 2.0)),))), resume=True)


def test_validating_writes_nothing(client: Client) -> None:
    assert client.create_study("s", spec(), validate_only=True).spec == spec()
    with pytest.raises(NotFound):
        client.get_study("s")


def test_a_repeated_request_is_the_same_study_and_another_under_its_id_is_refused(client: Client) -> None:
    first = client.create_study("s", spec(), request_id="r1")
    assert client.create_study("s", spec(), request_id="r1") == first
    with pytest.raises(RequestIdReused):
        client.create_study("s", spec(budget=Budget(trials=1)), request_id="r1")


def test_studies_are_listed_by_name_and_filtered(client: Client) -> None:
    for name, team in (("b", "x"), ("a", "x"), ("c", "y")):
        client.create_study(name, spec(labels={"team": team}))
    client.pause_study("c")
    assert [s.name.study for s in client.list_studies()] == ["a", "b", "c"]
    assert [s.name.study for s in client.list_studies(labels={"team": "x"})] == ["a", "b"]
    assert [s.name.study for s in client.list_studies(states=[StudyState.PAUSED])] == ["c"]
    assert list(client.list_studies(since=4e9)) == []
    assert list(client.list_studies(owner="others")) == []


def test_an_update_changes_the_named_fields_and_no_others(client: Client) -> None:
    before = client.create_study("s", spec(budget=Budget(trials=3), labels={"team": "x"}))
    after = client.update_study("s", spec(budget=Budget(trials=5), labels={"team": "y"}), ["budget"], before.etag)
    assert (after.spec.budget.trials, after.spec.labels) == (5, {"team": "x"})
    with pytest.raises(Aborted):
        client.update_study("s", spec(), ["labels"], before.etag)
    with pytest.raises(InvalidArgument, match="space"):
        client.update_study("s", spec(), ["space"])


def test_the_states_of_a_study_are_moved_by_its_verbs(client: Client) -> None:
    client.create_study("s", spec())
    assert client.pause_study("s").state is StudyState.PAUSED
    assert client.suggest("s").shortage is Shortage.PAUSED
    assert client.resume_study("s").state is StudyState.ACTIVE
    ended = client.stop_study("s", "enough")
    assert (ended.state, ended.ending) == (StudyState.COMPLETED, EndReason.STOPPED)
    assert "enough" in ended.reason
    answer = client.suggest("s")
    assert (answer.trials, answer.shortage, answer.end_reason) == ((), Shortage.ENDED, EndReason.STOPPED)


def test_a_study_is_deleted_with_its_trials(client: Client) -> None:
    client.create_study("s", spec())
    trial = started(client)
    with pytest.raises(FailedPrecondition):
        client.delete_study("s")
    client.delete_study("s", force=True)
    for gone in (lambda: client.get_study("s"), lambda: client.get_trial(trial.name), lambda: client.delete_study("s")):
        with pytest.raises(NotFound):
            gone()


# Trials


def test_suggestions_lie_in_the_space_and_types_are_kept(client: Client) -> None:
    client.create_study("s", spec())
    answer = client.suggest("s", 20)
    assert (len(answer.trials), answer.shortage, answer.study_state) == (20, None, StudyState.ACTIVE)
    for trial in answer.trials:
        checked = SPACE.check(trial.parameters)
        assert {n: (type(v), v) for n, v in checked.items()} == {n: (type(v), v) for n, v in trial.parameters.items()}
        assert (trial.state, trial.origin) == (TrialState.REQUESTED, Origin.SUGGESTED)


def test_an_enqueued_trial_is_handed_out_first(client: Client) -> None:
    client.create_study("s", spec())
    queued = client.create_trial("s", POINT, labels={"by": "me"}, metadata={"why": "a guess"})
    assert repr(dict(sorted(queued.parameters.items()))) == repr(dict(sorted(POINT.items())))
    (trial,) = client.suggest("s", client_id="w", start=True, lease=30.0).trials
    assert trial.id == queued.id
    assert trial.attempt is not None
    assert (trial.attempt.leased, trial.attempt.lease_seconds, trial.attempt.holder) == (True, 30.0, "w")
    assert client.suggest("s", client_id="w", reattach=True).trials[0].id == queued.id


def test_a_trial_that_ended_elsewhere_is_recorded_with_its_times_and_curve(client: Client) -> None:
    client.create_study("s", spec())
    curve = [Measurement(1, {"loss": 0.5}, 100.25), Measurement(2, {"loss": 0.25}, 101.5)]
    trial = client.create_trial(
        "s", POINT, state=TrialState.SUCCEEDED, measurements=curve, start_time=100.0, end_time=102.125
    )
    assert (trial.state, trial.final, trial.start_time, trial.end_time) == (
        TrialState.SUCCEEDED,
        {"loss": 0.25},
        100.0,
        102.125,
    )
    assert client.measurements(trial.name) == curve
    assert [t.id for t in client.best_trials("s")] == [trial.id]


def test_trials_are_listed_by_id_over_all_pages(client: Client) -> None:
    client.create_study("s", spec())
    for _ in range(2):
        client.suggest("s", 600, start=True)
    ids = [t.id for t in client.list_trials("s")]
    assert ids == list(range(1, 1201))
    assert [t.id for t in client.list_trials("s", descending=True)] == ids[::-1]
    assert list(client.list_trials("s", [TrialState.REQUESTED])) == []


def test_an_attempt_from_start_to_end(client: Client) -> None:
    client.create_study("s", spec())
    (requested,) = client.suggest("s").trials
    active = client.start_attempt(requested.name, client_id="w", leased=False)
    assert (active.state, active.attempt is not None and active.attempt.number) == (TrialState.ACTIVE, 1)
    with pytest.raises(IllegalMove):
        client.start_attempt(requested.name, client_id="v")
    seen = client.heartbeat(
        active.name, 1, state=AttemptState.RUNNING, node="n1", devices=["0"], gpus=0.5, log_path="/l"
    )
    assert seen == Instruction()
    assert client.report(active.name, 1, [Measurement(0, {"loss": 0.0}, 5.5)]) == Instruction()
    ended = client.end_attempt(
        active.name, 1, Cause.SUCCEEDED, final={"loss": 0.0, "extra": -1.5}, message="done", exit_code=0, log_tail="x\n"
    )
    assert (ended.state, ended.final) == (TrialState.SUCCEEDED, {"loss": 0.0, "extra": -1.5})
    attempt = ended.attempt
    assert attempt is not None
    assert (attempt.node, attempt.devices, attempt.gpus, attempt.log_path) == ("n1", ("0",), 0.5, "/l")
    assert (attempt.cause, attempt.exit_code, attempt.log_tail, attempt.leased) == (Cause.SUCCEEDED, 0, "x\n", False)
    assert client.get_trial(active.name) == ended
    assert client.end_attempt(active.name, 1, Cause.SUCCEEDED, final={"loss": 0.0}) == ended
    with pytest.raises(FailedPrecondition):
        client.end_attempt(active.name, 1, Cause.CODE_FAILED)
    with pytest.raises(StaleAttempt):
        client.report(active.name, 1, [Measurement(1, {"loss": 1.0}, 6.0)])


def test_a_trial_is_told_to_end_in_the_next_answer(client: Client) -> None:
    client.create_study("s", spec())
    trial = started(client)
    assert client.stop_trial(trial.name, "too slow").state is TrialState.STOPPING
    assert client.heartbeat(trial.name, 1) == Instruction(StopGoal.STOP, "too slow")
    assert client.cancel_trial(trial.name, "not at all").goal is StopGoal.CANCEL
    assert client.report(trial.name, 1, []).stop is StopGoal.CANCEL
    assert client.end_attempt(trial.name, 1, Cause.STOPPED).state is TrialState.CANCELLED


def test_a_failed_trial_may_be_retried_and_an_ended_one_deleted(client: Client) -> None:
    client.create_study("s", spec())
    trial = started(client)
    assert client.end_attempt(trial.name, 1, Cause.CODE_FAILED, exit_code=-11).state is TrialState.FAILED
    assert client.retry_trial(trial.name).state is TrialState.REQUESTED
    with pytest.raises(IllegalMove):
        client.retry_trial(trial.name)
    client.delete_trial(trial.name)
    with pytest.raises(NotFound):
        client.delete_trial(trial.name)


def test_metadata_of_studies_and_trials(client: Client) -> None:
    study = client.create_study("s", spec(), metadata={"a": "1"})
    trial = started(client)
    assert client.update_metadata(study.name, {"b": "2"}, ["a"]) == {"b": "2"}
    assert client.update_metadata("s", {"c": "3"}) == {"b": "2", "c": "3"}
    assert client.update_metadata("s/1", {"k": "v"}) == {"k": "v"}
    assert client.get_trial(trial.name).metadata == {"k": "v"}


# Watching


def test_a_watch_tells_what_there_is_and_then_every_change(client: Client) -> None:
    client.create_study("s", spec())
    client.create_trial("s", POINT)
    watch = client.watch_trials("s")
    first = next(watch)
    assert [t.id for t in first.trials] == [1]
    trial = started(client)
    client.delete_trial(client.end_attempt(trial.name, 1, Cause.CODE_FAILED).name)
    deleted: set[int] = set()
    for changes in watch:
        assert changes.revision > first.revision
        deleted |= set(changes.deleted)
        if deleted:
            break
    assert deleted == {1}
    (later,) = [next(client.watch_trials("s", since=first.revision))]
    assert later.deleted == (1,)


def test_a_watch_of_studies_tells_of_new_and_deleted_ones(client: Client) -> None:
    client.create_study("a", spec())
    watch = client.watch_studies()
    assert [s.name.study for s in next(watch).studies] == ["a"]
    client.create_study("b", spec())
    assert [s.name.study for s in next(watch).studies] == ["b"]
    client.delete_study("a")
    assert next(watch).deleted == (StudyName("default", "a"),)


def test_a_watch_is_cancelled_from_another_thread(client: Client) -> None:
    client.create_study("s", spec())
    watch = client.watch_trials("s")
    next(watch)
    threading.Timer(0.05, watch.cancel).start()
    assert list(watch) == []
    watch.cancel()


def test_a_watch_of_a_study_that_is_deleted_ends_with_not_found(client: Client) -> None:
    client.create_study("s", spec())
    watch = client.watch_trials("s")
    next(watch)
    client.delete_study("s")
    with pytest.raises(NotFound):
        list(watch)


# A service that is killed


def test_a_watch_goes_on_where_it_was_after_a_restart(process: ServerProcess) -> None:
    with Client(process.address) as client:
        client.create_study("s", spec())
        client.create_trial("s", POINT)
        watch = client.watch_trials("s")
        assert [t.id for t in next(watch).trials] == [1]
        process.kill()
        process.start()
        client.create_trial("s", {**POINT, "n": 4})
        seen: list[int] = []
        while not seen:
            seen += [t.id for t in next(watch).trials]
        assert seen == [2]


def test_calls_that_a_kill_breaks_off_have_their_effect_once(process: ServerProcess) -> None:
    with Client(process.address) as client:
        client.create_study("s", spec())
        done = threading.Event()

        def restart() -> None:
            for _ in range(3):
                done.wait(0.05)  # some calls are let through between two kills
                process.kill()
                process.start()
            done.set()

        thread = threading.Thread(target=restart)
        thread.start()
        made: list[float] = []
        while not done.is_set():
            made.append(len(made) / 100_000)
            client.create_trial("s", {**POINT, "x": made[-1]})
        thread.join()
        assert [t.parameters["x"] for t in client.list_trials("s")] == made


def test_reports_arrive_once_each_though_the_service_is_killed_again_and_again(
    process: ServerProcess, tmp_path: Path
) -> None:
    with Client(process.address) as client:
        client.create_study("s", spec())
        trial = started(client)
        reporter = Reporter(trial.name, 1, lambda: Client(process.address), spool=tmp_path / "spool.jsonl")
        training = TrainingTrial(trial.name, 1, trial.parameters, reporter)
        step = 0
        for _ in range(3):
            for _ in range(200):
                step = training.report({"loss": 1.0 / (step + 1), "step": step}, step=step)
            process.kill()
            for _ in range(200):
                step = training.report({"loss": 1.0 / (step + 1), "step": step}, step=step)
            process.start()
        assert training.flush(60.0)
        assert [(m.step, dict(m.metrics)) for m in client.measurements(trial.name)] == [
            (n, {"loss": 1.0 / (n + 1), "step": float(n)}) for n in range(step)
        ]
        assert (tmp_path / "spool.jsonl").read_bytes() == b""
        reporter.close()
