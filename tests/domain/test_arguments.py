"""The forms of `${args}`: what each program's command line gets, and what is refused."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.arguments import as_hydra
from wazir.domain.errors import InvalidArgument
from wazir.domain.parameters import Value
from wazir.domain.pod import PodOptions
from wazir.domain.space import Categorical, Condition, Double, Parameter, Space
from wazir.domain.template import (
    MetricsFrom,
    MetricsSource,
    TrialTemplate,
    render_env,
    render_items,
    render_manifest,
)

SPACE = Space(
    (
        Parameter("weight_decay", Double(0.0, 1.0)),
        Parameter("use_amp", Categorical((True, False))),
        Parameter("opt", Categorical(("sgd", "adam w"))),
        Parameter("nesterov", Categorical((True, False)), when=(Condition("opt", ("sgd",)),)),
        Parameter("mixed", Categorical((True, "half"))),
    )
)
TRUE: dict[str, Value] = {"weight_decay": 0.1, "use_amp": True, "opt": "adam w"}
FALSE: dict[str, Value] = {**TRUE, "use_amp": False}
FACTS = {"trial.id": "17", "trial.name": "resnet/17", "trial.attempt": "2", "study.name": "resnet"}


def rendered(item: str, parameters: dict[str, Value]) -> list[str]:
    return render_items(("train", item, "end"), parameters, FACTS, ("nesterov",))[1:-1]


@pytest.mark.parametrize(
    ("item", "parameters", "arguments"),
    [
        ("${args}", TRUE, ["--weight_decay=0.1", "--use_amp=true", "--opt=adam w"]),
        ("${args:flags}", TRUE, ["--weight_decay=0.1", "--use_amp", "--opt=adam w"]),
        ("${args:flags}", FALSE, ["--weight_decay=0.1", "--opt=adam w"]),
        ("${args:switches}", FALSE, ["--weight_decay=0.1", "--no-use_amp", "--opt=adam w"]),
        ("${args:dashes}", TRUE, ["--weight-decay=0.1", "--use-amp=true", "--opt=adam w"]),
        ("${args:dashes,flags}", TRUE, ["--weight-decay=0.1", "--use-amp", "--opt=adam w"]),
        ("${args:switches, dashes}", FALSE, ["--weight-decay=0.1", "--no-use-amp", "--opt=adam w"]),
        ("${args:hydra}", TRUE, ["weight_decay=0.1", "use_amp=true", "opt='adam w'"]),
        ("${args:json}", TRUE, ['{"weight_decay": 0.1, "use_amp": true, "opt": "adam w"}']),
        ("--config=${args:json}", FALSE, ['--config={"weight_decay": 0.1, "use_amp": false, "opt": "adam w"}']),
        ("${flag:use_amp}", TRUE, ["--use_amp"]),
        ("${flag:use_amp}", FALSE, []),
        ("${flag:nesterov}", TRUE, []),
        ("$${args:flags}", TRUE, ["${args:flags}"]),
        ("$${flag:use_amp}", TRUE, ["${flag:use_amp}"]),
    ],
)
def test_what_a_form_becomes(item: str, parameters: dict[str, Value], arguments: list[str]) -> None:
    TrialTemplate(("train", item)).check(SPACE)
    assert rendered(item, parameters) == arguments


def test_forms_in_a_manifest_and_in_variables() -> None:
    manifest = {"args": ["a", "${args:dashes,flags}", "${flag:use_amp}", "${args:json}"], "env": [{"value": "${lr}"}]}
    parameters: dict[str, Value] = {"lr": 0.5, "use_amp": True}
    assert render_manifest(manifest, parameters, FACTS, ()) == {
        "args": ["a", "--lr=0.5", "--use-amp", "--use_amp", '{"lr": 0.5, "use_amp": true}'],
        "env": [{"value": 0.5}],
    }
    template = TrialTemplate(("a",), env={"CONFIG": "${args:json}"})
    assert render_env(template, parameters, FACTS, ()) == {"CONFIG": '{"lr": 0.5, "use_amp": true}'}


@given(st.dictionaries(st.sampled_from(["a", "b_c", "d"]), st.booleans() | st.text(max_size=5) | st.floats(0, 1)))
def test_argparse_understands_what_it_is_given(parameters: dict[str, Value]) -> None:
    for form, action in (("flags", "store_true"), ("switches", argparse.BooleanOptionalAction)):
        parser = argparse.ArgumentParser()
        for name, value in parameters.items():
            if isinstance(value, bool):
                parser.add_argument(f"--{name.replace('_', '-')}", action=action)
            else:
                parser.add_argument(f"--{name.replace('_', '-')}", type=type(value))
        got = parser.parse_args(render_items((f"${{args:dashes,{form}}}",), parameters, FACTS, ()))
        assert vars(got) == parameters


@given(st.dictionaries(st.text(max_size=5), st.booleans() | st.integers() | st.text(max_size=9) | st.floats(0, 1)))
def test_json_is_one_argument_that_reads_back_equal(parameters: dict[str, Value]) -> None:
    (argument,) = render_items(("${args:json}",), parameters, FACTS, ())
    assert json.loads(argument) == parameters


@given(st.text(max_size=9))
def test_whatever_a_text_holds_it_stays_in_its_one_argument(value: str) -> None:
    for form in ("args", "args:flags", "args:switches", "args:dashes", "args:hydra", "args:json"):
        assert len(render_items((f"${{{form}}}",), {"opt": value}, FACTS, ())) == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (3, "3"),
        (1e-05, "1e-05"),
        ("adam", "adam"),
        ("a/b-c.d", "a/b-c.d"),
        ("", "''"),
        ("true", "'true'"),
        ("Null", "'Null'"),
        ("inf", "'inf'"),
        ("1e-3", "'1e-3'"),
        ("a b", "'a b'"),
        ("a,b", "'a,b'"),
        ("[1]", "'[1]'"),
        ("choice(1)", "'choice(1)'"),
        ("it's", "'it\\'s'"),
        ("end\\", "'end\\\\'"),
        ("a\\n", "'a\\n'"),
        ("${x}", "'\\${x}'"),
    ],
    ids=repr,
)
def test_hydra_gets_texts_in_quotes_where_it_would_not_take_them_as_they_are(value: Value, text: str) -> None:
    # Hydra 1.3 with OmegaConf 2.3 reads each of these back as the value.
    assert as_hydra(value) == text


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ("${args:flag}", '"${args:flag}": \'flag\' is not a form of ${args}. Did you mean "flags"?'),
        ("${args:yaml}", "Known are: dashes, flags, hydra, json, switches"),
        ("${args:}", "'' is not a form of ${args}"),
        ("${args:flags,switches}", "flags and switches cannot be combined"),
        ("${args:hydra,dashes}", "hydra and dashes cannot be combined"),
        ("x=${args:flags}", "${args:flags} must be an item of the command by itself. Write it as its own item"),
        ("--a ${flag:use_amp}", "${flag:use_amp} must be an item of the command by itself"),
        ("${flag:use_map}", "'use_map' is not a parameter. Did you mean \"use_amp\"?"),
        ("${flag:weight_decay}", 'weight_decay is not a boolean, so it cannot be a flag. Write "--weight_decay=$'),
        ("${flag:mixed}", "mixed is not a boolean"),
    ],
)
def test_what_is_refused(item: str, says: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        TrialTemplate(("train", item)).check(SPACE)
    assert refusal.value.field == "trial.command[1]"
    assert says in str(refusal.value)


def test_a_form_of_arguments_is_no_value_of_a_variable() -> None:
    with pytest.raises(InvalidArgument, match="must be an item") as refusal:
        TrialTemplate(("a",), env={"A": "${args:flags}"}).check(SPACE)
    assert refusal.value.field == "trial.env.A"


def test_forms_use_the_parameters() -> None:
    stdout = TrialTemplate(("a",), metrics=MetricsSource(MetricsFrom.STDOUT))
    for item in ("${args:json}", "${args:hydra}", "${flag:use_amp}"):
        replace(stdout, command=("a", item)).check(SPACE)
    manifest = {"spec": {"containers": [{"args": ["${args:hydra}"]}]}}
    replace(stdout, command=(), pod=PodOptions(manifest=manifest)).check(SPACE)


def test_a_name_that_hydra_does_not_take_is_refused() -> None:
    space = Space((Parameter("learning rate", Double(0.0, 1.0)),))
    TrialTemplate(("a", "${args}")).check(space)
    with pytest.raises(InvalidArgument, match="Hydra does not accept 'learning rate'"):
        TrialTemplate(("a", "${args:hydra}")).check(space)


@pytest.mark.parametrize("name", ["args:flags", "flag:amp"])
def test_a_parameter_may_not_be_called_like_a_form(name: str) -> None:
    space = Space((Parameter(name, Double(0.0, 1.0)),))
    with pytest.raises(InvalidArgument, match="Give the parameter another name"):
        TrialTemplate(("a", "${args}")).check(space)
