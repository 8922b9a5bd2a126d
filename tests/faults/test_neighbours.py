"""Several processes of Wazir on one database: who serves may go, and nobody is run by two."""

import signal
import time

import pytest

from .world import World

pytestmark = pytest.mark.slow


def test_a_second_study_survives_the_death_of_the_first_one_s_process(world: World) -> None:
    first, second = world.study("first", trials=3), world.study("second", trials=4, prints=True)
    for name in ("first", "second"):
        world.hold(name)
    serving = world.run(first)
    world.running("first", 2)
    beside = world.run(second)
    world.running("second", 2)
    serving.kill()
    serving.wait()
    world.let_go("second")
    assert world.ended(beside) == 0, world.describe()
    world.let_go("first")
    assert world.ended(world.run(first)) == 0, world.describe()
    world.check("first", trials=3)
    world.check("second", trials=4)


def test_a_second_study_takes_over_when_the_first_is_done(world: World) -> None:
    first, second = world.study("first", trials=2), world.study("second", trials=4)
    for name in ("first", "second"):
        world.hold(name)
    serving = world.run(first)
    world.running("first", 2)
    beside = world.run(second)
    world.running("second", 2)
    world.let_go("first")
    assert world.ended(serving) == 0, world.describe()
    world.let_go("second")
    assert world.ended(beside) == 0, world.describe()
    world.check("first", trials=2)
    world.check("second", trials=4)
    assert {n.attempt for n in world.notes()} == {1}


def test_one_study_is_run_by_one_process(world: World) -> None:
    world.hold("study")
    process = world.run(world.study("study", trials=3))
    world.running("study", 2)
    # Nor does one that is refused change the budget of the other.
    again = world.run(world.study("study", trials=5))
    assert world.ended(again) == 4, world.describe()
    assert f"in use by another controller (process {process.pid})" in " ".join(world.said(again).split())
    world.let_go("study")
    assert world.ended(process) == 0, world.describe()
    world.check("study", trials=3)
    assert {n.attempt for n in world.notes()} == {1}


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL], ids=["frozen", "killed"])
def test_training_does_not_notice_that_the_service_is_away(world: World, how: signal.Signals) -> None:
    """A frozen service keeps its database and answers nobody; the place of a killed one is taken by `wazir run`."""
    world.hold("study")
    server = world.wazir("serve", "--db", str(world.database), "--listen", "127.0.0.1:0")
    world.says(server, "Serving")
    process = world.run(world.study("study", trials=4, steps=6))
    world.running("study", 2)
    server.send_signal(how)
    world.let_go("study")
    world.until(lambda: len(world.notes("end")) >= 2, "trainings end although nobody hears them")
    assert process.poll() is None
    if how is signal.SIGSTOP:
        server.send_signal(signal.SIGCONT)
    assert world.ended(process) == 0, world.describe()
    world.check("study", trials=4, steps=6)
    assert {n.attempt for n in world.notes()} == {1}, "an attempt was given up for the service's sake"
    assert all(n.seconds < 5.0 for n in world.notes("report")), "a report waited for the service"
    server.terminate()
    assert world.ended(server) in (0, -signal.SIGKILL)


def test_a_study_that_is_deleted_while_it_runs_ends_its_trainings(world: World) -> None:
    world.hold("study")
    process = world.run(world.study("study"))
    world.running("study", 2)
    with world.connect() as client:
        client.delete_study("study", force=True)
        assert world.ended(process) == 3, world.describe()
    assert not world.trainings()
    assert "Traceback" not in world.said(process)


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_a_service_that_is_frozen_for_longer_than_anybody_s_patience(world: World) -> None:
    """Long enough that channels are given up as dead: 40 s, and all patience of the clients after that."""
    away = 75.0
    world.hold("study")
    server = world.wazir("serve", "--db", str(world.database), "--listen", "127.0.0.1:0")
    world.says(server, "Serving")
    process = world.run(world.study("study", trials=4))
    world.running("study", 2)
    server.send_signal(signal.SIGSTOP)
    since = time.monotonic()
    world.let_go("study")
    world.until(lambda: time.monotonic() > since + away, "it has been away for long")
    assert len(world.notes("end")) == 2
    assert process.poll() is None
    server.send_signal(signal.SIGCONT)
    assert world.ended(process) == 0, world.describe()
    world.check("study", trials=4)
    assert {n.attempt for n in world.notes()} == {1}
