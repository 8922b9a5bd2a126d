"""Reports that can be neither delivered nor spooled: no trial counts as done without them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from wazir.controller.execution import Key
from wazir.controller.local.folder import Folder
from wazir.controller.local.runtime import LocalRuntime
from wazir.domain.attempt import Cause, RetryPolicy
from wazir.domain.study import StudyState
from wazir.domain.template import MetricsFrom
from wazir.domain.trial import TrialState

from ..waiting import eventually
from .test_loop import NAME, WAIT, World, running

STEPS = 40

REPORTS = f"""
import os, sys, time, wazir
folder = sys.argv[2]
trial = wazir.current_trial()
def wait(name):
    while not os.path.exists(folder + '/' + name): time.sleep(0.01)
if trial.attempt == 1:
    for step in range(1, 6):
        trial.report({{'loss': 1.0 / step}}, step=step)
    trial.flush()
    open(folder + '/began', 'w').close()
    wait('full')
for step in range(6, {STEPS} + 1):
    trial.report({{'loss': 1.0 / step}}, step=step)
"""
"""40 steps, of which five are delivered before the service goes away."""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, to be filled."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a file system")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.fixture
def world(small_disk: Path) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as socket, tempfile.TemporaryDirectory() as outside:
        made = World(Path(outside), Path(socket), runs=small_disk / "runs")
        yield made
        made.close()


def fill(disk: Path) -> Path:
    """Takes all of its space."""
    filler = disk / "filler"
    file = os.open(filler, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    os.write(file, b"x" * size)
            except OSError:
                continue
    finally:
        os.close(file)
    return filler


def left_alone(world: World, disk: Path) -> Path:
    """The trial has reported five steps; then the service goes away, the disk is full, and the trial goes on."""
    world.start()
    eventually((world.folder / "began").exists)
    world.service.stop()
    filler = fill(disk)
    (world.folder / "full").touch()
    return filler


def exited(world: World) -> bool:
    return all(execution.exit is not None for execution in world.runtime.observe().values())


def test_an_attempt_that_ends_with_reports_on_no_disk_has_lost_them(world: World, small_disk: Path) -> None:
    world.create(REPORTS, metrics=MetricsFrom.PUSH, retries=RetryPolicy(preempted=0))
    filler = left_alone(world, small_disk)
    eventually(lambda: exited(world))
    filler.unlink()
    world.service.start()
    world.runs[-1].result()

    (trial,) = world.trials()
    assert trial.state is TrialState.FAILED
    assert trial.attempt is not None
    assert (trial.attempt.cause, trial.attempt.exit_code) == (Cause.REPORTS_LOST, 0)
    assert "reports could be neither delivered nor kept in" in trial.reason
    assert [m.step for m in world.client.measurements(trial.name)] == [1, 2, 3, 4, 5]


def test_its_trial_is_tried_again(world: World, small_disk: Path) -> None:
    world.create(REPORTS, metrics=MetricsFrom.PUSH)
    filler = left_alone(world, small_disk)
    eventually(lambda: exited(world))
    filler.unlink()
    world.service.start()
    world.runs[-1].result()

    (trial,) = world.trials()
    assert (trial.state, trial.final) == (TrialState.SUCCEEDED, {"loss": 1.0 / STEPS})
    assert [a.cause for a in trial.attempts] == [Cause.REPORTS_LOST, Cause.SUCCEEDED]
    assert [m.step for m in world.client.measurements(trial.name)] == [*range(1, STEPS + 1)]


@pytest.mark.parametrize("back", ["service", "disk"])
def test_what_a_full_disk_does_not_take_waits_in_memory(world: World, small_disk: Path, back: str) -> None:
    world.create(REPORTS + "wait('back')", metrics=MetricsFrom.PUSH, retries=RetryPolicy(preempted=0))
    filler = left_alone(world, small_disk)
    spool = next((small_disk / "runs").glob("*/1/1")) / "spool.jsonl"
    eventually(spool.exists)
    if back == "service":
        world.service.start()
        trial = world.trials()[0]
        eventually(lambda: len(list(world.client.measurements(trial.name))) == STEPS)
    else:
        filler.unlink()
        eventually(lambda: len(spool.read_bytes().splitlines()) == STEPS - 5)
    (world.folder / "back").touch()
    eventually(lambda: exited(world))
    if back == "disk":
        world.service.start()
    world.runs[-1].result()

    (trial,) = world.trials()
    assert (trial.state, trial.final) == (TrialState.SUCCEEDED, {"loss": 1.0 / STEPS})
    assert [m.step for m in world.client.measurements(trial.name)] == [*range(1, STEPS + 1)]


def test_how_it_ended_is_kept_on_a_full_disk(world: World, small_disk: Path) -> None:
    world.create(WAIT + "raise SystemExit(3)", metrics=MetricsFrom.PUSH)
    run = world.start()
    world.until(running)
    fill(small_disk)
    (world.folder / "go").touch()
    run.result()
    (trial,) = world.trials()
    assert trial.attempt is not None
    assert (trial.attempt.cause, trial.attempt.exit_code) == (Cause.CODE_FAILED, 3)


def test_output_that_a_full_disk_did_not_take_is_lost(world: World, small_disk: Path) -> None:
    """A shell says nothing of what it could not print."""
    code = "import subprocess; subprocess.call(['sh', '-c', 'echo loss=2'])"
    world.create("print('loss=1', flush=True)\n" + WAIT + code, retries=RetryPolicy(preempted=0))
    run = world.start()
    trial = world.until(running)
    eventually(lambda: world.client.measurements(trial.name))
    fill(small_disk)
    (world.folder / "go").touch()
    run.result()
    (trial,) = world.trials()
    assert trial.attempt is not None
    assert (trial.state, trial.attempt.cause) == (TrialState.FAILED, Cause.REPORTS_LOST)
    assert "No space left on device" in trial.reason


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param("open(path, 'a').write('{\"step\": 7, \"met')", "1 of the reports", id="a line that was cut off"),
        pytest.param(
            "import json; open(path, 'a').write(json.dumps({'step': 1, 'time': 0, 'metrics': "
            "{f'm{i}': 0 for i in range(20_000)}}) + '\\n')",
            "1 of the reports",
            id="a report that the service would never take",
        ),
        pytest.param("os.mkfifo(path)", "no regular file", id="a pipe in its place"),
        pytest.param("os.symlink('/etc/hosts', path)", "a link", id="a link in its place"),
    ],
)
def test_a_spool_that_cannot_be_read_to_its_end_is_lost(tmp_path: Path, damage: str, words: str) -> None:
    report = "import os, wazir; trial = wazir.current_trial(); trial.report({'loss': 1.0}, step=1); trial.flush()\n"
    with tempfile.TemporaryDirectory() as socket:
        world = World(tmp_path, Path(socket))
        try:
            code = report + "path = os.environ['WAZIR_SPOOL']\n" + damage
            world.create(code, metrics=MetricsFrom.PUSH, retries=RetryPolicy(preempted=0))
            world.start().result()
            (trial,) = world.trials()
        finally:
            world.close()
    assert trial.attempt is not None
    assert (trial.state, trial.attempt.cause) == (TrialState.FAILED, Cause.REPORTS_LOST)
    assert words in trial.reason


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param("os.truncate(log, 0)", "cut short", id="cut short"),
        pytest.param("os.unlink(log)", "No such file", id="removed"),
        pytest.param("os.unlink(log); open(log, 'w').write('loss=9')", "another file", id="replaced"),
        pytest.param("os.unlink(log); os.mkfifo(log)", "no regular file", id="a pipe in its place"),
        pytest.param("os.unlink(log); os.symlink('/dev/zero', log)", "a link", id="a device in its place"),
    ],
)
def test_a_log_that_its_own_code_replaces_harms_its_own_attempt_only(tmp_path: Path, damage: str, words: str) -> None:
    code = "print('loss=1', flush=True)\n" + WAIT + "log = os.path.dirname(os.environ['WAZIR_SPOOL']) + '/output.log'\n"
    with tempfile.TemporaryDirectory() as socket:
        world = World(tmp_path, Path(socket))
        try:
            world.create(code + damage, retries=RetryPolicy(preempted=0))
            run = world.start()
            trial = world.until(running)
            eventually(lambda: world.client.measurements(trial.name))
            (tmp_path / "go").touch()
            run.result()
            (trial,) = world.trials()
        finally:
            world.close()
    assert trial.attempt is not None
    assert (trial.state, trial.attempt.cause) == (TrialState.FAILED, Cause.REPORTS_LOST)
    assert words in trial.reason


def test_trials_wait_while_the_disk_is_full_and_use_up_no_retries(world: World, small_disk: Path) -> None:
    world.runtime.close()
    world.runtime = LocalRuntime(small_disk / "runs", launch_again=0.05)
    filler = fill(small_disk)
    world.create("print('loss=1')")
    run = world.start()
    trial = world.until(lambda trial: trial.attempt is not None and "No space left" in trial.attempt.message)
    assert trial.state is TrialState.ACTIVE

    filler.unlink()
    run.result()
    (trial,) = world.trials()
    assert trial.state is TrialState.SUCCEEDED
    assert len(trial.attempts) == 1


def test_a_study_whose_trials_cannot_be_launched_ends_at_the_first_and_says_why(world: World, small_disk: Path) -> None:
    fill(small_disk)
    world.create("print('loss=1')", trials=5)
    world.start(patience=0.1).result()
    failed, *_ = world.trials()
    assert failed.attempt is not None
    assert failed.attempt.cause is Cause.CONFIG_BROKEN
    assert "it cannot be launched" in failed.reason
    assert "No space left on device" in failed.reason
    assert world.client.get_study(NAME).state is not StudyState.ACTIVE


@pytest.mark.parametrize("text", ["[]", "{}", '{"pid": "x"}', "", "\0" * 100, "[" * 100_000])
def test_records_that_its_own_code_overwrites_end_its_own_attempt_only(tmp_path: Path, text: str) -> None:
    folder = Folder(tmp_path, Key("uid", 1, 1))
    folder.path.mkdir(parents=True)
    for name in ("launch.json", "exit.json", "ending.json"):
        (folder.path / name).write_text(text)
    assert (folder.launched(), folder.exit(), folder.ending()) == (None, None, None)


def test_a_run_folder_that_is_removed_while_a_trial_runs_is_made_anew(tmp_path: Path) -> None:
    """Nobody knows how the attempt ended, so it is not taken for done."""
    code = "import shutil, wazir\nif wazir.current_trial().attempt == 1: shutil.rmtree(sys.argv[2] + '/runs')\n"
    with tempfile.TemporaryDirectory() as socket:
        world = World(tmp_path, Path(socket))
        try:
            world.create("import sys\n" + code + "print('loss=1')")
            world.start().result()
            (trial,) = world.trials()
        finally:
            world.close()
    assert trial.state is TrialState.SUCCEEDED
    assert [a.cause for a in trial.attempts] == [Cause.PREEMPTED, Cause.SUCCEEDED]
