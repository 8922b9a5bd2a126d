"""Health by the protocol of gRPC (`grpc.health.v1`): SERVING while every loop that must not die turns.

    ""  and  wazir.v1.StudyService    SERVING while all pulses are fresh: send calls here
    live                              SERVING while the event loop answers at all: do not restart this process

The ready-made servicer of grpcio-health-checking holds a lock while it writes to a watcher, so one that does not read
would keep health from ever changing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from grpc_health.v1 import health_pb2, health_pb2_grpc

from ..domain.errors import NotFound, Unavailable
from ..domain.pulse import Pulse

if TYPE_CHECKING:
    import grpc

    Context = grpc.aio.ServicerContext[Any, Any]

LOOK_EVERY: Final = 0.5
"""Seconds between two looks at the pulses."""

LIVE: Final = "live"

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN

logger = logging.getLogger(__name__)


class Health(health_pb2_grpc.HealthServicer):
    """Used on the event loop. NOT_SERVING before `begin` and after `end`."""

    def __init__(self, services: Sequence[str], pulses: Callable[[], Sequence[Pulse]]) -> None:
        self._pulses = pulses
        self._serving = dict.fromkeys(services, False) | {LIVE: True}
        self._changed = asyncio.Event()
        self._silent: set[str] = set()
        """The loops that have been told of since all of them turned."""
        self._ended = False
        """Whether it is never to serve again."""
        self._ending = False
        """Whether watches are to end as well."""

    async def keep(self) -> None:
        """Looks at the pulses again and again."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY)

    def look(self) -> None:
        stale = [pulse for pulse in self._pulses() if not pulse.fresh]
        if not self._ended:
            self._say(stale)
        self._set(not stale and not self._ended)

    def refuse(self) -> None:
        """Never serves again, and goes on saying so."""
        self._ended = True
        self._set(False)

    def end(self) -> None:
        """The server is about to end; watches end."""
        self._ending = True
        self.refuse()
        self._wake()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Context) -> health_pb2.HealthCheckResponse:
        status = self._status(request.service)
        if status is UNKNOWN:
            raise NotFound(f"service {request.service!r}", f"Known are {', '.join(map(repr, self._serving))}")
        return health_pb2.HealthCheckResponse(status=status)

    async def List(self, request: Any, context: Context) -> Any:
        found = {name: health_pb2.HealthCheckResponse(status=self._status(name)) for name in self._serving}
        # Older versions of the protocol have no such message, and nobody can ask for it.
        messages: Any = health_pb2
        return messages.HealthListResponse(statuses=found)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Context
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        told = None
        while True:
            changed, status = self._changed, self._status(request.service)
            if status != told:
                told = status
                yield health_pb2.HealthCheckResponse(status=status)
                continue
            if self._ending:
                raise Unavailable("the service is ending; watch again")
            await changed.wait()

    def _status(self, service: str) -> Any:
        serving = self._serving.get(service)
        return UNKNOWN if serving is None else SERVING if serving else NOT_SERVING

    def _set(self, serving: bool) -> None:
        now = dict.fromkeys(self._serving, serving) | {LIVE: True}
        if now != self._serving:
            self._serving = now
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _say(self, stale: Sequence[Pulse]) -> None:
        """Tells of each loop once, and once that all turn again."""
        if self._silent and not stale:
            names = sorted(self._silent)
            logger.warning("healthy again: %s", ", ".join(names), extra={"action": "healthy", "pulses": names})
            self._silent = set()

        news = [pulse for pulse in stale if pulse.name not in self._silent]
        if news:
            ages = ", ".join(f"{pulse.name} for {pulse.age:.0f} s" for pulse in news)
            extra = {"action": "not_healthy", "pulses": [pulse.name for pulse in news]}
            logger.warning("not healthy: nothing is heard of %s", ages, extra=extra)
            self._silent |= {pulse.name for pulse in news}
