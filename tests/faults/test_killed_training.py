"""`kill -9` of a training, its supervisor, or both: the trial is tried again as `retries` allows, the study goes on."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from wazir.domain.attempt import Cause
from wazir.domain.trial import TrialState

from .world import World, kill


def training(world: World, pid: int) -> None:
    kill(pid)


def group(world: World, pid: int) -> None:
    os.killpg(os.getpgid(pid), 9)


def supervisor(world: World, pid: int) -> None:
    kill(parent(pid))


def everything(world: World, pid: int) -> None:
    above = parent(pid)
    kill(pid)
    kill(above)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


CASES: list[tuple[Callable[[World, int], None], dict[str, int], TrialState, str]] = [
    # Who is killed; retries; what becomes of the trial; a word of its reason.
    (training, {"failed": 1}, TrialState.SUCCEEDED, ""),
    (group, {"failed": 1}, TrialState.SUCCEEDED, ""),
    (supervisor, {"preempted": 1}, TrialState.SUCCEEDED, ""),
    (training, {"failed": 0}, TrialState.FAILED, "killed by SIGKILL, not by Wazir"),
    (supervisor, {"preempted": 0}, TrialState.FAILED, "supervisor went away"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("victim", "retries", "state", "reason"), CASES)
def test_a_killed_training(
    world: World, victim: Callable[[World, int], None], retries: dict[str, int], state: TrialState, reason: str
) -> None:
    world.hold("study")
    process = world.run(world.study("study", trials=3, parallel=1, retries=retries))
    (hit,) = world.running("study", 1)
    victim(world, hit.pid)
    world.let_go("study")
    assert world.ended(process) == 0, world.describe()
    study, trials = world.trials("study")
    by_id = {trial.id: trial for trial in trials}
    assert by_id[hit.trial].state is state, world.describe()
    assert reason in by_id[hit.trial].reason
    assert all(t.state is TrialState.SUCCEEDED for t in trials if t.id != hit.trial)
    assert study.counts[TrialState.SUCCEEDED] + study.counts[TrialState.FAILED] == len(trials)
    if state is TrialState.SUCCEEDED:
        world.check("study", trials=3)
        attempt = by_id[hit.trial].attempt
        assert attempt is not None
        assert (attempt.number, attempt.cause) == (2, Cause.SUCCEEDED)


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
