"""What a cluster says of a pod's size, in its own words (Kubernetes 1.34)."""

from __future__ import annotations

import pytest

from wazir.controller.kubernetes.size import fits_no_node, refused_for_size

NODES = "0/2 nodes are available: "
TAINT = "1 node(s) had untolerated taint(s)"
CLAIMS = ". no new claims to deallocate, preemption: 0/2 nodes are available: "
USELESS = "2 Preemption is not helpful for scheduling."
VICTIMS = "1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."


@pytest.mark.parametrize(
    ("words", "never"),
    [
        (f"{NODES}1 Insufficient nvidia.com/gpu, {TAINT}{CLAIMS}{USELESS}", True),
        (f"{NODES}1 Insufficient memory, 1 Insufficient nvidia.com/gpu, {TAINT}{CLAIMS}{USELESS}", True),
        (f"{NODES}1 Insufficient nvidia.com/gpu, {TAINT}{CLAIMS}{VICTIMS}", False),
        (f"{NODES}1 node(s) didn't match Pod's node affinity/selector, {TAINT}{CLAIMS}{USELESS}", False),
        (f"{NODES}2 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never.", False),
        (f"{NODES}2 Insufficient cpu. preemption: 0/2 nodes are available: 2 No preemption victims found", False),
        ("waits for the scheduler", False),
    ],
)
def test_a_cluster_that_is_full_is_none_that_is_too_small(words: str, never: bool) -> None:
    assert fits_no_node(words) is never


QUOTA = 'pods "s-1-1" is forbidden: exceeded quota: q, requested: {}, used: {}, limited: {}'
MEMORY = "requests.memory=1Gi,requests.nvidia.com/gpu={}"


@pytest.mark.parametrize(
    ("words", "never"),
    [
        (QUOTA.format(MEMORY.format(32), MEMORY.format(0), MEMORY.format(20)), True),
        (QUOTA.format(MEMORY.format(4), MEMORY.format(18), MEMORY.format(20)), False),
        (QUOTA.format("limits.memory=20Gi", "limits.memory=0", "limits.memory=10240Mi"), True),
        (QUOTA.format("limits.memory=10Gi", "limits.memory=1Gi", "limits.memory=10240Mi"), False),
        (QUOTA.format("pods=1", "pods=7", "pods=7"), False),
        ('pods "q2" is forbidden: maximum memory usage per Container is 2Gi, but limit is 3Gi', True),
        ('pods "q2" is forbidden: minimum memory usage per Container is 2Gi, but request is 1Gi', False),
        ('pods "q2" is forbidden: violates PodSecurity "restricted:latest"', False),
    ],
)
def test_a_quota_that_is_used_up_is_none_that_is_too_small(words: str, never: bool) -> None:
    assert refused_for_size(words) is never
