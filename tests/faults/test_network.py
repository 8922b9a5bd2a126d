"""The network that other tests break does what it says, seen from both of its sides."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from .network import Network, Side, Way

LIMIT = 10.0
A_MOMENT = 0.2
"""How long nothing has to come until it is taken for silence."""


class Ends:
    """A network, the server behind it, and what lies at either end of its connections."""

    def __init__(self, listener: socket.socket, net: Network) -> None:
        self._listener = listener
        self.net = net
        self._open: list[socket.socket] = []

    def connect(self) -> tuple[socket.socket, socket.socket]:
        """Both ends of a new connection."""
        return self.client(), self.server()

    def client(self) -> socket.socket:
        return self._keep(socket.create_connection(("127.0.0.1", self.net.port), LIMIT))

    def server(self) -> socket.socket:
        end = self._listener.accept()[0]
        end.settimeout(LIMIT)
        return self._keep(end)

    def close(self) -> None:
        for end in self._open:
            end.close()

    def _keep(self, end: socket.socket) -> socket.socket:
        self._open.append(end)
        return end


@pytest.fixture
def ends() -> Iterator[Ends]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT)
        with Network(listener.getsockname()) as net:
            made = Ends(listener, net)
            yield made
            made.close()


def talk(one: socket.socket, other: socket.socket) -> None:
    """Both hear each other."""
    for source, target in ((one, other), (other, one)):
        source.sendall(b"word")
        assert target.recv(100) == b"word"


def silent(end: socket.socket) -> bool:
    end.settimeout(A_MOMENT)
    try:
        end.recv(100)
    except TimeoutError:
        return True
    finally:
        end.settimeout(LIMIT)
    return False


def dead(end: socket.socket) -> bool:
    try:
        return end.recv(100) == b""
    except ConnectionResetError:
        return True


def test_it_passes_everything_on(ends: Ends) -> None:
    client, server = ends.connect()
    talk(client, server)
    client.shutdown(socket.SHUT_WR)
    assert server.recv(100) == b""
    server.sendall(b"last words")
    server.close()
    assert client.recv(100) == b"last words"
    assert client.recv(100) == b""


def test_what_is_held_arrives_later(ends: Ends) -> None:
    client, server = ends.connect()
    ends.net.hold()
    client.sendall(b"held")
    assert silent(server)
    ends.net.heal()
    assert server.recv(100) == b"held"
    talk(client, server)


def test_a_connection_made_while_all_is_held_lives_afterwards(ends: Ends) -> None:
    ends.net.hold()
    client = ends.client()
    client.sendall(b"hello")
    assert silent(client)
    ends.net.heal()
    server = ends.server()
    assert server.recv(100) == b"hello"
    talk(client, server)


def test_what_is_lost_stays_lost_and_only_new_connections_heal(ends: Ends) -> None:
    client, server = ends.connect()
    ends.net.silence()
    late = ends.client()
    for end in (client, late, server):
        end.sendall(b"lost")
    assert silent(server)
    assert silent(client)
    ends.net.heal()
    client.sendall(b"lost too")
    assert silent(server)
    assert silent(late)
    talk(*ends.connect())


@pytest.mark.parametrize("way", list(Way))
def test_one_direction_alone_is_silent(ends: Ends, way: Way) -> None:
    client, server = ends.connect()
    ends.net.silence(way)
    for end in (client, server):
        end.sendall(b"word")
    hears, deaf = (client, server) if way is Way.TO_SERVER else (server, client)
    assert hears.recv(100) == b"word"
    assert silent(deaf)


def test_nobody_learns_through_a_silent_network_that_the_other_is_gone(ends: Ends) -> None:
    client, server = ends.connect()
    ends.net.silence()
    client.close()
    assert silent(server)
    server.sendall(b"are you there?")
    assert silent(server)


def test_delay(ends: Ends) -> None:
    client, server = ends.connect()
    ends.net.delay(0.3, Way.TO_SERVER)
    began = time.monotonic()
    client.sendall(b"late")
    assert server.recv(100) == b"late"
    assert time.monotonic() - began >= 0.3


@pytest.mark.parametrize("believes", list(Side))
def test_half_open(ends: Ends, believes: Side) -> None:
    client, server = ends.connect()
    talk(client, server)
    ends.net.half_open(believes)
    left, gone = (client, server) if believes is Side.CLIENT else (server, client)
    assert dead(gone)
    left.sendall(b"are you there?")
    assert silent(left)
    talk(*ends.connect())


def test_reset(ends: Ends) -> None:
    client, server = ends.connect()
    talk(client, server)
    ends.net.reset()
    assert dead(client)
    assert dead(server)
    assert ends.net.connections == 0
    talk(*ends.connect())


def test_refused_connections_leave_the_open_ones_alone(ends: Ends) -> None:
    client, server = ends.connect()
    ends.net.refuse()
    ends.net.refuse()
    with pytest.raises(ConnectionRefusedError):
        ends.client()
    talk(client, server)
    ends.net.heal()
    talk(*ends.connect())


def test_a_server_that_is_away_ends_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    with Network(address) as net, socket.create_connection(("127.0.0.1", net.port), LIMIT) as client:
        assert dead(client)
