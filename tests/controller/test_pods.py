"""From a study file to the pod of one trial."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.controller.environment import order
from wazir.controller.execution import Ending, Key, Why
from wazir.controller.kubernetes import pods
from wazir.controller.kubernetes.settings import KubernetesSettings
from wazir.domain.attempt import Attempt, AttemptState
from wazir.domain.document import study_from_document
from wazir.domain.errors import InvalidArgument
from wazir.domain.names import StudyName, TrialName
from wazir.domain.parameters import Parameters
from wazir.domain.study import Study, StudyState
from wazir.domain.trial import Trial, TrialState

Json = dict[str, Any]

SETTINGS = KubernetesSettings("main", "trials", {"vision": "vision-trials"}, env={"WAZIR_TLS": "1", "A": "ours"})
PARAMETERS: Parameters = {"lr": 0.25, "batch": 32, "nesterov": True, "kind": "a b; $(rm) ${lr}"}


def pod(
    template: Json,
    owner: str = "default",
    study: str = "resnet",
    token: str = "",
    spent: tuple[int, ...] = (),
    **settings: Any,
) -> Json:
    """The pod of the trial 17 with PARAMETERS, second attempt."""
    _, spec = study_from_document(
        {
            "study": study,
            "objective": {"metric": "loss", "goal": "minimize"},
            "parameters": {
                "lr": {"min": 0.0, "max": 1.0},
                "batch": {"type": "int", "min": 1, "max": 64},
                "nesterov": {"values": [True, False]},
                "kind": {"values": [PARAMETERS["kind"], "other"]},
                "momentum": {"min": 0.0, "max": 1.0, "when": {"kind": "other"}},
            },
            "trial": template,
        }
    )
    name = StudyName(owner, study)
    attempts = tuple(Attempt(n, AttemptState.STARTING, 0.0) for n in (1, 2))
    trial = Trial(TrialName(owner, study, 17), TrialState.ACTIVE, PARAMETERS, 0.0, attempts=attempts)
    made = Study(name, "0123456789abcdef", spec, StudyState.ACTIVE, create_time=0.0, seed=1)
    what = order(made, trial, "server:8470", None, token, spent)
    return pods.build(what, KubernetesSettings(**settings) if settings else SETTINGS)


def main(built: Json) -> Json:
    (container,) = built["spec"]["containers"]
    return dict(container)


def environment(built: Json) -> Json:
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in main(built)["env"]}


def test_the_short_form_becomes_a_pod_that_restricted_namespaces_take() -> None:
    built = pod(
        {
            "image": "train:1",
            "command": ["python", "train.py"],
            "args": ["--lr=${lr}", "${args}"],
            "resources": {"gpu": 2, "cpu": 1.5, "memory": "1Gi"},
            "volumes": {"/data": {"claim": "images", "read_only": True}, "/dev/shm": {"memory": "1Gi"}},
            "node_selector": {"gpu": "a100"},
            "tolerations": [{"key": "gpu", "operator": "Exists"}],
            "service_account": "trainer",
            "pull_secrets": ["registry"],
            "priority_class": "low",
            "labels": {"team": "vision"},
            "grace": "90s",
        }
    )
    container, spec = main(built), built["spec"]
    assert container["command"] == ["python", "train.py"]
    # Kubernetes puts variables in place of $(NAME), and $ in place of $$.
    kind = "--kind=a b; $$(rm) $${lr}"
    assert container["args"] == ["--lr=0.25", "--lr=0.25", "--batch=32", "--nesterov=true", kind]
    assert container["resources"] == {
        "limits": {"nvidia.com/gpu": "2", "memory": str(2**30)},
        "requests": {"nvidia.com/gpu": "2", "memory": str(2**30), "cpu": "1.5"},
    }
    assert container["securityContext"] == {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    assert spec["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}, "runAsNonRoot": True}
    assert [m["mountPath"] for m in container["volumeMounts"]] == ["/data", "/dev/shm"]
    assert [m.get("readOnly") for m in container["volumeMounts"]] == [True, None]
    assert [{**v, "name": ""} for v in spec["volumes"]] == [
        {"name": "", "persistentVolumeClaim": {"claimName": "images"}},
        {"name": "", "emptyDir": {"medium": "Memory", "sizeLimit": str(2**30)}},
    ]
    assert (spec["nodeSelector"], spec["tolerations"]) == ({"gpu": "a100"}, [{"key": "gpu", "operator": "Exists"}])
    assert (spec["serviceAccountName"], spec["priorityClassName"]) == ("trainer", "low")
    assert spec["imagePullSecrets"] == [{"name": "registry"}]
    assert (spec["restartPolicy"], spec["terminationGracePeriodSeconds"]) == ("Never", 90)
    assert built["metadata"]["labels"]["team"] == "vision"
    assert built["metadata"]["annotations"][pods.GPUS] == "2"


def test_who_it_is_stands_in_name_labels_and_environment() -> None:
    built = pod({"image": "train:1", "command": ["train"]}, owner="vision", token="secret-token")
    metadata = built["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("resnet-17-2-01234567", "vision-trials")
    assert metadata["finalizers"] == [pods.FINALIZER]
    assert pods.key_of(built) == Key("0123456789abcdef", 17, 2)
    assert pods.study_of(built) == StudyName("vision", "resnet")
    assert pods.place_of(pods.log_reference(built)) == ("vision-trials", "resnet-17-2-01234567", "trial")
    env = environment(built)
    assert env["WAZIR_TRIAL"] == "owners/vision/studies/resnet/trials/17"
    assert (env["WAZIR_ATTEMPT"], env["WAZIR_ADDRESS"], env["WAZIR_TLS"]) == ("2", "server:8470", "1")
    assert env["WAZIR_TOKEN"] == {"secretKeyRef": {"name": metadata["name"], "key": "token"}}
    assert "secret-token" not in str(built)
    secret = pods.token_secret({**built, "metadata": {**metadata, "uid": "u1"}}, "secret-token")
    assert secret["stringData"] == {"token": "secret-token"}
    assert secret["metadata"]["name"] == metadata["name"]
    assert [(o["kind"], o["uid"]) for o in secret["metadata"]["ownerReferences"]] == [("Pod", "u1")]


def test_the_trials_own_environment_wins_over_the_way_to_the_service() -> None:
    env = environment(pod({"image": "i", "env": {"A": "mine $(B)", "WAZIR_TRIAL": "another"}}))
    assert env["A"] == "mine $$(B)"
    assert env["WAZIR_TRIAL"].endswith("/trials/17")
    assert "WAZIR_TOKEN" not in env, "it needs none"


@pytest.mark.parametrize(
    ("template", "default", "security"),
    [
        ({}, None, {"runAsNonRoot": True}),
        ({}, 1000, {"runAsNonRoot": True, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000}),
        ({"user": 7}, 1000, {"runAsNonRoot": True, "runAsUser": 7, "runAsGroup": 7, "fsGroup": 7}),
        ({"user": 0}, 1000, {"runAsUser": 0, "runAsGroup": 0, "fsGroup": 0}),
    ],
)
def test_root_is_only_who_is_asked_for(template: Json, default: int | None, security: Json) -> None:
    built = pod({"image": "i", **template}, default_user=default)
    assert built["spec"]["securityContext"] == {"seccompProfile": {"type": "RuntimeDefault"}, **security}


def test_checkpoints_outlive_the_pod_in_a_folder_of_the_trial() -> None:
    built = pod({"image": "i", "checkpoints": {"claim": "kept"}})
    (mount,) = main(built)["volumeMounts"]
    assert environment(built)["WAZIR_CHECKPOINTS"] == f"{mount['mountPath']}/0123456789abcdef/17"
    assert built["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "kept"}


def test_a_pod_is_told_whose_checkpoints_to_remove_where_it_sees_them() -> None:
    seen = pod({"image": "i", "checkpoints": {"claim": "kept", "keep": "none"}}, spent=(3, 5))
    assert environment(seen)["WAZIR_SPENT_CHECKPOINTS"] == "3 5"
    assert environment(pod({"image": "i"}, spent=(3, 5)))["WAZIR_SPENT_CHECKPOINTS"] == ""


MANIFEST: Json = {
    "metadata": {"labels": {"team": "vision"}, "annotations": {"note": "${study.name}"}},
    "spec": {
        "containers": [
            {"name": "proxy", "image": "proxy:1", "resources": {"limits": {"nvidia.com/gpu": 1}}},
            {
                "name": "trial",
                "image": "train:${batch}",
                "args": ["${args}"],
                "env": [{"name": "LR", "value": "${lr}"}, {"name": "WAZIR_TRIAL", "value": "another"}],
                "resources": {"limits": {"cpu": "${batch}", "nvidia.com/gpu": "2"}},
                "livenessProbe": {"periodSeconds": "${batch}", "exec": {"command": ["true"]}},
                "tty": "${nesterov}",
            },
        ],
        "terminationGracePeriodSeconds": 5,
    },
}


def test_a_manifest_keeps_what_it_says_with_values_in_the_types_of_their_fields() -> None:
    built = pod({"manifest": MANIFEST})
    proxy, trial = built["spec"]["containers"]
    assert proxy["image"] == "proxy:1"
    assert "env" not in proxy
    assert trial["image"] == "train:32"
    assert trial["args"][:2] == ["--lr=0.25", "--batch=32"]
    assert trial["resources"]["limits"]["cpu"] == "32"
    assert trial["livenessProbe"]["periodSeconds"] == 32
    assert trial["tty"] is True
    env = {e["name"]: e["value"] for e in trial["env"]}
    assert (env["LR"], env["WAZIR_TRIAL"]) == ("0.25", "owners/default/studies/resnet/trials/17")
    assert built["spec"]["terminationGracePeriodSeconds"] == 5
    assert built["metadata"]["annotations"]["note"] == "resnet"
    assert built["metadata"]["labels"]["team"] == "vision"
    assert built["metadata"]["annotations"][pods.GPUS] == "3"


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        ({"containers": [{"image": "i", "imge": "j"}]}, "spec.containers[0].imge", "Did you mean"),
        ({"containers": [{"image": ["i"]}]}, "spec.containers[0].image", "must be a text"),
        ({"containers": [{"image": "i", "tty": "${lr}"}]}, "spec.containers[0].tty", "true or false"),
        ({"containers": [{"image": "i", "ports": [{"containerPort": "${lr}"}]}]}, "containerPort", "whole number"),
        ({"containers": [{"image": "i"}], "nodeSelector": "gpu"}, "spec.nodeSelector", "must be a mapping"),
        ({"containers": [{"image": "i", "args": "x"}]}, "spec.containers[0].args", "must be a list"),
        ({"containers": [{"image": "i", "resources": {"limits": {pods.GPU: "two"}}}]}, pods.GPU, "whole number"),
    ],
)
def test_a_manifest_that_is_no_pod_is_refused_by_field(spec: Json, field: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=re.escape(field)) as refusal:
        pod({"manifest": {"spec": spec}})
    assert words in str(refusal.value)


@given(st.from_regex(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True), st.integers(1, 10**6), st.integers(1, 999))
def test_names_are_such_as_kubernetes_takes(study: str, trial: int, attempt: int) -> None:
    name = pods.pod_name(Key("0123456789abcdef", trial, attempt), StudyName("o", study))
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
    assert len(name) <= pods.MAX_NAME
    assert name.endswith(f"-{trial}-{attempt}-01234567")


@given(st.sampled_from(Why), st.floats(0, 2e9), st.text())
def test_an_ending_is_read_as_it_was_written(why: Why, time: float, words: str) -> None:
    ending = Ending(why, time, words)
    assert pods.ending_of({"metadata": {"annotations": {pods.ENDING: pods.ending_text(ending)}}}) == ending
