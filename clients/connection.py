"""Blocking calls over one channel, with patience for a service that is away.

A call that finds the service away is made again, with growing pauses, for `retry_for` seconds. That is harmless: calls
that create carry a `request_id`, the others mean the same when said twice.
"""

from __future__ import annotations

# Before all else that imports grpc.
from .grpc_import import grpc  # isort: split

import os
import threading
import time
import weakref
from typing import Any, TypeVar

from google.protobuf.message import Message

from ..domain.errors import Unavailable
from ..proto.v1 import study_service_pb2_grpc
from .calls import Call
from .endpoint import OPTIONS, STREAM_SECONDS, Endpoint, Patience

T = TypeVar("T")


class Connection:
    """One channel to one service. Every thread may use it, and so may forked children: each makes a channel of its own.

    The channel is made with the first call.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._lock = threading.Lock()
        self._channel: grpc.Channel | None = None
        self._stub: study_service_pb2_grpc.StudyServiceStub | None = None
        self._closed = False
        _connections.add(self)

    def call(self, call: Call[T], *, timeout: float, retry_for: float) -> T | None:
        """The answer to a call. `timeout`: seconds for each try; `retry_for`: seconds to go on trying while the service
        is away, or asks to slow down. Raises the error that the service raised, Unavailable, or DeadlineExceeded.
        """
        patience = Patience(retry_for, time.monotonic())
        broken_off = False
        while True:
            try:
                with _gate:
                    method = getattr(self._connected(), call.method)
                    answer = method(call.request, timeout=timeout, metadata=self.endpoint.metadata)
            except grpc.RpcError as error:
                told = self.endpoint.explain(error, timeout)
                if broken_off and call.done_where is not None and isinstance(told, call.done_where):
                    return None
                wait = patience.wait_after(told, time.monotonic())
                if wait is None:
                    raise told from None
                # What was refused for being too much was certainly not done.
                broken_off |= isinstance(told, Unavailable)
            else:
                return call.read(answer)
            time.sleep(wait)

    def stream(self, method: str, request: Message) -> Any:
        """The call of a server stream: iterate over it, or `cancel()` it from any thread. Raises grpc.RpcError, at the
        latest after STREAM_SECONDS."""
        return getattr(self._connected(), method)(request, timeout=STREAM_SECONDS, metadata=self.endpoint.metadata)

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
                raise ValueError(f"the client of {self.endpoint.address} is closed")
            if self._stub is None:
                if self.endpoint.tls is None:
                    self._channel = grpc.insecure_channel(self.endpoint.address, OPTIONS)
                else:
                    self._channel = grpc.secure_channel(self.endpoint.address, self.endpoint.tls, OPTIONS)
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
