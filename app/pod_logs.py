"""Logs of trials that are pods, through their cluster."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..clients.spool import MARK
from ..domain.errors import FailedPrecondition, NotFound, Unavailable, WazirError

LONGEST = 1 << 20
"""Bytes of a line that are waited for before it is shown in parts."""


def pod_log(reference: str, follow: bool, kubeconfig: Path | None, context: str | None) -> Iterator[bytes]:
    """What the pod of an attempt's `log_path` has printed; with `follow` also what it prints, until it ends.

    Raises NotFound if the pod is gone, Unavailable if the cluster does not answer, FailedPrecondition if this
    machine cannot ask it.
    """
    try:
        from ..controller.kubernetes.api import READ_TIMEOUT, Api, ApiError, Unreachable, pods_path
        from ..controller.kubernetes.pods import place_of
    except ModuleNotFoundError as error:
        raise FailedPrecondition(
            f"logs of pods need {error.name}; install it with: pip install 'wazir[kubernetes]'"
        ) from error
    namespace, pod, container = place_of(reference)
    api = Api.connect(kubeconfig, context)
    try:
        asked = {"follow": "true"} if follow else {}
        # A log that is followed may be silent for days; one that is read is there.
        patience = None if follow else READ_TIMEOUT
        stream = api.stream(pods_path(namespace, pod, "log"), patience, container=container, **asked)
    except Unreachable as error:
        raise Unavailable(str(error)) from error
    except ApiError as error:
        if error.status == 404:
            raise NotFound(f"pod {pod} in namespace {namespace}", "Pods go as `keep:` says") from error
        raise refused(error.status)(f"the log of pod {pod}: {error.words}") from error
    try:
        rest = b""
        for chunk in stream.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            # Reports that wait in the log for the controller are none of the training code's words.
            yield b"".join(line + b"\n" for line in lines if not line.startswith(MARK))
            if len(rest) > LONGEST and not rest.startswith(MARK):
                yield rest
                rest = b""
        yield rest
    except Unreachable as error:
        raise Unavailable(str(error)) from error
    finally:
        stream.close()


def refused(status: int) -> type[WazirError]:
    return Unavailable if status >= 500 or status == 429 else FailedPrecondition
