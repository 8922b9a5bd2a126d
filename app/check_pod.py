"""Would a cluster take the pods of a study?"""

from __future__ import annotations

from pathlib import Path

from ..clients.client import Client
from ..controller.environment import order
from ..domain.errors import MISSING, InvalidArgument, Unavailable
from ..domain.study import StudySpec


def check_pod(
    client: Client,
    study_id: str,
    spec: StudySpec,
    kubeconfig: Path | None,
    context: str | None,
    namespace: str | None,
) -> str:
    """Makes one trial's pod and has the API server judge it, without keeping anything; what came of it, in a sentence.

    Raises InvalidArgument if it would be refused or if the cluster that was named cannot be reached.
    """
    try:
        from ..controller.kubernetes.api import Api, ApiError, Unreachable, default_namespace, pods_path
        from ..controller.kubernetes.pods import build
        from ..controller.kubernetes.settings import KubernetesSettings
    except ModuleNotFoundError as error:
        return f"Its pod is not checked: that needs {error.name}; install it with: pip install 'wazir[kubernetes]'"
    study = client.create_study(study_id, spec)
    (trial,) = client.suggest(study.name, 1, client_id="check", start=True, leased=False).trials
    named = kubeconfig is not None or context is not None or namespace is not None
    api, unreachable = None, ""
    try:
        api = Api.connect(kubeconfig, context)
        home = namespace or default_namespace(kubeconfig, context)
    except InvalidArgument:
        if named:
            raise
        home, unreachable = "default", "no kubeconfig names one"
    pod = build(order(study, trial, "service:8470", None), KubernetesSettings("check", home))
    if api is None:
        return f"Its pod is sound as far as can be seen without a cluster ({unreachable})."
    try:
        made = api.create(pods_path(home), pod, dryRun="All")
    except Unreachable as error:
        if named:
            raise Unavailable(str(error)) from error
        return f"Its pod is sound as far as can be seen without a cluster ({error})."
    except ApiError as error:
        if error.passing:
            raise Unavailable(f"the API server at {api.host} says {error}") from error
        where = "trial.manifest" if spec.trial is not None and spec.trial.pod.manifest is not None else "trial"
        raise InvalidArgument(where, MISSING, f"the API server at {api.host} refuses its pod: {error.words}") from error
    return f"The cluster at {api.host} takes its pods, for instance {made['metadata']['name']} in namespace {home}."
