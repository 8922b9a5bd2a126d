"""A network that can be broken: a TCP proxy in a thread of its own, between a client and a server.

    with Network(("127.0.0.1", port)) as net:
        client = Client(net.address)
        net.silence()
        ...
        net.heal()

What can be done to it, from any thread and at any moment; each call returns when it is so:

- `hold`: nothing passes, nothing is lost. Connections stay open, new ones are accepted and stay silent. What was held
  arrives after `heal`. So does a network that is away for a moment.
- `silence`: what is sent is lost. Connections stay open and are silent for ever, also after `heal`, which only helps
  those made afterwards. So does a firewall that forgets its connections, or a machine that vanishes.
- `delay`: everything arrives some seconds later.
- `half_open`: one side is told that its connections have ended. The other side still believes in them.
- `reset`: both sides are told (RST).
- `refuse`: new connections are refused; open ones live on.
- `heal`: everything passes again.

`hold`, `silence` and `delay` take the ways that they are about: `Way.TO_SERVER`, `Way.TO_CLIENT` or, by default, both.

One thing a proxy cannot do: both kernels acknowledge what they receive, so neither side's TCP keepalive nor
`TCP_USER_TIMEOUT` ever sees anything wrong. Only limits of the programs themselves are tried here.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

LIMIT = 10.0
"""Seconds that any change of the network may take."""
_CHUNK = 65536
_AT_ONCE = struct.pack("ii", 1, 0)
"""SO_LINGER with which `close` sends RST."""


class Way(Enum):
    TO_SERVER = "to server"
    TO_CLIENT = "to client"


BOTH = (Way.TO_SERVER, Way.TO_CLIENT)


class Side(Enum):
    CLIENT = "client"
    SERVER = "server"


class Network:
    """Listens on `port` of the loopback and connects each who comes with `server`, a host and a port."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._ways = {way: _Way() for way in Way}
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network")
        self._accepting: asyncio.Task[None] | None = None
        self._listener = _bound(0)
        self.port: int = self._listener.getsockname()[1]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def connections(self) -> int:
        """How many are open on at least one side, silent ones too."""
        return self._do(lambda: len(self._links))

    def hold(self, *ways: Way) -> None:
        def hold() -> None:
            for way in ways or BOTH:
                self._ways[way].passes.clear()

        self._do(hold)

    def silence(self, *ways: Way) -> None:
        def silence() -> None:
            for way in ways or BOTH:
                self._ways[way].loses = True
                self._ways[way].passes.set()
                for link in self._links:
                    link.deaf.add(way)

        self._do(silence)

    def delay(self, seconds: float, *ways: Way) -> None:
        for way in ways or BOTH:
            self._ways[way].delay = seconds

    def half_open(self, believes: Side) -> None:
        """All connections that are open now: `believes` is the side that is not told."""
        self._each(lambda link: link.halve(believes))

    def reset(self) -> None:
        """All connections that are open now."""
        self._each(lambda link: link.close(reset=True))

    def refuse(self) -> None:
        self._do(self._refuse)

    def heal(self) -> None:
        def heal() -> None:
            for way in self._ways.values():
                way.heal()
            if self._accepting is None:
                self._accept()

        self._do(heal)

    def __enter__(self) -> Network:
        self._thread.start()
        self._do(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(LIMIT)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LIMIT)
        self._loop.close()

    async def _close(self) -> None:
        self._refuse()
        self._listener.close()

        for link in list(self._links):
            link.close(reset=True)

        rest = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*rest, return_exceptions=True)

    def _do(self, change: Callable[[], T]) -> T:
        async def call() -> T:
            return change()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result(LIMIT)

    def _each(self, change: Callable[[_Link], None]) -> None:
        def each() -> None:
            for link in list(self._links):
                change(link)

        self._do(each)

    def _accept(self) -> None:
        self._listener.listen(128)
        self._accepting = self._loop.create_task(self._serve())

    def _refuse(self) -> None:
        if self._accepting is None:
            return

        self._accepting.cancel()
        self._accepting = None
        _close(self._listener)
        # Bound and not listening: it refuses, and nobody else takes the port meanwhile.
        self._listener = _bound(self.port)

    async def _serve(self) -> None:
        while True:
            client, _ = await self._loop.sock_accept(self._listener)
            link = _Link(client, {way for way, state in self._ways.items() if state.loses}, self._links.discard)
            self._links.add(link)
            link.start(self._connect(link))

    async def _connect(self, link: _Link) -> None:
        """From the first byte of a connection to its last."""
        for way in BOTH:
            await self._ways[way].passes.wait()
        if len(link.deaf) == len(BOTH):
            await _lose(link.client)
            return

        link.server = _socket()
        try:
            await self._loop.sock_connect(link.server, self._server)
        except OSError:
            link.close(reset=True)
            return

        link.start(self._pump(link, link.client, link.server, Way.TO_SERVER))
        link.start(self._pump(link, link.server, link.client, Way.TO_CLIENT))

    async def _pump(self, link: _Link, source: socket.socket, target: socket.socket, way: Way) -> None:
        state = self._ways[way]
        data: bytes | None = b"first"
        while data:
            try:
                data = await self._loop.sock_recv(source, _CHUNK)
            except OSError:
                data = None  # it was reset

            if state.delay:
                await asyncio.sleep(state.delay)
            await state.passes.wait()

            # An end or a reset is lost like everything else: then the other side goes on believing.
            if way not in link.deaf:
                await link.pass_on(data, target)


@dataclass
class _Way:
    """How one direction is at the moment."""

    passes: asyncio.Event = field(default_factory=asyncio.Event)
    loses: bool = False
    delay: float = 0.0

    def __post_init__(self) -> None:
        self.passes.set()

    def heal(self) -> None:
        self.loses = False
        self.delay = 0.0
        self.passes.set()


class _Link:
    """One connection: its end at the client and, once there is one, its end at the server."""

    def __init__(self, client: socket.socket, deaf: set[Way], closed: Callable[[_Link], None]) -> None:
        self.client = client
        self.server: socket.socket | None = None
        self.deaf = deaf
        """The ways on which nothing arrives any more."""
        self._closed = closed
        self._tasks: list[asyncio.Task[None]] = []
        self._ended = 0

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.get_running_loop().create_task(work))

    async def pass_on(self, data: bytes | None, target: socket.socket) -> None:
        """Bytes, an end (no bytes) or a reset (none)."""
        try:
            if data:
                await asyncio.get_running_loop().sock_sendall(target, data)
            elif data is not None:
                target.shutdown(socket.SHUT_WR)
                self._ended += 1
        except OSError:
            data = None
        if data is None or self._ended == len(BOTH):
            self.close(reset=data is None)

    def halve(self, believes: Side) -> None:
        left, gone = (self.client, self.server) if believes is Side.CLIENT else (self.server, self.client)
        if left is None:
            self.close(reset=True)
            return

        self._stop()
        if gone is not None:
            _close(gone, reset=True)
        self.deaf.update(BOTH)
        self.start(_lose(left))

    def close(self, *, reset: bool) -> None:
        self._stop()
        for end in (self.client, self.server):
            if end is not None:
                _close(end, reset=reset)
        self._closed(self)

    def _stop(self) -> None:
        for task in self._tasks:
            task.cancel()


async def _lose(end: socket.socket) -> None:
    """Reads what comes, so that the sender may go on sending."""
    with suppress(OSError):
        while await asyncio.get_running_loop().sock_recv(end, _CHUNK):
            pass


def _socket() -> socket.socket:
    made = socket.socket()
    made.setblocking(False)
    return made


def _bound(port: int) -> socket.socket:
    made = _socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


def _close(end: socket.socket, *, reset: bool = False) -> None:
    """Whoever still waits for it is forgotten first: another socket may have its number in a moment."""
    if end.fileno() < 0:
        return
    loop = asyncio.get_running_loop()
    loop.remove_reader(end)
    loop.remove_writer(end)
    if reset:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    end.close()
