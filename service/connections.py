"""How many connections there may be, and how long one may take to become one.

gRPC accepts connections by itself and offers no limit for each host: `docs/security.md` says what to put before it.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Final

MOST: Final = 10_000

KEPT_FREE: Final = 200
"""Open files that the service itself may need: the database, its log, worker processes."""


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    connections: int = 0
    """At a time, at each address: more are closed as they come. 0: as many as this process may open files, but for
    those that it needs itself, and MOST at most."""

    calls: int = 1_000
    """At a time on one connection, watches too; more wait at the client."""

    handshake: float = 20.0
    """Seconds until a connection must have said what gRPC and TLS say first."""

    metadata: int = 16 * 1024
    """Bytes of a call's headers."""

    def options(self) -> list[tuple[str, int]]:
        """For a gRPC server."""
        return [
            ("grpc.max_allowed_incoming_connections", self.connections or most_connections()),
            ("grpc.max_concurrent_streams", self.calls),
            ("grpc.server_handshake_timeout_ms", round(self.handshake * 1_000)),
            ("grpc.max_metadata_size", self.metadata),
            ("grpc.absolute_max_metadata_size", self.metadata),
        ]


def most_connections() -> int:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return MOST
    return max(KEPT_FREE, min(MOST, allowed - KEPT_FREE))
