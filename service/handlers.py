"""All calls that a server answers, by name, each wrapped by its interceptors once and for all.

grpc.aio would run the interceptors at every call, as coroutines that wrap its handler again. And it would wait for
each method that it is told of beforehand ("registered") by itself: its server then builds a wait over all of them at
every call, whichever comes (grpcio 1.81, grpc/grpc#43461). Together that is an eighth of what a call costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]


Metadata = Sequence[tuple[str, str | bytes]]


@dataclass
class _Call:
    """As much of a call as is known before there is one."""

    method: str
    invocation_metadata: tuple[tuple[str, str | bytes], ...] = ()


class Handlers(grpc.GenericRpcHandler):
    """Stands in for the server where generated code adds a service, and gives the server the handlers that it found."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._late: dict[str, Handler] = {}
        self._recognises: Callable[[Metadata], bool] | None = None

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Part of what generated code calls. The same handlers come by name as well."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Handler]) -> None:
        """Part of what generated code calls: a service's handlers by name."""
        self._handlers |= {f"/{service}/{name}": handler for name, handler in handlers.items()}

    async def intercept(self, interceptors: Sequence[grpc.aio.ServerInterceptor]) -> None:
        """Wraps every handler; the first interceptor is the outermost. They may ask for the method alone, since this is
        no call yet."""
        for interceptor in reversed(interceptors):
            for method, handler in self._handlers.items():

                async def inner(_: grpc.HandlerCallDetails, handler: Handler = handler) -> Handler:
                    return handler

                wrapped = await interceptor.intercept_service(inner, _Call(method))
                assert wrapped is not None, f"{type(interceptor).__name__} wraps handlers and takes none away"
                self._handlers[method] = wrapped

    async def distinguish(
        self,
        recognises: Callable[[Metadata], bool],
        late: Callable[[str, Handler], Handler | None],
        errors: grpc.aio.ServerInterceptor,
    ) -> None:
        """From now on calls whose metadata `recognises` does not know get the handlers that `late` makes of the usual
        ones, within the interceptor for `errors`."""
        self._recognises = recognises
        for method, handler in self._handlers.items():
            if (other := late(method, handler)) is not None:

                async def inner(_: grpc.HandlerCallDetails, other: Handler = other) -> Handler:
                    return other

                wrapped = await errors.intercept_service(inner, _Call(method))
                assert wrapped is not None
                self._late[method] = wrapped

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """None for a method that is not there: the server answers UNIMPLEMENTED."""
        if self._recognises is not None and not self._recognises(handler_call_details.invocation_metadata or ()):
            late = self._late.get(handler_call_details.method)
            if late is not None:
                return late
        return self._handlers.get(handler_call_details.method)
