"""Tokens over the wire: who is heard, who is not, and that a refusal tells nothing that is secret."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from wazir.clients.client import Client
from wazir.clients.credentials import Credentials
from wazir.domain.access import EVERY_OWNER, Role
from wazir.domain.errors import InvalidArgument, NotFound, PermissionDenied, Unauthenticated, WazirError
from wazir.proto.v1 import study_service_pb2 as api
from wazir.proto.v1 import study_service_pb2_grpc
from wazir.service.security.tokens import make, revoke
from wazir.storage.memory import MemoryStore

from .serving import SPEC, Served, serving


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving() as served, Client(served.address, token=served.token(), retry_for=0) as client:
        client.create_study("vision/s", SPEC)
        client.create_study("speech/s", SPEC)
        yield served


def of(served: Served, token: str) -> Client:
    return Client(served.address, token=token, retry_for=0)


def test_a_token_opens_its_owners_studies_to_its_role(served: Served) -> None:
    with of(served, served.token("vision", Role.EDITOR)) as client:
        assert client.get_study("vision/s").name.owner == "vision"
        assert [s.name.owner for s in client.list_studies(owner="vision")] == ["vision"]
        (trial,) = client.suggest("vision/s", start=True).trials
        with pytest.raises(PermissionDenied, match="role admin"):
            client.delete_study("vision/s", force=True)
        assert client.get_trial(trial.name) == trial


@pytest.mark.parametrize("name", ["speech/s", "speech/there-is-none"])
def test_a_study_of_another_owner_and_one_that_is_not_there_are_refused_alike(served: Served, name: str) -> None:
    with of(served, served.token("vision", Role.ADMIN)) as client:
        calls: list[Callable[[], object]] = [
            lambda: client.get_study(name),
            lambda: client.suggest(name),
            lambda: client.get_trial(f"{name}/1"),
            lambda: client.delete_study(name),
            lambda: next(iter(client.watch_trials(name))),
            lambda: client.create_study(name, SPEC),
        ]
        for call in calls:
            with pytest.raises(PermissionDenied, match="this token is for owner vision"):
                call()


BAD: dict[str, tuple[Callable[[Served], str], str]] = {
    "none": (lambda served: "", r"asks for a token.*wazir token create"),
    "not a token": (lambda served: "hunter2", "not one of this service"),
    "of another service": (lambda served: make("vision", Role.ADMIN, "", 0.0)[1], "not one of this service"),
    "cut off": (lambda served: served.token()[:-1], "not one of this service"),
    "with one letter changed": (
        lambda served: (text := served.token())[:-1] + ("0" if text[-1] != "0" else "1"),
        "not one of this service",
    ),
    "an id with another token's secret": (
        lambda served: "_".join([*served.token().split("_")[:2], served.token().split("_")[2]]),
        "not one of this service",
    ),
    "expired": (lambda served: served.token(age=60, expires_in=30), r"token \w{10} expired at .* UTC"),
    "revoked": (lambda served: _revoked(served), r"token \w{10} was revoked at .* UTC"),
    "very long": (lambda served: "wzr_" + "x" * 4_000, "not one of this service"),
}


def _revoked(served: Served) -> str:
    text = served.token()
    served.revoke(text)
    return text


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_token_is_refused_in_words_that_hold_nothing_of_it(served: Served, kind: str) -> None:
    make_it, words = BAD[kind]
    token = make_it(served)
    with of(served, token) as client:
        with pytest.raises(Unauthenticated, match=words) as refusal:
            client.get_study("vision/s")
        with pytest.raises(Unauthenticated, match=words):
            next(iter(client.watch_trials("vision/s")))
    told = refusal.value.message
    assert not token or token not in told
    assert not re.search("[0-9a-f]{20}|x{20}", told)


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param([("authorization", "TOKEN")], id="no scheme"),
        pytest.param([("authorization", "Basic TOKEN")], id="another scheme"),
        pytest.param([("authorization", "Bearer ")], id="nothing"),
        pytest.param([("authorization", "Bearer TOKEN"), ("authorization", "Bearer x")], id="two"),
        pytest.param([("x-token", "TOKEN")], id="another header"),
    ],
)
def test_a_token_that_is_not_sent_as_one_is_none(served: Served, metadata: list[tuple[str, str]]) -> None:
    token = served.token()
    sent = [(key, value.replace("TOKEN", token)) for key, value in metadata]
    with grpc.insecure_channel(served.address) as channel:
        stub: Any = study_service_pb2_grpc.StudyServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refusal:
            stub.GetStudy(api.GetStudyRequest(name="vision/s"), metadata=sent)
    error: Any = refusal.value
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert token not in error.details()


def test_a_revoked_token_ends_at_every_server_of_the_database() -> None:
    store = MemoryStore()
    with serving(store=store) as one, serving(store=store) as two:
        text = one.token()
        for served in (one, two):
            with of(served, text) as client:
                assert list(client.list_studies()) == []
        one.revoke(text)
        for served in (one, two):
            with of(served, text) as client, pytest.raises(Unauthenticated, match="revoked"):
                list(client.list_studies())
    store.close()


def test_health_is_open_and_reflection_is_for_any_token(served: Served) -> None:
    with grpc.insecure_channel(served.address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)

        def services(metadata: list[tuple[str, str]]) -> int:
            asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
            (listed,) = stub.ServerReflectionInfo(asked, metadata=metadata)
            return len(listed.list_services_response.service)

        viewer = served.token("nobody", Role.VIEWER)
        assert services([("authorization", f"Bearer {viewer}")]) == 3
        with pytest.raises(grpc.RpcError) as refusal:
            services([])
    error: Any = refusal.value
    assert error.code() is grpc.StatusCode.UNAUTHENTICATED


def test_over_a_unix_socket_no_token_is_asked_for(tmp_path: Path) -> None:
    with serving(listen=f"unix:{tmp_path}/s") as served, Client(served.address, token="any", retry_for=0) as client:
        assert client.create_study("vision/s", SPEC).name.owner == "vision"


# The client's side


@pytest.mark.parametrize(
    ("address", "environment", "sent"),
    [
        ("h:1", {"WAZIR_TOKEN": "a", "WAZIR_TLS": "1"}, "a"),
        ("127.0.0.1:1", {"WAZIR_TOKEN": "a"}, "a"),
        ("[::1]:1", {"WAZIR_TOKEN": "a"}, "a"),
        ("h:1", {"WAZIR_TOKEN": "a", "WAZIR_PLAINTEXT_TOKEN": "1"}, "a"),
        ("h:1", {}, ""),
        ("unix:/s", {"WAZIR_TOKEN": "a"}, ""),
        ("unix:/s", {"WAZIR_TOKEN_FILE": "/nowhere", "WAZIR_CA": "/nowhere"}, ""),
        ("localhost:1", {"WAZIR_TOKEN": "", "WAZIR_TOKEN_FILE": "FILE"}, "of-file"),
        ("localhost:1", {"WAZIR_TOKEN": "a", "WAZIR_TOKEN_FILE": "FILE"}, "a"),
    ],
)
def test_which_token_goes_where(address: str, environment: dict[str, str], sent: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("of-file\n")
    given = {key: value.replace("FILE", str(file)) for key, value in environment.items()}
    metadata = dict(Credentials.find(address, environment=given).metadata)
    assert metadata == ({"authorization": f"Bearer {sent}"} if sent else {})


@pytest.mark.parametrize(
    ("address", "environment", "words"),
    [
        pytest.param("h:1", {"WAZIR_TOKEN": "hunter2"}, r"travel unencrypted to h:1.*WAZIR_CA", id="readable"),
        pytest.param("0.0.0.0:1", {"WAZIR_TOKEN": "hunter2"}, "travel unencrypted", id="readable everywhere"),
        pytest.param("localhost:1", {"WAZIR_TOKEN": "hunter 2"}, "blanks", id="not one word"),
        pytest.param("localhost:1", {"WAZIR_TOKEN": "hünter2"}, "letters that no token has", id="not ASCII"),
        pytest.param("localhost:1", {"WAZIR_TOKEN_FILE": "/no/file"}, "/no/file.*cannot be read", id="no file"),
        pytest.param("localhost:1", {"WAZIR_TOKEN_FILE": "/dev/null"}, "is an empty file", id="empty file"),
        pytest.param("localhost:1", {"WAZIR_TLS": "yes"}, "WAZIR_TLS.*must be 1 or 0", id="neither 1 nor 0"),
    ],
)
def test_what_a_client_will_not_send(address: str, environment: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as refusal:
        Credentials.find(address, environment=environment)
    assert "nter" not in refusal.value.message


def test_credentials_do_not_show_their_token() -> None:
    assert "hunter2" not in repr(Credentials("hunter2"))


# What is kept


def test_what_is_kept_of_a_token_does_not_hold_its_secret() -> None:
    token, text = make("vision", Role.EDITOR, "ci", 1_000.0, 60.0)
    assert re.fullmatch(r"wzr_[a-z0-9]{10}_[0-9a-f]{64}", text)
    assert (token.id, token.owner, token.expire_time) == (text.split("_")[1], "vision", 1_060.0)
    assert text.split("_")[2] not in repr(token)
    assert make("vision", Role.EDITOR, "ci", 1_000.0)[1] != text


@pytest.mark.parametrize(
    ("owner", "label", "expires_in", "field"),
    [
        pytest.param("Vision Team", "", None, "owner", id="no owner's name"),
        pytest.param("**", "", None, "owner", id="nor this"),
        pytest.param("vision", "a\nb", None, "label", id="two lines"),
        pytest.param("vision", "x" * 201, None, "label", id="long"),
        pytest.param("vision", "", 0.0, "expires", id="expired at once"),
        pytest.param("vision", "", -1.0, "expires", id="expired before"),
        pytest.param("vision", "", float("nan"), "expires", id="never or ever"),
        pytest.param("vision", "", 1e11, "expires", id="after all calendars"),
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(owner: str, label: str, expires_in: float | None, field: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        make(owner, Role.VIEWER, label, 1_000.0, expires_in)
    assert refusal.value.field == field


def test_a_token_is_revoked_for_good_and_once() -> None:
    store = MemoryStore()
    token, _ = make(EVERY_OWNER, Role.ADMIN, "", 1.0)
    store.write(lambda tx: tx.insert_token(token))
    assert store.write(lambda tx: revoke(tx, token.id, 5.0)).revoke_time == 5.0
    assert store.write(lambda tx: revoke(tx, token.id, 9.0)).revoke_time == 5.0
    with pytest.raises(NotFound, match="wazir token list") as refusal:
        store.write(lambda tx: revoke(tx, "unknown", 9.0))
    assert isinstance(refusal.value, WazirError)
    store.close()
