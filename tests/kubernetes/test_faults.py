"""What goes wrong around a study on a real cluster, made for real. After each, the study ends as if nothing had been,
and the API server bears out that no trial was lost, none ran twice at a time, and no more ran than might.

`make soak` has those that take minutes, and repeats the random ones: SOAK_ROUNDS times (20), by seeds counted up from
SOAK_SEED (a new one every time; it is printed).
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from wazir.controller.kubernetes.api import leases_path
from wazir.domain.attempt import Attempt, Cause

from .witness import Witness
from .world import PRINTS, PUSHES, KubernetesWorld

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

TRIALS, LIMIT = 6, 3


@contextmanager
def study_under_way(
    world: KubernetesWorld, witness: Witness, code: str = PUSHES, seconds: float = 2.0
) -> Iterator[None]:
    """What is done in the block happens while a study runs, which then must end well."""
    world.serve()
    world.control()
    world.create("study", code, trials=TRIALS, parallel=LIMIT, seconds=seconds)
    with world.connect() as client:
        world.began(client, "study/1")
    yield
    world.completed("study")
    world.check_study(witness, "study", trials=TRIALS, limit=LIMIT)


def tried_again(world: KubernetesWorld, cause: Cause) -> Attempt:
    """The first attempt of study/1, which has ended by `cause` and has been followed by another."""
    with world.connect() as client:
        first = world.over(client, "study/1")
        world.began(client, "study/1", 2)
    assert first.cause is cause, first
    return first


def test_a_pod_is_deleted_by_hand(world: KubernetesWorld, witness: Witness) -> None:
    with study_under_way(world, witness, seconds=3.0):
        pod = world.pod("study")
        assert pod is not None
        world.cluster.delete(pod)
        assert "deleted, not by Wazir" in tried_again(world, Cause.PREEMPTED).message


def test_a_pod_is_evicted(world: KubernetesWorld, witness: Witness) -> None:
    with study_under_way(world, witness, seconds=3.0):
        pod = world.pod("study")
        assert pod is not None
        world.cluster.evict(pod)
        assert "EvictionByEvictionAPI" in tried_again(world, Cause.PREEMPTED).message


def test_a_pod_is_preempted_by_one_that_matters_more(world: KubernetesWorld, witness: Witness) -> None:
    cluster = world.cluster
    gpus = cluster.gpus()
    with cluster.priority_class() as priority:
        world.serve()
        world.control()
        world.create("study", trials=1, parallel=1, seconds=3.0, resources={"gpu": gpus})
        with world.connect() as client:
            world.began(client, "study/1")
        urgent = cluster.run(world.namespace, "urgent", ["sleep", "999"], gpus=1, priority=priority)
        with world.connect() as client:
            first = world.over(client, "study/1")
            assert (first.cause, "Preempt" in first.message) == (Cause.PREEMPTED, True), first

            def waits() -> bool:
                second = world.attempt(client, "study/1", 2)
                return second is not None and "Insufficient nvidia.com/gpu" in second.message

            world.until(waits, "the next attempt says what it waits for")
            cluster.delete(urgent, at_once=True)
        world.completed("study")
        world.check_study(witness, "study", trials=1, limit=1)


@pytest.mark.parametrize("code", [PRINTS, PUSHES], ids=["prints", "pushes"])
def test_the_api_server_is_killed_and_comes_back(world: KubernetesWorld, witness: Witness, code: str) -> None:
    with study_under_way(world, witness, code):
        world.cluster.part("kill", "kube-apiserver")
        # Away for some of the trials' ends: here the time is the point, not a wait.
        time.sleep(4)
        world.cluster.part("start", "kube-apiserver")


def test_the_service_is_away(world: KubernetesWorld, witness: Witness) -> None:
    with study_under_way(world, witness):
        world.server.kill()
        world.server.wait()
        time.sleep(8)
        world.serve()


def killed_controllers(world: KubernetesWorld, witness: Witness, seed: int, kills: int) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    code = chance.choice([PRINTS, PUSHES])
    world.serve()
    world.create("study", code, trials=TRIALS, parallel=LIMIT, seconds=chance.choice([0.5, 2.0, 4.0]))
    for _ in range(kills):
        controller = world.control()
        world.says(controller, "running trials")
        time.sleep(chance.uniform(0.0, 4.0))
        controller.kill()
        controller.wait()
        # That the next one waits until the dead one's lease runs out is another test's matter.
        world.cluster.api.delete(leases_path(world.namespace, f"wazir-controller-{world.namespace}"))
    world.control()
    world.completed("study")
    world.check_study(witness, "study", trials=TRIALS, limit=LIMIT)


def test_the_controller_is_killed_again_and_again(world: KubernetesWorld, witness: Witness) -> None:
    killed_controllers(world, witness, random.randrange(2**32), kills=3)


def test_the_leader_is_killed_and_the_one_that_stands_by_takes_over(world: KubernetesWorld, witness: Witness) -> None:
    world.serve()
    leader = world.control()
    world.says(leader, "running trials")
    other = world.control()
    world.says(other, "standing by")
    world.create("study", trials=4, parallel=2, seconds=2.0)
    with world.connect() as client:
        world.began(client, "study/1")
        leader.kill()
        world.says(other, "running trials")
    world.completed("study")
    world.check_study(witness, "study", trials=4, limit=2)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_etcd_is_stopped_for_a_while(world: KubernetesWorld, witness: Witness) -> None:
    with study_under_way(world, witness):
        world.cluster.part("stop", "etcd")
        time.sleep(20)
        world.cluster.part("start", "etcd")


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_containerd_is_killed(world: KubernetesWorld, witness: Witness) -> None:
    """Containers outlive it. What one prints that ends before it is back is lost by containerd itself."""
    with study_under_way(world, witness, PRINTS, seconds=12.0):
        world.cluster.part("kill", "containerd")
        time.sleep(5)
        world.cluster.part("start", "containerd")


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_a_node_falls_silent_and_comes_back(world: KubernetesWorld, witness: Witness) -> None:
    """Its pods are evicted, and nobody knows whether they run: until it is back their trials wait, and say so."""
    with world.cluster.another_node(), study_under_way(world, witness, PRINTS, seconds=20.0):
        world.cluster.part("stop", "kubelet")
        with world.connect() as client:

            def silent() -> bool:
                attempt = world.attempt(client, "study/1")
                return attempt is not None and "does not answer" in attempt.message

            try:
                world.until(silent, "the trial says that its node does not answer")
            finally:
                world.cluster.part("start", "kubelet")


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_the_service_is_away_for_two_minutes(world: KubernetesWorld, witness: Witness) -> None:
    with study_under_way(world, witness):
        world.server.kill()
        world.server.wait()
        time.sleep(120)
        world.serve()


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("number", range(int(os.environ.get("SOAK_ROUNDS", "20"))))
def test_many_controllers_are_killed(world: KubernetesWorld, witness: Witness, number: int) -> None:
    start = int(os.environ.get("SOAK_SEED", "0")) or random.randrange(2**32)
    killed_controllers(world, witness, start + number, kills=6)
