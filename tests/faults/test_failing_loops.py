"""Loops of the controller and the supervisor that meet what nobody expects: the study comes to its end all the same."""

from __future__ import annotations

import errno
import subprocess

import pytest

from .failpoints import Failpoints
from .shim import Shim
from .world import World

pytestmark = pytest.mark.slow


def seldom(*values: object) -> object:
    """A case that `make soak` has."""
    return pytest.param(*values, marks=pytest.mark.soak)


@pytest.mark.parametrize("point", ["controller", seldom("plan"), "duties", seldom("file writer")])
def test_a_loop_of_wazir_run_that_raises(world: World, point: str) -> None:
    """It goes on, or the process ends: then its trainings go on, and the next `wazir run` takes them over."""
    failpoints = Failpoints(world.folder / "failpoints")
    file = world.study("study", trials=3)
    world.hold("study")
    process = world.start(failpoints.command("run", file.name))
    world.running("study", 2)

    failpoints.fail(point)
    world.let_go("study")
    # It fails again: so it has survived the first time.
    world.until(lambda: failpoints.hits(point) >= 2 or process.poll() is not None, f"{point} fails twice")
    failpoints.heal()

    died = world.ended(process) != 0
    if died:
        assert world.ended(world.run(file)) == 0, world.describe()
    world.check("study", trials=3, defects=died)
    assert {note.attempt for note in world.notes()} == {1}, "an attempt was given up for the controller's sake"


@pytest.mark.parametrize("error", [errno.ENOSPC, seldom(errno.EIO)])
def test_a_supervisor_that_cannot_write_how_its_training_ended(world: World, error: int) -> None:
    shim = Shim(world.folder / "shim")
    world.environment.update(shim.environment)
    world.hold("study")
    process: subprocess.Popen[bytes] = world.run(world.study("study", trials=2))
    world.running("study", 2)

    shim.fail("write", error=error, path="exit.")
    world.let_go("study")
    world.until(lambda: len(world.notes("end")) >= 2, "both trainings end")
    world.until(lambda: not world.trainings(), "both trainings are gone")
    shim.heal()

    assert world.ended(process) == 0, world.describe()
    world.check("study", trials=2)
