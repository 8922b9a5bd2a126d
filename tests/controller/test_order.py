"""What is run for an attempt, and in which environment."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from wazir.controller.environment import order
from wazir.controller.execution import Key, Order
from wazir.controller.local.environment import environment, search_path
from wazir.controller.local.folder import Folder
from wazir.controller.loop import check_gpus
from wazir.domain.errors import InvalidArgument
from wazir.domain.names import StudyName
from wazir.domain.space import Categorical, Condition, Double, Integer, Parameter, Space
from wazir.domain.template import Resources, TrialTemplate

from .world import make_study, make_trial

SPACE = Space(
    (
        Parameter("lr", Double(0.0, 1.0)),
        Parameter("batch", Integer(1, 64)),
        Parameter("nesterov", Categorical((True, False))),
        Parameter("opt", Categorical(("sgd", "adam"))),
        Parameter("momentum", Double(0.0, 1.0), when=(Condition("opt", ("sgd",)),)),
    )
)


def make(template: TrialTemplate, devices: tuple[str, ...] | None = None, until_step: int | None = None) -> Order:
    study = make_study("digits")
    study = replace(study, spec=replace(study.spec, space=SPACE, trial=template))
    trial = replace(
        make_trial(study, 7, attempt=2), parameters={"lr": 0.1, "batch": 32, "nesterov": True, "opt": "adam"}
    )
    return order(study, replace(trial, until_step=until_step), "localhost:8080", devices)


def test_the_template_is_filled_in() -> None:
    made = make(
        TrialTemplate(
            ("train", "--lr=${lr}", "--momentum=${momentum}", "--id=${trial.id}.${trial.attempt}", "${study.name}"),
            env={"NAME": "${trial.name}", "BATCH": "${batch}", "M": "${momentum}"},
            workdir="/data",
            resources=Resources(gpu=0.5),
        ),
        devices=("1",),
    )
    assert made.key == Key("uid-digits", 7, 2)
    assert made.command == ("train", "--lr=0.1", "--id=7.2", "digits")
    assert made.env["NAME"] == "owners/default/studies/digits/trials/7"
    assert made.env["BATCH"] == "32"
    assert "M" not in made.env
    assert (made.workdir, made.devices, made.gpus) == ("/data", ("1",), 0.5)


def test_training_code_finds_its_service_its_name_and_its_parameters_with_their_types() -> None:
    env = make(TrialTemplate(("train", "${args}"))).env
    assert env["WAZIR_ADDRESS"] == "localhost:8080"
    assert env["WAZIR_TRIAL"] == "owners/default/studies/digits/trials/7"
    assert env["WAZIR_ATTEMPT"] == "2"
    assert json.loads(env["WAZIR_PARAMETERS"]) == {"lr": 0.1, "batch": 32, "nesterov": True, "opt": "adam"}
    assert env["WAZIR_PARAMETERS"].count("32.0") == 0


def test_a_trial_that_is_to_pause_knows_where_and_what_is_wanted_of_it_there() -> None:
    assert json.loads(make(TrialTemplate(("train", "${args}"))).env["WAZIR_OBJECTIVES"]) == ["loss"]
    assert make(TrialTemplate(("train", "${args}"))).env["WAZIR_UNTIL"] == ""
    assert make(TrialTemplate(("train", "${args}")), until_step=9).env["WAZIR_UNTIL"] == "9"


def test_a_template_cannot_change_whose_trial_it_is() -> None:
    env = make(TrialTemplate(("train", "${args}"), env={"WAZIR_TRIAL": "another", "WAZIR_ADDRESS": "elsewhere"})).env
    assert env["WAZIR_TRIAL"] == "owners/default/studies/digits/trials/7"
    assert env["WAZIR_ADDRESS"] == "localhost:8080"


FOLDER = Folder(Path("runs"), Key("u", 1, 1))
ORDER = Order(Key("u", 1, 1), StudyName("default", "s"), ("train",), env={"A": "1"})


@pytest.mark.parametrize(
    ("devices", "visible", "reason"),
    [
        (None, None, "none are handed out: it sees what the controller sees"),
        ((), "", "others were given some: it sees none"),
        (("2",), "2", "its own"),
        (("2", "0"), "2,0", "its own"),
    ],
)
def test_visible_gpus(devices: tuple[str, ...] | None, visible: str | None, reason: str) -> None:
    made = environment(replace(ORDER, devices=devices), FOLDER, None, "u/1/1", {})
    assert made.get("CUDA_VISIBLE_DEVICES") == visible, reason


def test_the_template_may_set_path_and_buffering_but_not_the_marker() -> None:
    env = {"PATH": "/mine", "PYTHONUNBUFFERED": "", "WAZIR_MARKER": "another", "WAZIR_SPOOL": "elsewhere"}
    made = environment(replace(ORDER, env=env), FOLDER, None, "u/1/1", {})
    assert made == {
        "PATH": "/mine",
        "PYTHONUNBUFFERED": "",
        "WAZIR_MARKER": "u/1/1",
        "WAZIR_SPOOL": "runs/u/1/1/spool.jsonl",
        "WAZIR_CHECKPOINTS": "runs/u/1/checkpoints",
        "WAZIR_PARENT_CHECKPOINTS": "",
    }


def test_the_python_that_runs_wazir_is_found_first_and_named_once() -> None:
    once = search_path({"PATH": "/usr/bin"})
    assert once.endswith(":/usr/bin")
    assert search_path({"PATH": once}) == once


def test_a_trial_that_wants_more_gpus_than_there_are_is_refused_at_the_start() -> None:
    template = TrialTemplate(("train",), resources=Resources(gpu=2))
    with pytest.raises(InvalidArgument, match=r"trial\.resources\.gpu = 2: this machine has 1 GPU to give\. Lower it"):
        check_gpus(template, ("0",))
    check_gpus(template, ("0", "1"))
