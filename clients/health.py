"""What a service says of its own health, by the protocol of gRPC (`grpc.health.v1`)."""

from __future__ import annotations

# Before all else that imports grpc.
from .grpc_import import grpc  # isort: split

from typing import Any, Final

from .client import Client
from .endpoint import OPTIONS

CHECK: Final = "/grpc.health.v1.Health/Check"
TIMEOUT: Final = 10.0

SERVING: Final = b"\x08\x01"
"""A `HealthCheckResponse` whose only field, `status`, is SERVING. Its generated code is in a package that clients need
for nothing else."""


def is_serving(client: Client) -> bool:
    """Whether all is well with the whole service. Raises the errors of a call."""
    endpoint = client._connection.endpoint
    if endpoint.tls is None:
        channel = grpc.insecure_channel(endpoint.address, OPTIONS)
    else:
        channel = grpc.secure_channel(endpoint.address, endpoint.tls, OPTIONS)
    with channel:
        try:
            check: Any = channel.unary_unary(CHECK)
            answer: bytes = check(b"", timeout=TIMEOUT)
        except grpc.RpcError as error:
            raise endpoint.explain(error, TIMEOUT) from None
    return answer == SERVING
