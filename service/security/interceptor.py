"""Puts the gate before every call of the server, whoever made its handler."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc

from ...domain.errors import PermissionDenied, Unauthenticated
from ..auditing.auditor import Auditor
from .callers import Caller
from .gate import Gate

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]


class SecurityInterceptor(grpc.aio.ServerInterceptor):
    """Stands behind the interceptor that turns errors into statuses, and has recorded what passes and what does not."""

    def __init__(self, gate: Gate, auditor: Auditor) -> None:
        self._gate = gate
        self._auditor = auditor

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        return (
            None if handler is None else _Guard(self._gate, self._auditor, handler_call_details.method).around(handler)
        )


class _Guard:
    """The gate before one method."""

    def __init__(self, gate: Gate, auditor: Auditor, method: str) -> None:
        self._gate = gate
        self._auditor = auditor
        self._method = method

    def around(self, handler: Handler) -> Handler:
        codecs = (handler.request_deserializer, handler.response_serializer)
        # A stream of requests is admitted before the first of them is read.
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(self._stream(handler.stream_stream), *codecs)
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(self._unary(handler.stream_unary), *codecs)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(self._stream(handler.unary_stream), *codecs)
        return grpc.unary_unary_rpc_method_handler(self._unary(handler.unary_unary), *codecs)

    def _unary(self, call: Any) -> Any:
        async def guarded(request: Any, context: Context) -> Any:
            caller = await self._admitted(request, context)
            return await self._auditor.make(call, self._method, caller, request, context)

        return guarded

    def _stream(self, call: Any) -> Any:
        async def guarded(request: Any, context: Context) -> AsyncIterator[Any]:
            caller = await self._admitted(request, context)
            with self._gate.limits.stream(caller):
                responses = call(request, context)
                if caller.revocable:
                    responses = self._gate.watched(self._method, request, context, responses)
                try:
                    async for response in responses:
                        yield response
                except (Unauthenticated, PermissionDenied) as error:
                    self._auditor.turned_away(self._method, caller, request, context.peer(), error)
                    raise

        return guarded

    async def _admitted(self, request: Any, context: Context) -> Caller:
        caller = None
        try:
            caller = await self._gate.identify(self._method, context)
            await self._gate.admit(caller, self._method, request)
        except Exception as error:
            self._auditor.turned_away(self._method, caller, request, context.peer(), error)
            raise
        return caller
