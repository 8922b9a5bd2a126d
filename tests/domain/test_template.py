"""The trial template: what may stand in it, and that a value stays inside its own argument."""

from dataclasses import replace

import pytest
from hypothesis import given

from wazir.domain.arguments import as_argument
from wazir.domain.attempt import RetryPolicy
from wazir.domain.errors import InvalidArgument
from wazir.domain.parameters import Value
from wazir.domain.space import Categorical, Condition, Double, Parameter, Space
from wazir.domain.template import (
    STUDY_NAMES,
    MetricsFrom,
    MetricsSource,
    Resources,
    TrialTemplate,
    references,
    render_env,
    render_items,
)

from .strategies import texts

SPACE = Space(
    (
        Parameter("lr", Double(1e-5, 1.0)),
        Parameter("opt", Categorical(("sgd", "adam"))),
        Parameter("gamma", Double(0.0, 1.0), when=(Condition("opt", ("sgd",)),)),
        Parameter("model.width", Double(0.0, 1.0)),
    )
)
FACTS = {"trial.id": "17", "trial.name": "resnet/17", "trial.attempt": "2", "study.name": "resnet"}
STDOUT = MetricsSource(MetricsFrom.STDOUT)
SOUND = TrialTemplate(("python", "train.py", "--lr=${lr}"))


def rendered(command: tuple[str, ...], parameters: dict[str, Value], inactive: tuple[str, ...] = ()) -> list[str]:
    return render_items(command, parameters, FACTS, inactive)


# Rendering


@pytest.mark.parametrize(
    ("item", "argument", "why"),
    [
        ("--lr=${lr}", "--lr=0.001", "the shortest exact digits"),
        ("${lr}", "0.001", "alone"),
        ("${lr}${n}", "0.0013", "side by side"),
        ("${model.width}", "0.5", "names hold points"),
        ("$lr", "$lr", "without braces it is no reference"),
        ("$${lr}", "${lr}", "escaped"),
        ("$$${lr}", "$${lr}", "the dollar before the escape is a dollar"),
        ("$$", "$$", "without braces it is no escape"),
        ("{lr}", "{lr}", "braces alone are braces"),
        ("${study.name}-${trial.id}-${trial.attempt}", "resnet-17-2", "facts about the trial"),
        ("${trial.name}", "resnet/17", "facts about the trial"),
        ("$(rm -rf /); `ls` | cat", "$(rm -rf /); `ls` | cat", "no shell reads it"),
    ],
)
def test_what_stands_in_an_argument(item: str, argument: str, why: str) -> None:
    assert rendered(("python", item), {"lr": 1e-3, "n": 3, "model.width": 0.5}) == ["python", argument], why


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (1, "1"),
        (1.0, "1.0"),
        (1e-05, "1e-05"),
        (0.1 + 0.2, "0.30000000000000004"),
        (2**63 - 1, "9223372036854775807"),
        ("", ""),
        ("a b", "a b"),
    ],
    ids=repr,
)
def test_a_value_as_text(value: Value, text: str) -> None:
    assert as_argument(value) == text


@given(texts)
def test_whatever_a_text_holds_it_stays_in_its_one_argument(value: str) -> None:
    assert rendered(("sh", "-x=${opt}", "end"), {"opt": value}) == ["sh", f"-x={value}", "end"]


@pytest.mark.parametrize(
    "value", ["'; rm -rf / #", '"', "$(id)", "`id`", "a\nb", "${lr}", "$${lr}", "--flag", "\\", "\\1\\g<0>", "*"]
)
def test_a_hostile_value_is_neither_taken_apart_nor_substituted_again(value: str) -> None:
    parameters: dict[str, Value] = {"opt": value, "lr": 0.5}
    assert rendered(("a", "--opt=${opt}", "${args}"), parameters) == [
        "a",
        f"--opt={value}",
        f"--opt={value}",
        "--lr=0.5",
    ]
    template = replace(SOUND, env={"OPT": "<${opt}>"})
    assert render_env(template, parameters, FACTS, ()) == {"OPT": f"<{value}>"}


def test_args_becomes_one_item_for_each_active_parameter_in_order() -> None:
    parameters: dict[str, Value] = {"opt": "adam", "lr": 0.5, "model.width": 1.0}
    assert rendered(("a", "${args}", "z"), parameters, ("gamma",)) == [
        "a",
        "--opt=adam",
        "--lr=0.5",
        "--model.width=1.0",
        "z",
    ]


def test_what_names_an_inactive_parameter_is_left_out_whole() -> None:
    template = TrialTemplate(
        ("a", "--gamma=${gamma}", "--both=${lr}/${gamma}", "--lr=${lr}", "$${gamma}"),
        env={"GAMMA": "${gamma}", "LR": "${lr}", "PLAIN": "x"},
    )
    assert render_items(template.command, {"lr": 0.5}, FACTS, ["gamma"]) == ["a", "--lr=0.5", "${gamma}"]
    assert render_env(template, {"lr": 0.5}, FACTS, ["gamma"]) == {"LR": "0.5", "PLAIN": "x"}


def test_a_name_that_nobody_knows_is_a_defect_and_not_an_empty_text() -> None:
    with pytest.raises(KeyError):
        rendered(("a", "${lr}"), {})


def test_references_are_told_in_order_without_escaped_ones() -> None:
    assert list(references("${b} $${c} ${a}${b} ${}")) == ["b", "a", "b", ""]


# Checking


def test_sound_templates_pass() -> None:
    SOUND.check(SPACE)
    TrialTemplate(("a", "${args}"), metrics=STDOUT).check(SPACE)
    TrialTemplate(("a",), env={"LR": "${lr}"}, metrics=STDOUT).check(SPACE)
    TrialTemplate(("a", "--gamma=${gamma}"), metrics=STDOUT).check(SPACE)
    TrialTemplate(("a",)).check(SPACE)  # the code asks for its parameters itself, and pushes
    TrialTemplate(("a", "${trial.id}")).check(None)
    SOUND.check(SPACE)


@pytest.mark.parametrize(
    ("template", "field", "says"),
    [
        (TrialTemplate(()), "trial.command", "names no program"),
        (TrialTemplate(("  ", "a")), "trial.command", "names no program"),
        (TrialTemplate(("a", "${lrr}")), "trial.command[1]", '${lrr} is not a parameter. Did you mean "lr"?'),
        (TrialTemplate(("a", "${trial.idd}")), "trial.command[1]", 'Did you mean "trial.id"?'),
        (TrialTemplate(("a", "${}")), "trial.command[1]", "${} is not a parameter"),
        (TrialTemplate(("a", "x=${args}")), "trial.command[1]", "${args} must be an item of the command by itself"),
        (replace(SOUND, env={"A": "${args}"}), "trial.env.A", "${args} must be an item of the command by itself"),
        (replace(SOUND, env={"A": "${lrr}"}), "trial.env.A", "not a parameter"),
        (replace(SOUND, env={"A-B": "x"}), "trial.env.A-B", "a variable's name"),
        (replace(SOUND, env={"1A": "x"}), "trial.env.1A", "a variable's name"),
        (replace(SOUND, env={"A": "x\0"}), "trial.env.A", "zero byte"),
        (TrialTemplate(("a", "--lr=${lr}\0")), "trial.command[1]", "zero byte"),
        (TrialTemplate(("a", "x" * 100_001)), "trial.command[1]", "100000 characters"),
        (TrialTemplate(("a",), metrics=STDOUT), "trial.command", "uses no parameter"),
        (TrialTemplate(("a", "${trial.id}"), metrics=STDOUT), "trial.command", "uses no parameter"),
        (TrialTemplate(("a", "--gamma", "${gamma}")), "trial.command[2]", 'Write "--gamma=${gamma}" as one item'),
        (TrialTemplate(("a", "-g", "${gamma}")), "trial.command[2]", "leave '-g' without its value"),
        (replace(SOUND, workdir="runs"), "trial.workdir", "absolute"),
        (replace(SOUND, timeout=0.0), "trial.timeout", "no time to run"),
        (replace(SOUND, timeout=-1.0), "trial.timeout", "duration"),
        (replace(SOUND, timeout=float("inf")), "trial.timeout", "duration"),
        (replace(SOUND, timeout=2e9), "trial.timeout", "duration"),
        (replace(SOUND, grace=float("nan")), "trial.grace", "duration"),
        (replace(SOUND, retries=RetryPolicy(failed=-1)), "trial.retries.failed", "whole number from 0"),
        (replace(SOUND, retries=RetryPolicy(preempted=2**31)), "trial.retries.preempted", "whole number from 0"),
        (replace(SOUND, resources=Resources(gpu=-1)), "trial.resources.gpu", "0 or more"),
        (replace(SOUND, resources=Resources(gpu=1.5)), "trial.resources.gpu", "a fraction below 1"),
        (replace(SOUND, resources=Resources(cpu=float("nan"))), "trial.resources.cpu", "0 or more"),
        (replace(SOUND, resources=Resources(memory=2**63)), "trial.resources.memory", "below 2^63"),
        (
            replace(SOUND, metrics=MetricsSource(MetricsFrom.PUSH, "(?P<name>a)(?P<value>b)")),
            "trial.metrics.pattern",
            "from: stdout",
        ),
        (
            replace(SOUND, metrics=MetricsSource(MetricsFrom.STDOUT, "(")),
            "trial.metrics.pattern",
            "is not a valid regular expression",
        ),
        (
            replace(SOUND, metrics=MetricsSource(MetricsFrom.STDOUT, "(?P<name>a)=(.*)")),
            "trial.metrics.pattern",
            "lacks the group value",
        ),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_template_that_cannot_work_is_refused(template: TrialTemplate, field: str, says: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        template.check(SPACE)
    assert refusal.value.field == field
    assert says in str(refusal.value)


def test_a_flag_before_a_parameter_that_is_always_active_keeps_its_value() -> None:
    TrialTemplate(("a", "--lr", "${lr}")).check(SPACE)
    TrialTemplate(("a", "positional", "${gamma}")).check(SPACE)


@pytest.mark.parametrize("name", ["args", *sorted(STUDY_NAMES)])
def test_a_parameter_may_not_have_a_name_that_means_something_else_in_a_command(name: str) -> None:
    space = Space((Parameter(name, Double(0.0, 1.0)),))
    with pytest.raises(InvalidArgument, match="Give the parameter another name") as refusal:
        TrialTemplate(("a", "${args}")).check(space)
    assert refusal.value.field == f"parameters.{name}"
