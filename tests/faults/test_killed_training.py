"""`kill -9` of a training, its supervisor, or both: the trial is tried again as `retries` allows, the study goes on."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from wazir.domain.study import StudyState
from wazir.domain.trial import TrialState

from .world import World, kill


def training(world: World, pid: int) -> None:
    kill(pid)


def group(world: World, pid: int) -> None:
    os.killpg(os.getpgid(pid), 9)


def supervisor(world: World, pid: int) -> None:
    kill(parent(pid))


def everything(world: World, pid: int) -> None:
    # The supervisor first: it would write down how its training ended.
    kill(parent(pid))
    kill(pid)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


VICTIMS: list[tuple[Callable[[World, int], None], str]] = [
    # Who is killed; what the trial says of it where it is not tried again.
    (training, "killed by SIGKILL, not by Wazir"),
    (group, "killed by SIGKILL, not by Wazir"),
    (supervisor, "its supervisor went away"),
]
TRIALS = len(VICTIMS) + 1


def run_and_kill(world: World, retries: dict[str, int]) -> list[tuple[int, str]]:
    """Runs a study and kills one training for each victim: the trials hit, and what they are to say."""
    world.hold("study")
    process = world.run(world.study("study", trials=TRIALS, parallel=len(VICTIMS), retries=retries))
    hit = world.running("study", len(VICTIMS))
    for note, (victim, _) in zip(hit, VICTIMS, strict=True):
        victim(world, note.pid)
    world.let_go("study")
    assert world.ended(process) == 0, world.describe()
    return [(note.trial, reason) for note, (_, reason) in zip(hit, VICTIMS, strict=True)]


@pytest.mark.slow
def test_killed_trainings_are_tried_again(world: World) -> None:
    hit = dict(run_and_kill(world, {"failed": 1, "preempted": 1}))
    world.check("study", trials=TRIALS)
    _, trials = world.trials("study")
    attempts = {t.id: t.attempt.number for t in trials if t.attempt is not None}
    assert attempts == {t.id: 2 if t.id in hit else 1 for t in trials}


@pytest.mark.slow
def test_without_retries_they_fail_and_the_study_goes_on(world: World) -> None:
    hit = dict(run_and_kill(world, {"failed": 0, "preempted": 0}))
    study, trials = world.trials("study")
    assert study.state is StudyState.COMPLETED
    assert {t.id for t in trials if t.state is TrialState.FAILED} == set(hit)
    assert all(hit[t.id] in t.reason for t in trials if t.id in hit), [t.reason for t in trials]
    assert all(t.state is TrialState.SUCCEEDED for t in trials if t.id not in hit)
    assert study.counts[TrialState.FAILED] == len(VICTIMS)
    assert study.counts[TrialState.SUCCEEDED] == len(trials) - len(VICTIMS) > 0


@pytest.mark.slow
def test_a_supervisor_that_dies_with_its_training_while_nobody_looks(world: World) -> None:
    """The next controller finds neither process nor exit code: the attempt was lost, and its trial is run again."""
    world.hold("study")
    file = world.study("study", trials=3, parallel=2, prints=True)
    process = world.run(file)
    hit = world.running("study", 2)
    process.kill()
    process.wait()
    for note in hit:
        everything(world, note.pid)
    world.let_go("study")
    assert world.ended(world.run(file)) == 0, world.describe()
    world.check("study", trials=3)
    assert {n.attempt for n in world.notes("end") if n.trial in {h.trial for h in hit}} == {2}
