"""Who calls is found out before anything of a call is read: a stranger's bytes are neither received nor decoded.

gRPC receives the one message of a usual call before its handler begins, but leaves those of a stream of requests to the
handler. On the wire the two are the same. So a call whose token was not good a moment ago gets a handler for streams,
which reads the message when the gate knows the caller. Until then gRPC itself takes in 64 KiB of a call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc

from ...domain.errors import MISSING, InvalidArgument
from ..auditing.auditor import Auditor
from .gate import OPEN, Gate

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]


def read_late(gate: Gate, auditor: Auditor, method: str, handler: Handler) -> Handler | None:
    """`handler` with all that is around it, for callers who are still to be known. None where everybody may call, and
    where it takes a stream of requests anyway."""
    if method in OPEN or handler.request_streaming:
        return None

    decode: Any = handler.request_deserializer
    call: Any = handler.unary_stream if handler.response_streaming else handler.unary_unary

    async def received(requests: AsyncIterator[Any], context: Context) -> Any:
        try:
            await gate.identify(method, context)
        except Exception as error:
            auditor.turned_away(method, None, decode(b""), context.peer(), error)
            raise
        async for request in requests:
            return request
        raise InvalidArgument("", MISSING, "the call has no request")

    async def unary(requests: AsyncIterator[Any], context: Context) -> Any:
        return await call(await received(requests, context), context)

    async def stream(requests: AsyncIterator[Any], context: Context) -> AsyncIterator[Any]:
        async for response in call(await received(requests, context), context):
            yield response

    codecs = (decode, handler.response_serializer)
    if handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler(stream, *codecs)
    return grpc.stream_unary_rpc_method_handler(unary, *codecs)
