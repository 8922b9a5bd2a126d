"""Ctrl-C once drains, twice stops; SIGTERM stops. The same command goes on in all cases."""

import signal

import pytest

from wazir.domain.study import StudyState
from wazir.domain.trial import TrialState

from .world import World

pytestmark = pytest.mark.slow

TRIALS = 5


def test_once_lets_end_what_runs_and_starts_nothing(world: World) -> None:
    world.hold("study")
    file = world.study("study", trials=TRIALS)
    process = world.run(file)
    running = {n.trial for n in world.running("study", 2)}
    process.send_signal(signal.SIGINT)
    world.says(process, "Draining")
    world.let_go("study")
    assert world.ended(process) == 130, world.describe()
    study, trials = world.trials("study")
    assert study.state is StudyState.ACTIVE
    assert {t.id for t in trials if t.state is TrialState.SUCCEEDED} == running
    assert {n.trial for n in world.notes("start")} == running, "one was started while it drained"
    assert {n.attempt for n in world.notes()} == {1}
    assert world.ended(world.run(file)) == 0, world.describe()
    world.check("study", trials=TRIALS)


@pytest.mark.parametrize(
    ("signals", "stubborn"),
    [
        pytest.param((signal.SIGINT, signal.SIGINT), False, id="Ctrl-C twice"),
        pytest.param((signal.SIGTERM,), True, id="SIGTERM, and trainings that do not hear theirs"),
    ],
)
def test_stopping_ends_what_runs_and_it_is_run_again(
    world: World, signals: tuple[signal.Signals, ...], stubborn: bool
) -> None:
    world.hold("study")
    file = world.study("study", trials=3, stubborn=stubborn)
    process = world.run(file)
    running = {n.trial for n in world.running("study", 2)}
    for number, word in zip(signals, ("Draining", "Stopping")[-len(signals) :], strict=True):
        process.send_signal(number)
        world.says(process, word)
    assert world.ended(process) == 130, world.describe()
    assert not world.trainings(), "a training outlived the stop"
    study, trials = world.trials("study")
    assert study.state is StudyState.ACTIVE
    assert {t.id: t.state for t in trials if t.id in running} == dict.fromkeys(running, TrialState.REQUESTED)
    world.let_go("study")
    assert world.ended(world.run(file)) == 0, world.describe()
    world.check("study", trials=3)
    assert {n.attempt for n in world.notes("end") if n.trial in running} == {2}
