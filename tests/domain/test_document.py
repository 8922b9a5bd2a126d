"""A specification in the study file's words: what they mean, what is refused and how, and that nothing is lost."""

import json
from typing import Any

import pytest
from hypothesis import given

from wazir.domain.attempt import RetryPolicy
from wazir.domain.document import (
    SECTIONS,
    from_document,
    parameter_from_document,
    parameter_to_document,
    study_from_document,
    to_document,
)
from wazir.domain.errors import InvalidArgument
from wazir.domain.metric import Goal, Objective, Pick, SafetyMetric
from wazir.domain.parameters import same
from wazir.domain.space import Categorical, Condition, Discrete, Double, Integer, Kind, Parameter, Scale
from wazir.domain.study import Algorithm, Budget, Stopping, StudySpec
from wazir.domain.template import MetricsFrom, MetricsSource, Resources, Runtime, TrialTemplate

from .strategies import specs

OBJECTIVE = {"metric": "loss", "goal": "minimize"}
PARAMETERS = {"lr": {"min": 1e-5, "max": 0.1}, "opt": {"values": ["sgd", "adam"]}}
COMMAND = ["python", "train.py", "--lr=${lr}"]


def document(**sections: Any) -> dict[str, Any]:
    """The shortest sound document, with sections replaced; those that are None are taken away."""
    whole = {"objective": OBJECTIVE, "parameters": PARAMETERS} | sections
    return {name: section for name, section in whole.items() if section is not ...}


def refused(**sections: Any) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as refusal:
        from_document(document(**sections))
    return refusal.value


# Nothing is lost


def types_of(value: object) -> object:
    """`value` with the type of every scalar beside it, because 1 == 1.0 == True."""
    if isinstance(value, dict):
        return {key: types_of(entry) for key, entry in value.items()}
    return [types_of(entry) for entry in value] if isinstance(value, list) else (type(value), value)


@given(specs())
def test_a_specification_comes_back_equal_from_its_document(spec: StudySpec) -> None:
    written = to_document(spec)
    back = from_document(written)
    assert back == spec
    assert types_of(to_document(back)) == types_of(written)


@given(specs())
def test_it_comes_back_equal_through_json_text(spec: StudySpec) -> None:
    assert from_document(json.loads(json.dumps(to_document(spec)))) == spec


@given(specs())
def test_values_keep_their_types(spec: StudySpec) -> None:
    back = from_document(to_document(spec))
    for before, after in (
        zip(spec.space.parameters, back.space.parameters, strict=True) if spec.space and back.space else ()
    ):
        assert type(before.kind) is type(after.kind)
        if before.default is not None and after.default is not None:
            assert same(before.default, after.default)
        if isinstance(before.kind, Discrete | Categorical) and isinstance(after.kind, Discrete | Categorical):
            assert all(map(same, before.kind.values, after.kind.values))
        for a, b in zip(before.when, after.when, strict=True):
            assert all(map(same, a.values, b.values))


@given(specs())
def test_a_document_is_the_callers_to_change(spec: StudySpec) -> None:
    first, again = to_document(spec), to_document(spec)

    def spoil(value: object) -> None:
        if isinstance(value, dict):
            for entry in value.values():
                spoil(entry)
            value.clear()
        elif isinstance(value, list):
            value.clear()

    spoil(first)
    assert to_document(spec) == again


# The whole of it

WHOLE = {
    "study": "resnet",
    "labels": {"team": "vision", "year": 2026, "final": True},
    "objective": {"metric": "val/loss", "goal": "minimize", "target": 0, "pick": "best"},
    "safety": [{"metric": "memory", "at_most": 16}, {"metric": "speed", "at_least": 0.5}],
    "algorithm": {"name": "gp", "seed": 7, "repeats": 2, "beta": 1.0},
    "stopping": {"name": "asha", "min": 1, "max": 50},
    "parameters": {
        "lr": {"min": 1e-5, "max": 1e-1, "scale": "log", "default": 1e-3},
        "opt": {"values": ["sgd", "adam"]},
        "momentum": {"min": 0.5, "max": 0.99, "when": {"opt": "sgd"}},
        "batch": {"values": [128, 32, 64]},
        "accum": {"type": "int", "min": 1, "max": 8},
    },
    "constraints": ["batch * accum <= 512"],
    "budget": {"trials": 200, "parallel": 8, "failed": 3, "duration": "12h", "gpu_hours": 400},
    "trial": {
        "command": ["python", "train.py", "--lr=${lr}", "--epochs", 10],
        "env": {"DATA": "/data", "N": 1, "DEBUG": True},
        "workdir": "/src",
        "image": "registry/train:1.4",
        "runtime": "kubernetes",
        "resources": {"gpu": 1, "cpu": 4, "memory": "64Gi"},
        "timeout": "6h",
        "grace": "60s",
        "retries": {"failed": 1, "preempted": 5},
        "metrics": {"from": "stdout", "pattern": r"(?P<name>\w+)=(?P<value>\S+)"},
    },
}


def test_every_word_of_a_study_file() -> None:
    study_id, spec = study_from_document(WHOLE)
    assert study_id == "resnet"
    assert spec.labels == {"team": "vision", "year": "2026", "final": "true"}
    assert spec.objectives == (Objective("val/loss", Goal.MINIMIZE, 0.0, Pick.BEST),)
    assert spec.safety == (SafetyMetric("memory", at_most=16.0), SafetyMetric("speed", at_least=0.5))
    assert spec.algorithm == Algorithm("gp", 7, 2, {"beta": 1.0})
    assert spec.stopping == Stopping("asha", {"min": 1, "max": 50})
    assert spec.space is not None
    assert spec.space.parameters == (
        Parameter("lr", Double(1e-5, 1e-1, Scale.LOG), 1e-3),
        Parameter("opt", Categorical(("sgd", "adam"))),
        Parameter("momentum", Double(0.5, 0.99), when=(Condition("opt", ("sgd",)),)),
        Parameter("batch", Discrete((32, 64, 128))),
        Parameter("accum", Integer(1, 8)),
    )
    assert spec.space.constraints == ("batch * accum <= 512",)
    assert spec.budget == Budget(200, 8, 3, 43_200.0, 400.0)
    assert spec.trial == TrialTemplate(
        command=("python", "train.py", "--lr=${lr}", "--epochs", "10"),
        env={"DATA": "/data", "N": "1", "DEBUG": "true"},
        workdir="/src",
        runtime=Runtime.KUBERNETES,
        image="registry/train:1.4",
        resources=Resources(1.0, 4.0, 64 * 2**30),
        timeout=21_600.0,
        grace=60.0,
        retries=RetryPolicy(1, 5),
        metrics=MetricsSource(MetricsFrom.STDOUT, r"(?P<name>\w+)=(?P<value>\S+)"),
    )


def test_a_document_is_written_in_the_order_of_the_study_file() -> None:
    written = to_document(from_document(WHOLE))
    assert list(written) == [section for section in SECTIONS if section in written]
    assert written["budget"] == {"trials": 200, "parallel": 8, "failed": 3, "duration": "12h", "gpu_hours": 400.0}


def test_what_is_left_out() -> None:
    spec = from_document(document())
    assert (spec.algorithm, spec.stopping, spec.safety, spec.budget, spec.trial, spec.labels) == (
        Algorithm("auto"),
        None,
        (),
        Budget(),
        None,
        {},
    )
    assert from_document({"objective": OBJECTIVE}).space is None, "it grows"
    assert study_from_document(document())[0] is None
    assert from_document(document(algorithm="random", stopping="median")).stopping == Stopping("median")


@pytest.mark.parametrize(
    ("sections", "failed"),
    [
        ({}, None),
        ({"trial": {"command": COMMAND}}, 10),
        ({"trial": {"command": COMMAND}, "budget": {"trials": 3}}, 10),
        ({"trial": {"command": COMMAND}, "budget": {"failed": 0}}, 0),
        ({"trial": {"command": COMMAND}, "budget": {"failed": None}}, None),
    ],
)
def test_ten_trials_may_fail_where_a_controller_runs_them_unless_said_otherwise(
    sections: dict[str, Any], failed: int | None
) -> None:
    assert from_document(document(**sections)).budget.failed == failed


def test_several_objectives_stand_in_a_list() -> None:
    both = [OBJECTIVE, {"metric": "accuracy", "goal": "maximize"}]
    spec = from_document(document(objective=..., objectives=both))
    assert [o.goal for o in spec.objectives] == [Goal.MINIMIZE, Goal.MAXIMIZE]


# Parameters


@pytest.mark.parametrize(
    ("written", "kind", "why"),
    [
        ({"min": 1, "max": 8}, Integer(1, 8), "whole numbers alone"),
        ({"min": 0, "max": 1}, Integer(0, 1), "two values, not all between"),
        ({"min": 0.0, "max": 1}, Double(0.0, 1.0), "a point anywhere"),
        ({"min": 0, "max": 1, "step": 0.25}, Double(0.0, 1.0, step=0.25), "in the step, too"),
        ({"min": 0, "max": 1, "default": 0.5}, Double(0.0, 1.0), "and in the default"),
        ({"min": 1, "max": 9, "step": 2, "default": 3}, Integer(1, 9, step=2), "none anywhere"),
        ({"min": 1, "max": 1e3}, Double(1.0, 1000.0), "an exponent says double"),
        ({"type": "int", "min": 1, "max": 1e3}, Integer(1, 1000), "unless the type is given"),
        ({"type": "integer", "min": 1, "max": 8, "scale": "log"}, Integer(1, 8, Scale.LOG), "its long name"),
        ({"type": "double", "min": 0, "max": 1}, Double(0.0, 1.0), "given"),
        ({"type": "float", "min": 0, "max": 1}, Double(0.0, 1.0), "its other name"),
        ({"min": 0.1, "max": 1.0, "scale": "reverse_log"}, Double(0.1, 1.0, Scale.REVERSE_LOG), "scale"),
        ({"min": 0.1, "max": 1.0, "scale": "reverse-log"}, Double(0.1, 1.0, Scale.REVERSE_LOG), "its other spelling"),
        ({"values": [3, 1, 2.5]}, Discrete((1, 2.5, 3)), "numbers have an order"),
        ({"values": [1, 10], "scale": "log"}, Discrete((1, 10), Scale.LOG), "and a scale"),
        ({"values": [7]}, Discrete((7,)), "one fixed value"),
        ({"type": "categorical", "values": [3, 1]}, Categorical((3, 1)), "given"),
        ({"type": "discrete", "values": [3, 1]}, Discrete((1, 3)), "given"),
        ({"values": ["a", "b"]}, Categorical(("a", "b")), "texts have none"),
        ({"values": [True, False]}, Categorical((True, False)), "nor have booleans"),
        ({"values": ["none", 1, 2.0]}, Categorical(("none", 1, 2.0)), "nor has a mixture"),
    ],
    ids=str,
)
def test_the_kind_of_a_parameter(written: dict[str, Any], kind: Kind, why: str) -> None:
    parameter = parameter_from_document("x", written)
    assert parameter.kind == kind, why
    assert type(parameter.kind) is type(kind)
    assert parameter_from_document("x", parameter_to_document(parameter)) == parameter


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        (Double(1.0, 8.0), {"type": "double", "min": 1.0, "max": 8.0}),
        (Double(0.5, 8.0), {"min": 0.5, "max": 8.0}),
        (Integer(1, 8), {"type": "int", "min": 1, "max": 8}),
        (Categorical((1, 2)), {"type": "categorical", "values": [1, 2]}),
        (Categorical((1, True)), {"values": [1, True]}),
    ],
)
def test_a_type_is_written_where_a_reader_could_take_it_for_another(kind: Kind, written: dict[str, Any]) -> None:
    assert types_of(parameter_to_document(Parameter("x", kind))) == types_of(written)


@pytest.mark.parametrize(
    ("when", "condition"),
    [
        ({"opt": "sgd"}, Condition("opt", ("sgd",))),
        ({"opt": ["sgd", "adam"]}, Condition("opt", ("sgd", "adam"))),
        ({"layers": {"min": 2}}, Condition("layers", min=2)),
        ({"layers": {"min": 2, "max": 3}}, Condition("layers", min=2, max=3)),
        ({"layers": 2.0}, Condition("layers", (2,))),
        ({"width": 2}, Condition("width", (2.0,))),
        ({"bias": True}, Condition("bias", (True,))),
    ],
)
def test_a_condition_names_values_or_a_range_and_takes_its_parents_type(
    when: dict[str, Any], condition: Condition
) -> None:
    parameters = PARAMETERS | {
        "x": {"min": 0.5, "max": 1.0, "when": when},
        "layers": {"min": 1, "max": 4},
        "width": {"values": [0.5, 2.0]},
        "bias": {"values": [True, False]},
    }
    space = from_document(document(parameters=parameters)).space
    assert space is not None
    (kept,) = space.by_name["x"].when
    assert kept == condition
    assert all(map(same, kept.values, condition.values))


# Durations and memory


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        (90, 90.0),
        (0.5, 0.5),
        ("90", None),
        ("90s", 90.0),
        ("12h", 43_200.0),
        ("1h30m", 5_400.0),
        ("2d", 172_800.0),
        ("1d2h3m4.5s", 93_784.5),
        ("1.5h", 5_400.0),
        ("0.1s", 0.1),
        (" 5m ", 300.0),
        ("", None),
        ("h", None),
        ("1h 30m", None),
        ("30m1h", None),
        ("-1h", None),
        ("1H", None),
        ("1e3s", None),
        ("12:00:00", None),
        ("\u0661s", None),
        (True, None),
        ([1], None),
    ],
    ids=repr,
)
def test_durations(written: object, seconds: float | None) -> None:
    if seconds is None:
        error = refused(budget={"duration": written})
        assert error.field == "budget.duration"
        assert "90s, 12h, 1h30m or 2d" in str(error)
    else:
        assert from_document(document(budget={"duration": written})).budget.duration == seconds


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(1.0, "1s"), (60.0, "1m"), (90.0, "1m30s"), (5400.0, "1h30m"), (172800.0, "2d"), (0.5, 0.5), (90.25, 90.25)],
)
def test_durations_are_written_as_people_write_them_where_nothing_is_lost(seconds: float, written: object) -> None:
    assert to_document(StudySpec((Objective("l", Goal.MINIMIZE),), None, budget=Budget(duration=seconds)))[
        "budget"
    ] == {"duration": written}


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (1024, 1024),
        ("1024", 1024),
        ("64Gi", 64 * 2**30),
        ("512M", 512 * 10**6),
        ("512Mi", 512 * 2**20),
        ("1.5Gi", 3 * 2**29),
        ("8 G", 8 * 10**9),
        ("1k", 1000),
        ("1Ki", 1024),
        ("2Ti", 2 * 2**40),
        ("64GB", None),
        ("64gi", None),
        ("lots", None),
        ("-1Gi", None),
        (1.5, None),
        (True, None),
    ],
    ids=repr,
)
def test_memory(written: object, size: int | None) -> None:
    trial = {"command": COMMAND, "resources": {"memory": written}}
    if size is None:
        error = refused(trial=trial)
        assert error.field == "trial.resources.memory"
        assert "64Gi" in str(error)
    else:
        template = from_document(document(trial=trial)).trial
        assert template is not None
        assert template.resources.memory == size


# Refusals


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        # keys
        ({"paramters": {}}, 'paramters = {}: unknown key. Did you mean "parameters"?'),
        ({"space": {}}, "space = {}: unknown key. Here it is called parameters"),
        ({"budget": {"trails": 9}}, 'budget.trails = 9: unknown key. Did you mean "trials"?'),
        ({"budget": {"max_trials": 9}}, "unknown key. Here it is called trials"),
        ({"objective": OBJECTIVE | {"direction": "min"}}, 'objective.direction = "min": unknown key. Here it is'),
        ({"safety": [{"metric": "m", "at_mots": 1}]}, 'safety[0].at_mots = 1: unknown key. Did you mean "at_most"?'),
        ({"parameters": {"lr": {"min": 0.1, "maxx": 1}}}, 'parameters.lr.maxx = 1: unknown key. Did you mean "max"?'),
        (
            {"parameters": {"lr": {"low": 0.1, "high": 1}}},
            "parameters.lr.low = 0.1: unknown key. Here it is called min",
        ),
        ({"parameters": {"lr": {"choices": [1]}}}, "unknown key. Here it is called values"),
        (
            {"parameters": PARAMETERS | {"x": {"min": 0, "max": 1, "when": {"lr": {"mn": 1}}}}},
            "parameters.x.when.lr.mn",
        ),
        ({"trial": {"command": COMMAND, "manifesto": {}}}, 'unknown key. Did you mean "manifest"?'),
        ({"trial": {"manifest": []}}, "trial.manifest = []: must be a mapping"),
        ({"trial": {"manifest": {}}}, "trial.manifest.spec.containers: a pod has a container"),
        (
            {"trial": {"manifest": {"metadata": {"name": "x"}, "spec": {"containers": [{}]}}}},
            'trial.manifest.metadata.name = "x": is set by the controller',
        ),
        (
            {"trial": {"manifest": {"metadata": {"namespace": "x"}, "spec": {"containers": [{}]}}}},
            'trial.manifest.metadata.namespace = "x": is set by the controller',
        ),
        ({"trial": {"manifest": {"kind": "Job"}}}, 'trial.manifest.kind = "Job": must be Pod'),
        (
            {"trial": {"manifest": {"spec": {"containers": [{"args": ["${lrr}"]}]}}}},
            'trial.manifest.spec.containers[0].args[0] = "${lrr}": ${lrr} is not a parameter',
        ),
        (
            {"trial": {"manifest": {"spec": {"containers": [{}], "restartPolicy": "Always"}}}},
            'trial.manifest.spec.restartPolicy = "Always": must be Never',
        ),
        (
            {"trial": {"image": "i", "manifest": {"spec": {"containers": [{}]}}}},
            "trial.image: cannot be combined with trial.manifest",
        ),
        ({"trial": {"command": COMMAND, "runtime": "kubernetes"}}, "trial.image: is missing"),
        (
            {"trial": {"image": "i", "runtime": "kubernetes", "resources": {"gpu": 0.5}}},
            "trial.resources.gpu = 0.5: a pod holds whole GPUs",
        ),
        ({"trial": {"image": "i", "volumes": {"/d": {}}}}, "trial.volumes./d = []: names one source of: claim, host"),
        ({"trial": {"image": "i", "volumes": {"d": {"claim": "x"}}}}, 'trial.volumes.d = "d": must be an absolute'),
        ({"trial": {"image": "i", "checkpoints": {"empty": True}}}, 'trial.checkpoints = "empty": must outlive'),
        (
            {"trial": {"command": COMMAND, "checkpoints": {"keep": "latst"}}},
            'trial.checkpoints.keep = "latst": must be latest, best or none. Did you mean "latest"?',
        ),
        ({"trial": {"command": COMMAND, "checkpoints": "best"}}, 'trial.checkpoints = "best": must be a mapping'),
        ({"trial": {"image": "i", "checkpoints": {"size": "1Gi", "keep": "best"}}}, "names one source of: claim, host"),
        ({"trial": {"image": "i", "labels": {"wazir.dev/x": "1"}}}, "labels below wazir.dev/ are set"),
        ({"trial": {"image": "i", "keep": "some"}}, 'trial.keep = "some": must be failed, all or none'),
        ({"trial": {"image": "i", "service_account": "A B"}}, "is not a valid Kubernetes name"),
        ({"trial": {"command": COMMAND, "retries": {"fail": 1}}}, 'Did you mean "failed"?'),
        ({"trial": {"command": COMMAND, "metrics": {"file": "x"}}}, 'trial.metrics.file = "x": unknown key'),
        ({"labels": {1: "x"}}, "labels.1 = 1: a key must be a text. Put it into quotes"),
        # at a wrong level
        ({"parallel": 4}, "parallel = 4: unknown key. It belongs under `budget`"),
        ({"budget": {"algorithm": "gp"}}, 'budget.algorithm = "gp": unknown key. It belongs at the top level'),
        ({"trial": {"command": COMMAND, "gpu": 1}}, "trial.gpu = 1: unknown key. It belongs under `trial.resources`"),
        ({"seed": 7}, "seed = 7: unknown key. It belongs under `algorithm`"),
        ({"scale": "log"}, 'scale = "log": unknown key. It belongs under `parameters.NAME`'),
        ({"from": "x"}, 'from = "x": unknown key. Known are: '),
        ({"trials": 9}, 'trials = 9: unknown key. Did you mean "trial"? If not, it belongs under `budget`'),
        ({"n_trials": 9}, "n_trials = 9: unknown key. Here it is called trials, and belongs under `budget`"),
        ({"failed": 9}, "failed = 9: unknown key. Known are: algorithm"),  # of the budget, or of the retries
        ({"parameters": {"lr": {"name": "lr"}}}, 'parameters.lr.name = "lr": unknown key. Known are: default'),
        # what is missing
        ({"objective": ...}, "objective: is missing. For instance objective: {metric: loss, goal: minimize}"),
        ({"objective": {"metric": "loss"}}, "objective.goal: is missing"),
        ({"objective": {"goal": "minimize"}}, "objective.metric: is missing"),
        ({"objective": None}, "objective: has no value. Give it one, or leave the key out"),
        ({"objective": OBJECTIVE | {"target": None}}, "objective.target: has no value"),
        ({"labels": None}, "labels: has no value"),
        ({"trial": {}}, "trial.command: is missing. For instance command: [python, train.py, ${args}]"),
        ({"trial": {"command": COMMAND, "env": {"A": None}}}, "trial.env.A: has no value"),
        ({"stopping": {"min": 1}}, "stopping.name: is missing"),
        ({"parameters": {}}, "parameters: names no parameter"),
        ({"parameters": {"lr": {}}}, "parameters.lr: needs min and max, or values"),
        ({"parameters": {"lr": {"min": 1}}}, "parameters.lr.max: is missing"),
        ({"parameters": {"lr": {"type": "discrete"}}}, "parameters.lr.values: is missing"),
        ({"parameters": {"lr": None}}, "parameters.lr: has no value"),
        ({"parameters": ..., "constraints": ["a < 1"]}, 'constraints = ["a < 1"]: need `parameters`'),
        # what does not go together
        ({"objectives": [OBJECTIVE]}, "objectives: cannot be combined with `objective`. Keep one of the two"),
        ({"parameters": {"lr": {"values": [1], "min": 0}}}, "parameters.lr.min = 0: goes with a range"),
        ({"parameters": {"lr": {"type": "int", "values": [1]}}}, "parameters.lr.values = [1]: goes with type discrete"),
        ({"parameters": {"lr": {"values": ["a"], "scale": "log"}}}, 'parameters.lr.scale = "log": goes with numbers'),
        # wrong types
        ({"objective": "loss"}, 'objective = "loss": must be a mapping (key: value). Allowed are: metric, goal'),
        ({"objective": [OBJECTIVE]}, "Write a list under `objectives`"),
        ({"objective": OBJECTIVE | {"metric": 5}}, "objective.metric = 5: must be a text. Put it into quotes"),
        ({"objective": OBJECTIVE | {"goal": "min"}}, 'objective.goal = "min": must be minimize or maximize'),
        ({"objective": OBJECTIVE | {"goal": "minimise"}}, 'Did you mean "minimize"?'),
        (
            {"objective": OBJECTIVE | {"target": "0.05"}},
            'objective.target = "0.05": must be a number. Write it without',
        ),
        ({"objective": ..., "objectives": [OBJECTIVE, {"metric": "a", "goal": 1}]}, "objectives[1].goal = 1: must be"),
        ({"safety": {"metric": "m"}}, 'safety = {"metric": "m"}: must be a list. For instance'),
        ({"algorithm": 3}, "algorithm = 3: must be a mapping"),
        ({"algorithm": {"seed": "7"}}, 'algorithm.seed = "7": must be a number. Write it without quotes'),
        ({"algorithm": {"seed": 1.5}}, "algorithm.seed = 1.5: must be a whole number"),
        ({"budget": {"trials": True}}, "budget.trials = true: must be a number"),
        ({"budget": {"trials": "1_000"}}, "Write 1000"),
        ({"parameters": {"x": {"min": "0,01", "max": 1.0}}}, 'x.min = "0,01": must be a number. Write 0.01'),
        ({"parameters": {"x": {"min": 0, "01": None, "max": 1.0}}}, "x.01 = null: unknown key. Write 0.01"),
        ({"budget": {"trials": 1, "000": None}}, "budget.000 = null: unknown key. Write 1000 or 1.000"),
        ({"trial": {"command": COMMAND, "timeout": "1,5h"}}, 'trial.timeout = "1,5h": must be a duration'),
        ({"trial": {"command": COMMAND, "timeout": "1,5h"}}, "Write 1.5h"),
        ({"trial": {"command": COMMAND, "resources": {"memory": 16, "5Gi": None}}}, "Write 16.5Gi"),
        ({"parameters": {"x": {"values": [0, 1, 0, 2]}}}, "write a fraction with a point: 0.5"),
        ({"budget": [1]}, "budget = [1]: must be a mapping"),
        ({"parameters": [{"name": "lr"}]}, "Write each as name: {min: ..., max: ...}"),
        ({"parameters": {"opt": ["sgd", "adam"]}}, "For a list of values write {values: [...]}"),
        ({"parameters": {"lr": {"min": "a", "max": 1}}}, 'parameters.lr.min = "a": must be a number'),
        ({"parameters": {"lr": {"type": "log_uniform", "min": 1, "max": 2}}}, "Write scale: log next to min and max"),
        ({"parameters": {"lr": {"type": "bool"}}}, "Write values: [true, false]"),
        ({"parameters": {"lr": {"type": "choice"}}}, "Write values: [...]"),
        ({"parameters": {"lr": {"type": "doubel", "min": 1, "max": 2}}}, 'Did you mean "double"?'),
        (
            {"parameters": {"lr": {"type": "int", "min": 0.5, "max": 2}}},
            "parameters.lr.min = 0.5: must be a whole number",
        ),
        ({"parameters": {"lr": {"min": 1, "max": 2, "scale": "logg"}}}, 'Did you mean "log"?'),
        ({"parameters": {"lr": {"values": "sgd"}}}, 'parameters.lr.values = "sgd": must be a list'),
        ({"parameters": {"lr": {"values": [None, 1]}}}, "parameters.lr.values[0] = null: null cannot be the value"),
        ({"parameters": {"lr": {"values": [[1], 1]}}}, "parameters.lr.values[0] = [1]: must be a number, a text"),
        ({"parameters": {"lr": {"type": "discrete", "values": ["a", 1]}}}, "write `type: categorical`"),
        ({"parameters": {"lr": {"values": [2, 1, 2.0]}}}, "appears twice"),
        ({"parameters": PARAMETERS | {"x": {"min": 0, "max": 1, "when": "opt"}}}, "For instance when: {opt: sgd}"),
        ({"parameters": PARAMETERS | {"x": {"min": 0, "max": 1, "when": {"opt": []}}}}, "parameters.x.when.opt"),
        ({"constraints": "lr < 1"}, 'constraints = "lr < 1": must be a list. For instance'),
        ({"constraints": [True]}, "constraints[0] = true: must be a text"),
        ({"trial": {"command": "python 'a b.py' ${args}"}}, "Write command: [python, 'a b.py', '${args}']"),
        ({"trial": {"command": "python 'a"}}, "Write command: [python, '''a']"),
        ({"trial": {"command": ["a", ["b"]]}}, 'trial.command[1] = ["b"]: must be a text'),
        ({"trial": {"command": ["a", None]}}, 'trial.command[1] = null: must be a text. Write "" for an empty one'),
        ({"trial": {"command": COMMAND, "env": ["A=1"]}}, 'trial.env = ["A=1"]: must be a mapping'),
        ({"trial": {"command": COMMAND, "runtime": "docker"}}, "must be local or kubernetes"),
        ({"trial": {"command": COMMAND, "metrics": {"from": "tensorboard"}}}, "must be push or stdout"),
        ({"trial": {"command": COMMAND, "metrics": "stdout"}}, "must be a mapping (key: value). Allowed are: from"),
        ({"trial": {"command": COMMAND, "resources": {"gpu": "1"}}}, 'trial.resources.gpu = "1": must be a number'),
        # what the domain refuses keeps its path
        ({"study": "Res Net"}, 'study = "Res Net": must be 1 to 40'),
        ({"study": 17}, "study = 17: must be a text"),
        ({"parameters": {"lr": {"min": 0, "max": 1.0, "scale": "log"}}}, "parameters.lr.min = 0.0: scale log needs"),
        ({"algorithm": {"a": {"b": float("inf")}}}, "algorithm.a.b"),
        ({"budget": {"parallel": 0}}, "budget.parallel = 0: must be a whole number of 1 or more"),
        ({"trial": {"command": COMMAND, "timeout": "0s"}}, "trial.timeout"),
        ({"constraints": ["lr < learning"]}, "constraints[0]"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_mistake_is_refused_by_its_path_with_a_way_out(sections: dict[str, Any], message: str) -> None:
    assert message in str(refused(**sections))


@pytest.mark.parametrize("document", [None, [], "study: x", 3], ids=repr)
def test_what_is_no_mapping_is_no_document(document: Any) -> None:
    with pytest.raises(InvalidArgument, match="must be a mapping"):
        from_document(document)
