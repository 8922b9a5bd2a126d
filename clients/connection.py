"""The way to a service: its address, one channel, patience with a service that is away, and errors of our own.

A call that finds the service away is made again, with growing pauses, for `retry_for` seconds. That is harmless: calls
that create carry a `request_id`, the others mean the same when said twice.
"""

from __future__ import annotations

# Before all else that imports grpc.
from .grpc_import import grpc  # isort: split

import os
import re
import threading
import time
import weakref
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from ..domain.errors import DeadlineExceeded, FailedPrecondition, InvalidArgument, RateLimited, Unavailable, WazirError
from ..proto.v1 import study_service_pb2_grpc
from ..wire.errors import STATUS_KEY, from_rpc
from .credentials import CA_VARIABLE, TLS_VARIABLE, Credentials
from .local_address import DEFAULT_DATABASE, address_of
from .pauses import pauses

ADDRESS_VARIABLE = "WAZIR_ADDRESS"
DATABASE_VARIABLE = "WAZIR_DB"

OPTIONS: list[tuple[str, int]] = [
    # A list of a thousand trials passes gRPC's own 4 MiB.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", 64 * 1024 * 1024),
    # A peer that vanished without a word is noticed, in calls and in streams that are quiet.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Our own pauses are the longer ones; a service that is back is found at once.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A forked child's channel would otherwise share the parent's sockets.
    ("grpc.use_local_subchannel_pool", 1),
]

_HOST_AND_PORT = re.compile(r"(\[[0-9a-fA-F:.%]+\]|[^\s:/\[\]]+):(\d{1,5})")


def check_address(address: str, field: str = "address") -> str:
    """`address` itself where it is `host:port` or `unix:/path`. Raises InvalidArgument."""
    match = _HOST_AND_PORT.fullmatch(address)
    if (match and 0 < int(match[2]) <= 65_535) or re.fullmatch(r"unix:/[^\0]+", address):
        return address
    hint = 'For instance "localhost:8470"'
    if "://" in address:
        hint = f'Without the scheme: "{address.partition("://")[2].rstrip("/")}"'
    raise InvalidArgument(field, address, "must be host:port or unix:/path", hint)


def resolve_address(address: str | None = None, database: str | os.PathLike[str] | None = None) -> str:
    """The service to talk to: `address`, else that of `database`, else WAZIR_ADDRESS, else that of this folder.

    A folder's database is WAZIR_DB or `.wazir/wazir.db`. Raises InvalidArgument on a malformed address, and Unavailable
    where nothing is named and this folder has no service.
    """
    if address is not None:
        return check_address(address)
    if database is None and (named := os.environ.get(ADDRESS_VARIABLE)):
        return check_address(named, ADDRESS_VARIABLE)
    file = Path(database or os.environ.get(DATABASE_VARIABLE) or DEFAULT_DATABASE).absolute()
    found = address_of(file)
    if database is None and not Path(found.removeprefix("unix:")).exists():
        raise Unavailable(
            f"no service is named, and none serves {file}; start one with `wazir serve` in this folder, or name one by "
            f"`address=` or {ADDRESS_VARIABLE}"
        )
    return found


def wait_after(error: WazirError, pause: float, rest: float) -> float | None:
    """Seconds to wait before a call that failed is made again; None where it is not to be made again. `pause`: those
    that patience has next; `rest`: those that it has left.

    A service that says how long to wait is obeyed, or not asked again.
    """
    if rest <= 0:
        return None
    if isinstance(error, RateLimited):
        return max(pause, error.retry_after) if error.retry_after <= rest else None
    return min(pause, rest) if isinstance(error, Unavailable) else None


class Connection:
    """One channel to one service. Every thread may use it, and so may forked children: each makes a channel of its own.

    `address` as `check_address` has it. The channel is made with the first call. Raises InvalidArgument where a
    file of the credentials cannot be read.
    """

    def __init__(self, address: str, credentials: Credentials | None = None) -> None:
        self.address = check_address(address)
        credentials = credentials or Credentials()
        self._metadata = credentials.metadata
        # Read here: a missing file is to be told at once, and not by the first call in some thread.
        self._tls = None if credentials.tls is None else grpc.ssl_channel_credentials(*credentials.tls.read())
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._stub: study_service_pb2_grpc.StudyServiceStub | None = None
        self._closed = False
        _connections.add(self)

    def call(
        self,
        method: str,
        request: Message,
        *,
        timeout: float,
        retry_for: float,
        done_where: type[WazirError] | None = None,
    ) -> Any:
        """The response of a call. `timeout`: seconds for each try; `retry_for`: seconds to go on trying while the
        service is away, or asks to slow down. Raises the error that the service raised, Unavailable, or
        DeadlineExceeded.

        `done_where`: an error which shows, after a try that broke off, that this try had been done: None is returned.
        """
        until = time.monotonic() + retry_for
        broken_off = False
        for pause in pauses():
            try:
                with _gate:
                    return getattr(self._connected(), method)(request, timeout=timeout, metadata=self._metadata)
            except grpc.RpcError as error:
                told = self.explain(error, timeout)
                rest = until - time.monotonic()
                if broken_off and done_where is not None and isinstance(told, done_where):
                    return None
                wait = wait_after(told, pause, rest)
                if wait is None:
                    raise told from error
                # What was refused for being too much was certainly not done.
                broken_off |= isinstance(told, Unavailable)
            time.sleep(wait)
        raise AssertionError("pauses never end")

    def stream(self, method: str, request: Message) -> Any:
        """The call of a server stream: iterate over it, or `cancel()` it from any thread. Raises grpc.RpcError."""
        return getattr(self._connected(), method)(request, metadata=self._metadata)

    def explain(self, error: grpc.RpcError, timeout: float | None = None) -> WazirError:
        """The error behind a failed call, in words that name this service."""
        call: Any = error  # what a call raises is a grpc.Call too
        code: grpc.StatusCode = call.code()
        if any(key == STATUS_KEY for key, _ in call.trailing_metadata() or ()):
            return from_rpc(error)
        if code is grpc.StatusCode.UNAVAILABLE and (refusal := self._not_secured(call.details() or "")) is not None:
            return refusal
        # A server that is told to end cancels what it could not finish.
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            return Unavailable(
                f"no Wazir service answers at {self.address}; start one with `wazir serve`, or name another by "
                f"--address, `address=` or {ADDRESS_VARIABLE}",
                details={"address": self.address},
            )
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and timeout is not None:
            return DeadlineExceeded(f"the service at {self.address} did not answer within {timeout:g} s")
        return from_rpc(error)

    def _not_secured(self, words: str) -> WazirError | None:
        """The error where the two sides do not agree on TLS, which trying again would not change. `words`: gRPC's."""
        if "CERTIFICATE_VERIFY_FAILED" in words or "is not in peer certificate" in words:
            why = words.rpartition("CERTIFICATE_VERIFY_FAILED: ")[2].removesuffix(": OK")
            return FailedPrecondition(
                f"the certificate of the service at {self.address} is not to be trusted: {why}. Name the authority "
                f"that issued it (--ca, `tls=` or {CA_VARIABLE}), and the service by the name in its certificate"
            )
        if "WRONG_VERSION_NUMBER" in words:
            return FailedPrecondition(
                f"the service at {self.address} does not speak TLS: leave out --tls, --ca, `tls=`, {CA_VARIABLE} and "
                f"{TLS_VARIABLE}, or name another address"
            )
        if "Socket closed" in words:
            # As a service that ends hangs up too, it is tried again.
            wanted = "TLS (--ca, `tls=`)" if self._tls is None else "a client certificate (--client-cert)"
            return Unavailable(
                f"what listens at {self.address} hangs up: perhaps it asks for {wanted}, or it is about to end",
                details={"address": self.address},
            )
        return None

    def close(self) -> None:
        """Ends calls and streams in flight; later ones raise ValueError. Harmless to repeat."""
        with self._lock:
            channel, self._channel, self._stub, self._closed = self._channel, None, None, True
        if channel is not None:
            channel.close()

    def _connected(self) -> study_service_pb2_grpc.StudyServiceStub:
        stub = self._stub
        if stub is not None:
            return stub
        with self._lock:
            if self._closed:
                raise ValueError(f"the client of {self.address} is closed")
            if self._stub is None:
                if self._tls is None:
                    self._channel = grpc.insecure_channel(self.address, OPTIONS)
                else:
                    self._channel = grpc.secure_channel(self.address, self._tls, OPTIONS)
                self._stub = study_service_pb2_grpc.StudyServiceStub(self._channel)
            return self._stub

    def _leave_behind(self) -> None:
        """In a forked child: forgets the parent's channel without closing it."""
        if self._channel is not None:
            _inherited.append(self._channel)
        self._lock = threading.Lock()
        self._channel = self._stub = None


class _ForkGate:
    """Keeps forks and calls apart: grpc survives a fork, on both sides, only where no thread is inside of it.

    A fork waits for calls in flight, but for FORK_PATIENCE at most, because it may be training that forks. Streams are
    not waited for: they end with the process.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._calls = 0
        self._forks = 0

    def __enter__(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._forks)
            self._calls += 1

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._calls -= 1
            self._changed.notify_all()

    def shut(self) -> None:
        with self._changed:
            self._forks += 1
            self._changed.wait_for(lambda: not self._calls, FORK_PATIENCE)

    def open(self) -> None:
        with self._changed:
            # A fork that began before this module was imported has not shut it.
            self._forks = max(0, self._forks - 1)
            self._changed.notify_all()


FORK_PATIENCE = 1.0

_gate = _ForkGate()

_connections: weakref.WeakSet[Connection] = weakref.WeakSet()

_inherited: list[grpc.Channel] = []
"""Channels of the parent, kept so that a forked child never runs their destructors: the threads they need are gone."""


def _after_fork_in_child() -> None:
    global _gate
    _gate = _ForkGate()
    for connection in list(_connections):
        connection._leave_behind()


os.register_at_fork(
    before=lambda: _gate.shut(), after_in_parent=lambda: _gate.open(), after_in_child=_after_fork_in_child
)
