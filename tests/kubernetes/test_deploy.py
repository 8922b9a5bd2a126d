"""`deploy/` as it stands, on a real cluster: server and controller in it, under their own accounts, with Service, DNS,
TLS and tokens, and the digits study of `examples/kubernetes/` with 30 trials on GPUs of their own."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import stream
from kubernetes.client import ApiClient, Configuration, CoreV1Api
from kubernetes.config import load_kube_config

from wazir.clients.study_file import dump, load
from wazir.controller.kubernetes.api import Api, ApiError, pods_path, secrets_path

from ..security.certificates import Authority
from .cluster import IMAGE, Cluster
from .witness import Witness

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).parents[2]
Json = dict[str, Any]

PATHS = {
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
}

NOTED = """
import os, runpy, sys, time
began = time.time()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
print("devices", os.environ["NVIDIA_VISIBLE_DEVICES"], "from", began, "to", time.time())
"""
"""Runs a script, and says which GPUs it saw, and when."""


LOGS = """
import json, sys, wazir
address, ca, token = (item.partition("=")[2] for item in sys.argv[1:])
with wazir.Client(address, tls=wazir.Tls(ca=ca), token=open(token).read().strip()) as client:
    attempts = [trial.attempts[-1] for trial in client.list_trials("digits-pods")]
assert [attempt.gpus for attempt in attempts] == [1.0] * 30
print(json.dumps([attempt.log_tail for attempt in attempts]))
"""


class Installation:
    """What `deploy/` makes, in namespaces of the test."""

    def __init__(self, cluster: Cluster, home: str, trials: str, folder: Path) -> None:
        self.cluster = cluster
        self._names = {"wazir": home, "wazir-trials": trials}
        authority = Authority(folder)
        cert, key = authority.issue("server", host=f"wazir-server.{home}.svc")
        chain = cert.read_text() + authority.file.read_text()
        self.secret("wazir-server-tls", {"tls.crt": chain, "tls.key": key.read_text()})
        self._core = CoreV1Api(ApiClient(_configuration(cluster.kubeconfig)))
        self.home = home

    def secret(self, name: str, data: dict[str, str]) -> None:
        body = {"metadata": {"name": name}, "stringData": data}
        self.cluster.api.create(secrets_path(self._names["wazir"]), body)

    def apply(self, file: str) -> None:
        for item in yaml.safe_load_all((ROOT / "deploy" / file).read_text()):
            if item["kind"] != "Namespace":
                made = self._here(item)
                self.cluster.api.create(PATHS[item["kind"]].format(made["metadata"]["namespace"]), made)

    def _here(self, value: Any) -> Any:
        """The manifest with our namespaces and image."""
        if isinstance(value, dict):
            renamed = {key: self._names.get(v, v) if key == "namespace" else self._here(v) for key, v in value.items()}
            return renamed | ({"image": IMAGE} if value.get("image") == "wazir" else {})
        if isinstance(value, list):
            return [self._here(v) for v in value]
        if isinstance(value, str):
            value = value.replace("--namespace=wazir-trials", f"--namespace={self._names['wazir-trials']}")
            return value.replace("wazir-server.wazir.svc", f"wazir-server.{self._names['wazir']}.svc")
        return value

    def ready(self, app: str, count: int) -> list[str]:
        """Waits for the pods of a deployment; their names."""

        def found() -> list[str]:
            pods = self.cluster.pods(self.home, f"app={app}")
            conditions = [c for p in pods for c in p["status"].get("conditions", ())]
            there = [c for c in conditions if (c["type"], c["status"]) == ("Ready", "True")]
            return [p["metadata"]["name"] for p in pods] if len(there) == count else []

        names: list[str] = self.cluster.until(found, f"{count} pods of {app} are ready", seconds=120)
        return names

    def execute(self, pod: str, *command: str) -> str:
        """As `kubectl exec` does; its standard output."""
        answer = stream.stream(
            self._core.connect_get_namespaced_pod_exec,
            pod,
            self.home,
            command=list(command),
            stdout=True,
            stderr=True,
            _preload_content=False,
        )
        answer.run_forever(timeout=60)
        output = str(answer.read_stdout())
        assert answer.returncode == 0, (command, output, answer.read_stderr())
        return output


def _configuration(kubeconfig: Path) -> Configuration:
    configuration = Configuration()
    load_kube_config(str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
    return configuration


def test_the_digits_study_in_a_cluster_by_its_own_manifests(cluster: Cluster, tmp_path: Path) -> None:
    restricted = {"pod-security.kubernetes.io/enforce": "restricted"}
    with (
        cluster.namespace(**restricted) as home,
        cluster.namespace(**restricted) as trials,
        cluster.volume(home, "wazir-data", tmp_path / "data"),
        Witness(cluster.api, trials) as witness,
    ):
        installation = Installation(cluster, home, trials, tmp_path)
        installation.apply("server.yaml")
        (server,) = installation.ready("wazir-server", 1)
        make = ["wazir", "token", "create", "--db", "/data/wazir/wazir.db", "--role", "editor", "--label", "test"]
        token = installation.execute(server, *make)
        installation.secret("wazir-controller-token", {"token": token})
        installation.apply("controller.yaml")

        file = load(ROOT / "examples" / "kubernetes" / "digits.yaml")
        assert file.spec.trial is not None
        python, *script = file.spec.trial.command
        trial = replace(file.spec.trial, image=IMAGE, command=(python, "-c", NOTED, *script))
        text = dump(file.study_id, replace(file.spec, trial=trial))
        write = "import sys; open(sys.argv[1], 'w').write(sys.argv[2])"
        installation.execute(server, "python3", "-c", write, "/tmp/study.yaml", text)
        installation.execute(server, "python3", "-c", write, "/tmp/token", token)
        there = [f"--address=wazir-server.{home}.svc:8470", "--ca=/tls/tls.crt", "--token-file=/tmp/token"]
        installation.execute(server, "wazir", "create", "/tmp/study.yaml", *there)

        def over() -> Json | None:
            study: Json = json.loads(installation.execute(server, "wazir", "show", "digits-pods", "-o", "json", *there))
            return study if study["state"] != "active" else None

        study: Json = cluster.until(over, "the study ends", seconds=300)
        assert study["trials"] == {"succeeded": 30}
        assert study["best"][0]["metrics"]["val/accuracy"] > 0.9
        assert study["gpu_hours"] > 0
        witness.check("digits-pods", limit=6, trials=30)
        assert witness.most["digits-pods"] == 6, "six run at a time"
        check_devices(json.loads(installation.execute(server, "python3", "-c", LOGS, *there)))


def check_devices(logs: list[str]) -> None:
    """No two trials had a GPU at the same time."""
    held = []
    for log in logs:
        words = next(line for line in log.splitlines() if line.startswith("devices")).split()
        held.append((set(words[1].split(",")), float(words[3]), float(words[5])))
    assert all(len(devices) == 1 for devices, _, _ in held)
    for (one, began, ended), (other, other_began, other_ended) in combinations(held, 2):
        apart = ended < other_began or other_ended < began
        assert apart or not one & other


def test_an_account_with_less_is_told_what_it_lacks(cluster: Cluster, namespace: str) -> None:
    """And one that the API server does not know, or does not know any more, is told so."""
    from threading import Event

    from wazir.controller.kubernetes.access import check_access
    from wazir.domain.errors import PermissionDenied

    accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    cluster.api.create(accounts, {"metadata": {"name": "weak"}})
    answer = cluster.api.create(f"{accounts}/weak/token", {"spec": {"expirationSeconds": 600}})
    weak = _with_token(cluster, answer["status"]["token"])
    with pytest.raises(PermissionDenied, match=f"list, watch, create, patch, delete pods in namespace {namespace}"):
        check_access(weak, namespace, [namespace], Event())
    cluster.api.delete(f"{accounts}/weak")

    def expired() -> bool:
        # Of an account that is deleted a token is no longer good, as of one that is too old.
        try:
            weak.get(pods_path(namespace))
        except ApiError as error:
            return error.status == 401
        return False

    cluster.until(expired, "the token is refused")
    with pytest.raises(PermissionDenied, match="401"):
        check_access(weak, namespace, [namespace], Event())


def _with_token(cluster: Cluster, token: str) -> Api:
    configuration = _configuration(cluster.kubeconfig)
    configuration.cert_file = configuration.key_file = None
    configuration.api_key = {"authorization": f"Bearer {token}"}
    return Api(configuration)
