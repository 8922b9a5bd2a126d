"""`wazir run` with an algorithm that pauses trials: each goes on from its checkpoint, and no step is done twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

TRAIN = """
import json, sys
from pathlib import Path
import wazir

trial = wazir.current_trial()
latest = trial.checkpoint.latest() if "--checkpoints" in sys.argv else None
loss = json.loads((latest / "loss.json").read_text()) if latest else trial.params["x"] + 1.0
for epoch in range(trial.resume_step(), 9):
    loss -= 0.1
    with Path("epochs").open("a") as done:
        done.write(f"{trial.id} {epoch + 1}\\n")
    if "--checkpoints" in sys.argv:
        with trial.checkpoint.save(step=epoch + 1) as folder:
            (folder / "loss.json").write_text(json.dumps(loss))
    trial.report({"loss": loss}, step=epoch + 1)
    if trial.should_stop():
        break
"""
STUDY = """
study: rungs
objective: {metric: loss, goal: minimize}
algorithm: {name: asha, min: 1, max: 9, eta: 3, seed: 1}
parameters: {x: {min: 0.0, max: 1.0}}
budget: {trials: 9, parallel: 2}
trial: {command: [python, train.py, "OPTION"], checkpoints: {keep: KEEP}}
"""


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--checkpoints", "--none"])
def test_trials_go_on_where_they_were(option: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "study.yaml").write_text(STUDY.replace("OPTION", option).replace("KEEP", "best"))
    wazir = Path(sys.executable).with_name("wazir")
    subprocess.run([wazir, "run", "study.yaml"], cwd=tmp_path, check=True, capture_output=True)
    listed = subprocess.run(
        [wazir, "trials", "rungs", "-o", "json"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    trials = {trial["id"]: trial for trial in json.loads(listed.stdout)}
    steps = sorted(trial["metrics_step"] for trial in trials.values())
    # How many go on follows from the order of arrival, but one in three at least does, and nobody beyond the last rung.
    assert len(trials) == 9
    assert set(steps) <= {1, 3, 9}
    assert steps[-1] >= 3
    done = Counter((tmp_path / "epochs").read_text().splitlines())
    if option == "--checkpoints":
        assert set(done.values()) == {1}, "a step was done twice"
    assert {trial["state"].lower() for trial in trials.values()} <= {"stopped", "succeeded"}
    for number, trial in trials.items():
        expected = trial["parameters"]["x"] + 1.0 - 0.1 * trial["metrics_step"]
        assert trial["metrics"]["loss"] == pytest.approx(expected), number
    kept = {int(folder.parent.name) for folder in (tmp_path / ".wazir" / "runs").glob("default/rungs/*/*/checkpoints")}
    best = min(trials.values(), key=lambda trial: trial["metrics"]["loss"])
    assert kept == ({best["id"]} if option == "--checkpoints" else set())
    subprocess.run([wazir, "delete", "rungs", "--yes"], cwd=tmp_path, check=True, capture_output=True)
    assert not list((tmp_path / ".wazir" / "runs").rglob("checkpoints"))
    assert len(list((tmp_path / ".wazir" / "runs").rglob("output.log"))) >= 9, "logs stay"


@pytest.mark.slow
def test_people_are_told_of_a_maximum_that_is_never_reached(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    study = (
        STUDY.replace("OPTION", "--none")
        .replace("KEEP", "none")
        .replace("max: 9", "max: 30")
        .replace("min: 1", "min: 10")
    )
    (tmp_path / "study.yaml").write_text(study.replace("trials: 9", "trials: 1"))
    wazir = Path(sys.executable).with_name("wazir")
    run = subprocess.run([wazir, "run", "study.yaml"], cwd=tmp_path, check=True, capture_output=True, text=True)
    words = "ended by itself at step 9, and algorithm.max takes a whole trial to do 30"
    assert words in " ".join(run.stdout.split())
    shown = subprocess.run([wazir, "show", "rungs/1"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert words in " ".join(shown.stdout.split())
    assert words in (tmp_path / ".wazir" / "wazir.log").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("keep", ["latest", "none"])
def test_a_population_hands_its_weights_on(keep: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAIN)
    algorithm = "{name: pbt, max: 9, interval: 3, population: 4, quantile: 0.25, seed: 1}"
    study = (
        STUDY.replace("OPTION", "--checkpoints")
        .replace("KEEP", keep)
        .replace("{name: asha, min: 1, max: 9, eta: 3, seed: 1}", algorithm)
    )
    (tmp_path / "study.yaml").write_text(study)
    wazir = Path(sys.executable).with_name("wazir")
    subprocess.run([wazir, "run", "study.yaml"], cwd=tmp_path, check=True, capture_output=True)
    listed = subprocess.run(
        [wazir, "trials", "rungs", "-o", "json"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    trials = {trial["id"]: trial for trial in json.loads(listed.stdout)}
    assert 4 < len(trials) <= 9
    epochs: dict[int, list[int]] = {}
    for line in (tmp_path / "epochs").read_text().splitlines():
        number, epoch = map(int, line.split())
        epochs.setdefault(number, []).append(epoch)
    heirs = [number for number in trials if epochs[number][0] > 1]
    assert heirs == sorted(set(trials) - {1, 2, 3, 4}), "whoever is not of the first four starts from another's weights"
    assert all(done == list(range(done[0], done[-1] + 1)) for done in epochs.values()), "no step twice, none left out"
    starts = {round(trials[number]["parameters"]["x"], 6) for number in (1, 2, 3, 4)}
    for trial in trials.values():
        # Its loss is that of one of the first four, less a tenth for each step, whoever made the step.
        start = trial["metrics"]["loss"] + 0.1 * trial["metrics_step"] - 1.0
        assert round(start, 6) in starts
    assert max(trial["metrics_step"] for trial in trials.values()) == 9
