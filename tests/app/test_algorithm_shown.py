"""What people and scripts are told of a study's algorithm: what `auto` chose, and which points did not come from it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from wazir.app.cli import cli
from wazir.clients.client import Client
from wazir.domain.attempt import Cause
from wazir.domain.study import Algorithm, StudyState

from ..clients.served import serving, spec
from ..service.scripted import Script, installed


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    with installed(tmp_path) as script:
        yield script


def wazir(address: str, *arguments: str) -> str:
    named = {"WAZIR_ADDRESS": address, "WAZIR_TOKEN": None, "WAZIR_TOKEN_FILE": None, "WAZIR_OWNER": None}
    result = CliRunner().invoke(cli, list(arguments), env=named, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_wherever_auto_is_shown_so_is_what_it_chose(tmp_path: Path) -> None:
    with serving("memory", tmp_path) as address, Client(address) as client:
        made = client.create_study("s", spec(algorithm=Algorithm("auto", seed=3)))
        assert made.algorithm_status.chosen == "gp", "known before the first trial"
        client.suggest("s", 2, client_id="t")

        assert "auto (gp)" in wazir(address, "studies")
        assert "algorithm   auto (gp, because the space is not finite), seed 3" in wazir(address, "show", "s")
        assert "suggested   by auto (gp): " in wazir(address, "show", "s/1")
        assert "s/2 was suggested by auto (gp) " in wazir(address, "why", "s/2")

        study = json.loads(wazir(address, "show", "s", "-o", "json"))
        assert study["algorithm"]["name"] == "auto"
        assert study["algorithm"]["chosen"] == "gp"
        assert study["algorithm"]["chosen_because"] == "the space is not finite"
        for command in (["show", "s/1"], ["why", "s/1"]):
            suggested = json.loads(wazir(address, *command, "-o", "json"))["suggested_by"]
            assert (suggested["algorithm"], suggested["chosen"]) == ("auto", "gp")


def test_another_algorithm_chooses_nothing(tmp_path: Path) -> None:
    with serving("memory", tmp_path) as address, Client(address) as client:
        client.create_study("s", spec(algorithm=Algorithm("random", seed=3)))
        assert "algorithm   random, seed 3" in wazir(address, "show", "s")
        assert json.loads(wazir(address, "show", "s", "-o", "json"))["algorithm"]["chosen"] is None


def test_why_and_json_count_rounds_from_the_same_number(tmp_path: Path) -> None:
    with serving("memory", tmp_path) as address, Client(address) as client:
        client.create_study("s", spec())
        for number in range(2):
            client.suggest("s", client_id="t", start=True)
            trial = f"s/{number + 1}"
            assert json.loads(wazir(address, "why", trial, "-o", "json"))["suggested_by"]["round"] == number
            assert f"round {number}." in wazir(address, "why", trial)


def test_stand_ins_are_shown_with_their_reason(script: Script, tmp_path: Path) -> None:
    with serving("memory", tmp_path) as address, Client(address) as client:
        client.create_study("s", spec(algorithm=script.algorithm(cheap=True)))
        assert "stand-ins" not in wazir(address, "show", "s")
        script.say("nothing")
        client.suggest("s", 2, client_id="t", start=True)
        reason = "it answered with NoneType and not with Suggestions"
        words = f"2 points are quasi-random in place of scripted_cheap, the latest because {reason}"
        assert f"stand-ins   {words}" in wazir(address, "show", "s")
        algorithm = json.loads(wazir(address, "show", "s", "-o", "json"))["algorithm"]
        assert (algorithm["stand_ins"], algorithm["stand_in_reason"]) == (2, reason)
        assert algorithm["failed_rounds"] == 1
        assert "in the place of the algorithm" in wazir(address, "why", "s/1")


def test_a_watch_of_a_study_that_was_paused_ends_and_says_why(script: Script, tmp_path: Path) -> None:
    with serving("memory", tmp_path) as address, Client(address) as client:
        client.create_study("s", spec(algorithm=script.algorithm(cheap=True)))
        script.say("nothing")
        for _ in range(5):
            for trial in client.suggest("s", client_id="t", start=True).trials:
                client.end_attempt(trial.name, 1, Cause.SUCCEEDED, final={"loss": 1.0})
        result = CliRunner().invoke(cli, ["watch", "s", "--address", address])
        assert result.exit_code == 1
        assert "Study s is paused: scripted_cheap failed 5 rounds in a row: it answered with NoneType" in result.output


STUDY = """
study: broken
objective: {metric: loss, goal: minimize}
algorithm: {name: NAME, folder: FOLDER, seed: 1}
parameters: {x: {min: 0.0, max: 1.0}, kind: {values: [a, b]}}
budget: {trials: 7, parallel: 1}
trial: {command: [python, -c, "print('loss=1.0')", "${x}"], metrics: {from: stdout}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scripted", "scripted_cheap"])
def test_a_run_whose_algorithm_raises_ends_and_says_why(script: Script, tmp_path: Path, name: str) -> None:
    """It used to complete with exit code 0 and quasi-random points alone."""
    script.say("raise")
    (tmp_path / "study.yaml").write_text(STUDY.replace("NAME", name).replace("FOLDER", str(tmp_path)))
    program = Path(sys.executable).with_name("wazir")
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}

    run = subprocess.run([program, "run", "study.yaml"], cwd=tmp_path, env=env, capture_output=True, text=True)
    said = " ".join(run.stdout.split())
    assert run.returncode == 1
    assert f"Study broken is paused: {name} failed 5 rounds in a row: it raised ValueError: no luck" in said
    assert f"points are quasi-random in place of {name}, the latest because it raised ValueError" in said
    assert "wazir resume broken" in said

    def command(*arguments: str) -> str:
        done = subprocess.run([program, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, check=True)
        return done.stdout

    # Its author mends it, and the study goes on to its end.
    script.say("answer")
    command("resume", "broken")
    assert "broken is completed" in command("run", "study.yaml")
    study = json.loads(command("show", "broken", "-o", "json"))
    assert study["state"] == StudyState.COMPLETED.value
    assert study["algorithm"]["stand_ins"] < 5
    assert study["algorithm"]["failed_rounds"] == 0
