"""What the object of a pod says of its containers, log and version. Pure."""

from __future__ import annotations

import math
from typing import Any

from ...clients.spool import UNSENT
from ...domain.pod import main_container

Json = dict[str, Any]


def began(pod: Json) -> bool:
    """Whether a container of it has run, so that there may be a log."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return any({"running", "terminated"} & (status.get("state") or {}).keys() for status in statuses)


def main_name(pod: Json) -> str:
    return str(pod["spec"]["containers"][main_container(pod)]["name"])


def version_of(pod: Json) -> float:
    """Resource versions are opaque; etcd's are numbers that grow, and where they are not, the later news wins."""
    version = str(pod["metadata"].get("resourceVersion", ""))
    return float(version) if version.isdigit() else math.inf


def unsent(pod: Json) -> int:
    """How many reports its processes said at their end that nobody has but the log."""
    said = (line.removeprefix(UNSENT) for line in last_words(pod).splitlines() if line.startswith(UNSENT))
    return sum(int(count) for count in said if count.isdigit() and len(count) < 20)


def last_words(pod: Json) -> bytes:
    """The end of the log of a container that failed, as its status keeps it."""
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if status["name"] == main_name(pod):
            return str(((status.get("state") or {}).get("terminated") or {}).get("message") or "").encode()
    return b""
