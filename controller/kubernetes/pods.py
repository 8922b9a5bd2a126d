"""From an order to the pod that carries it out. Pure.

A pod of the short form passes the restricted Pod Security profile; a manifest is its author's to answer for. Either
gets its name, labels, finalizer, and the environment of every attempt from here.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from typing import Any

from ...clients.spool import TO_LOG
from ...domain.errors import InvalidArgument
from ...domain.names import StudyName, parse_study
from ...domain.pod import Keep, Source, Volume, main_container
from ..execution import Ending, Key, Order, Why
from .pod_object import main_name
from .settings import KubernetesSettings

Json = dict[str, Any]

PREFIX = "wazir.dev/"
CONTROLLER = PREFIX + "controller"
UID = PREFIX + "study-uid"
STUDY = PREFIX + "study"
TRIAL = PREFIX + "trial"
ATTEMPT = PREFIX + "attempt"
DONE = PREFIX + "done"
"""On pods that are kept to be looked at; nobody watches them any more."""
FULL_STUDY = PREFIX + "study-name"
GPUS = PREFIX + "gpus"
KEEP = PREFIX + "keep"
ENDING = PREFIX + "ending"
KILLED = PREFIX + "killed"
TOKEN = PREFIX + "token"
"""On pods whose attempt has a token, which a secret of the pod's name holds."""
FINALIZER = PREFIX + "attempt"

LOG_SCHEME = "kubernetes://"
GPU = "nvidia.com/gpu"
CONTAINER = "trial"
CHECKPOINTS = "/wazir/checkpoints"
TOKEN_VARIABLE = "WAZIR_TOKEN"
MAX_NAME = 63
"""A pod's name is its host name, too."""


def pod_name(key: Key, study: StudyName) -> str:
    """The same for the same attempt, and for no other."""
    tail = f"-{key.trial}-{key.attempt}-{key.uid[:8]}"
    return study.study[: MAX_NAME - len(tail)].rstrip("-") + tail


def key_of(pod: Json) -> Key:
    """Raises KeyError and ValueError on a pod that is none of ours."""
    labels = pod["metadata"]["labels"]
    return Key(labels[UID], int(labels[TRIAL]), int(labels[ATTEMPT]))


def log_reference(pod: Json) -> str:
    """Where its output lies, as an attempt's `log_path`."""
    container = main_name(pod)
    return f"{LOG_SCHEME}{pod['metadata']['namespace']}/{pod['metadata']['name']}/{container}"


def place_of(reference: str) -> tuple[str, str, str]:
    """Namespace, pod and container of a reference. Raises ValueError on anything else."""
    namespace, pod, container = reference.removeprefix(LOG_SCHEME).split("/")
    return namespace, pod, container


def study_of(pod: Json) -> StudyName:
    return parse_study(pod["metadata"]["annotations"][FULL_STUDY])


def ending_of(pod: Json) -> Ending | None:
    text = (pod["metadata"].get("annotations") or {}).get(ENDING)
    if not text:
        return None
    ending = json.loads(text)
    return Ending(Why(ending["why"]), float(ending["time"]), str(ending.get("words", "")))


def killed(pod: Json) -> bool:
    return KILLED in (pod["metadata"].get("annotations") or {})


def ending_text(ending: Ending) -> str:
    return json.dumps({"why": ending.why.value, "time": ending.time, "words": ending.words})


def keep_of(pod: Json) -> Keep:
    return Keep((pod["metadata"].get("annotations") or {}).get(KEEP, Keep.FAILED.value))


def selector(controller: str) -> str:
    """Pods that the controller takes care of."""
    return f"{CONTROLLER}={controller},!{DONE}"


def kept_selector(controller: str) -> str:
    return f"{CONTROLLER}={controller},{DONE}"


def token_secret(pod: Json, token: str) -> Json:
    """The secret with the attempt's token, which goes with its pod."""
    metadata = pod["metadata"]
    owner = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": metadata["name"],
            "labels": {name: metadata["labels"][name] for name in (CONTROLLER, UID, TRIAL, ATTEMPT)},
            "ownerReferences": [owner],
        },
        "stringData": {"token": token},
        "immutable": True,
    }


def build(order: Order, settings: KubernetesSettings) -> Json:
    """The Pod of an order. Raises InvalidArgument where a manifest's value does not fit its place."""
    short = order.pod.manifest is None
    pod = _from_short_form(order, settings.default_user) if short else _from_manifest(order)
    spec = pod["spec"]
    spec["restartPolicy"] = "Never"
    spec.setdefault("terminationGracePeriodSeconds", math.ceil(order.grace))
    spec.setdefault("automountServiceAccountToken", bool(spec.get("serviceAccountName")))
    spec.setdefault("enableServiceLinks", False)
    name = pod_name(order.key, order.study)
    main = spec["containers"][main_container(pod)]
    _mount_checkpoints(order, spec, main)
    main["env"] = _environment(order, settings.env, main.get("env") or (), name)
    gpus = sum(_gpus(container) for container in spec["containers"])
    metadata = pod.setdefault("metadata", {})
    metadata["name"], metadata["namespace"] = name, settings.namespace_of(order.study.owner)
    metadata["finalizers"] = [FINALIZER]
    metadata["labels"] = {
        **order.pod.labels,
        **(metadata.get("labels") or {}),
        CONTROLLER: settings.name,
        UID: order.key.uid,
        STUDY: order.study.study,
        TRIAL: str(order.key.trial),
        ATTEMPT: str(order.key.attempt),
    }
    metadata["annotations"] = {
        **(metadata.get("annotations") or {}),
        FULL_STUDY: str(order.study),
        GPUS: f"{gpus:g}",
        KEEP: order.pod.keep.value,
        **({TOKEN: "yes"} if order.env.get(TOKEN_VARIABLE) else {}),
    }
    return {"apiVersion": "v1", "kind": "Pod", **pod}


def _from_manifest(order: Order) -> Json:
    from .schema import fitted

    manifest = copy.deepcopy(dict(order.pod.manifest or {}))
    pod = fitted(manifest)
    for i, container in enumerate(pod["spec"]["containers"]):
        container.setdefault("name", CONTAINER if i == main_container(pod) else f"container-{i}")
    return pod


def _from_short_form(order: Order, default_user: int | None) -> Json:
    options, resources = order.pod, order.resources
    limits: Json = {}
    requests: Json = {}
    if resources.gpu:
        limits[GPU] = requests[GPU] = f"{resources.gpu:g}"
    if resources.memory:
        limits["memory"] = requests["memory"] = str(resources.memory)
    if resources.cpu:
        # Without a limit: a training that finds idle cores may use them.
        requests["cpu"] = f"{resources.cpu:g}"
    container: Json = {
        "name": CONTAINER,
        "image": order.image,
        "imagePullPolicy": "IfNotPresent",
        "resources": {"limits": limits, "requests": requests},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        # The last lines of the log stand in its status: they are there even where the log is not.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [],
    }
    if order.command:
        container["command"] = list(map(literal, order.command))
    if order.args:
        container["args"] = list(map(literal, order.args))
    security: Json = {"seccompProfile": {"type": "RuntimeDefault"}}
    user = options.user if options.user is not None else default_user
    if user is not None:
        security |= {"runAsUser": user, "runAsGroup": user, "fsGroup": user}
    if user != 0:
        security["runAsNonRoot"] = True
    spec: Json = {"containers": [container], "securityContext": security, "volumes": []}
    for i, (path, volume) in enumerate(options.volumes.items()):
        _mount(spec, container, f"volume-{i}", path, volume)
    given: Json = {
        "nodeSelector": dict(options.node_selector),
        "tolerations": [dict(t) for t in options.tolerations],
        "serviceAccountName": options.service_account,
        "imagePullSecrets": [{"name": name} for name in options.pull_secrets],
        "priorityClassName": options.priority_class,
    }
    return {"spec": spec | {key: value for key, value in given.items() if value}}


def literal(text: str) -> str:
    """Kubernetes replaces `$(NAME)` in commands, arguments and variables, and takes `$$` for `$`."""
    return text.replace("$", "$$")


def _environment(order: Order, service: Mapping[str, str], own: Any, secret: str) -> list[Json]:
    """The container's own variables, then ours, which win. `service`: of the way to the service; the trial's win."""
    ours = {
        **service,
        **order.env,
        "WAZIR_SPOOL": TO_LOG,
        "WAZIR_CHECKPOINTS": _checkpoints(order, order.key.trial),
        "WAZIR_PARENT_CHECKPOINTS": "" if order.checkpoint_of is None else _checkpoints(order, order.checkpoint_of),
        "WAZIR_SPENT_CHECKPOINTS": " ".join(map(str, order.spent)) if order.pod.checkpoints is not None else "",
    }
    ours.setdefault("PYTHONUNBUFFERED", "1")
    token = ours.pop(TOKEN_VARIABLE, "")
    variables = [dict(entry) for entry in own if entry.get("name") not in {*ours, TOKEN_VARIABLE}]
    variables += [{"name": name, "value": literal(value)} for name, value in ours.items()]
    if token:
        reference = {"secretKeyRef": {"name": secret, "key": "token"}}
        variables.append({"name": TOKEN_VARIABLE, "valueFrom": reference})
    return variables


def _checkpoints(order: Order, trial: int) -> str:
    return f"{CHECKPOINTS}/{order.key.uid}/{trial}" if order.pod.checkpoints is not None else ""


def _mount_checkpoints(order: Order, spec: Json, main: Json) -> None:
    if order.pod.checkpoints is not None:
        _mount(spec, main, "wazir-checkpoints", CHECKPOINTS, order.pod.checkpoints)


def _mount(spec: Json, container: Json, name: str, path: str, volume: Volume) -> None:
    spec.setdefault("volumes", []).append({"name": name, **_source(volume)})
    mount: Json = {"name": name, "mountPath": path}
    if volume.read_only:
        mount["readOnly"] = True
    container.setdefault("volumeMounts", []).append(mount)


def _source(volume: Volume) -> Json:
    limit = {"sizeLimit": str(volume.size)} if volume.size else {}
    match volume.source:
        case Source.CLAIM:
            return {"persistentVolumeClaim": {"claimName": volume.name}}
        case Source.HOST:
            return {"hostPath": {"path": volume.name}}
        case Source.CONFIG_MAP:
            return {"configMap": {"name": volume.name}}
        case Source.SECRET:
            return {"secret": {"secretName": volume.name}}
        case Source.MEMORY:
            return {"emptyDir": {"medium": "Memory", **limit}}
        case Source.EMPTY:
            return {"emptyDir": limit}


def _gpus(container: Mapping[str, Any]) -> float:
    amount = ((container.get("resources") or {}).get("limits") or {}).get(GPU, 0)
    try:
        return float(amount)
    except (TypeError, ValueError):
        raise InvalidArgument(f"trial.manifest ... limits.{GPU}", amount, "must be a whole number") from None
