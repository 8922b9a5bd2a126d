"""A real Kubernetes for tests: the cluster of `WAZIR_TEST_KUBECONFIG`, a namespace for each test, and images.

`WAZIR_TEST_IMAGE` (localhost/wazir:test without it) is built of this repository's Containerfile and known to the
cluster's nodes, see `docs/kubernetes.md`. `WAZIR_TEST_CLUSTER` names a program that stops, kills and starts the
cluster's parts; tests that need one are skipped without it.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from wazir.controller.kubernetes.api import Api, ApiError, Unreachable, pods_path
from wazir.controller.kubernetes.pods import GPU

from ..postgres import missing

Json = dict[str, Any]

IMAGE = os.environ.get("WAZIR_TEST_IMAGE", "localhost/wazir:test")
NAMESPACES = "/api/v1/namespaces"


class Cluster:
    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.api = Api.connect(kubeconfig, rate=500, burst=500)

    @contextmanager
    def namespace(self, **labels: str) -> Iterator[str]:
        """A fresh one. At the end it is emptied of finalizers and deleted, and nobody waits for that."""
        name = f"wazir-test-{uuid.uuid4().hex[:8]}"
        self.api.create(NAMESPACES, {"metadata": {"name": name, "labels": labels}})
        self.until(lambda: self._default_account(name), "the namespace's service account")
        try:
            yield name
        finally:
            for pod in self.pods(name):
                if pod["metadata"].get("finalizers"):
                    self.api.patch(pods_path(name, pod["metadata"]["name"]), {"metadata": {"finalizers": []}})
            self.api.delete(f"{NAMESPACES}/{name}")

    def _default_account(self, namespace: str) -> bool:
        try:
            self.api.get(f"{NAMESPACES}/{namespace}/serviceaccounts/default")
        except ApiError:
            return False
        return True

    def host(self) -> str:
        """The address at which pods find processes of this machine: the one from which it reaches a node."""
        (node, *_) = self.api.get("/api/v1/nodes", labelSelector="wazir.dev/node!=simulated")["items"]
        address = next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.connect((address, 1))
            return str(probe.getsockname()[0])

    def pods(self, namespace: str, selector: str = "") -> list[Json]:
        found: list[Json] = self.api.get(pods_path(namespace), labelSelector=selector)["items"]
        return found

    def until(self, done: Callable[[], object], what: str, seconds: float = 90.0) -> Any:
        """Waits until `done` gives something. Kubernetes has no event for most of what tests wait for."""
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            try:
                if found := done():
                    return found
            except (ApiError, Unreachable):
                pass
            time.sleep(0.05)
        raise AssertionError(f"{what}: not within {seconds:g} s")

    def delete(self, pod: Json, *, at_once: bool = False) -> None:
        metadata = pod["metadata"]
        grace = {"gracePeriodSeconds": 0} if at_once else {}
        self.api.delete(pods_path(metadata["namespace"], metadata["name"]), **grace)

    def evict(self, pod: Json) -> None:
        """As `kubectl drain` does it."""
        metadata = pod["metadata"]
        kind = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": metadata["name"]}}
        self.api.create(pods_path(metadata["namespace"], metadata["name"], "eviction"), kind)

    @contextmanager
    def volume(self, namespace: str, claim: str, folder: Path) -> Iterator[None]:
        """One for the claim, where the cluster makes none by itself."""
        if self.api.get("/apis/storage.k8s.io/v1/storageclasses")["items"]:
            yield
            return
        folder.mkdir()
        folder.chmod(0o777)
        for parent in folder.parents:  # pytest's folders are its user's alone
            if parent.owner() == folder.owner() and parent != Path("/tmp"):
                parent.chmod(parent.stat().st_mode | 0o011)
        reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": claim}
        spec = {
            "capacity": {"storage": "10Gi"},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": str(folder)},
            "claimRef": reference,
        }
        volumes = "/api/v1/persistentvolumes"
        self.api.create(volumes, {"metadata": {"name": namespace}, "spec": spec})
        try:
            yield
        finally:
            self.api.delete(f"{volumes}/{namespace}")

    def gpus(self) -> int:
        """That one node has."""
        nodes = self.api.get("/api/v1/nodes", labelSelector="wazir.dev/node!=simulated")["items"]
        found = max(int(node["status"]["allocatable"].get(GPU, 0)) for node in nodes)
        if not found:
            missing("a node with GPUs")
        return found

    @contextmanager
    def priority_class(self) -> Iterator[str]:
        """One that pre-empts others."""
        name, classes = f"wazir-test-{uuid.uuid4().hex[:8]}", "/apis/scheduling.k8s.io/v1/priorityclasses"
        self.api.create(classes, {"metadata": {"name": name}, "value": 1000})
        try:
            yield name
        finally:
            self.api.delete(f"{classes}/{name}")

    @contextmanager
    def another_node(self) -> Iterator[None]:
        """A simulated one: while no other node is Ready, nothing is evicted from one that is not."""
        self.part("nodes", "1")
        try:
            yield
        finally:
            self.api.delete("/api/v1/nodes/sim-0")

    def run(self, namespace: str, name: str, command: list[str], *, gpus: int, priority: str) -> Json:
        """A pod of somebody else's."""
        container = {"name": "main", "image": IMAGE, "command": command, "resources": {"limits": {GPU: str(gpus)}}}
        spec = {"containers": [container], "priorityClassName": priority, "restartPolicy": "Never"}
        return self.api.create(pods_path(namespace), {"metadata": {"name": name}, "spec": spec})

    def part(self, verb: str, name: str) -> None:
        """Stops, kills or starts a part of the cluster, or makes simulated nodes."""
        program = os.environ.get("WAZIR_TEST_CLUSTER")
        if not program:
            missing("a cluster whose parts can be stopped (WAZIR_TEST_CLUSTER)")
        subprocess.run([str(program), verb, name], check=True, capture_output=True)


def connect() -> Cluster:
    """The cluster that tests may use; skips without one."""
    kubeconfig = os.environ.get("WAZIR_TEST_KUBECONFIG")
    if not kubeconfig:
        pytest.skip("needs a Kubernetes cluster: WAZIR_TEST_KUBECONFIG")
    return Cluster(Path(kubeconfig))
