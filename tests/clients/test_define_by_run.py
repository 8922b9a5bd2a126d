"""Spaces that grow as the code names parameters: what each trial then has, what the study learns, and what is kept."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wazir.clients.asked import AskedTrial
from wazir.clients.frames import row
from wazir.clients.studies import create_study, load_study
from wazir.clients.study import Study
from wazir.domain.attempt import Cause
from wazir.domain.errors import InvalidArgument
from wazir.domain.parameters import canonical
from wazir.domain.space import Categorical, Discrete, Double, Integer, Kind, Scale
from wazir.domain.study import StudyState
from wazir.domain.trial import TrialState
from wazir.suggestion.repeating import WHY

from .served import serving


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Other stores are seen to by tests/service/test_growing.py."""
    with serving("sqlite", tmp_path) as address:
        monkeypatch.setenv("WAZIR_ADDRESS", address)
        yield address


@pytest.fixture
def study(address: str) -> Iterator[Study]:
    with create_study("s", algorithm="random", seed=7) as made:
        yield made


def classifier(trial: AskedTrial) -> float:
    """The example that everybody knows."""
    if trial.suggest_categorical("clf", ["svc", "rf"]) == "svc":
        return (trial.suggest_float("svc_c", 1e-3, 1e3, log=True) - 1) ** 2
    return 1.0 + abs(trial.suggest_int("rf_depth", 2, 32, log=True) - 7)


def layers(trial: AskedTrial) -> float:
    units = [trial.suggest_int(f"units_{i}", 1, 3) for i in range(trial.suggest_int("layers", 1, 3))]
    return float(sum(units))


def conditions(study: Study) -> dict[str, list[str]]:
    space = study.details().spec.space
    assert space is not None
    return {p.name: [str(c) for c in p.when] for p in space.parameters}


def kinds(study: Study) -> dict[str, Kind]:
    space = study.details().spec.space
    assert space is not None
    return {p.name: p.kind for p in space.parameters}


def points(study: Study) -> list[str]:
    return [canonical(t.parameters) for t in study.trials]


# A trial has what its code asked for


@pytest.mark.parametrize("algorithm", ["auto", "random", "tpe", "cmaes"])
def test_the_trials_of_a_conditional_script_are_different_and_have_what_was_asked(address: str, algorithm: str) -> None:
    asked: dict[int, dict[str, Any]] = {}

    def objective(trial: AskedTrial) -> float:
        value = classifier(trial)
        asked[trial.id] = dict(trial.params)
        return value

    with create_study("s", algorithm=algorithm, seed=3) as study:
        study.optimize(objective, trials=25)
        assert {t.id: dict(t.parameters) for t in study.trials} == asked
        assert len(set(points(study))) == 25
        assert set(study.best_params) in ({"clf", "svc_c"}, {"clf", "rf_depth"})
        assert conditions(study) == {"clf": [], "svc_c": ["clf = svc"], "rf_depth": ["clf = rf"]}


ENDS: dict[str, Callable[[Study, AskedTrial], object]] = {
    "with a value": lambda study, trial: study.tell(trial, 1.0),
    "infeasible": lambda study, trial: study.tell(trial, state="infeasible"),
    "failed": lambda study, trial: study.tell(trial, state="failed"),
    "stopped": lambda study, trial: study.tell(trial, 1.0, "stopped"),
    "raising": lambda study, trial: None,
}


@pytest.mark.parametrize("end", ENDS)
def test_what_was_not_asked_for_is_dropped_however_the_trial_ends(study: Study, end: str) -> None:
    study.enqueue_trial({"clf": "svc", "svc_c": 0.5, "rf_depth": 4})

    def objective(trial: AskedTrial) -> float:
        trial.suggest_categorical("clf", ["svc", "rf"])
        trial.suggest_float("svc_c", 0.0, 1.0)
        ENDS[end](study, trial)
        if end == "raising":
            raise ZeroDivisionError
        return 1.0

    study.optimize(objective, trials=1, catch=(ZeroDivisionError,))
    (trial,) = study.trials
    assert dict(trial.parameters) == {"clf": "svc", "svc_c": 0.5}
    assert trial.attempt is not None
    assert trial.attempt.unasked == {"rf_depth": 4}


def test_a_lost_attempt_keeps_the_proposal_for_the_next_one(study: Study) -> None:
    study.enqueue_trial({"x": 0.5, "y": 0.25})
    first = study.ask()
    assert first.suggest_float("x", 0.0, 1.0) == 0.5
    study.client.end_attempt(first.name, 1, Cause.LEASE_LOST)
    again = study.ask()
    assert (again.id, again.attempt) == (1, 2)
    assert again.suggest_float("y", 0.0, 1.0) == 0.25
    assert dict(study.tell(again, 1.0).parameters) == {"y": 0.25}


def test_a_failed_trial_that_is_retried_is_proposed_what_it_did_not_come_to(study: Study) -> None:
    study.enqueue_trial({"x": 0.5, "y": 0.25})
    trial = study.ask()
    trial.suggest_float("x", 0.0, 1.0)
    assert dict(study.tell(trial, state="failed").parameters) == {"x": 0.5}
    study.client.retry_trial(trial.name)
    again = study.ask()
    assert (again.id, again.suggest_float("y", 0.0, 1.0)) == (1, 0.25)


def test_before_it_ends_the_code_sees_what_it_has_asked_for(study: Study) -> None:
    study.enqueue_trial({"x": 0.5, "y": 0.25})
    trial = study.ask()
    assert dict(trial.params) == {}
    trial.suggest_float("y", 0.0, 1.0)
    assert dict(trial.params) == {"y": 0.25}


def test_a_name_asked_for_twice_has_one_value(study: Study) -> None:
    trial = study.ask()
    assert trial.suggest_float("x", 0.0, 1.0) == trial.suggest_float("x", 0.0, 1.0) == trial.suggest_float("x", 5, 6)
    chosen = trial.suggest_categorical("c", [(1,), (2,)])
    assert trial.suggest_categorical("c", [(1,), (2,)]) is chosen


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=6))
def test_a_program_of_any_conditions_gets_what_it_asks_for_and_no_point_twice(
    study: Study, gates: list[tuple[int, int]]
) -> None:
    """Each gate asks for a parameter of its own if an earlier one has a certain value."""
    asked: dict[int, dict[str, Any]] = {}

    def program(trial: AskedTrial) -> float:
        seen = {"p0": trial.suggest_int("p0", 0, 3)}
        for i, (parent, value) in enumerate(gates, start=1):
            if seen.get(f"p{parent % i}") == value:
                seen[f"p{i}"] = trial.suggest_int(f"p{i}", 0, 3) if i % 2 else trial.suggest_categorical(f"p{i}", FOUR)
        asked[trial.id] = seen
        return float(sum(seen.values()))

    with create_study(algorithm="random", seed=1) as made:
        made.optimize(program, trials=12, progress=False)
        assert {t.id: dict(t.parameters) for t in made.trials} == asked
        repeats = [t for t in made.trials if t.provenance and t.provenance.why == WHY]
        assert len(set(points(made))) == 12 - len(repeats)


FOUR = [0, 1, 2, 3]


# Conditions are learned


def test_conditions_on_ranges_are_learned(study: Study) -> None:
    study.optimize(layers, trials=25)
    assert conditions(study) == {"layers": [], "units_0": [], "units_1": ["2 <= layers"], "units_2": ["3 <= layers"]}
    assert len(set(points(study))) == 25


def test_a_learned_condition_is_corrected_by_the_trial_that_contradicts_it(study: Study) -> None:
    def objective(trial: AskedTrial) -> float:
        return trial.suggest_float("beta", 0.0, 1.0) if trial.suggest_categorical("opt", OPTS) != "sgd" else 0.0

    for opt in ("adam", "sgd"):
        study.enqueue_trial({"opt": opt})
    study.optimize(objective, trials=2)
    assert conditions(study) == {"opt": [], "beta": ["opt = adam"]}
    study.enqueue_trial({"opt": "lion"})
    study.optimize(objective, trials=1)
    assert conditions(study)["beta"] == ["opt = adam or lion"]


OPTS = ["sgd", "adam", "lion"]


def test_what_no_condition_can_say_is_unconditional_and_absent_where_it_was_not_asked_for(study: Study) -> None:
    def objective(trial: AskedTrial) -> float:
        product = trial.suggest_int("a", 1, 4) * trial.suggest_int("b", 1, 4)
        return trial.suggest_float("c", 0.0, 1.0) if product in (4, 6, 9) else 0.0

    study.optimize(objective, trials=40)
    assert conditions(study) == {"a": [], "b": [], "c": []}
    for trial in study.trials:
        assert ("c" in trial.parameters) == (int(trial.parameters["a"]) * int(trial.parameters["b"]) in (4, 6, 9))
    assert len(set(points(study))) == 40


def test_a_trial_that_failed_early_does_not_make_parameters_conditional(study: Study) -> None:
    def objective(trial: AskedTrial) -> float:
        if trial.suggest_categorical("opt", ["sgd", "adam"]) == "sgd" and trial.id < 10:
            raise ZeroDivisionError
        return trial.suggest_float("lr", 0.0, 1.0)

    study.optimize(objective, trials=10, catch=ZeroDivisionError)
    assert conditions(study) == {"opt": [], "lr": []}


# Ranges that differ


def test_a_range_may_depend_on_another_parameter(study: Study) -> None:
    def objective(trial: AskedTrial) -> float:
        n = trial.suggest_int("n", 1, 9)
        k = trial.suggest_int("k", 1, n)
        assert 1 <= k <= n
        return float(k)

    study.optimize(objective, trials=30)
    assert kinds(study) == {"n": Integer(1, 9), "k": Integer(1, 9)}
    space = study.details().spec.space
    assert space is not None
    assert space.constraints == ("k <= n",)
    assert all(int(t.parameters["k"]) <= int(t.parameters["n"]) for t in study.trials)


def test_a_learned_constraint_is_dropped_by_the_trial_that_contradicts_it(study: Study) -> None:
    def objective(trial: AskedTrial) -> float:
        n = trial.suggest_int("n", 1, 9)
        return float(trial.suggest_int("k", 1, 9 if n == 4 and trial.id > 20 else n))

    study.optimize(objective, trials=20)
    space = study.details().spec.space
    assert space is not None
    assert space.constraints == ("k <= n",)
    study.enqueue_trial({"n": 4, "k": 8})
    study.optimize(objective, trials=1)
    space = study.details().spec.space
    assert space is not None
    assert space.constraints == ()


def optimizer(trial: AskedTrial, most: float = 1e-3) -> float:
    low, high = (1e-2, 1.0) if trial.suggest_categorical("opt", ["sgd", "adam"]) == "sgd" else (1e-5, most)
    lr = trial.suggest_float("lr", low, high, log=True)
    assert low <= lr <= high
    return lr


def test_a_range_that_goes_with_a_choice_is_learned_and_dropped_when_it_is_widened(study: Study) -> None:
    study.optimize(optimizer, trials=20)
    space = study.details().spec.space
    assert space is not None
    assert set(space.constraints) == {'opt != "sgd" or lr >= 0.01', 'opt != "adam" or lr <= 0.001'}
    assert space.by_name["lr"].kind == Double(1e-5, 1.0, Scale.LOG)

    with load_study("s") as elsewhere:
        elsewhere.enqueue_trial({"opt": "adam", "lr": 1e-4})
        trial = elsewhere.ask()
        optimizer(trial, most=1e-2)
        elsewhere.tell(trial, 1.0)
        space = elsewhere.details().spec.space
        assert space is not None
        assert set(space.constraints) == {'opt != "sgd" or lr >= 0.01'}


@pytest.mark.parametrize("algorithm", ["auto", "tpe"])
def test_trials_with_ranges_of_their_own_are_different(address: str, algorithm: str) -> None:
    def objective(trial: AskedTrial) -> float:
        n = trial.suggest_int("n", 1, 20)
        k = trial.suggest_int("k", 1, n)
        return (n - 10) ** 2 + (k - 3) ** 2 + trial.suggest_float("m", 0, np.float32(k))

    with create_study("s", algorithm=algorithm, seed=1) as study:
        study.optimize(objective, trials=25)
        assert len(set(points(study))) == 25


def test_a_proposed_value_is_used_if_it_lies_in_the_range_of_the_trial(study: Study) -> None:
    for value in (3, 8):
        study.enqueue_trial({"k": value})
    first, second = study.ask(), study.ask()
    assert first.suggest_int("k", 1, 5) == 3
    with pytest.warns(UserWarning, match=r"the enqueued value 8 of 'k' is not among the whole numbers from 1 to 5"):
        drawn = second.suggest_int("k", 1, 5)
    assert 1 <= drawn <= 5
    assert study.tell(second, 1.0).parameters == {"k": drawn}


def test_a_drawn_value_is_the_same_for_the_next_attempt(study: Study) -> None:
    first = study.ask()
    value = first.suggest_float("x", 0.0, 1.0)
    study.client.end_attempt(first.name, 1, Cause.LEASE_LOST)
    assert study.ask().suggest_float("x", 0.0, 1.0) == value


def test_choices_may_differ_from_trial_to_trial(study: Study) -> None:
    def objective(trial: AskedTrial) -> float:
        choices = ["sgd", "adam"] if trial.id % 2 else ["adam", "lion"]
        assert trial.suggest_categorical("opt", choices) in choices
        return trial.suggest_float("x", 0.0, 1.0)

    study.optimize(objective, trials=10)
    assert kinds(study)["opt"] == Categorical(("sgd", "adam", "lion"))


@pytest.mark.parametrize(
    ("first", "second", "rule"),
    [
        (lambda t: t.suggest_int("x", 0, 1), lambda t: t.suggest_float("x", 0, 1), "whole numbers in one trial"),
        (lambda t: t.suggest_float("x", 1, 2), lambda t: t.suggest_float("x", 1, 2, log=True), "scale linear"),
        (lambda t: t.suggest_categorical("x", [1]), lambda t: t.suggest_int("x", 0, 1), "a list of choices"),
    ],
)
def test_definitions_that_cannot_be_joined_are_refused(
    study: Study, first: Callable[[AskedTrial], object], second: Callable[[AskedTrial], object], rule: str
) -> None:
    first(study.ask())
    with load_study("s") as elsewhere, pytest.raises(InvalidArgument, match=rule):
        second(elsewhere.ask())


def test_steps_and_fixed_values_are_joined(study: Study) -> None:
    for low, high, step in ((0, 8, 4), (3, 3, 1), (0, 9, 3)):
        trial = study.ask()
        assert trial.suggest_int("n", low, high, step=step) in range(low, high + 1, step)
        trial.suggest_float("x", low / 8, high / 8, step=step / 8 if low < high else None)
    assert kinds(study) == {"n": Integer(0, 9), "x": Double(0.0, 1.125)}


# Choices and numbers of other types


CHOICES: list[Any] = [None, (64, 64), [1, 2], "None", "python:x", {"a": 1}, True, 1, 1.0, "1"]


def test_choices_come_back_as_the_objects_that_they_are(study: Study) -> None:
    for _ in range(30):
        trial = study.ask()
        chosen = trial.suggest_categorical("c", CHOICES)
        assert any(chosen is choice for choice in CHOICES)
        told = study.tell(trial, 0.0 if chosen == (64, 64) else 1.0)
        assert type(told.parameters["c"]) in (bool, int, float, str)
    assert study.best_params == {"c": (64, 64)}
    with load_study("s") as elsewhere:
        assert elsewhere.best_params == {"c": (64, 64)}


def test_each_choice_may_be_enqueued(study: Study) -> None:
    for choice in CHOICES:
        study.enqueue_trial({"c": choice})
    assert [study.ask().suggest_categorical("c", CHOICES) for _ in CHOICES] == CHOICES


def test_choices_are_rows_and_errors_in_pythons_words(study: Study) -> None:
    study.enqueue_trial({"c": (64, 64)})
    study.tell(trial := study.ask(), trial.suggest_categorical("c", CHOICES)[0])
    assert row(study.trials[0])["params_c"] == (64, 64)
    with pytest.raises(InvalidArgument, match=r"knows it as the choices None, \(64, 64\), \[1, 2\]"):
        study.ask().suggest_int("c", 1, 2)


def test_a_choice_that_cannot_be_stored_is_refused(study: Study) -> None:
    with pytest.raises(InvalidArgument, match=r"parameters\.c = .*can be text, a number"):
        study.ask().suggest_categorical("c", [object()])


def test_numpy_scalars_are_numbers(study: Study) -> None:
    trial = study.ask()
    assert type(trial.suggest_int("n", np.int64(1), np.int32(10), step=np.int8(3))) is int
    assert type(trial.suggest_float("x", np.float32(0.5), np.float64(2), log=True)) is float
    chosen = trial.suggest_categorical("c", list(np.array([32, 64])))
    assert type(chosen) is np.int64
    assert kinds(study) == {
        "n": Integer(1, 10, step=3),
        "x": Double(0.5, 2.0, Scale.LOG),
        "c": Categorical((32, 64)),
    }


def test_whole_floats_are_whole_numbers(study: Study) -> None:
    trial = study.ask()
    assert type(trial.suggest_int("n", 1.0, 10.0)) is int
    assert type(trial.suggest_int("m", 4.0, 4.0)) is int
    assert kinds(study) == {"n": Integer(1, 10), "m": Discrete((4,))}
    with pytest.raises(InvalidArgument, match=r"must be a whole number\. For real numbers use suggest_float"):
        trial.suggest_int("k", 1.5, 3)


# Enqueued trials


def test_a_trial_may_be_enqueued_before_the_first(study: Study) -> None:
    study.enqueue_trial({"clf": "rf", "rf_depth": 5.0, "nobody_asks": 1})
    study.optimize(classifier, trials=1)
    assert study.trials[0].parameters == {"clf": "rf", "rf_depth": 5}


def test_an_enqueued_trial_may_lack_values(study: Study) -> None:
    study.optimize(classifier, trials=4)
    study.enqueue_trial({"clf": "svc"})
    trial = study.ask()
    classifier(trial)
    assert study.tell(trial, 1.0).parameters.keys() == {"clf", "svc_c"}


@pytest.mark.parametrize("algorithm", ["auto", "tpe", "cmaes"])
def test_an_algorithm_takes_enqueued_values_that_the_space_does_not_know(address: str, algorithm: str) -> None:
    with create_study("s", algorithm=algorithm, seed=3) as study:
        study.optimize(classifier, trials=12)
        study.enqueue_trial({"clf": "mlp", "rf_depth": 99, "svc_c": "much", "width": 3})
        waiting = study.ask()
        study.optimize(classifier, trials=3)
        assert not any(t.provenance and t.provenance.fallback for t in study.trials)
        study.tell(waiting, state="failed")


# A growing space has no last point


def test_a_budget_that_covers_the_first_points_says_nothing_of_those_to_come(address: str) -> None:
    with create_study("s", trials=40, seed=3) as study:
        study.enqueue_trial({"clf": "rf"})
        study.optimize(classifier)
        assert study.details().algorithm_status.chosen == "gp"
        assert study.details().algorithm_status.chosen_because == "the space may still grow"
        assert len(set(points(study))) == 40
        assert {t.parameters["clf"] for t in study.trials} == {"svc", "rf"}


@pytest.mark.parametrize("algorithm", ["auto", "random", "grid", "tpe"])
def test_a_growing_study_is_never_exhausted(address: str, algorithm: str) -> None:
    with create_study("s", algorithm=algorithm, seed=3) as study, warnings.catch_warnings():
        warnings.simplefilter("error")
        study.optimize(lambda trial: float(trial.suggest_categorical("x", [1, 2, 3])), trials=8)
        assert len(study.trials) == 8
        assert len(set(points(study))) == 3
        assert study.details().state is StudyState.ACTIVE


def test_a_function_without_parameters_is_evaluated_as_often_as_asked_for(study: Study) -> None:
    study.optimize(lambda trial: 1.0, trials=4)
    assert [dict(t.parameters) for t in study.trials] == [{}] * 4


# Several processes and threads


def test_threads_share_a_growing_study(study: Study) -> None:
    study.optimize(classifier, trials=20, parallel=4)
    assert len(study.trials) == 20
    for trial in study.trials:
        assert trial.parameters.keys() == {"clf", {"svc": "svc_c", "rf": "rf_depth"}[str(trial.parameters["clf"])]}
    assert conditions(study) == {"clf": [], "svc_c": ["clf = svc"], "rf_depth": ["clf = rf"]}


CODE = """
import sys, threading, wazir
def objective(trial):
    branch = trial.suggest_categorical("branch", ["left", "right"])
    value = trial.suggest_float(branch, 0.0, 1.0)
    if trial.id == 3:
        print("three", flush=True)
        threading.Event().wait()
    return value
wazir.load_study("s", lease=1.0).optimize(objective, trials=5)
"""


def test_a_killed_process_leaves_its_trial_to_another_with_the_same_values(study: Study) -> None:
    killed = subprocess.Popen([sys.executable, "-c", CODE], env=os.environ, stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    assert killed.stdout.readline() == "three\n"
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    held = dict(study.trials[2].parameters)
    while study.trials[2].state is not TrialState.REQUESTED:
        study.details()
    again = study.ask()
    assert again.id == 3
    branch = again.suggest_categorical("branch", ["left", "right"])
    again.suggest_float(branch, 0.0, 1.0)
    told = study.tell(again, 1.0)
    assert told.parameters.items() <= held.items()
    assert told.parameters.keys() == {"branch", branch}
