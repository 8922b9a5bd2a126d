"""What a trial's pod has beside image, command and resources.

Either the short form, or `manifest`: a whole Pod as Kubernetes knows it, with `${...}` in any of its texts. What only
the API server can judge (whether a claim exists, whether a policy allows it) is left to it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .errors import MISSING, InvalidArgument

Manifest = Mapping[str, object]

MAX_MANIFEST_DEPTH = 40
MAIN_CONTAINER = "trial"
"""The container of a manifest that is the trial; without one of that name it is the first."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
OWN_LABELS = "wazir.dev/"
"""Labels and annotations below this are the controller's."""


class Source(enum.Enum):
    """Where a volume's content comes from."""

    CLAIM = "claim"
    """A PersistentVolumeClaim of the trials' namespace, by name."""
    HOST = "host"
    """A folder of the node, by path."""
    CONFIG_MAP = "config_map"
    SECRET = "secret"
    EMPTY = "empty"
    """An empty folder of the node's disk, for this pod."""
    MEMORY = "memory"
    """The same in memory, such as a large /dev/shm."""


@dataclass(frozen=True, slots=True)
class Volume:
    """One mount. `name`: of the claim, map or secret, or the host's path; empty where the source has none. `size`: the
    most bytes that an EMPTY or MEMORY one takes, 0 for no limit."""

    source: Source
    name: str = ""
    size: int = 0
    read_only: bool = False

    def check(self, where: str) -> None:
        """Raises InvalidArgument."""
        match self.source:
            case Source.HOST:
                if not self.name.startswith("/"):
                    raise InvalidArgument(f"{where}.host", self.name, "must be an absolute path of the node")
            case Source.CLAIM | Source.CONFIG_MAP | Source.SECRET:
                _check_name(f"{where}.{self.source.value}", self.name)
        if not 0 <= self.size < 2**63:
            raise InvalidArgument(f"{where}.size", self.size, "must be a number of bytes of 0 or more")


class Retention(enum.Enum):
    """Whose checkpoints stay. Those of trials that may go on, and those that another trial begins from, always do."""

    LATEST = "latest"
    """Every trial's latest one."""
    BEST = "best"
    """Of the trials that have ended, that of the best; with several objectives, those of the best."""
    NONE = "none"
    """None of a trial that has ended."""


class Keep(enum.Enum):
    """Which pods stay in the cluster after their end, to be looked at."""

    FAILED = "failed"
    """Those of attempts that ended by their own fault or could not start."""
    ALL = "all"
    NONE = "none"


@dataclass(frozen=True)
class PodOptions:
    """`volumes`: by the path at which the container sees them. `checkpoints`: the volume that keeps them;
    `keep_checkpoints` says which of them, also for local processes. `user`: the
    number the container runs as; None leaves it to the image, 0 is root. `start_timeout`: seconds that a pod may wait
    to be started, None for as long as it takes. `tolerations`: as in Kubernetes."""

    volumes: Mapping[str, Volume] = field(default_factory=dict)
    checkpoints: Volume | None = None
    keep_checkpoints: Retention = Retention.LATEST
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: Sequence[Mapping[str, str | int]] = ()
    service_account: str = ""
    pull_secrets: Sequence[str] = ()
    priority_class: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    user: int | None = None
    keep: Keep = Keep.FAILED
    start_timeout: float | None = None
    manifest: Manifest | None = None

    def check(self) -> None:
        """Raises InvalidArgument naming the field, its value and the rule."""
        for path, volume in self.volumes.items():
            where = f"trial.volumes.{path}"
            if not path.startswith("/") or "//" in path or ":" in path:
                raise InvalidArgument(where, path, "must be an absolute path in the container, without ':'")
            volume.check(where)
        if self.checkpoints is not None:
            self.checkpoints.check("trial.checkpoints")
            if self.checkpoints.source not in (Source.CLAIM, Source.HOST):
                raise InvalidArgument(
                    "trial.checkpoints",
                    self.checkpoints.source.value,
                    "must outlive the pod",
                    "Name a claim: {claim: NAME}, or a folder of the node: {host: /path}",
                )
        for where, labels in (("trial.node_selector", self.node_selector), ("trial.labels", self.labels)):
            for key, value in labels.items():
                check_label(f"{where}.{key}", key, value)
        for where, name in (
            ("trial.service_account", self.service_account),
            ("trial.priority_class", self.priority_class),
            *((f"trial.pull_secrets[{i}]", name) for i, name in enumerate(self.pull_secrets)),
        ):
            if name:
                _check_name(where, name)
        if self.user is not None and not 0 <= self.user < 2**31:
            raise InvalidArgument("trial.user", self.user, "must be the number of a user, from 0 (root) to 2^31 - 1")
        if self.manifest is not None:
            check_manifest(self.manifest)


def check_label(where: str, key: str, value: str) -> None:
    """Raises InvalidArgument where Kubernetes would not take the label, or where it is one of the controller's."""
    if not _LABEL_KEY.fullmatch(key):
        raise InvalidArgument(where, key, "is not a label: letters, digits, '-', '_', '.', perhaps after `domain/`")
    if key.startswith(OWN_LABELS):
        raise InvalidArgument(where, key, f"labels below {OWN_LABELS} are set by the controller", "Take another")
    if not _LABEL_VALUE.fullmatch(value):
        raise InvalidArgument(where, value, "is not the value of a label: at most 63 letters, digits, '-', '_', '.'")


def check_manifest(manifest: Manifest) -> None:
    """Raises InvalidArgument where it is no Pod that the controller can run: it names, places and restarts pods itself,
    and needs a container for the trial."""
    where = "trial.manifest"
    _check_depth(manifest, where, 0)
    for key, wanted in (("apiVersion", "v1"), ("kind", "Pod")):
        if manifest.get(key, wanted) != wanted:
            raise InvalidArgument(f"{where}.{key}", manifest[key], f"must be {wanted}: a trial is one pod")
    metadata = manifest.get("metadata") or {}
    if not isinstance(metadata, Mapping):
        raise InvalidArgument(f"{where}.metadata", metadata, "must be a mapping")
    for key in ("name", "generateName", "namespace", "ownerReferences", "finalizers", "uid"):
        if key in metadata:
            raise InvalidArgument(
                f"{where}.metadata.{key}", metadata[key], "is set by the controller for each pod", "Leave it out"
            )
    for key in ("labels", "annotations"):
        entries = metadata.get(key) or {}
        if not isinstance(entries, Mapping):
            raise InvalidArgument(f"{where}.metadata.{key}", entries, "must be a mapping")
        for name in entries:
            if name.startswith(OWN_LABELS):
                raise InvalidArgument(
                    f"{where}.metadata.{key}.{name}", name, "is set by the controller", "Leave it out"
                )
    spec = manifest.get("spec")
    containers = spec.get("containers") if isinstance(spec, Mapping) else None
    if not isinstance(spec, Mapping) or not isinstance(containers, Sequence) or not containers:
        raise InvalidArgument(
            f"{where}.spec.containers", containers or MISSING, "a pod has a container", "Write containers: [{...}]"
        )
    for i, container in enumerate(containers):
        if not isinstance(container, Mapping):
            raise InvalidArgument(f"{where}.spec.containers[{i}]", container, "must be a mapping with name and image")
    if spec.get("restartPolicy", "Never") != "Never":
        raise InvalidArgument(
            f"{where}.spec.restartPolicy",
            spec["restartPolicy"],
            "must be Never: a trial that is to run again does so as a new attempt",
            "Leave it out, and say with trial.retries how often",
        )


def main_container(manifest: Manifest) -> int:
    """The index of the container that is the trial."""
    containers = manifest["spec"]["containers"]  # type: ignore[index]  # `check_manifest` has seen it
    return next((i for i, c in enumerate(containers) if c.get("name") == MAIN_CONTAINER), 0)


def texts(value: object, where: str) -> Iterator[tuple[str, str]]:
    """Every text below `value` with its path, keys aside."""
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from texts(entry, f"{where}.{key}")
    elif isinstance(value, Sequence):
        for i, entry in enumerate(value):
            yield from texts(entry, f"{where}[{i}]")


def _check_depth(value: object, where: str, depth: int) -> None:
    if depth > MAX_MANIFEST_DEPTH:
        raise InvalidArgument("trial.manifest", MISSING, f"nests more than {MAX_MANIFEST_DEPTH} levels deep")
    if isinstance(value, Mapping):
        for key, entry in value.items():
            if not isinstance(key, str):
                raise InvalidArgument(f"{where}.{key}", key, "a key must be a text", "Put it into quotes")
            _check_depth(entry, f"{where}.{key}", depth + 1)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for i, entry in enumerate(value):
            _check_depth(entry, f"{where}[{i}]", depth + 1)
    elif not isinstance(value, str | bool | int | float | None):
        raise InvalidArgument(where, value, "must be plain data: text, number, boolean, list or mapping")


def _check_name(where: str, name: str) -> None:
    if not _NAME.fullmatch(name):
        raise InvalidArgument(where, name, "is not a valid Kubernetes name: lower-case letters, digits, '-' and '.'")
