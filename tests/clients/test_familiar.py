"""What Optuna's users know, against a real service: names of arguments, callbacks, pruning, attributes, records."""

from __future__ import annotations

import copy
import logging
import pickle
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import wazir
from wazir.clients.asked import AskedTrial
from wazir.clients.familiar import pruners, samplers
from wazir.clients.opening import place_of
from wazir.clients.results import Result
from wazir.clients.studies import create_study, delete_study, get_all_study_names, get_all_study_summaries, load_study
from wazir.clients.study import Study
from wazir.clients.trial import TrialPruned
from wazir.domain.errors import FailedPrecondition, InvalidArgument, NotFound
from wazir.domain.metric import Goal
from wazir.domain.space import Double, Scale
from wazir.domain.study import StudyState
from wazir.domain.trial import TrialState

from .served import serving


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with serving("memory", tmp_path) as address:
        monkeypatch.setenv("WAZIR_ADDRESS", address)
        yield address


@pytest.fixture
def study(address: str) -> Iterator[Study]:
    with create_study(study_name="s", sampler="random", seed=7) as made:
        yield made


def quadratic(trial: AskedTrial) -> float:
    return (trial.suggest_float("x", 0.0, 1.0) - 0.25) ** 2


# Arguments


@pytest.mark.parametrize(
    ("sampler", "name", "settings", "seed"),
    [
        pytest.param("tpe", "tpe", {}, None, id="a name of ours"),
        pytest.param("TPESampler", "tpe", {}, None, id="the name of a class"),
        pytest.param(samplers.TPESampler, "tpe", {}, None, id="a class"),
        pytest.param(
            samplers.TPESampler(seed=3, n_startup_trials=5, n_ei_candidates=48, multivariate=True),
            "tpe",
            {"startup": 5, "candidates": 48},
            3,
            id="settings",
        ),
        pytest.param(samplers.RandomSampler(seed=0), "random", {}, 0, id="random"),
        pytest.param(samplers.GPSampler(), "gp", {}, None, id="gp"),
        pytest.param(samplers.CmaEsSampler(popsize=8), "cmaes", {"population": 8}, None, id="cmaes"),
        pytest.param(samplers.QMCSampler(), "quasirandom", {}, None, id="quasirandom"),
    ],
)
def test_a_sampler_is_an_algorithm(
    address: str, sampler: object, name: str, settings: dict[str, object], seed: int | None
) -> None:
    with create_study(sampler=sampler) as made:
        algorithm = made.details().spec.algorithm
    assert (algorithm.name, algorithm.settings, algorithm.seed) == (name, settings, seed)


@pytest.mark.parametrize(
    ("pruner", "expected"),
    [
        pytest.param("median", ("median", {}), id="a name of ours"),
        pytest.param(
            pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=10),
            ("median", {"min_trials": 3, "min": 10}),
            id="median",
        ),
        pytest.param(pruners.MedianPruner(), ("median", {"min_trials": 5}), id="Optuna's defaults"),
        pytest.param(
            pruners.SuccessiveHalvingPruner(min_resource="auto"), ("asha", {"eta": 4}), id="successive halving"
        ),
        pytest.param(
            pruners.HyperbandPruner(min_resource=1, max_resource=27), ("asha", {"min": 1, "max": 27, "eta": 3}), id="hb"
        ),
        pytest.param(pruners.ThresholdPruner(upper=2), ("threshold", {"value": 2.0}), id="threshold"),
        pytest.param(pruners.NopPruner(), None, id="none"),
    ],
)
def test_a_pruner_is_a_stopping_rule(
    address: str, pruner: object, expected: tuple[str, dict[str, object]] | None
) -> None:
    with create_study(pruner=pruner) as made:
        rule = made.details().spec.stopping
    assert (None if rule is None else (rule.name, dict(rule.settings))) == expected


def test_settings_without_an_equivalent_are_named_in_one_line(address: str, caplog: pytest.LogCaptureFixture) -> None:
    with create_study(
        sampler=samplers.GPSampler(n_startup_trials=3, deterministic_objective=True),
        pruner=pruners.MedianPruner(interval_steps=1),
    ):
        pass
    assert [r.getMessage() for r in caplog.records] == [
        "GPSampler is gp here, without n_startup_trials, deterministic_objective"
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"sampler": "NSGAIISampler"}, 'sampler = "NSGAIISampler": has no equivalent. Leave it out: with several'),
        ({"sampler": samplers.GridSampler({"x": [1]})}, 'algorithm="grid"'),
        ({"sampler": "TPESampelr"}, 'algorithm = "TPESampelr": is not known'),
        ({"sampler": 5}, r'sampler = "int": is not known\. Known are: .*TPESampler\. Or write algorithm='),
        ({"pruner": pruners.PercentilePruner(25.0)}, 'pruner="median"'),
        ({"pruner": pruners.ThresholdPruner(lower=1.0)}, "has no upper, and the goal is to minimize"),
        ({"sampler": "tpe", "algorithm": "gp"}, "sampler: is given beside algorithm"),
        ({"pruner": "median", "stopping": "median"}, "pruner: is given beside stopping"),
        ({"name": "s", "study_name": "s"}, "study_name: is given beside name"),
        ({"study_name": "My Study 1"}, 'name = "My Study 1": must be 1 to 40 .* For instance "my-study-1"'),
        ({"directions": ["minimize", "max"]}, r'directions\[1\] = "max"'),
        ({"directions": "minimize"}, r'^directions = "minimize": must be a list. For instance \["minimize"\]'),
        ({"constraints": "x < 2"}, '^constraints = "x < 2": must be a list'),
        ({"lease": 0}, "^lease = 0: must be a number of seconds above 0"),
        ({"direction": 3}, '^direction = 3: must be "minimize"'),
        ({"directions": []}, r"directions = \[\]: must have one for each objective"),
        ({"direction": "minimize", "directions": ["minimize"]}, "what is optimised is said twice"),
        ({"storage": "sqlite:///x.db", "address": "localhost:1"}, "storage: is given beside address"),
        ({"trials": 0}, "^trials = 0: "),
        ({"algorithm": "grdi"}, '^algorithm = "grdi": is not known. Did you mean "grid"'),
    ],
)
def test_what_cannot_be_is_refused_in_one_line_of_python_words(
    address: str, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidArgument, match=words) as refused:
        create_study(**arguments)  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("storage", "place"),
    [
        ("sqlite:///studies.db", (None, Path("studies.db"))),
        ("sqlite:////data/studies.db", (None, Path("/data/studies.db"))),
        ("studies.db", (None, Path("studies.db"))),
        (Path("studies"), (None, Path("studies"))),
        ("postgresql+psycopg2://me@db/tuning", (None, "postgresql://me@db/tuning")),
        ("tuning:8470", ("tuning:8470", None)),
        ("unix:/run/wazir.sock", ("unix:/run/wazir.sock", None)),
    ],
)
def test_a_storage_is_a_database_or_an_address(storage: str | Path, place: tuple[object, object]) -> None:
    assert place_of(storage) == place


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        ("mysql://u:secret@h/d", "no database of the kind"),
        ("sqlite:///:memory:", "names no file"),
        ("here", "host:port"),
        (object(), 'storage = "object"'),
    ],
)
def test_another_storage_is_refused(storage: object, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as refused:
        place_of(storage)  # type: ignore[arg-type]
    assert "secret" not in str(refused.value)


def test_several_directions_are_several_objectives(address: str) -> None:
    with create_study(directions=["minimize", "maximize"]) as made:
        assert made.directions == [Goal.MINIMIZE, Goal.MAXIMIZE]
        made.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 1.0), n_trials=3)
        assert [t.values for t in made.best_trials] == [min(t.values or [] for t in made.trials)]
        with pytest.raises(FailedPrecondition, match="use `values`"):
            _ = made.trials[0].value


def test_the_deprecated_names_of_suggest_float_mean_it(study: Study) -> None:
    trial = study.ask()
    assert 0 <= trial.suggest_uniform("x", 0, 1) <= 1
    assert 1e-3 <= trial.suggest_loguniform("y", 1e-3, 1) <= 1
    assert trial.suggest_discrete_uniform("z", 0, 1, 0.5) in (0, 0.5, 1)
    space = study.details().spec.space
    assert space is not None
    assert {p.name: p.kind for p in space.parameters} == {
        "x": Double(0.0, 1.0),
        "y": Double(1e-3, 1.0, Scale.LOG),
        "z": Double(0.0, 1.0, step=0.5),
    }


# Optimize


@pytest.mark.parametrize("jobs", [1, 3])
def test_callbacks_see_every_trial_as_it_ended(study: Study, jobs: int) -> None:
    seen: list[Result] = []
    study.optimize(quadratic, n_trials=6, n_jobs=jobs, callbacks=[lambda study, trial: seen.append(trial)])
    assert sorted(seen, key=lambda t: t.id) == study.trials
    assert {t.state for t in seen} == {TrialState.SUCCEEDED}


def test_what_a_callback_raises_ends_optimize(study: Study) -> None:
    def failing(study: Study, trial: Result) -> None:
        raise RuntimeError(f"after {trial.number}")

    with pytest.raises(RuntimeError, match="after 0"):
        study.optimize(quadratic, n_trials=3, callbacks=[failing])
    assert [t.state for t in study.trials] == [TrialState.SUCCEEDED]


@pytest.mark.parametrize("jobs", [1, 2])
def test_stop_in_a_callback_ends_this_optimize_and_not_the_study(study: Study, jobs: int) -> None:
    def enough(study: Study, trial: Result) -> None:
        if trial.number == 2:
            study.stop()

    study.optimize(quadratic, n_jobs=jobs, callbacks=[enough])
    assert 3 <= len(study.trials) <= 2 + jobs
    assert {t.state for t in study.trials} == {TrialState.SUCCEEDED}
    assert study.details().state is StudyState.ACTIVE

    study.stop("enough")
    assert study.details().state is StudyState.COMPLETED


def test_stop_in_an_objective_lets_its_trial_end(study: Study) -> None:
    def objective(trial: AskedTrial) -> float:
        study.stop()
        return 1.0

    study.optimize(objective, n_trials=5)
    assert [t.value for t in study.trials] == [1.0]


def test_a_count_of_trials_may_end_optimize(study: Study) -> None:
    study.optimize(quadratic, callbacks=[wazir.study.MaxTrialsCallback(4)])
    assert len(study.trials) == 4


def test_a_pruned_trial_is_stopped_and_its_reports_count(study: Study) -> None:
    def objective(trial: AskedTrial) -> float:
        trial.report(0.5, 1)
        trial.report(value=0.25, step=2)
        raise TrialPruned("hopeless" if trial.number else "")

    study.optimize(objective, n_trials=2)
    first, second = study.trials
    assert (first.state, first.value, first.reason) == (TrialState.PRUNED, 0.25, "pruned by its code")
    assert second.reason == "hopeless"
    assert first.intermediate_values == {1: 0.5, 2: 0.25}
    assert first.last_step == 2


def test_a_trial_that_is_pruned_before_it_reports_is_infeasible(study: Study) -> None:
    def objective(trial: AskedTrial) -> float:
        raise TrialPruned

    study.optimize(objective, n_trials=1)
    (trial,) = study.trials
    assert (trial.state, trial.value) == (TrialState.INFEASIBLE, None)
    assert trial.reason == "pruned by its code before it reported anything"

    assert study.tell(study.ask(), state=TrialState.PRUNED).state is TrialState.INFEASIBLE


def test_parameters_that_the_code_prunes_at_once_are_not_proposed_again(address: str) -> None:
    def objective(trial: AskedTrial) -> float:
        depth = trial.suggest_int("depth", 1, 32)
        if depth <= 16:
            raise TrialPruned("too small")
        return float(depth)

    with create_study(sampler="gp", seed=3) as made:
        made.optimize(objective, n_trials=16)
        pruned = [trial.params["depth"] for trial in made.trials if trial.value is None]
    assert pruned
    assert len(pruned) == len(set(pruned))


def test_a_rule_says_when_to_prune(address: str) -> None:
    def objective(trial: AskedTrial) -> float:
        for step in range(1, 4):
            trial.report(float(trial.number), step)
            assert trial.flush(30)
            if trial.should_prune():
                raise TrialPruned(f"at step {step}")
        return float(trial.number)

    with create_study(sampler="random", pruner=pruners.ThresholdPruner(upper=0.5, n_warmup_steps=2)) as made:
        made.optimize(objective, n_trials=2)
        good, bad = made.trials
    assert (good.state, bad.state) == (TrialState.COMPLETE, TrialState.PRUNED)
    assert bad.reason.startswith("step 2: best 1 is worse than the threshold"), "the rule's reason stays"


def test_a_number_alone_is_refused_with_several_objectives(address: str) -> None:
    with create_study(directions=["minimize", "minimize"]) as made:
        trial = made.ask()
        with pytest.raises(InvalidArgument, match=r"Name it\. The study has value_0, value_1"):
            trial.report(0.5, 1)
        with pytest.raises(InvalidArgument, match=r"Write report\(value, step\)"):
            trial.report(0.5, 1, 2)


def test_pruning_follows_from_the_seed(address: str) -> None:
    """However short the steps are: `should_prune` knows the report before it."""

    def objective(trial: AskedTrial) -> float:
        x = trial.suggest_float("x", 0.0, 1.0)
        for step in range(1, 6):
            trial.report(x / step, step)
            if trial.should_prune():
                raise TrialPruned
        return x

    runs = []
    for _ in range(2):
        with create_study(sampler=samplers.TPESampler(seed=3), pruner=pruners.MedianPruner()) as made:
            made.optimize(objective, n_trials=15, progress=False)
            runs.append([(t.params, t.state, t.value) for t in made.trials])
    assert runs[0] == runs[1]
    assert TrialState.PRUNED in {state for _, state, _ in runs[0]}


def test_a_script_that_asks_whether_to_prune_is_told_once_if_nothing_ever_is(
    address: str, caplog: pytest.LogCaptureFixture
) -> None:
    def objective(trial: AskedTrial) -> float:
        assert not trial.should_prune()
        return 1.0

    for pruner, lines in ((None, 1), (pruners.NopPruner(), 0), (pruners.MedianPruner(), 0)):
        caplog.clear()
        with create_study(pruner=pruner) as made:
            made.optimize(objective, n_trials=2)
        assert len([r for r in caplog.records if "no stopping rule" in r.getMessage()]) == lines


def test_a_trial_is_told_by_its_id_and_not_by_its_number(study: Study) -> None:
    trial = study.ask()
    with pytest.raises(InvalidArgument, match=r"trial = 0: ids count from 1\. Give the trial itself, or trial\.id"):
        study.tell(trial.number, 1.0)
    told = study.tell(trial.id, values=[1.0])
    assert study.tell(trial, 2.0, skip_if_finished=True) == told


# What is printed


def test_a_line_is_written_for_each_trial(study: Study, capfd: pytest.CaptureFixture[str]) -> None:
    def objective(trial: AskedTrial) -> float:
        if trial.number == 1:
            raise ZeroDivisionError("\x1b[31mred")
        return [0.5, 0.0, 0.75, 0.25][trial.number]

    study.optimize(objective, n_trials=4, catch=[ZeroDivisionError])
    written = capfd.readouterr()
    assert written.out == ""
    assert [re.sub(r"\d+(\.\d)? s\b", "TIME", line) for line in written.err.splitlines()] == [
        "trial    1  succeeded   value=0.5  new best  TIME",
        "trial    2  failed      best 0.5 (trial 1)  TIME  ZeroDivisionError: \\x1b[31mred",
        "trial    3  succeeded   value=0.75  best 0.5 (trial 1)  TIME",
        "trial    4  succeeded   value=0.25  new best  TIME",
    ]


def test_lines_know_the_best_of_before(study: Study, capfd: pytest.CaptureFixture[str]) -> None:
    study.tell(study.ask(), -1.0)
    study.optimize(quadratic, n_trials=1)
    assert "best -1 (trial 1)" in capfd.readouterr().err


def test_nothing_is_written_by_a_quiet_optimize(study: Study, capfd: pytest.CaptureFixture[str]) -> None:
    study.optimize(quadratic, n_trials=1, progress=False)
    wazir.logging.set_verbosity(wazir.logging.WARNING)
    try:
        study.optimize(quadratic, n_trials=1)
        assert wazir.logging.get_verbosity() == logging.WARNING
    finally:
        wazir.logging.set_verbosity(wazir.logging.INFO)
    assert capfd.readouterr() == ("", "")


def test_a_bar_counts_trials_above_which_the_lines_stay(study: Study, capfd: pytest.CaptureFixture[str]) -> None:
    study.optimize(quadratic, n_trials=3, show_progress_bar=True)
    written = capfd.readouterr().err
    assert "3/3" in written
    assert written.count("succeeded") == 3


def test_two_studies_at_a_time_may_each_ask_for_a_bar(study: Study, capfd: pytest.CaptureFixture[str]) -> None:
    def outer(trial: AskedTrial) -> float:
        with create_study(sampler="random") as inner:
            inner.optimize(quadratic, n_trials=2, show_progress_bar=True)
            return inner.best_value

    study.optimize(outer, n_trials=1, show_progress_bar=True)
    assert capfd.readouterr().err.count("succeeded") == 3


def test_a_process_without_standard_error_tunes_as_well(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    study.optimize(quadratic, n_trials=1)
    assert len(study.trials) == 1


# Attributes and records


def test_user_attributes_are_json_values(study: Study) -> None:
    values: dict[str, object] = {"text": "a b", "number": "5", "list": [1, 2.5, None], "true": True, "nested": {"a": 1}}

    def objective(trial: AskedTrial) -> float:
        for key, value in values.items():
            trial.set_user_attr(key, value)
        assert trial.user_attrs == values
        return 1.0

    study.optimize(objective, n_trials=1)
    assert study.best_trial.user_attrs == values
    assert study.best_trial.metadata["text"] == "a b", "text that is no JSON stays as it is"

    study.set_user_attr("data", {"rows": 3})
    assert load_study("s").user_attrs == {"data": {"rows": 3}}
    with pytest.raises(InvalidArgument, match=r"user_attrs\.model = \"object\": must be a JSON value"):
        study.set_user_attr("model", object())


def test_a_trial_of_the_study_is_like_a_frozen_trial(study: Study) -> None:
    before = datetime.now(UTC)
    study.optimize(quadratic, n_trials=2)
    trial = study.trials[1]
    assert (trial.number, trial.id) == (1, 2)
    assert trial.state == wazir.trial.TrialState.COMPLETE
    assert trial.state.is_finished()
    assert trial.params == dict(trial.parameters)
    assert trial.value == (trial.params["x"] - 0.25) ** 2
    assert trial.values == [trial.value]
    assert trial.datetime_start is not None
    assert trial.datetime_complete is not None
    assert before <= trial.datetime_start <= trial.datetime_complete
    assert trial.duration == trial.datetime_complete - trial.datetime_start
    assert repr(trial) == (
        f"Trial(number=1, SUCCEEDED, value={trial.value:.6g}, params={{'x': {trial.params['x']!r}}})"
    )


def test_a_copy_of_a_record_needs_no_service_but_for_its_reports(study: Study) -> None:
    study.optimize(quadratic, n_trials=1)
    (trial,) = study.trials
    for copied in (copy.deepcopy(trial), pickle.loads(pickle.dumps(trial))):
        assert copied == trial
        with pytest.raises(FailedPrecondition, match="load the study"):
            _ = copied.intermediate_values


def test_a_pickled_study_is_a_way_to_it(study: Study) -> None:
    with pickle.loads(pickle.dumps(study)) as same:
        same.optimize(quadratic, n_trials=1, progress=False)
    assert len(study.trials) == 1


def test_trials_are_filtered_by_state(study: Study) -> None:
    study.optimize(quadratic, n_trials=2)
    study.ask()
    assert [t.number for t in study.get_trials(deepcopy=False, states=[wazir.TrialState.COMPLETE])] == [0, 1]
    assert [t.number for t in study.get_trials(states=(wazir.TrialState.RUNNING,))] == [2]
    assert study.get_trials(states=[]) == []


def test_an_enqueued_trial_has_attributes_and_is_not_made_twice(address: str) -> None:
    with create_study(parameters={"x": {"min": 0.0, "max": 1.0}}) as made:
        first = made.enqueue_trial({"x": 0.5}, user_attrs={"by": "hand"})
        assert made.enqueue_trial({"x": 0.5}, skip_if_exists=True).id == first.id
        trial = made.ask()
        assert (trial.params["x"], trial.user_attrs, trial.number) == (0.5, {"by": "hand"}, 0)


def test_mistakes_of_calls_are_told_by_their_arguments(address: str) -> None:
    with create_study(parameters={"x": {"min": 0.0, "max": 1.0}}) as made:
        with pytest.raises(InvalidArgument, match=r"^params\.x = 5: must lie in"):
            made.enqueue_trial({"x": 5})
        with pytest.raises(InvalidArgument, match=r'^params = \["x"\]: must be a mapping'):
            made.enqueue_trial(["x"])  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match=r"^states = .* Did you mean"):
            made.get_trials(states=["complet"])  # type: ignore[list-item]
        with pytest.raises(InvalidArgument, match=r'^trial = "NoneType": must be what `ask` returned'):
            made.tell(None, 1.0)  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match=r"^fixed_distributions: is not known here\. Call suggest_\*"):
            made.ask({"x": "a distribution"})  # type: ignore[arg-type]
        with pytest.raises(InvalidArgument, match="function = 5: must be callable"):
            made.optimize(5)  # type: ignore[arg-type]
        assert made.trials == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n_trials": 0}, "n_trials = 0: must be a whole number of 1 or more"),
        ({"n_jobs": -2}, "n_jobs = -2: must be a whole number of 1 or more"),
        ({"parallel": 0}, "parallel = 0: must be a whole number of 1 or more"),
        ({"timeout": "10 min"}, 'timeout = "10 min": must be a number of seconds, 0 or more. For instance 600'),
        ({"timeout": -1}, "timeout = -1: must be a number of seconds, 0 or more. For instance 600"),
        ({"catch": "ValueError"}, 'catch = "ValueError": must be exception classes. For instance (ValueError,)'),
        ({"callbacks": 3}, "callbacks = 3: must be a list of functions. For instance [callback]"),
    ],
)
def test_mistakes_of_optimize_are_told_by_the_arguments_that_were_given(
    study: Study, arguments: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        study.optimize(quadratic, **({"trials": 1} if "n_trials" not in arguments else {}), **arguments)  # type: ignore[arg-type]
    assert str(refused.value) == words
    assert study.trials == []


def test_states_go_by_their_names_here_and_in_optuna(study: Study) -> None:
    assert study.tell(study.ask(), 1.0, state="complete").state is TrialState.SUCCEEDED
    assert len(study.get_trials(states=["COMPLETE"])) == 1  # type: ignore[list-item]


def test_values_that_are_not_there_are_not_null(study: Study) -> None:
    trial = study.ask()
    with pytest.raises(InvalidArgument, match=r"^value: lacks the objective 'value'"):
        study.tell(trial)
    with pytest.raises(InvalidArgument, match=r"^value: is missing"):
        trial.report()
    with pytest.raises(InvalidArgument, match=r"^metrics.value = object: must be one number"):
        study.tell(trial, object())  # type: ignore[arg-type]


def test_studies_are_listed_and_deleted(study: Study) -> None:
    study.tell(study.ask(), 0.5)
    study.set_user_attr("rows", 3)
    with create_study("t", directions=["minimize", "maximize"]):
        assert get_all_study_names() == ["s", "t"]
    first, second = get_all_study_summaries()
    assert (first.study_name, first.direction, first.n_trials, first.user_attrs) == ("s", Goal.MINIMIZE, 1, {"rows": 3})
    assert first.best_trial is not None
    assert first.best_trial.value == 0.5
    assert (second.directions, second.best_trial) == ([Goal.MINIMIZE, Goal.MAXIMIZE], None)
    delete_study(study_name="t")
    assert get_all_study_names() == ["s"]
    with pytest.raises(NotFound):
        load_study(study_name="t")
    with pytest.raises(InvalidArgument, match="name: is missing"):
        load_study()


def test_optunas_logger_is_the_one_that_wazir_writes_to() -> None:
    names = [wazir.logging.get_logger(name).name for name in ("optuna", "optuna.study", "mine")]
    assert names == ["wazir", "wazir.study", "mine"]

    wazir.logging.disable_propagation()
    assert not logging.getLogger("wazir").propagate
    wazir.logging.enable_propagation()
    assert logging.getLogger("wazir").propagate


def test_a_module_that_is_not_here_names_the_equivalent() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'visualization': .* study\.trials_dataframe\(\) has"):
        _ = wazir.visualization  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match=r"has no attribute 'nonsense'$"):
        _ = wazir.nonsense  # type: ignore[attr-defined]


def test_a_sampler_of_a_study_that_is_loaded_is_ignored_in_words(
    study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    with load_study(study_name="s", sampler="tpe", pruner=pruners.MedianPruner()) as loaded:
        assert loaded.details().spec == study.details().spec
    assert [record.getMessage() for record in caplog.records if record.name == "wazir.clients.studies"] == [
        "sampler= is ignored: a study keeps what it was created with",
        "pruner= is ignored: a study keeps what it was created with",
    ]


def test_a_study_says_what_it_optimises(study: Study) -> None:
    assert study.study_name == study.name == "s"
    assert repr(study).startswith("Study('s', minimize value, at unix:/")
    assert (study.direction, study.metric_names) == (Goal.MINIMIZE, ["value"])


def test_a_data_frame_has_what_optunas_has(study: Study) -> None:
    study.optimize(quadratic, n_trials=2)
    frame = study.trials_dataframe(attrs=("number", "value", "params", "state"))
    assert list(frame.columns) == ["number", "value", "state", "params_x"]
    assert list(frame["number"]) == [0, 1]


# Notebooks


def test_a_study_and_its_trials_are_tables_in_which_nothing_of_others_is_markup(study: Study) -> None:
    def objective(trial: AskedTrial) -> float:
        trial.suggest_categorical("kind", ["<script>", "a & b"])
        trial.set_user_attr("<b>", "\x1b[31m")
        return trial.suggest_float("x", 0.0, 1.0)

    assert "no trials yet" in study._repr_html_()
    study.optimize(objective, n_trials=25)
    html = study._repr_html_()
    assert html.count("<tr>") == 21
    assert "<th>kind</th><th>x</th>" in html
    assert "and 5 before these" in html
    assert f"best: trial {study.best_trial.id}, value={study.best_value:.6g} with kind=" in html
    for shown in (html, study.best_trial._repr_html_()):
        assert "<script>" not in shown
        assert "\x1b" not in shown
    assert "<b>&lt;b&gt;</b></td><td>\\x1b[31m</td>" in study.best_trial._repr_html_()


def test_a_trial_that_is_asked_for_shows_what_its_code_asked_for(study: Study) -> None:
    study.enqueue_trial({"x": 0.5, "shape": (64, 64), "unused": 3})
    trial = study.ask()
    assert repr(trial) == "<Trial s/1, attempt 1: {}>"

    trial.suggest_categorical("shape", [(64, 64), None])
    trial.set_user_attr("<b>", 1)
    assert repr(trial) == "<Trial s/1, attempt 1: {'shape': (64, 64)}>"
    assert trial._repr_html_() == (
        "<table><tbody><tr><td><b>trial</b></td><td>s/1</td></tr><tr><td><b>shape</b></td><td>(64, 64)</td></tr>"
        "<tr><td><b>&lt;b&gt;</b></td><td>1</td></tr></tbody></table>"
    )


def test_a_study_whose_service_is_away_still_renders(address: str, tmp_path: Path) -> None:
    made = create_study("s")
    made.client.close()
    with create_study("t") as away:
        away._client = wazir.Client(f"unix:{tmp_path}/nobody.sock")
        assert "no Wazir service answers" in away._repr_html_()
