"""Studies on a real cluster, with service and controller as processes beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from wazir.domain.attempt import Cause
from wazir.domain.study import StudyState
from wazir.domain.trial import TrialState

from .cluster import IMAGE
from .witness import Witness
from .world import PRINTS, PUSHES, KubernetesWorld

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]


@pytest.mark.parametrize("code", [PRINTS, PUSHES], ids=["prints", "pushes"])
def test_a_study_from_its_start_to_its_end(world: KubernetesWorld, witness: Witness, code: str) -> None:
    world.serve()
    world.control()
    world.create("study", code, trials=6, parallel=3)
    world.completed("study")
    for trial in world.check_study(witness, "study", trials=6, limit=3):
        (attempt,) = trial.attempts
        assert attempt.node
        assert attempt.run_time is not None
        assert attempt.exit_code == 0
        assert ("loss=" in attempt.log_tail) is (code is PRINTS)


HUNDREDS_OF_GIGABYTES = {
    "spec": {"containers": [{"image": IMAGE, "args": ["${x}"], "resources": {"limits": {"memory": "1${x}Ti"}}}]}
}

ENDS: list[tuple[str, str, dict[str, Any], Cause, str]] = [
    ("exits", "import sys; sys.exit(3)", {}, Cause.CODE_FAILED, "exit code 3"),
    ("memory", "b = bytearray(1 << 30)", {"resources": {"memory": "64Mi"}}, Cause.OUT_OF_MEMORY, "memory"),
    ("image", "", {"image": "localhost/no/such:1"}, Cause.CONFIG_BROKEN, "ErrImage"),
    ("program", "", {"command": ["/no/such", "${x}"]}, Cause.CONFIG_BROKEN, "/no/such"),
    ("large", "", {"resources": {"cpu": 999}, "start_timeout": "2s"}, Cause.CONFIG_BROKEN, "Insufficient cpu"),
    ("larger", "", {"manifest": HUNDREDS_OF_GIGABYTES}, Cause.TOO_LARGE, "too large for any node"),
    ("secret", "", {"volumes": {"/s": {"secret": "nope"}}, "start_timeout": "30s"}, Cause.UNSCHEDULABLE, "nope"),
    ("long", "import time; time.sleep(99)", {"timeout": "1s"}, Cause.TIMED_OUT, "timeout"),
]


def test_every_end_has_its_cause_and_its_words(world: KubernetesWorld) -> None:
    world.serve()
    world.control("--patience=4")
    for name, code, template, _, _ in ENDS:
        once = {"failed": 0, "preempted": 0}
        world.create(name, code, trials=1, parallel=1, retries=once, budget={"failed": 0}, **template)
    with world.connect() as client:
        for name, _, _, cause, words in ENDS:
            attempt = world.over(client, f"{name}/1")
            assert (attempt.cause, words in attempt.message) == (cause, True), (name, attempt)
            assert client.get_trial(f"{name}/1").state in (TrialState.FAILED, TrialState.INFEASIBLE)
        # Their pods are kept to be looked at where they failed by their own fault, and go with their study.
        assert world.kept("exits")
        assert not world.kept("secret")
        client.delete_study("exits", force=True)
        world.until(lambda: not world.kept("exits"), "the pods of a deleted study are gone")


def test_a_quota_lets_trials_wait_and_says_so(world: KubernetesWorld, witness: Witness) -> None:
    quota = {"metadata": {"name": "two"}, "spec": {"hard": {"pods": "2"}}}
    world.cluster.api.create(f"/api/v1/namespaces/{world.namespace}/resourcequotas", quota)
    world.serve()
    world.control()
    world.create("study", trials=5, parallel=4, seconds=2.0)
    with world.connect() as client:

        def told() -> bool:
            trials = client.list_trials("study")
            return any(t.attempt is not None and "exceeded quota: two" in t.attempt.message for t in trials)

        world.until(told, "a trial says that it waits for the quota")
    world.completed("study")
    world.check_study(witness, "study", trials=5, limit=2)


def test_a_quota_that_a_pod_alone_exceeds_pauses_the_study(world: KubernetesWorld) -> None:
    quota = {"metadata": {"name": "small"}, "spec": {"hard": {"requests.nvidia.com/gpu": "2"}}}
    world.cluster.api.create(f"/api/v1/namespaces/{world.namespace}/resourcequotas", quota)
    world.serve()
    world.control()
    world.create("study", trials=5, parallel=1, resources={"gpu": 3})
    with world.connect() as client:
        assert world.over(client, "study/1").cause is Cause.CONFIG_BROKEN
        study = client.get_study("study")
        assert study.needs_a_person
        assert "trial 1 could not be started: the API server refuses its pod" in study.reason
        assert "exceeded quota: small" in study.reason


def test_a_trial_that_is_stopped_gets_its_grace_and_a_deaf_one_is_killed(world: KubernetesWorld) -> None:
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('loss=1', flush=True); "
    world.serve()
    world.control()
    world.create("deaf", deaf + "time.sleep(999)", trials=1, parallel=1)
    heard = deaf.replace("signal.SIG_IGN", "lambda *_: (print('loss=0.5', flush=True), exit(0))")
    world.create("heard", heard + "time.sleep(999)", trials=1, parallel=1)
    with world.connect() as client:
        for name, value in (("deaf", 1.0), ("heard", 0.5)):
            world.until(lambda name=name: [*client.measurements(f"{name}/1")], f"{name}/1 has printed")  # type: ignore[misc]
            client.stop_trial(f"{name}/1", "enough")
            attempt = world.over(client, f"{name}/1")
            assert attempt.cause is Cause.STOPPED
            trial = client.get_trial(f"{name}/1")
            assert (trial.state, trial.final) == (TrialState.STOPPED, {"loss": value})


def test_a_study_that_is_deleted_leaves_nothing(world: KubernetesWorld) -> None:
    world.serve()
    world.control()
    world.create("study", trials=4, parallel=2, seconds=999.0)
    with world.connect() as client:
        world.began(client, "study/1")
        client.delete_study("study", force=True)
    world.until(lambda: not world.kept("study"), "all pods are gone")
    secrets = world.cluster.api.get(f"/api/v1/namespaces/{world.namespace}/secrets")["items"]
    assert not [s for s in secrets if "wazir.dev/study" in str(s["metadata"].get("labels"))]


KEEPS = """
import os, signal, sys, time
from pathlib import Path
import wazir
signal.signal(signal.SIGTERM, lambda *_: sys.exit("evicted"))
trial = wazir.current_trial()
begun = trial.resume_step()
for step in range(begun + 1, 5):
    with trial.checkpoint.save(step=step) as folder:
        (folder / "weights").write_text(str(step))
    trial.report({"loss": abs(trial.id - 2), "begun": begun}, step=step)
    if trial.id == 1 and begun == 0 and step == 2:
        signal.pause()  # until it is evicted
own = Path(os.environ["WAZIR_CHECKPOINTS"])
while any((own.parent / spent).exists() for spent in os.environ["WAZIR_SPENT_CHECKPOINTS"].split()):
    time.sleep(0.05)
print("kept", *sorted(int(folder.name) for folder in own.parent.iterdir()))
"""
"""Trial 2 is the best. Each says at its end whose checkpoints are there, once those are gone that are to go."""


def test_checkpoints_on_a_claim_outlive_their_pod_and_only_the_best_stays(
    world: KubernetesWorld, tmp_path: Path
) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    with world.cluster.volume(world.namespace, "kept", tmp_path / "volume"), world.connect() as client:
        claims = f"/api/v1/namespaces/{world.namespace}/persistentvolumeclaims"
        world.cluster.api.create(claims, {"metadata": {"name": "kept"}, "spec": claim})
        world.serve()
        world.control()
        world.create("study", KEEPS, trials=4, parallel=1, checkpoints={"claim": "kept", "keep": "best"})
        world.until(lambda: [m for m in client.measurements("study/1") if m.step == 2], "two steps are done")
        evicted = world.pod("study")
        assert evicted is not None
        world.cluster.evict(evicted)
        world.completed("study")
        trials = list(client.list_trials("study"))
        assert [a.cause for a in trials[0].attempts] == [Cause.PREEMPTED, Cause.SUCCEEDED]
        assert [(t.final or {})["begun"] for t in trials] == [2, 0, 0, 0]
        said = [t.attempts[-1].log_tail.strip() for t in trials]
        assert said == ["kept 1", "kept 1 2", "kept 2 3", "kept 2 4"]


def test_two_controllers_at_once(world: KubernetesWorld, witness: Witness) -> None:
    """One leads; the other takes over when that leaves, and what runs goes on."""
    world.serve()
    first = world.control()
    world.says(first, "running trials")
    second = world.control()
    world.says(second, "standing by")
    world.create("study", PUSHES, trials=6, parallel=3, seconds=2.0)
    with world.connect() as client:
        world.began(client, "study/1")
        first.terminate()
        assert world.ended(first) == 0
        world.says(second, "running trials")
        world.completed("study")
        assert client.get_study("study").state is StudyState.COMPLETED
    for trial in world.check_study(witness, "study", trials=6, limit=3):
        assert len(trial.attempts) == 1
