"""A watch of a study that nobody runs says so, and stops saying it when a trial runs."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from wazir.clients.cli.idle import Idle, words
from wazir.clients.client import Client
from wazir.domain.names import StudyName
from wazir.domain.study import Counts, Study, StudyState
from wazir.domain.template import Runtime, TrialTemplate
from wazir.domain.trial import TrialState

from ..clients.served import serving, spec

STUDY = Study(StudyName("default", "s"), "uid", spec(), StudyState.ACTIVE, 0.0, 1)


def test_it_is_told_after_a_while_and_taken_back_when_a_trial_runs() -> None:
    told: list[str] = []
    said = threading.Event()

    def tell(text: str) -> None:
        told.append(text)
        if text:
            said.set()

    with Idle(tell, patience=0.0) as idle:
        idle.update(STUDY)
        assert said.wait(30.0)
        idle.update(replace(STUDY, counts=Counts({TrialState.ACTIVE: 1})))
    assert told == [words(STUDY), ""]


def test_nothing_is_told_of_a_study_that_has_ended_or_runs_or_is_left() -> None:
    told: list[str] = []
    with Idle(told.append, patience=3600.0) as idle:
        idle.update(STUDY)
        idle.update(replace(STUDY, state=StudyState.COMPLETED))
        idle.update(replace(STUDY, state=StudyState.PAUSED))
        idle.update(STUDY)
    assert set(told) <= {""}


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (None, "waits for code that asks for trials"),
        (TrialTemplate(command=("train", "${args}")), "`wazir run FILE` does"),
        (TrialTemplate(image="i", runtime=Runtime.KUBERNETES), "no `wazir controller` works for this study"),
    ],
)
def test_what_may_be_missing_is_named(template: TrialTemplate | None, said: str) -> None:
    assert said in words(replace(STUDY, spec=replace(STUDY.spec, trial=template)))


def test_the_command_says_it_and_goes_on(tmp_path: Path) -> None:
    program = "from wazir.clients.cli import idle; idle.PATIENCE = 0.0; from wazir.app.main import main; main()"
    with serving("memory", tmp_path) as address, Client(address) as client:
        client.create_study("s", spec())
        watch = subprocess.Popen(
            [sys.executable, "-c", program, "watch", "s", "--address", address], stdout=subprocess.PIPE, text=True
        )
        assert watch.stdout is not None
        assert any("no trial runs; the study waits for code" in line for line in watch.stdout)
        client.stop_study("s", "enough")
        assert "Study s is completed: enough" in watch.stdout.read()
        assert watch.wait() == 0
