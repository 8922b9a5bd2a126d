"""What was acknowledged is there after `kill -9`, whole, and nothing is there by half."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import TrialFilter, View

from ..contract.store import NAME

WRITER = """
import sys, threading
from dataclasses import replace
from wazir.domain.metric import Goal, Objective
from wazir.domain.names import StudyName
from wazir.domain.study import Study, StudySpec, StudyState
from wazir.domain.trial import Measurement, Trial, TrialState
from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Answer

NAME = StudyName("default", "s")
store = open_sqlite(sys.argv[1])
try:
    store.read(lambda view: view.study(NAME))
except Exception:
    spec = StudySpec((Objective("loss", Goal.MINIMIZE),), None)
    study = Study(NAME, "uid", spec, StudyState.ACTIVE, 1.0, seed=0, revision=1)
    store.write(lambda tx: tx.insert_study(study))

def unit(tx):
    study = tx.lock(NAME)
    study = replace(study, revision=study.revision + 1)
    number = study.next_trial_id
    trial = Trial(NAME.trial(number), TrialState.ACTIVE, {"x": number}, 1.0, revision=study.revision)
    tx.insert_trials(study, [trial], 1)
    tx.add_measurements(trial, 1, [Measurement(1, {"loss": float(number)}, 1.0)])
    tx.keep_answer("default", str(number), Answer("m", "p", "[]", 1.0))
    counts = study.counts.moved(None, trial.state)
    tx.update_study(replace(study, next_trial_id=number + 1, counts=counts))
    return number

def work():
    while True:
        number = store.write(unit)
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()

for _ in range(4):
    threading.Thread(target=work).start()
"""


@pytest.mark.parametrize("seed", range(4))
def test_what_was_acknowledged_survives_kill_9(tmp_path: Path, seed: int) -> None:
    moments = random.Random(seed)
    path = tmp_path / "wazir.db"
    acknowledged: set[int] = set()
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=tmp_path
        ) as writer:
            assert writer.stdout is not None
            for _ in range(moments.randint(1, 300)):
                acknowledged.add(int(writer.stdout.readline()))
            os.kill(writer.pid, signal.SIGKILL)
            # A line that the kill cut in two was acknowledged to nobody.
            acknowledged.update(int(line) for line in writer.stdout if line.endswith("\n"))
        assert writer.returncode == -signal.SIGKILL

        store = open_sqlite(path)
        there = store.read(_whole_units)
        store.close()
        assert acknowledged <= there


def _whole_units(view: View) -> set[int]:
    """Numbers of the units that are there, each of them whole, and the study in accord with them."""
    study = view.study(NAME)
    numbers = [t.id for t in view.trials(study, TrialFilter(), 0, 1_000_000)]
    assert numbers == list(range(1, study.next_trial_id))
    assert study.counts.total == len(numbers)
    assert study.revision == len(numbers) + 1
    assert [(p.trial_id, p.value) for p in view.points(study, 0)] == [(n, float(n)) for n in numbers]
    assert all(view.answer("default", str(n)) is not None for n in numbers)
    return set(numbers)
