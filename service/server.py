"""The server process's gRPC part: one event loop, health, reflection, limits, and an end that loses nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from ..domain.errors import FailedPrecondition
from ..proto.v1 import study_service_pb2, study_service_pb2_grpc
from ..storage.critical import CriticalTask
from ..storage.store import Store
from .auditing.auditor import Auditor
from .auditing.recorder import Recorder
from .error_interceptor import ErrorInterceptor
from .handlers import Handlers
from .health import Health
from .security.gate import UNIX, Gate
from .security.interceptor import SecurityInterceptor
from .security.unread import read_late
from .service import Service
from .servicer import StudyServicer
from .settings import ServiceSettings
from .store_check import until_lost
from .watchdog import Watchdog

if TYPE_CHECKING:
    from .observe.exposition import Exposition

    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]

SERVICE_NAME = study_service_pb2.DESCRIPTOR.services_by_name["StudyService"].full_name
HEALTH_NAME = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

KEEPALIVE: Final = (
    # A client that vanished without a word is noticed within 30 s, and what it watched is not watched any longer.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # The same where the other kernel, or a proxy, goes on to acknowledge what nobody reads: gRPC's own is a minute.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    # What nobody has used for an hour need not be kept.
    ("grpc.max_connection_idle_ms", 3_600_000),
)
PROBES = 64
"""Calls for health at a time at the address for probes."""

logger = logging.getLogger(__name__)


class Server:
    """A study service that listens. `start` it on a loop; `stop` lets calls in flight end."""

    def __init__(self, store: Store, addresses: Sequence[str], settings: ServiceSettings | None = None) -> None:
        """`addresses`: `host:port` (port 0: any free one) or `unix:/path`. The store stays the caller's to close."""
        self.settings = settings or ServiceSettings()
        self.service = Service(store, self.settings)
        self._gate = Gate(store, self.settings)
        self.service.feed.listen_for_uids(self._gate.note_uid)
        self._recorder = Recorder(store, self.settings.audit)
        self.service.further_pulses.append(self._recorder.pulse)
        self._auditor = Auditor(self._recorder, self.settings.audit)
        self.ports: list[int] = []
        self._addresses = list(addresses)
        self._health = Health(("", SERVICE_NAME), lambda: self.service.pulses)
        self._looking: CriticalTask | None = None
        self._watchdog = Watchdog(self.service.loop_pulse)
        self._probed: grpc.aio.Server | None = None
        """Answers probes of health, and nothing else."""
        self.health_port: int | None = None
        self._server: grpc.aio.Server | None = None
        self._store_check: asyncio.Task[None] | None = None
        self.lost = asyncio.Event()
        """Set when the store can be used no more, `Store.lost` says why. From then on every call is refused with that,
        and health is NOT_SERVING."""
        self._exposition: Exposition | None = None

    @property
    def metrics_port(self) -> int | None:
        """Where figures are shown; None where they are not."""
        return None if self._exposition is None else self._exposition.port

    async def start(self) -> None:
        """Raises FailedPrecondition where an address cannot be bound, and InvalidArgument where the files of TLS are no
        good, before anything is served."""
        await self._gate.start()
        interceptors: list[grpc.aio.ServerInterceptor] = [
            ErrorInterceptor(),
            SecurityInterceptor(self._gate, self._auditor),
        ]
        if self.settings.metrics:
            # Loaded here: a service that nobody measures does not need the library.
            from .observe.exposition import Exposition

            self._exposition = Exposition(self.settings.metrics, self.service)
            interceptors.insert(0, self._exposition.interceptor)
        servicer = StudyServicer(self.service, self._gate.attempt_tokens)
        names = (SERVICE_NAME, HEALTH_NAME, reflection.SERVICE_NAME)
        handlers = Handlers()
        # To generated code, which asks for a server, it looks like one.
        server: Any = handlers
        study_service_pb2_grpc.add_StudyServiceServicer_to_server(servicer, server)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]
            reflection.aio.ReflectionServicer(names), server
        )
        await handlers.intercept(interceptors)
        if self._gate.attempt_tokens is not None:
            late = partial(read_late, self._gate, self._auditor)
            await handlers.distinguish(self._gate.recognises, late, ErrorInterceptor())
        self._server = grpc.aio.server(
            handlers=[handlers],
            options=[
                ("grpc.max_receive_message_length", self.settings.max_request),
                ("grpc.max_send_message_length", self.settings.max_response),
                # Two servers must never share a port: a second one is to fail, not to take half the calls.
                ("grpc.so_reuseport", 0),
                # Clients may ping an idle channel so often, to find a server that is gone.
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
                ("grpc.keepalive_permit_without_calls", 1),
                *KEEPALIVE,
                *self.settings.connections.options(),
            ],
        )
        tls = None if self.settings.tls is None else self.settings.tls.credentials()
        for address in self._addresses:
            self.ports.append(_bound(self._server, address, tls, "--listen"))
        if self.settings.health:
            self._probed, self.health_port = await self._for_probes(self.settings.health)
        await self.service.start()
        self._recorder.start()
        await self._server.start()
        self._looking = CriticalTask(self._health.keep(), "health")
        self._watchdog.start()
        if self._probed is not None:
            await self._probed.start()
        self._store_check = asyncio.create_task(until_lost(self.service.store, self._refuse))

    async def stop(self, grace: float | None = None) -> None:
        """Refuses new calls, ends watches, gives other calls in flight `grace` seconds (the settings' drain where
        None), then ends."""
        if self._store_check is not None:
            self._store_check.cancel()
            await asyncio.gather(self._store_check, return_exceptions=True)
        self._health.end()
        # They would last as long as their watchers do.
        self.service.end_watches()
        if self._server is not None:
            await self._server.stop(self.settings.drain if grace is None else grace)
        if self._probed is not None:
            await self._probed.stop(None)
        if self._looking is not None:
            await self._looking.end()
        self._watchdog.close()
        await self.service.close()
        await self._gate.close()
        self._auditor.close()
        await self._recorder.close()
        if self._exposition is not None:
            self._exposition.close()

    async def wait(self) -> None:
        """Until `stop`."""
        if self._server is not None:
            await self._server.wait_for_termination()

    async def _refuse(self, why: str) -> None:
        self._health.refuse()
        self.service.end_watches()
        self.lost.set()

    async def _for_probes(self, address: str) -> tuple[grpc.aio.Server, int]:
        """A server that answers for health alone, to everybody and unencrypted, as the probes of Kubernetes ask for."""
        handlers = Handlers()
        adding: Any = handlers
        health_pb2_grpc.add_HealthServicer_to_server(self._health, adding)
        await handlers.intercept([ErrorInterceptor()])
        options = [("grpc.so_reuseport", 0), *KEEPALIVE]
        server = grpc.aio.server(handlers=[handlers], options=options, maximum_concurrent_rpcs=PROBES)
        return server, _bound(server, address, None, "--health")


def _bound(server: grpc.aio.Server, address: str, tls: grpc.ServerCredentials | None, option: str) -> int:
    """The port. Raises FailedPrecondition."""
    try:
        if tls is None or address.startswith(UNIX):
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, tls)
    except RuntimeError:
        port = 0
    if not port:
        raise FailedPrecondition(
            f"cannot listen on {address}: it is in use, or not an address of this machine. "
            f"Stop the other server, or choose another with {option}",
            field=option.removeprefix("--"),
        )
    return int(port)
