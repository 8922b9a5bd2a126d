"""`wazir run` of scripts that fail: it says what failed trials have in common, and does not burn them one by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from wazir.app.local_service import LocalService
from wazir.clients.client import Client
from wazir.clients.study_file import load

SCRIPT = """
import sys
arguments = dict(text.removeprefix("--").split("=") for text in sys.argv[1:])
x = float(arguments["x"])
{code}
print(f"loss={{x}}")
"""


def write(folder: Path, code: str, metric: str = "loss", **budget: object) -> None:
    (folder / "train.py").write_text(SCRIPT.format(code=code))
    study = {
        "study": "s",
        "objective": {"metric": metric, "goal": "minimize"},
        "algorithm": {"name": "random", "seed": 1},
        "parameters": {"x": {"min": 0.0, "max": 1.0}, "y": {"values": ["a", "b"]}},
        "budget": {"trials": 12, "parallel": 2, **budget},
        "trial": {"command": [sys.executable, "-S", "train.py", "${args}"], "metrics": {"from": "stdout"}},
    }
    (folder / "study.yaml").write_text(json.dumps(study))


def wazir(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [str(Path(sys.executable).with_name("wazir")), *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("WAZIR_")}
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    return done.returncode, done.stdout + done.stderr


def test_a_script_that_always_crashes_pauses_its_study(tmp_path: Path) -> None:
    write(tmp_path, "{}['val_loss']")
    code, output = wazir(tmp_path, "run", "study.yaml")
    assert code == 1
    words = "exit code 1: KeyError: 'val_loss'"
    assert f"Study s is paused: the first three trials failed in the same way: {words}. Fix the script" in output
    assert "Go on     wazir resume s, and then: wazir run study.yaml" in output
    attempt = next(line for line in wazir(tmp_path, "show", "s/1")[1].splitlines() if line.startswith("attempt 1"))
    assert attempt.count("exit code 1") == 1, attempt
    # It says so again, and does not wait for anybody.
    assert wazir(tmp_path, "run", "study.yaml")[0] == 1

    write(tmp_path, "")
    assert wazir(tmp_path, "resume", "s") == (0, "Study s is active.\n")
    code, output = wazir(tmp_path, "run", "study.yaml")
    assert (code, "Study s is completed" in output) == (0, True), output
    assert f"trials failed: {words}" in output
    shown = json.loads(wazir(tmp_path, "show", "s", "-o", "json")[1])
    (group,) = shown["failures"]
    assert (group["cause"], group["words"], group["explained"]) == ("code_failed", words, [])


def test_a_misspelt_metric_costs_no_more_trials_than_run_at_once(tmp_path: Path) -> None:
    write(tmp_path, "", metric="val_loss")
    code, output = wazir(tmp_path, "run", "study.yaml")
    assert code == 1
    assert "has no value: looked for 'val_loss' in what it printed" in output
    assert "2 trials failed: looked for 'val_loss'" in output


def test_a_study_goes_on_behind_whose_wall_every_trial_fails(tmp_path: Path) -> None:
    write(tmp_path, "if x > 0.4: raise ValueError('diverged')", trials=30, failed=10, parallel=4)
    code, output = wazir(tmp_path, "run", "study.yaml")
    assert (code, "(30 succeeded, " in output) == (0, True), output
    assert " trials with x > 0.4 failed: exit code 1: ValueError: diverged\n" in output
    assert ": wazir logs s/" in output
    assert " trials with x > 0.4 failed: exit code 1" in wazir(tmp_path, "show", "s")[1]


def test_a_study_of_which_every_trial_is_out_of_memory_does_not_look_like_a_success(tmp_path: Path) -> None:
    write(tmp_path, "raise MemoryError", trials=2)
    code, output = wazir(tmp_path, "run", "study.yaml")
    assert code == 1
    words = "budget.trials = 2 is reached, and no trial has a result; 2 of them: exit code 1: MemoryError"
    assert f"Study s is failed: {words} (2 infeasible)" in output


def test_a_study_that_a_person_paused_is_not_waited_for(tmp_path: Path) -> None:
    write(tmp_path, "")
    database = tmp_path / ".wazir" / "wazir.db"
    database.parent.mkdir()
    with LocalService(database) as service, Client(service.address) as client:
        study_file = load(tmp_path / "study.yaml")
        client.create_study("s", study_file.spec)
        client.pause_study("s")
    code, output = wazir(tmp_path, "run", "study.yaml")
    assert code == 4
    assert "s is paused by a person, so nothing would run. Go on with `wazir resume s`" in output
