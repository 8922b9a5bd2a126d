"""What a cluster says of a pod's own size: that no node, quota or limit would ever take it, however empty. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from kubernetes.utils import parse_quantity

MAX_WORDS = 2_000

_UNHELPFUL = re.compile(r"preemption: 0/(\d+) nodes are available: (\d+) Preemption is not helpful for scheduling\b")
_LIMIT_RANGE = re.compile(r"\bmaximum \S+ usage per (?:Container|Pod) is\b")
_QUOTA = re.compile(r"\bexceeded quota: .*?requested: (?P<requested>.*?), used: .*?, limited: (?P<limited>\S+)")


def fits_no_node(words: str) -> bool:
    """Whether these words of the scheduler say that each node that the pod might go to is too small for it when empty.

    The scheduler finds preemption not helpful on a node where the request is above all that the node has, since
    Kubernetes 1.32. On one that is merely full it finds no victims. Nodes that are not for the pod at all (taints,
    selectors) are not helped either. An older scheduler never says so.
    """
    match = _UNHELPFUL.search(words)
    return match is not None and match[1] == match[2] and "Insufficient " in words


def refused_for_size(words: str) -> bool:
    """Whether the API server refuses a pod that alone is above a LimitRange, or above the whole of a quota."""
    return _LIMIT_RANGE.search(words) is not None or _above_quota(words)


def _above_quota(words: str) -> bool:
    # Somebody's own admission controller may write what it likes, and the pattern takes its time for long texts.
    match = _QUOTA.search(words[:MAX_WORDS])
    if match is None:
        return False
    requested, limited = _amounts(match["requested"]), _amounts(match["limited"])
    return any(amount > limited[name] for name, amount in requested.items() if name in limited)


def _amounts(text: str) -> Mapping[str, Decimal]:
    """`requests.memory=1Gi,pods=1`; entries that are not quantities are left out."""
    found = {}
    for pair in text.split(","):
        name, _, amount = pair.strip().partition("=")
        try:
            found[name] = parse_quantity(amount)  # type: ignore[no-untyped-call]  # of the official client
        except ValueError:
            continue
    return found
