"""Puts the gate before every call of the server, whoever made its handler."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc

from .gate import Gate

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]


class SecurityInterceptor(grpc.aio.ServerInterceptor):
    """Stands behind the interceptor that turns errors into statuses."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        return None if handler is None else _guard(self._gate, handler_call_details.method, handler)


def _guard(gate: Gate, method: str, handler: Handler) -> Handler:
    codecs = (handler.request_deserializer, handler.response_serializer)
    # A stream of requests is admitted before the first of them is read.
    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler(_stream(gate, method, handler.stream_stream), *codecs)
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(_unary(gate, method, handler.stream_unary), *codecs)
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(_stream(gate, method, handler.unary_stream), *codecs)
    return grpc.unary_unary_rpc_method_handler(_unary(gate, method, handler.unary_unary), *codecs)


def _unary(gate: Gate, method: str, call: Any) -> Any:
    async def guarded(request: Any, context: Context) -> Any:
        await gate.admit(method, request, context)
        return await call(request, context)

    return guarded


def _stream(gate: Gate, method: str, call: Any) -> Any:
    async def guarded(request: Any, context: Context) -> AsyncIterator[Any]:
        caller = await gate.admit(method, request, context)
        with gate.limits.stream(caller):
            responses = call(request, context)
            if caller.revocable:
                responses = gate.watched(method, request, context, responses)
            async for response in responses:
                yield response

    return guarded
