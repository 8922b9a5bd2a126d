"""`kill -9` of `wazir run`, alone and with all its supervisors, at any moment: the same command goes on.

`make soak` repeats it: SOAK_ROUNDS studies (20), each broken as its seed says, counted up from SOAK_SEED (a new one
every time; it is printed).
"""

import os
import random
import time

import pytest

from .world import World, kill

TRIALS = 5


def study_under_fire(world: World, seed: int, kills: int) -> None:
    """Runs a study and kills it `kills` times, each time after some notes more of its trainings; then lets it end."""
    print(f"seed {seed}")
    chance = random.Random(seed)
    prints = chance.random() < 0.3
    file = world.study("fire", trials=TRIALS, parallel=chance.randint(1, 3), prints=prints)
    for _ in range(kills):
        process = world.run(file)
        if chance.random() < 0.3:
            # Some moment of the start, of which nothing is to be seen: here the time is the point, not a wait.
            time.sleep(chance.uniform(0.0, 3.0))
        else:
            wanted = len(world.notes()) + chance.randint(1, 8)
            world.noted(wanted, unless=process)
        with_supervisors = chance.random() < 0.4
        process.kill()
        process.wait()
        if with_supervisors:
            for pid in world.supervisors():
                kill(pid)
    assert world.ended(world.run(file)) == 0, world.describe()
    world.check("fire", trials=TRIALS)


@pytest.mark.slow
def test_a_study_that_is_killed_again_and_again_comes_to_its_end(world: World) -> None:
    study_under_fire(world, seed=random.randrange(2**32), kills=3)


@pytest.mark.soak
@pytest.mark.parametrize("number", range(int(os.environ.get("SOAK_ROUNDS", "20"))))
def test_many_studies_under_fire(world: World, number: int) -> None:
    start = int(os.environ.get("SOAK_SEED", "0")) or random.randrange(2**32)
    study_under_fire(world, seed=start + number, kills=6)
