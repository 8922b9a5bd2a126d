"""From a pod as the API server shows it to an execution. Pure.

| what is seen                                                        | execution                               |
|---------------------------------------------------------------------|-----------------------------------------|
| no node yet                                                         | STARTING, with the scheduler's words    |
| a node, its container waits                                         | STARTING, with the kubelet's words;     |
|                                                                     | stuck where only a change mends it      |
| its container runs, or has ended and the pod has not                | RUNNING                                 |
| phase Succeeded or Failed; or deleted before it had a node          | ENDED                                   |
| the object is gone                                                  | ENDED, lost                             |

How it ended, the first that fits: by itself before anybody deleted it, with its exit code; by our own word; evicted,
pre-empted or deleted; with its node; refused by the node. A pod that is being deleted runs until the kubelet says that
nothing of it runs any more, however long its node is silent.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ...domain.pod import main_container
from ..execution import Execution, Exit, Fault, Phase
from .pod_object import main_name
from .pods import GPUS, ending_of, key_of, killed, log_reference, study_of
from .size import fits_no_node

Json = dict[str, Any]

HOPELESS = frozenset({"InvalidImageName", "ErrImageNeverPull"})
STUCK = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ImageInspectError",
        "RegistryUnavailable",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "CrashLoopBackOff",
    }
)
"""Reasons for which a container waits, and that time alone mends only with luck."""

NODE_REASONS = frozenset({"DeletionByTaintManager", "DeletionByPodGC"})
MAX_WORDS = 1000


def execution_of(pod: Json, now: float, *, gone: bool = False) -> Execution:
    """`now` in Unix seconds, for what has no time of its own. `gone`: the object does not exist any more."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    deleted = time_of(metadata.get("deletionTimestamp"))
    node = spec.get("nodeName", "")
    container = _container(pod)
    state = container.get("state") or {}
    started = _started(state)

    over = status.get("phase") in ("Succeeded", "Failed") or gone or (deleted is not None and not node)
    if over:
        phase = Phase.ENDED
    elif "running" in state or "terminated" in state:
        phase = Phase.RUNNING
    else:
        phase = Phase.STARTING

    silent = deleted is not None and not over and _forsaken(pod)
    waiting, stuck = ("", None) if over else _waiting(pod, state, deleted, silent)
    unplaced = _condition(pod, "PodScheduled") if not node and deleted is None and not over else {}

    created = time_of(metadata.get("creationTimestamp")) or now
    return Execution(
        key_of(pod),
        study_of(pod),
        phase,
        start_time=started if started is not None else created,
        exit=_exit(pod, state, deleted, now, gone) if over else None,
        ending=ending_of(pod),
        killed=killed(pod),
        node=node,
        gpus=float(metadata["annotations"].get(GPUS, 0)),
        log_path=log_reference(pod),
        waiting=waiting,
        stuck_since=stuck,
        too_large_since=now if fits_no_node(str(unplaced.get("message", ""))) else None,
        silent=silent,
    )


def time_of(text: str | None) -> float | None:
    """Unix seconds of an RFC 3339 time."""
    return None if not text else datetime.fromisoformat(text).timestamp()


def _container(pod: Json) -> Json:
    """The status of the container that is the trial; empty where there is none yet."""
    name = main_name(pod)
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return next((s for s in statuses if s["name"] == name), {})


def _condition(pod: Json, kind: str) -> Json:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c["type"] == kind), {})


def _forsaken(pod: Json) -> bool:
    """Whether the node's kubelet says no more of it. The node controller then declares the pod not ready, while its
    containers are what the kubelet said last."""
    ready, containers = (_condition(pod, kind).get("status") for kind in ("Ready", "ContainersReady"))
    return ready == "Unknown" or (ready == "False" and containers == "True")


def _started(state: Json) -> float | None:
    for phase in ("running", "terminated"):
        if phase in state:
            return time_of(state[phase].get("startedAt"))
    return None


def _waiting(pod: Json, state: Json, deleted: float | None, silent: bool) -> tuple[str, float | None]:
    """What it waits for, and since when in vain."""
    node = pod["spec"].get("nodeName", "")
    if deleted is not None:
        return (f"is being deleted, but its node {node} does not answer" if silent else ""), None
    if "running" in state or "terminated" in state:
        return "", None
    scheduled = _condition(pod, "PodScheduled")
    if not node:
        words = scheduled.get("message") or "waits for the scheduler"
        return _words(str(words)), None
    for at, reason, words in _blocked(pod):
        if reason in HOPELESS:
            return words, -math.inf
        if reason in STUCK:
            return words, at
    return f"on {node}: preparing its container", None


def _blocked(pod: Json) -> Iterator[tuple[float | None, str, str]]:
    status = pod.get("status") or {}
    since = time_of(_condition(pod, "PodScheduled").get("lastTransitionTime"))
    for one in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        waiting = (one.get("state") or {}).get("waiting") or {}
        reason = waiting.get("reason", "")
        if reason:
            yield since, reason, _words(f"{reason}: {waiting.get('message', '')}".removesuffix(": "))


def _exit(pod: Json, state: Json, deleted: float | None, now: float, gone: bool) -> Exit:
    status = pod.get("status") or {}
    terminated = state.get("terminated") or {}
    finished = time_of(terminated.get("finishedAt"))
    code = _signed(terminated.get("exitCode"))
    reason = terminated.get("reason", "")
    unknown = not terminated or reason == "ContainerStatusUnknown"
    told = ending_of(pod)
    time = finished or deleted or now

    if not unknown and reason in ("ContainerCannotRun", "StartError"):
        main = pod["spec"]["containers"][main_container(pod)]
        what = f" = {main['command'][0]!r}" if main.get("command") else ""
        words = _words(str(terminated.get("message", "")))
        return Exit(None, time, Fault.COMMAND, f"trial.command[0]{what} cannot be started: {words}")

    asked = _asked(pod, deleted)
    disruption = _condition(pod, "DisruptionTarget")
    evicted = status.get("reason", "")
    by_itself = not unknown and (asked is None or (finished is not None and finished < asked))
    if by_itself and not (disruption.get("status") == "True" and code) and evicted not in _STATUS_FAULTS:
        return Exit(code, time, out_of_memory=reason == "OOMKilled")

    if (told is not None or killed(pod)) and not gone:
        # Killed for memory while it ended is no word of ours.
        return Exit(None if unknown else code, time, out_of_memory=reason == "OOMKilled")

    if disruption.get("status") == "True":
        why = disruption.get("reason", "")
        words = _words(f"{why}: {disruption.get('message', '')}")
        return Exit(None, time, Fault.NODE if why in NODE_REASONS else Fault.PREEMPTED, words)
    if evicted in _STATUS_FAULTS:
        return Exit(None, time, _STATUS_FAULTS[evicted], _words(f"{evicted}: {status.get('message', '')}"))

    if gone:
        return Exit(None, time, Fault.LOST, "its pod is gone, and nobody saw how it ended")
    if deleted is not None:
        return Exit(None, time, Fault.PREEMPTED, "its pod was deleted, not by Wazir")
    if unknown:
        # The kubelet refused it, or lost its containers: OutOfcpu, UnexpectedAdmissionError, NodeAffinity, ...
        fault = Fault.NODE if terminated else Fault.PREEMPTED
        words = f"{evicted}: {status.get('message', '')}" if evicted else str(terminated.get("message", ""))
        return Exit(None, time, fault, _words(words) or "its node ended it without a word")
    return Exit(code, time, out_of_memory=reason == "OOMKilled")


def _signed(code: int | None) -> int | None:
    """A container reports the death of its program by signal n as exit code 128 + n."""
    return 128 - code if code is not None and 128 < code <= 128 + signal.SIGRTMAX else code


_STATUS_FAULTS = {
    "Evicted": Fault.PREEMPTED,
    "Preempting": Fault.PREEMPTED,
    "Shutdown": Fault.NODE,
    "Terminated": Fault.NODE,
    "NodeShutdown": Fault.NODE,
    "NodeLost": Fault.NODE,
    "DeadlineExceeded": Fault.DEADLINE,
}
"""The pod's own reason, set by the kubelet or the control plane."""


def _asked(pod: Json, deleted: float | None) -> float | None:
    """When its deletion was asked for: the time in its metadata is when its grace is over."""
    if deleted is None:
        return None
    return deleted - float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)


def _words(text: str) -> str:
    return " ".join(text.split())[:MAX_WORDS]
