"""What a cluster refuses is told at once where it can be known, and otherwise stands on the study, in the API server's
words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from wazir.app.cli import cli
from wazir.domain.attempt import Cause

from .cluster import IMAGE, Cluster
from .world import KubernetesWorld

pytestmark = pytest.mark.slow

STUDY = {
    "study": "checked",
    "objective": {"metric": "loss", "goal": "minimize"},
    "parameters": {"x": {"min": 0.0, "max": 1.0}},
}


def check(cluster: Cluster, namespace: str, folder: Path, trial: dict[str, Any], kubeconfig: str = "") -> Result:
    file = folder / "study.yaml"
    file.write_text(json.dumps({**STUDY, "trial": trial}))
    options = [f"--kubeconfig={kubeconfig or cluster.kubeconfig}", f"--namespace={namespace}"]
    return CliRunner().invoke(cli, ["check", str(file), *options], catch_exceptions=False)


def test_a_sound_pod_is_taken_and_none_is_made(cluster: Cluster, namespace: str, tmp_path: Path) -> None:
    result = check(cluster, namespace, tmp_path, {"image": IMAGE, "args": ["${x}"], "resources": {"gpu": 1}})
    assert (result.exit_code, "takes its pods, for instance checked-1-1-" in result.output) == (0, True), result.output
    assert not cluster.pods(namespace)


@pytest.mark.parametrize(
    ("trial", "words"),
    [
        ({"image": IMAGE, "user": 0}, 'violates PodSecurity "restricted:latest"'),
        ({"image": IMAGE, "volumes": {"/x": {"host": "/etc"}}}, "restricted volume types"),
        ({"image": IMAGE, "priority_class": "nope"}, "no PriorityClass with name nope"),
        ({"image": IMAGE, "service_account": "nope"}, 'serviceaccount "nope" not found'),
        ({"manifest": {"spec": {"containers": [{"image": IMAGE, "imagePullPolicy": "Often"}]}}}, "imagePullPolicy"),
        ({"manifest": {"spec": {"containers": [{"image": IMAGE, "imge": "x"}]}}}, 'Did you mean "image"'),
    ],
)
def test_what_the_api_server_refuses_is_told_before_anything_is_made(
    cluster: Cluster, tmp_path: Path, trial: dict[str, Any], words: str
) -> None:
    with cluster.namespace(**{"pod-security.kubernetes.io/enforce": "restricted"}) as namespace:
        result = check(cluster, namespace, tmp_path, trial)
        assert result.exit_code == 2
        assert words in result.stderr
        assert "study.yaml:1" in result.stderr


def test_a_cluster_that_cannot_be_reached_or_has_no_such_namespace(cluster: Cluster, tmp_path: Path) -> None:
    trial = {"image": IMAGE}
    assert 'namespaces "nowhere" not found' in check(cluster, "nowhere", tmp_path, trial).stderr
    assert "gives no access to a cluster" in check(cluster, "x", tmp_path, trial, "/no/such/file").stderr


def test_a_policys_refusal_stands_on_the_trial(world: KubernetesWorld) -> None:
    labels = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    world.cluster.api.patch(f"/api/v1/namespaces/{world.namespace}", labels)
    world.serve()
    world.control()
    world.create("root", trials=1, parallel=1, user=0)
    with world.connect() as client:
        attempt = world.over(client, "root/1")
        assert attempt.cause is Cause.CONFIG_BROKEN
        assert 'violates PodSecurity "restricted:latest"' in attempt.message


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--namespace=nowhere"], 3, "namespace nowhere does not exist"),
        (["--kubeconfig=/no/such/file"], 2, "gives no access to a cluster"),
        (["--owner=other=nowhere"], 3, "namespace nowhere does not exist"),
        (["--owner=Other"], 2, "lower-case letters"),
        (["--name=A B"], 2, "--name"),
    ],
)
def test_a_controller_that_could_not_work_ends_at_once(
    world: KubernetesWorld, options: list[str], code: int, words: str
) -> None:
    world.serve()
    controller = world.control(*options)
    assert world.ended(controller) == code
    assert words in world.said(controller)
