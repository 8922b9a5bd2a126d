"""Whether this account may do what a controller does. `deploy/controller.yaml` grants exactly this."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping

from ...domain.errors import NotFound, PermissionDenied
from .api import Api, ApiError, Unreachable

log = logging.getLogger(__name__)

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
RETRY_EVERY = 2.0

IN_TRIALS_NAMESPACES = {
    "pods": ("list", "watch", "create", "patch", "delete"),
    "pods/log": ("get",),
    "secrets": ("create",),
    "events": ("list",),
}
IN_ITS_OWN_NAMESPACE = {"leases": ("get", "create", "update")}


def check_access(api: Api, home: str, namespaces: Iterable[str], ended: threading.Event) -> None:
    """Waits for a server that does not answer, until `ended` is set. `home`: where the lease is kept.

    Raises NotFound for a namespace that is not there, PermissionDenied naming all rights that are lacking or, in the
    server's words, why it does not know us.
    """
    told = ""
    while not ended.is_set():
        try:
            lacking = _lacking(api, home, "coordination.k8s.io", IN_ITS_OWN_NAMESPACE)
            for namespace in namespaces:
                _check_exists(api, namespace)
                lacking += _lacking(api, namespace, "", IN_TRIALS_NAMESPACES)
        except (Unreachable, ApiError) as error:
            if isinstance(error, ApiError) and not error.passing:
                raise PermissionDenied(f"the API server at {api.host} says {error}") from error
            if str(error) != told:
                log.warning("waiting for the cluster: %s", error, extra={"action": "waiting_for_cluster"})
                told = str(error)
            ended.wait(RETRY_EVERY)
            continue
        if lacking:
            raise PermissionDenied(
                f"at {api.host} this account may not {'; '.join(lacking)}. Grant it what deploy/controller.yaml grants"
            )
        return


def _lacking(api: Api, namespace: str, group: str, rights: Mapping[str, tuple[str, ...]]) -> list[str]:
    lacking = []
    for resource, verbs in rights.items():
        name, _, sub = resource.partition("/")
        refused = []
        for verb in verbs:
            asked = {"namespace": namespace, "verb": verb, "group": group, "resource": name, "subresource": sub}
            answer = api.create(REVIEWS, {"spec": {"resourceAttributes": asked}})
            if not answer["status"].get("allowed"):
                refused.append(verb)
        if refused:
            lacking.append(f"{', '.join(refused)} {resource} in namespace {namespace}")
    return lacking


def _check_exists(api: Api, namespace: str) -> None:
    try:
        api.get(f"/api/v1/namespaces/{namespace}")
    except ApiError as error:
        if error.status == 404:
            raise NotFound(f"namespace {namespace}", "Create it, or name another") from error
        if error.status != 403:  # whoever may not look will see when the first pod is made
            raise
