"""Ask and tell against a real service: a study whose trials are evaluated by the code that asks for them."""

from __future__ import annotations

import builtins
import inspect
import logging
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import wazir
from wazir.clients.asked import AskedTrial
from wazir.clients.client import Client
from wazir.clients.frames import row
from wazir.clients.optimize_run import StudyEnded
from wazir.clients.studies import create_study, load_study
from wazir.clients.study import Study
from wazir.domain.attempt import Cause
from wazir.domain.errors import (
    AlreadyExists,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    SpecChanged,
    StaleAttempt,
    Unavailable,
)
from wazir.domain.metric import Goal, Objective
from wazir.domain.space import Categorical, Discrete, Double, Integer, Scale
from wazir.domain.study import Budget, StudyState
from wazir.domain.trial import Trial, TrialState

from .served import serving

SPACE: Mapping[str, object] = {
    "x": {"min": 0.0, "max": 1.0},
    "batch": {"values": [32, 64, 128]},
    "opt": {"values": ["sgd", "adam"]},
    "momentum": {"min": 0.5, "max": 0.9, "when": {"opt": "sgd"}},
}
"""In the study file's words."""

RANDOM = {"algorithm": "random", "seed": 7}


@pytest.fixture(autouse=True)
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Closes every study of a test, so that none beats for a service that is gone."""
    opened: list[Study] = []
    made = Study.__init__

    def noted(self: Study, *arguments: object, **rest: object) -> None:
        opened.append(self)
        made(self, *arguments, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Study, "__init__", noted)
    yield
    for each in opened:
        each.close()


@pytest.fixture(params=["memory", "sqlite"])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with serving(request.param, tmp_path) as address:
        monkeypatch.setenv("WAZIR_ADDRESS", address)
        yield address


def study(**settings: object) -> Study:
    return create_study("s", **{"parameters": SPACE, **RANDOM, **settings})  # type: ignore[arg-type]


def quadratic(trial: AskedTrial) -> float:
    return (trial.suggest_float("x", 0.0, 1.0) - 0.25) ** 2


# Making and finding studies


def test_a_study_is_described_in_the_study_files_words(address: str) -> None:
    made = study(
        metric="accuracy",
        direction="maximize",
        constraints=["x <= batch"],
        stopping="median",
        trials=9,
        parallel=2,
        duration="1h30m",
        labels={"team": "vision"},
    )
    spec = made.details().spec
    assert spec.objectives == (Objective("accuracy", Goal.MAXIMIZE),)
    assert spec.budget == Budget(trials=9, parallel=2, duration=5400.0)
    assert spec.space is not None
    assert spec.space.by_name["batch"].kind == Discrete((32, 64, 128))
    assert spec.space.constraints == ("x <= batch",)
    assert (spec.algorithm.name, spec.algorithm.seed, spec.labels) == ("random", 7, {"team": "vision"})
    assert spec.stopping is not None
    assert spec.stopping.name == "median"


def test_the_default_is_to_minimize_one_value_over_a_space_that_grows(address: str) -> None:
    with create_study() as made:
        details = made.details()
        assert details.spec.objectives == (Objective("value", Goal.MINIMIZE),)
        assert details.growing
        assert details.spec.space is None
        assert made.name.startswith("study-")


def test_the_names_of_the_package_are_these() -> None:
    assert wazir.Study is Study
    for public, own in ((wazir.create_study, create_study), (wazir.load_study, load_study)):
        assert public.__doc__ == own.__doc__
        assert set(inspect.signature(own).parameters) - set(inspect.signature(public).parameters) == {"serve"}


def test_a_taken_name_is_refused_unless_it_is_loaded(address: str) -> None:
    study(trials=3)
    with pytest.raises(AlreadyExists):
        study()
    assert study(trials=5, load_if_exists=True).details().spec.budget.trials == 5
    with pytest.raises(SpecChanged):
        study(direction="maximize", load_if_exists=True)
    assert load_study("s").name == "s"
    with pytest.raises(NotFound):
        load_study("t")


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"direction": "maximise"}, "direction"),
        ({"metric": "a", "objective": {"metric": "b", "goal": "minimize"}}, "objective"),
        ({"objectives": [{"metric": "b"}]}, "objectives[0].goal"),
        ({"parameters": {"x": {"min": 1, "max": 0}}}, "parameters.x.min"),
        ({"trials": 0}, "trials"),
        ({"algorithm": 5}, "algorithm"),
        ({"algorithm": "nope"}, "algorithm"),
        ({"algorithm": {"name": "asha", "max": 9, "eta": 1}}, "algorithm.eta"),
        ({"stopping": 5}, "stopping"),
        ({"stopping": {"name": "asha", "min": 9, "max": 9}}, "stopping.min"),
        ({"name": "Not a label"}, "name"),
    ],
)
def test_a_mistake_is_refused_naming_the_field(address: str, settings: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        create_study(**{"name": "s", **settings})  # type: ignore[arg-type]
    assert refused.value.field == field
    with pytest.raises(NotFound):
        load_study("s")


def test_without_a_service_it_says_how_to_start_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WAZIR_ADDRESS", raising=False)
    monkeypatch.delenv("WAZIR_DB", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Unavailable, match="wazir serve"):
        create_study("s")


# Asking and telling


def test_a_trial_is_asked_for_evaluated_and_told(address: str) -> None:
    made = study()
    trial = made.ask()
    assert set(trial.params) - {"momentum"} == {"x", "batch", "opt"}
    assert (trial.id, trial.name, trial.attempt) == (1, "owners/default/studies/s/trials/1", 1)
    ended = made.tell(trial, 0.5)
    assert (ended.state, ended.final) == (TrialState.SUCCEEDED, {"value": 0.5})
    assert (made.best_value, made.best_params, made.best_trial.id) == (0.5, dict(trial.params), 1)
    assert [t.id for t in made.trials] == [1]


@pytest.mark.parametrize(
    ("value", "state", "becomes", "final"),
    [
        pytest.param(0.5, None, TrialState.SUCCEEDED, {"value": 0.5}, id="a number"),
        pytest.param(0, None, TrialState.SUCCEEDED, {"value": 0.0}, id="zero is a value"),
        pytest.param([0.5], None, TrialState.SUCCEEDED, {"value": 0.5}, id="a list of all objectives"),
        pytest.param({"value": 1, "t": 2}, None, TrialState.SUCCEEDED, {"value": 1.0, "t": 2.0}, id="metrics by name"),
        pytest.param(math.inf, None, TrialState.INFEASIBLE, {"value": math.inf}, id="diverged"),
        pytest.param(None, "infeasible", TrialState.INFEASIBLE, None, id="cannot be evaluated"),
        pytest.param(None, TrialState.FAILED, TrialState.FAILED, None, id="says nothing about the parameters"),
        pytest.param(0.5, "STOPPED", TrialState.STOPPED, {"value": 0.5}, id="ended early"),
    ],
)
def test_what_may_be_told(
    address: str,
    value: float | list[float] | dict[str, float] | None,
    state: TrialState | str | None,
    becomes: TrialState,
    final: dict[str, float] | None,
) -> None:
    made = study()
    told = made.tell(made.ask(), value, state)
    assert (told.state, told.final) == (becomes, final)


@pytest.mark.parametrize(
    ("value", "state", "field"),
    [
        pytest.param(None, None, "value", id="nothing, and nothing was reported"),
        pytest.param({"other": 1.0}, None, "value", id="not the objective"),
        pytest.param("0.5", None, "metrics.value", id="text"),
        pytest.param([1.0, 2.0], None, "value", id="more than there are objectives"),
        pytest.param(1.0, "done", "state", id="no state"),
        pytest.param(1.0, TrialState.CANCELLED, "state", id="not the evaluator's to say"),
    ],
)
def test_what_may_not_be_told_leaves_the_trial_as_it_is(
    address: str, value: float, state: TrialState | str | None, field: str
) -> None:
    made = study()
    trial = made.ask()
    with pytest.raises(InvalidArgument) as refused:
        made.tell(trial, value, state)
    assert refused.value.field == field
    assert made.tell(trial, 1.0).state is TrialState.SUCCEEDED


def test_a_trial_is_told_once(address: str) -> None:
    made = study()
    trial = made.ask()
    told = made.tell(trial, 0.5)
    assert made.tell(trial, 0.5) == told
    with pytest.raises(FailedPrecondition):
        made.tell(trial, state="failed")
    for late in (lambda: trial.report("value", 1.0), lambda: trial.infeasible("no")):
        with pytest.raises(FailedPrecondition, match="has been told"):
            late()


def test_reports_count_where_no_value_is_told(address: str) -> None:
    made = study()
    trial = made.ask()
    for step, value in enumerate((0.9, 0.5, 0.7), start=1):
        trial.report("value", value, step=step)
    told = made.tell(trial)
    assert (told.state, told.final, told.final_step) == (TrialState.SUCCEEDED, {"value": 0.7}, 3)
    assert [m.step for m in made.client.measurements(told.name)] == [1, 2, 3]


def test_infeasible_stands_whatever_is_told_then(address: str) -> None:
    made = study()
    trial = made.ask()
    trial.infeasible("the loss is not a number")
    told = made.tell(trial, 0.5)
    assert told.state is TrialState.INFEASIBLE
    assert "the loss is not a number" in told.reason


def test_a_trial_may_be_told_by_its_number_from_elsewhere(address: str) -> None:
    trial = study().ask()
    other = load_study("s")
    assert other.tell(trial.id, 0.5).final == {"value": 0.5}
    with pytest.raises(FailedPrecondition, match="SUCCEEDED"):
        other.tell(trial.id, 0.5)
    with pytest.raises(NotFound):
        other.tell(99, 0.5)


def test_several_objectives_are_told_in_order(address: str) -> None:
    made = study(objectives=[{"metric": "loss", "goal": "minimize"}, {"metric": "speed", "goal": "maximize"}])
    for values in ([1.0, 1.0], [2.0, 2.0], [3.0, 1.5]):
        made.tell(made.ask(), values)
    assert sorted((t.final or {})["loss"] for t in made.best_trials) == [1.0, 2.0]
    with pytest.raises(FailedPrecondition, match="best_trials"):
        _ = made.best_trial
    with pytest.raises(InvalidArgument, match="loss, speed"):
        made.tell(made.ask(), 1.0)


def test_before_the_first_value_there_is_no_best_trial(address: str) -> None:
    made = study()
    assert made.best_trials == []
    with pytest.raises(FailedPrecondition, match="no trial of s has ended with a value"):
        _ = made.best_value


def test_an_enqueued_trial_comes_first(address: str) -> None:
    made = study()
    made.enqueue_trial({"x": 0.125, "batch": 64, "opt": "adam"})
    assert dict(made.ask().params) == {"x": 0.125, "batch": 64, "opt": "adam"}


# When there is no trial


def test_asking_beyond_the_parallel_limit_waits_for_a_trial_to_end(address: str) -> None:
    made = study(parallel=1)
    first = made.ask()
    with pytest.raises(DeadlineExceeded, match="`parallel`"):
        made.ask(timeout=0)
    asked: list[AskedTrial] = []
    thread = threading.Thread(target=lambda: asked.append(made.ask()))
    thread.start()
    made.tell(first, 1.0)
    thread.join()
    assert asked[0].id == 2


def test_asking_a_paused_study_says_so(address: str) -> None:
    made = study()
    made.client.pause_study("s")
    with pytest.raises(DeadlineExceeded, match="paused"):
        made.ask(timeout=0.1)


def test_asking_a_study_that_has_ended_says_why(address: str) -> None:
    made = study(trials=1)
    made.tell(made.ask(), 1.0)
    with pytest.raises(StudyEnded, match=": trials = 1 is reached"):
        made.ask()
    with pytest.raises(FailedPrecondition):
        made.ask()


def test_a_stopped_study_tells_its_running_trials(address: str) -> None:
    made = create_study("s", parameters=SPACE, lease=1.0, **RANDOM)  # type: ignore[arg-type]
    trial = made.ask()
    made.stop("enough")
    while not trial.should_stop():
        made.details()  # until a heartbeat has told it
    assert "enough" in trial.stop_reason


# Leases


def test_heartbeats_keep_a_trial_that_reports_nothing(address: str) -> None:
    made = create_study("s", parameters=SPACE, lease=1.0, **RANDOM)  # type: ignore[arg-type]
    silent = Client(address)
    trial = made.ask()
    (lost,) = silent.suggest("s", client_id="silent", start=True, lease=1.0).trials
    for changes in silent.watch_trials("s"):
        states = {t.id: t.state for t in changes.trials}
        if states.get(lost.id) is TrialState.REQUESTED:
            break
    assert made.tell(trial, 1.0).state is TrialState.SUCCEEDED
    with pytest.raises(StaleAttempt):
        silent.end_attempt(lost.name, 1, Cause.SUCCEEDED, final={"value": 1.0})


# Spaces that grow, and spaces that are declared


def test_a_space_grows_by_what_the_code_names(address: str) -> None:
    made = create_study("s", trials=5, **RANDOM)  # type: ignore[arg-type]

    def objective(trial: AskedTrial) -> float:
        lr = trial.suggest_float("lr", 1e-5, 0.1, log=True)
        x = trial.suggest_float("x", 0.0, 1.0, step=0.25)
        layers = trial.suggest_int("layers", 1, 4)
        flag = trial.suggest_categorical("flag", [True, 1, "1"])
        fixed = trial.suggest_int("fixed", 3, 3)
        assert 1e-5 <= lr <= 0.1
        assert x in (0.0, 0.25, 0.5, 0.75, 1.0)
        assert type(layers) is int
        assert (type(flag), flag) in [(bool, True), (int, 1), (str, "1")]
        assert fixed == 3
        assert dict(trial.params) == {"lr": lr, "x": x, "layers": layers, "flag": flag, "fixed": 3}
        return x

    made.optimize(objective)
    assert made.details().state is StudyState.COMPLETED
    space = made.details().spec.space
    assert space is not None
    assert {p.name: p.kind for p in space.parameters} == {
        "lr": Double(1e-5, 0.1, Scale.LOG),
        "x": Double(0.0, 1.0, step=0.25),
        "layers": Integer(1, 4),
        "flag": Categorical((True, 1, "1")),
        "fixed": Discrete((3,)),
    }


def test_a_declared_space_gives_its_values_and_takes_no_other_definition(address: str) -> None:
    made = study()
    made.enqueue_trial({"x": 0.5, "batch": 64, "opt": "adam"})
    trial = made.ask()
    assert trial.suggest_float("x", 0, 1) == 0.5
    assert trial.suggest_categorical("batch", [32, 64, 128]) == 64
    assert trial.suggest_categorical("opt", ["sgd", "adam"]) == "adam"
    for mistake, words in (
        (lambda: trial.suggest_float("x", 0.0, 0.5), "knows it as"),
        (lambda: trial.suggest_categorical("opt", ["adam"]), "knows it as"),
        (lambda: trial.suggest_float("momentum", 0.5, 0.9), "not active in this trial: it needs opt = sgd"),
        (lambda: trial.suggest_float("momentun", 0.5, 0.9), 'Did you mean "momentum"'),
        (lambda: trial.suggest_float("x", 1.0, 0.0), "less than high"),
    ):
        with pytest.raises(InvalidArgument, match=words):
            mistake()


@pytest.mark.parametrize(
    ("low", "high", "log", "words"),
    [
        (1.0, 0.0, False, "y.low = 1.0: must be less than high = 0.0. For one fixed value give it as both"),
        (0.0, 1.0, True, "y.low = 0.0: log=True needs low above 0. Raise low, or leave log=True out"),
        ("0", 1.0, False, 'y.low = "0": must be a number'),
        (math.nan, 1.0, False, "y.low = NaN: must be a finite number"),
        (0.0, math.inf, False, "y.high = Infinity: must be a finite number"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(address: str, low: float, high: float, log: bool, words: str) -> None:
    trial = create_study("s", **RANDOM).ask()  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument) as refused:
        trial.suggest_float("y", low, high, log=log)
    assert str(refused.value) == f"parameters.{words}"


def test_names_steps_and_choices_that_make_no_sense_are_refused_in_the_words_of_the_call(address: str) -> None:
    trial = create_study("s", **RANDOM).ask()  # type: ignore[arg-type]
    for mistake, words in (
        (lambda: trial.suggest_float("y", 0.1, 1, step=0.1, log=True), "y.step = 0.1: does not go with log=True. List"),
        (lambda: trial.suggest_int("y", 0, 1, step=5), "y.step = 5: must be at most high - low = 1"),
        (lambda: trial.suggest_categorical("y", []), "y.choices = 0: 1 to 10000 values are possible"),
        (lambda: trial.suggest_categorical("y", ["a", "a"]), 'y.choices = "a": appears twice'),
    ):
        with pytest.raises(InvalidArgument) as refused:
            mistake()
        assert str(refused.value).startswith(f"parameters.{words}")
    for name, words in (
        (3, 'name = 3: must be text. For instance "3"'),
        ("", 'parameters = "": a parameter\'s name has'),
    ):
        with pytest.raises(InvalidArgument) as refused:
            trial.suggest_float(name, 0, 1)  # type: ignore[arg-type]
        assert str(refused.value).startswith(words)


# Optimize


@pytest.mark.parametrize("parallel", [1, 4])
def test_optimize_evaluates_as_many_trials_as_asked_for(address: str, parallel: int) -> None:
    made = study()
    made.optimize(quadratic, trials=12, parallel=parallel)
    trials = made.trials
    assert [t.state for t in trials] == [TrialState.SUCCEEDED] * 12
    assert made.best_value == min((t.final or {})["value"] for t in trials)
    assert abs(float(made.best_params["x"]) - 0.25) == pytest.approx(math.sqrt(made.best_value))


def test_parallel_trials_run_side_by_side(address: str) -> None:
    made = study()
    meeting = threading.Barrier(3, timeout=30)

    def objective(trial: AskedTrial) -> float:
        meeting.wait()
        return 1.0

    made.optimize(objective, trials=3, parallel=3)
    assert made.details().counts.total == 3


@pytest.mark.parametrize("parallel", [1, 3])
def test_optimize_returns_when_the_study_ends(address: str, parallel: int) -> None:
    made = study(trials=5, parallel=2)
    made.optimize(quadratic, parallel=parallel)
    assert made.details().state is StudyState.COMPLETED
    assert len(made.trials) == 5


@pytest.mark.parametrize("parallel", [1, 3])
def test_optimize_warns_when_the_study_ends_before_enough_trials(address: str, parallel: int) -> None:
    made = study(trials=2)
    with pytest.warns(UserWarning, match=r"2 of 5 trials were evaluated: s has .* trials = 2 is reached"):
        made.optimize(quadratic, trials=5, parallel=parallel)


@pytest.mark.parametrize("parallel", [1, 3])
@pytest.mark.parametrize("trials", [5, None])
def test_optimize_raises_when_no_trial_is_left_to_evaluate(address: str, parallel: int, trials: int | None) -> None:
    made = study(trials=1)
    made.tell(made.ask(), 1.0)
    with pytest.raises(StudyEnded, match=": trials = 1 is reached"):
        made.optimize(quadratic, trials=trials, parallel=parallel)


def test_optimize_without_a_trial_within_its_timeout_raises(address: str) -> None:
    made = study(parallel=1)
    made.ask()
    with pytest.raises(DeadlineExceeded, match="`parallel`"):
        made.optimize(quadratic, timeout=0.1)
    assert len(made.trials) == 1


@pytest.mark.parametrize("parallel", [1, 2])
def test_optimize_ends_at_its_timeout_though_there_are_trials(address: str, parallel: int) -> None:
    made = study(trials=10_000)
    made.optimize(quadratic, timeout=0.001, parallel=parallel)
    assert made.details().state is StudyState.ACTIVE


@pytest.mark.parametrize("parallel", [1, 2])
def test_an_exception_fails_its_trial_and_is_raised(address: str, parallel: int) -> None:
    made = study()

    def objective(trial: AskedTrial) -> float:
        raise ZeroDivisionError("of all things")

    with pytest.raises(ZeroDivisionError):
        made.optimize(objective, trials=4, parallel=parallel)
    trial = made.trials[0]
    assert (trial.state, trial.reason) == (TrialState.FAILED, "ZeroDivisionError: of all things")
    assert trial.attempt is not None
    assert "in objective" in trial.attempt.log_tail
    assert {t.state for t in made.trials} == {TrialState.FAILED}


def test_an_exception_to_be_caught_fails_its_trial_and_the_next_follows(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = study()

    def objective(trial: AskedTrial) -> float:
        if trial.id == 1:
            raise ZeroDivisionError
        return 1.0

    made.optimize(objective, trials=2, catch=(ZeroDivisionError,), progress=False)
    assert [t.state for t in made.trials] == [TrialState.FAILED, TrialState.SUCCEEDED]
    assert [r.levelno for r in caplog.records if "s/1 failed" in r.message] == [logging.WARNING]


def test_a_function_that_returns_no_value_is_a_mistake_of_the_function(address: str) -> None:
    made = study()
    with pytest.raises(InvalidArgument, match="lacks the objective 'value'"):
        made.optimize(lambda trial: None, trials=1)
    assert made.trials[0].state is TrialState.FAILED


def test_a_trial_that_was_told_to_stop_and_did_is_stopped(address: str) -> None:
    made = study()

    def objective(trial: AskedTrial) -> None:
        trial.report("value", 2.0, step=1)
        assert trial.flush(30)
        made.client.stop_trial(trial.name, "enough")
        trial.report("value", 1.0, step=2)
        assert trial.flush(30)
        assert trial.should_stop()

    made.optimize(objective, trials=1)
    (trial,) = made.trials
    assert (trial.state, trial.final, trial.reason) == (TrialState.STOPPED, {"value": 1.0}, "enough")


def epochs(trial: AskedTrial) -> float:
    """Trains nine epochs or until it is told to end, and returns what the trial is worth then."""
    value = 0.0
    for epoch in range(9):
        value = float(trial.params["x"]) + 1 / (epoch + 1)
        trial.report("value", value, step=epoch + 1)
        assert trial.flush(30)
        if trial.should_stop():
            break
    return value


def test_a_function_that_returns_its_value_when_it_is_to_pause_is_resumed(address: str) -> None:
    made = study(algorithm={"name": "asha", "max": 9}, trials=9)
    made.optimize(epochs)
    by_worth = sorted(made.trials, key=lambda t: float(t.parameters["x"]))
    assert by_worth[0].state is TrialState.SUCCEEDED
    assert max(m.step for m in made.client.measurements(by_worth[0].name)) == 9
    assert {t.state for t in by_worth[1:]} == {TrialState.STOPPED}
    assert sum(len(t.attempts) for t in by_worth) == 9 + 3 + 1


def test_a_function_that_returns_its_value_when_a_rule_stops_it_is_stopped(address: str) -> None:
    made = study(stopping={"name": "threshold", "value": 0.1, "min": 2}, trials=1)
    made.optimize(epochs)
    (trial,) = made.trials
    assert trial.state is TrialState.STOPPED
    assert trial.final == {"value": float(trial.parameters["x"]) + 0.5}
    assert trial.reason.startswith("step 2: best ")


def test_a_trial_that_was_told_to_stop_and_never_asked_whether_to_has_come_to_its_end(address: str) -> None:
    made = study()
    trial = made.ask()
    made.client.stop_trial(trial.name, "enough")
    assert made.tell(trial, 0.5).state is TrialState.SUCCEEDED


def test_a_trial_that_somebody_else_took_over_does_not_stop_the_others(address: str) -> None:
    made = study()

    def objective(trial: AskedTrial) -> float:
        if trial.id == 1 and trial.attempt == 1:
            made.client.end_attempt(trial.name, 1, Cause.LEASE_LOST)
        return 1.0

    made.optimize(objective, trials=2)
    (first,) = made.trials
    assert [a.cause for a in first.attempts] == [Cause.LEASE_LOST, Cause.SUCCEEDED]


@pytest.mark.parametrize("parallel", [1, 2])
def test_an_interrupt_gives_running_trials_back(address: str, parallel: int) -> None:
    made = study()
    code = f"""
import sys, threading, wazir
def objective(trial):
    # In one write: `print` sends the end of the line by itself, after another thread's words perhaps.
    sys.stdout.write("running\\n")
    sys.stdout.flush()
    threading.Event().wait()
wazir.load_study("s").optimize(objective, parallel={parallel})
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(parallel):
        assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=60)[1]
    trials = made.trials
    assert [t.state for t in trials] == [TrialState.REQUESTED] * parallel
    assert {t.attempts[0].cause for t in trials} == {Cause.PREEMPTED}


# Tables


def test_a_row_holds_values_parameters_and_times(address: str) -> None:
    made = study(labels={"team": "vision"})
    made.enqueue_trial({"x": 0.5, "batch": 64, "opt": "adam"}, labels={"by": "me"})
    made.tell(made.ask(), {"value": 0.5, "time": 3.0})
    (trial,) = made.trials
    table = row(trial)
    assert isinstance(trial, Trial)
    assert {key: table[key] for key in table if "time" not in key.removeprefix("metric_") and key != "duration"} == {
        "id": 1,
        "state": "SUCCEEDED",
        "metric_value": 0.5,
        "params_x": 0.5,
        "params_batch": 64,
        "params_opt": "adam",
        "labels_by": "me",
    }
    assert table["metric_time"] == 3.0
    assert trial.start_time is not None
    assert trial.end_time is not None
    assert table["duration"] == trial.end_time - trial.start_time


def test_a_dataframe_without_pandas_names_it(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def without_pandas(name: str, *arguments: object, **rest: object) -> object:
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name="pandas")
        return imported(name, *arguments, **rest)  # type: ignore[arg-type]

    made = study()
    monkeypatch.setattr(builtins, "__import__", without_pandas)
    with pytest.raises(FailedPrecondition, match="pip install pandas"):
        made.trials_dataframe()


def test_a_dataframe_has_a_row_for_each_trial(address: str) -> None:
    made = study()
    made.optimize(quadratic, trials=3)
    frame = made.trials_dataframe()
    assert list(frame["id"]) == [1, 2, 3]
    assert frame["metric_value"].min() == made.best_value
