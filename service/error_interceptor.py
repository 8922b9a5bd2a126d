"""Errors of calls as gRPC statuses, and requests that are no message refused instead of logged as defects."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn

import grpc
from google.protobuf.message import DecodeError

from ..domain.errors import MISSING, Internal, InvalidArgument, WazirError
from ..wire.errors import STATUS_KEY, to_status

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
    Context = grpc.aio.ServicerContext[Any, Any]

logger = logging.getLogger(__name__)


class ErrorInterceptor(grpc.aio.ServerInterceptor):
    """Turns the domain's errors into statuses by the one table; anything else is a defect, logged with its trace."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None:
            return None
        codecs = (handler.request_deserializer, handler.response_serializer)
        if handler.request_streaming and handler.response_streaming:
            return grpc.stream_stream_rpc_method_handler(_guarded_stream(handler.stream_stream, method), *codecs)
        if handler.request_streaming:
            return grpc.stream_unary_rpc_method_handler(_guarded(handler.stream_unary, method), *codecs)
        codecs = (_decoding(handler.request_deserializer), handler.response_serializer)
        if handler.response_streaming:
            return grpc.unary_stream_rpc_method_handler(_guarded_stream(handler.unary_stream, method), *codecs)
        return grpc.unary_unary_rpc_method_handler(_guarded(handler.unary_unary, method), *codecs)


class _Undecodable:
    """In place of a request that is no message of its kind."""


def _decoding(decode: Any) -> Any:
    """gRPC would answer what cannot be decoded with UNKNOWN, and log a trace as if that were a defect."""

    def decoded(data: bytes) -> Any:
        try:
            return decode(data)
        except DecodeError:
            return _Undecodable()

    return decoded


def _check_decoded(request: Any) -> None:
    if isinstance(request, _Undecodable):
        raise InvalidArgument("", MISSING, "the request is not a message of the type that this call takes")


def _guarded(call: Any, method: str) -> Any:
    async def guarded(request: Any, context: Context) -> Any:
        try:
            _check_decoded(request)
            return await call(request, context)
        except Exception as error:  # noqa: BLE001 - the one place that turns errors into statuses
            await _abort(context, method, error)

    return guarded


def _guarded_stream(call: Any, method: str) -> Any:
    async def guarded(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            _check_decoded(request)
            async for response in call(request, context):
                yield response
        except Exception as error:  # noqa: BLE001 - as above
            await _abort(context, method, error)

    return guarded


async def _abort(context: Context, method: str, error: Exception) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, WazirError):
        logger.error("%s failed", method, exc_info=error, extra={"action": "call_failed", "method": method})
        error = Internal(f"{type(error).__name__} in {method}; the server's log has the details")
    code, status = to_status(error)
    await context.abort(code, status.message, ((STATUS_KEY, status.SerializeToString()),))
