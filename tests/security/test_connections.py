"""Connections are limited, slow ones are closed, and nothing of a stranger's message is received."""

from __future__ import annotations

import resource
import select
import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from wazir.clients.client import Client
from wazir.domain.errors import Unauthenticated
from wazir.proto.v1 import study_pb2
from wazir.proto.v1 import study_service_pb2 as api
from wazir.service.connections import MOST, ConnectionSettings, most_connections
from wazir.service.settings import ServiceSettings

from .serving import SETTINGS, SPEC, serving

PATIENCE = 30.0


def connect(address: str) -> socket.socket:
    if address.startswith("unix:"):
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(address.removeprefix("unix:"))
        return connection
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)))


def closed(connection: socket.socket, within: float = PATIENCE) -> bool:
    """Whether the other side closes it, whatever it says before."""
    until = time.monotonic() + within
    while (left := until - time.monotonic()) > 0:
        if select.select([connection], [], [], left)[0]:
            try:
                if not connection.recv(4_096):
                    return True
            except OSError:
                return True
    return False


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_more_connections_than_the_limit_are_closed_as_they_come(kind: str, tmp_path: Path) -> None:
    listen = "127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/s"
    settings = ServiceSettings(connections=ConnectionSettings(connections=3))
    with serving(settings, listen=listen) as served:
        kept = [connect(served.address) for _ in range(3)]
        for connection in kept:
            # What gRPC says first tells that it was accepted.
            assert connection.recv(1)
        assert all(closed(connect(served.address)) for _ in range(3))

        for connection in kept:
            connection.close()
        with Client(served.address, retry_for=PATIENCE) as client:
            client.create_study("s", SPEC)


def test_a_connection_that_says_nothing_is_closed() -> None:
    with serving(ServiceSettings(connections=ConnectionSettings(handshake=0.5))) as served:
        assert closed(connect(served.address))


def test_without_a_setting_as_many_as_files_may_be_open() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, before[1]))
        assert most_connections() == 824
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert most_connections() <= MOST


STRANGERS = {
    "no token": (),
    "a token that nobody has heard of": (("authorization", "Bearer wazir_0123456789_" + "a" * 43),),
    "another scheme": (("authorization", "Basic dTpw"),),
    "an attempt's token that is forged": (("authorization", "Bearer wazira_" + "A" * 40 + "_" + "0" * 64),),
}


@pytest.mark.parametrize("who", STRANGERS)
def test_nothing_of_a_strangers_message_is_decoded(who: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    read: Callable[[bytes], api.CreateStudyRequest] = api.CreateStudyRequest.FromString

    def counting(data: bytes) -> api.CreateStudyRequest:
        if data:
            decoded.append(len(data))
        return read(data)

    monkeypatch.setattr(api.CreateStudyRequest, "FromString", counting)
    with serving(replace(SETTINGS, token_max_age=60.0)) as served, grpc.insecure_channel(served.address) as channel:
        call: Any = channel.unary_unary("/wazir.v1.StudyService/CreateStudy")
        spec = study_pb2.Study(metadata={"a": "x" * 1_000_000})
        request = api.CreateStudyRequest(parent="owners/default", study_id="s", study=spec).SerializeToString()
        with pytest.raises(grpc.RpcError) as refused:
            call(request, metadata=STRANGERS[who], timeout=PATIENCE)
        answer: Any = refused.value
        assert answer.code() is grpc.StatusCode.UNAUTHENTICATED
        assert decoded == []

        with Client(served.address, token=served.token(), retry_for=0) as client:
            client.create_study("s", SPEC)
            client.create_study("t", SPEC)
        assert len(decoded) == 2


def test_calls_and_watches_of_whoever_is_not_known_yet_are_answered_like_others() -> None:
    """The first call with a token is read late, and so is each of the stranger."""
    with serving(SETTINGS) as served, Client(served.address, token=served.token(), retry_for=0) as client:
        client.create_study("s", SPEC)
        watch = client.watch_trials("s")
        assert next(watch).study.name.study == "s"
        client.create_trial("s", {"x": 0.5})
        assert [t.id for t in next(watch).trials] == [1]
        with pytest.raises(Unauthenticated), Client(served.address, retry_for=0) as stranger:
            next(stranger.watch_trials("s"))


def test_strangers_that_take_all_connections_of_one_address_leave_the_others_open(tmp_path: Path) -> None:
    settings = ServiceSettings(connections=ConnectionSettings(connections=2))
    with serving(settings, listen="127.0.0.1:0", also=f"unix:{tmp_path}/s") as served:
        kept = [connect(served.address) for _ in range(2)]
        assert all(connection.recv(1) for connection in kept)
        assert closed(connect(served.address))
        with Client(f"unix:{tmp_path}/s", retry_for=0) as client:
            client.create_study("s", SPEC)
