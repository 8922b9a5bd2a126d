"""The one table between Wazir's errors and gRPC status codes, used by the service and by the clients.

An error travels as google.rpc.Status (Google AIP-193): ErrorInfo with domain `wazir`, the class's `reason` and its
details, BadRequest with the field to blame where there is one, and RetryInfo where waiting helps.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from ..domain import errors

DOMAIN = "wazir"
STATUS_KEY = "grpc-status-details-bin"
MAX_MESSAGE_LENGTH = 4_000
"""HTTP/2 peers commonly accept 8 KiB of headers in all, and message and details both travel there."""

CODES: dict[type[errors.WazirError], grpc.StatusCode] = {
    errors.InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.AlreadyExists: grpc.StatusCode.ALREADY_EXISTS,
    errors.FailedPrecondition: grpc.StatusCode.FAILED_PRECONDITION,
    errors.IllegalMove: grpc.StatusCode.FAILED_PRECONDITION,
    errors.RequestIdReused: grpc.StatusCode.FAILED_PRECONDITION,
    errors.SpecChanged: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Aborted: grpc.StatusCode.ABORTED,
    errors.StaleAttempt: grpc.StatusCode.ABORTED,
    errors.RevisionCompacted: grpc.StatusCode.OUT_OF_RANGE,
    errors.ResourceExhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.RateLimited: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.Unimplemented: grpc.StatusCode.UNIMPLEMENTED,
    errors.Internal: grpc.StatusCode.INTERNAL,
}

_BY_REASON = {kind.reason: kind for kind in CODES}
_BY_CODE = {code: kind for kind, code in reversed(CODES.items())}


def to_status(error: errors.WazirError) -> tuple[grpc.StatusCode, status_pb2.Status]:
    """Code and full status of an error of ours."""
    code = CODES[type(error)]
    message = error.message if len(error.message) <= MAX_MESSAGE_LENGTH else error.message[:MAX_MESSAGE_LENGTH] + "..."
    number: int = code.value[0]
    status = status_pb2.Status(code=number, message=message)
    _attach(status, error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.details))
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=message)
        _attach(status, error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, errors.RateLimited | errors.Unavailable) and error.retry_after:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after * 1e9))
        _attach(status, retry)
    return code, status


def from_rpc(error: grpc.RpcError) -> errors.WazirError:
    """The error behind a failed call: of the class it had on the other side, or the nearest one by status code."""
    # Blocking calls raise an RpcError that is a Call too, asynchronous ones an AioRpcError: both have these three.
    call: Any = error
    code: grpc.StatusCode = call.code()
    message: str = call.details() or ""
    packed = next((value for key, value in call.trailing_metadata() or () if key == STATUS_KEY), None)
    kind = _BY_CODE.get(code, errors.Internal)
    info, field, wait = error_details_pb2.ErrorInfo(), "", None
    if packed is not None:
        try:
            status = status_pb2.Status.FromString(packed)
        except DecodeError:
            status = status_pb2.Status()
        message = status.message or message
        bad, retry = error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
        for detail in status.details:
            if detail.Is(info.DESCRIPTOR):
                detail.Unpack(info)
            elif detail.Is(bad.DESCRIPTOR) and detail.Unpack(bad) and bad.field_violations:
                field = bad.field_violations[0].field
            elif detail.Is(retry.DESCRIPTOR) and detail.Unpack(retry):
                wait = retry.retry_delay.ToNanoseconds() / 1e9
    if info.domain == DOMAIN:
        kind = _BY_REASON.get(info.reason, kind)
    elif wait is not None and kind in (errors.ResourceExhausted, errors.Unavailable):
        # Of a proxy before the service.
        kind = errors.RateLimited if kind is errors.ResourceExhausted else kind
        return kind.restore(message or code.name, field, {"retry_after": f"{wait:.3f}"})
    return kind.restore(message or code.name, field, dict(info.metadata))


def _attach(status: status_pb2.Status, detail: Message) -> None:
    packed = any_pb2.Any()
    packed.Pack(detail)
    status.details.append(packed)
