"""What a pod's status means for its attempt, as clusters show it (`controller/kubernetes/status.py` has the table)."""

from __future__ import annotations

import math
from typing import Any

import pytest

from wazir.controller.execution import Fault, Phase
from wazir.controller.kubernetes import pods
from wazir.controller.kubernetes.pod_object import unsent
from wazir.controller.kubernetes.status import execution_of, time_of

Json = dict[str, Any]


def at(second: int) -> str:
    return f"2026-01-01T00:00:{second:02}Z"


BEGIN = time_of(at(0)) or 0.0
NOW = BEGIN + 59


def pod(
    *,
    phase: str = "Pending",
    node: str = "n1",
    state: Json | None = None,
    reason: str = "",
    message: str = "",
    conditions: list[Json] | None = None,
    deleted: int | None = None,
    grace: int = 5,
    told: bool = False,
    killed: bool = False,
) -> Json:
    """`deleted`: the second at which its grace is over."""
    metadata: Json = {
        "name": "s-1-1-u",
        "namespace": "ns",
        "creationTimestamp": at(0),
        "labels": {pods.UID: "u", pods.TRIAL: "1", pods.ATTEMPT: "1"},
        "annotations": {pods.FULL_STUDY: "owners/o/studies/s", pods.GPUS: "2"},
    }
    if deleted is not None:
        metadata |= {"deletionTimestamp": at(deleted), "deletionGracePeriodSeconds": grace}
    if told:
        metadata["annotations"][pods.ENDING] = '{"why": "stop", "time": 1.0, "words": ""}'
    if killed:
        metadata["annotations"][pods.KILLED] = "yes"
    spec = {"containers": [{"name": "side"}, {"name": "trial", "command": ["/bin/x"]}], "nodeName": node}
    statuses = [{"name": "side", "state": {"running": {"startedAt": at(9)}}}]
    if state is not None:
        statuses.append({"name": "trial", "state": state})
    status: Json = {"phase": phase, "containerStatuses": statuses, "conditions": conditions or []}
    status |= {key: value for key, value in (("reason", reason), ("message", message)) if value}
    return {"metadata": metadata, "spec": spec, "status": status}


def ran(code: int, *, finished: int = 20, reason: str = "", message: str = "") -> Json:
    times = {"startedAt": at(10), "finishedAt": at(finished)}
    return {"terminated": {"exitCode": code, **times, "reason": reason, "message": message}}


def waits(reason: str, message: str = "") -> Json:
    return {"waiting": {"reason": reason, "message": message}}


def condition(kind: str, status: str = "True", reason: str = "", message: str = "") -> Json:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": at(1)}


RUNNING = {"running": {"startedAt": at(10)}}
FULL = condition("PodScheduled", "False", "Unschedulable", "0/1 nodes are available")
PLACED = condition("PodScheduled")


@pytest.mark.parametrize(
    ("seen", "phase", "words", "stuck"),
    [
        pytest.param(pod(node=""), Phase.STARTING, "waits for the scheduler", None, id="new"),
        pytest.param(pod(node="", conditions=[FULL]), Phase.STARTING, "0/1 nodes are available", None, id="full"),
        pytest.param(pod(state=waits("ContainerCreating")), Phase.STARTING, "on n1: preparing", None, id="creating"),
        pytest.param(
            pod(state=waits("ImagePullBackOff", 'Back-off pulling "x"'), conditions=[PLACED]),
            Phase.STARTING,
            'ImagePullBackOff: Back-off pulling "x"',
            BEGIN + 1,
            id="no image, and somebody may push it",
        ),
        pytest.param(
            pod(state=waits("InvalidImageName", "bad")), Phase.STARTING, "bad", -math.inf, id="never an image"
        ),
        pytest.param(pod(phase="Running", state=RUNNING), Phase.RUNNING, "", None, id="runs"),
        pytest.param(
            pod(phase="Running", state=ran(0)), Phase.RUNNING, "", None, id="its pod has not ended: something is left"
        ),
        pytest.param(pod(phase="Running", state=RUNNING, deleted=30), Phase.RUNNING, "", None, id="is told to end"),
        pytest.param(
            pod(phase="Running", state=RUNNING, deleted=30, conditions=[condition("Ready", "Unknown")]),
            Phase.RUNNING,
            "its node n1 does not answer",
            None,
            id="nobody knows",
        ),
        pytest.param(
            pod(
                phase="Running",
                state=RUNNING,
                deleted=30,
                conditions=[condition("Ready", "False"), condition("ContainersReady", "True")],
            ),
            Phase.RUNNING,
            "its node n1 does not answer",
            None,
            id="evicted from a node that is not ready",
        ),
        pytest.param(
            pod(
                phase="Running",
                state=RUNNING,
                deleted=30,
                conditions=[condition("Ready", "False"), condition("ContainersReady", "False")],
            ),
            Phase.RUNNING,
            "",
            None,
            id="its kubelet ends it",
        ),
    ],
)
def test_what_has_not_ended(seen: Json, phase: Phase, words: str, stuck: float | None) -> None:
    execution = execution_of(seen, NOW)
    assert execution.phase is phase
    assert words in execution.waiting
    assert execution.stuck_since == stuck
    assert execution.start_time == (BEGIN + 10 if phase is Phase.RUNNING else BEGIN)
    assert execution.silent is ("does not answer" in words)
    assert (execution.node, execution.gpus, execution.exit) == (seen["spec"]["nodeName"], 2.0, None)


EVICTED = condition("DisruptionTarget", reason="EvictionByEvictionAPI", message="Eviction API: evicting")


@pytest.mark.parametrize(
    ("seen", "code", "fault", "words"),
    [
        pytest.param(pod(phase="Succeeded", state=ran(0)), 0, None, "", id="succeeded"),
        pytest.param(pod(phase="Failed", state=ran(3)), 3, None, "", id="its own exit code"),
        pytest.param(pod(phase="Failed", state=ran(139)), -11, None, "", id="a signal"),
        pytest.param(pod(phase="Failed", state=ran(255)), 255, None, "", id="no signal has that number"),
        pytest.param(
            pod(phase="Failed", state=ran(127, reason="StartError", message="no such file")),
            None,
            Fault.COMMAND,
            "'/bin/x' cannot be started: no such file",
            id="no such program",
        ),
        pytest.param(
            pod(phase="Succeeded", state=ran(0, finished=20), deleted=30), 0, None, "", id="ended before it was deleted"
        ),
        pytest.param(
            pod(phase="Failed", state=ran(143, finished=26), deleted=30),
            None,
            Fault.PREEMPTED,
            "deleted, not by Wazir",
            id="deleted by somebody",
        ),
        pytest.param(
            pod(phase="Failed", state=ran(143, finished=26), deleted=30, told=True), -15, None, "", id="told by us"
        ),
        pytest.param(
            pod(phase="Failed", state=ran(137, finished=26), deleted=30, killed=True), -9, None, "", id="killed by us"
        ),
        pytest.param(
            pod(phase="Failed", state=ran(143, finished=26), deleted=30, conditions=[EVICTED]),
            None,
            Fault.PREEMPTED,
            "Eviction API: evicting",
            id="evicted",
        ),
        pytest.param(
            pod(phase="Succeeded", state=ran(0), conditions=[EVICTED]), 0, None, "", id="evicted when it was done"
        ),
        pytest.param(
            pod(
                phase="Failed",
                state=ran(137, finished=26),
                deleted=30,
                conditions=[condition("DisruptionTarget", reason="DeletionByTaintManager", message="taint")],
            ),
            None,
            Fault.NODE,
            "taint",
            id="its node went away",
        ),
        pytest.param(
            pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory"),
            None,
            Fault.PREEMPTED,
            "low on resource",
            id="its node needed the room",
        ),
        pytest.param(
            pod(phase="Failed", reason="NodeShutdown", message="shutting down", state=ran(143)),
            None,
            Fault.NODE,
            "shutting down",
            id="its node shut down",
        ),
        pytest.param(
            pod(phase="Failed", reason="OutOfcpu", message="Node didn't have enough resource"),
            None,
            Fault.PREEMPTED,
            "enough resource",
            id="its node had no room after all",
        ),
        pytest.param(
            pod(phase="Failed", state=ran(137, reason="ContainerStatusUnknown", message="lost sight of it")),
            None,
            Fault.NODE,
            "lost sight",
            id="its container is lost",
        ),
        pytest.param(
            pod(phase="Failed", reason="DeadlineExceeded", state=ran(143)),
            None,
            Fault.DEADLINE,
            "DeadlineExceeded",
            id="a deadline of its own",
        ),
        pytest.param(pod(node="", deleted=0), None, Fault.PREEMPTED, "deleted", id="deleted before it had a node"),
        pytest.param(pod(node="", deleted=0, told=True), None, None, "", id="the same by us"),
    ],
)
def test_how_it_ended(seen: Json, code: int | None, fault: Fault | None, words: str) -> None:
    execution = execution_of(seen, NOW)
    assert execution.phase is Phase.ENDED
    assert execution.exit is not None
    assert (execution.exit.code, execution.exit.fault) == (code, fault)
    assert words in execution.exit.error
    assert not execution.exit.out_of_memory


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize(("status", "code"), [(137, -9), (1, 1)])
def test_memory_is_its_own_fault_whoever_told_it_to_end(told: bool, status: int, code: int) -> None:
    state = ran(status, reason="OOMKilled")
    execution = execution_of(pod(phase="Failed", state=state, deleted=30 if told else None, told=told), NOW)
    assert execution.exit is not None
    assert (execution.exit.code, execution.exit.out_of_memory) == (code, True)


def test_a_pod_that_fits_no_node_says_since_when_that_is_seen() -> None:
    words = (
        "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, "
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
    never = condition("PodScheduled", "False", "Unschedulable", words)
    assert execution_of(pod(node="", conditions=[never]), NOW).too_large_since == NOW
    assert execution_of(pod(node="", conditions=[FULL]), NOW).too_large_since is None
    assert execution_of(pod(node="", conditions=[never], deleted=30), NOW).too_large_since is None


def test_an_object_that_is_gone_is_lost_unless_it_was_seen_to_end() -> None:
    gone = execution_of(pod(phase="Running", state=RUNNING, told=True), NOW, gone=True)
    assert (gone.phase, gone.exit and gone.exit.fault) == (Phase.ENDED, Fault.LOST)
    ended = execution_of(pod(phase="Succeeded", state=ran(0)), NOW, gone=True)
    assert (ended.phase, ended.exit and ended.exit.code) == (Phase.ENDED, 0)


@pytest.mark.parametrize("missing", ["labels", "annotations"])
def test_a_pod_of_somebody_else_is_refused(missing: str) -> None:
    strange = pod()
    del strange["metadata"][missing]
    with pytest.raises((KeyError, ValueError)):
        execution_of(strange, NOW)


@pytest.mark.parametrize(
    ("message", "count"),
    [
        ("", 0),
        ("wazir-unsent: 3\n", 3),
        ("wazir-unsent: 3\nwazir-unsent: 4\n", 7),
        ("its own last words\nwazir-unsent: 3\n", 3),
        ("wazir-unsent: -3\nwazir-unsent: many\nwazir-unsent: " + "9" * 5_000, 0),
    ],
)
def test_how_many_reports_its_processes_left_in_the_log(message: str, count: int) -> None:
    assert unsent(pod(phase="Succeeded", state=ran(0, message=message))) == count
