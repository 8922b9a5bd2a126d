"""`wazir controller` beside a service: killed, told to leave and started again, it runs all studies of its owners."""

import random
import signal
import subprocess

import pytest

from wazir.clients.local_address import address_of
from wazir.domain.study import StudyState

from .world import World

pytestmark = pytest.mark.slow


def serve(world: World) -> None:
    server = world.wazir("serve", "--db", str(world.database), "--listen", "127.0.0.1:0")
    world.says(server, "Serving")


def control(world: World) -> "subprocess.Popen[bytes]":
    address = address_of(world.database)
    process = world.wazir("controller", "--runtime", "local", "--address", address, "--runs", "runs")
    world.says(process, "running trials")
    return process


def create(world: World, name: str, trials: int) -> None:
    file = world.study(name, trials=trials, parallel=2)
    assert world.ended(world.wazir("create", file.name, "--address", address_of(world.database))) == 0


def completed(world: World, *names: str) -> None:
    with world.connect() as client:
        world.until(
            lambda: all(client.get_study(name).state is StudyState.COMPLETED for name in names),
            f"{names} are completed",
        )


def test_studies_made_at_any_time_outlive_their_controllers(world: World) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    serve(world)
    create(world, "first", 5)
    for _ in range(3):
        process = control(world)
        world.noted(len(world.notes()) + chance.randint(1, 8), unless=process)
        process.kill()
        process.wait()
    process = control(world)
    create(world, "second", 3)
    completed(world, "first", "second")
    process.terminate()
    assert world.ended(process) == 0
    world.check("first", trials=5)
    world.check("second", trials=3)


def test_a_controller_that_leaves_ends_nothing_and_the_next_one_goes_on(world: World) -> None:
    serve(world)
    create(world, "held", 2)
    world.hold("held")
    first = control(world)
    running = {note.pid for note in world.running("held", 2)}
    first.send_signal(signal.SIGTERM)
    assert world.ended(first) == 0
    assert running <= set(world.trainings())
    second = control(world)
    world.let_go("held")
    completed(world, "held")
    second.terminate()
    assert world.ended(second) == 0
    world.check("held", trials=2)
    assert {note.pid for note in world.notes("end")} == running


def test_studies_of_another_runtime_or_owner_are_left_alone(world: World) -> None:
    serve(world)
    file = world.study("pods", trials=1)
    file.write_text(file.read_text().replace('"command"', '"image": "train:1", "command"'))
    address = address_of(world.database)
    assert world.ended(world.wazir("create", file.name, "--address", address)) == 0
    assert world.ended(world.wazir("create", file.name, "--address", address, "--owner", "other")) == 0
    create(world, "mine", 1)
    process = control(world)
    completed(world, "mine")
    with world.connect() as client:
        assert client.get_study("pods").counts.total == 0
        assert client.get_study("owners/other/studies/pods").counts.total == 0
    process.terminate()
    assert world.ended(process) == 0
    world.check("mine", trials=1)
