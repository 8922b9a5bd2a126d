"""TLS and mTLS with certificates of the test's own, and what clients are told where the two sides do not agree."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from click.testing import CliRunner
from google.protobuf import descriptor_pool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from wazir.app.cli import cli
from wazir.clients.client import Client
from wazir.clients.credentials import Tls
from wazir.domain.access import Role
from wazir.domain.errors import FailedPrecondition, InvalidArgument, NotFound, Unauthenticated, Unavailable
from wazir.service.security.tls import TlsFiles

from .certificates import Authority
from .serving import SETTINGS, SPEC, Served, serving


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def stranger(folder: Path) -> Authority:
    return Authority(folder, "stranger")


@pytest.fixture(scope="module")
def served(authority: Authority) -> Iterator[Served]:
    with serving(replace(SETTINGS, tls=TlsFiles(*authority.issue("server")))) as served:
        yield served


@pytest.fixture(scope="module")
def mutual(authority: Authority) -> Iterator[Served]:
    files = TlsFiles(*authority.issue("mutual"), client_ca=authority.file)
    with serving(replace(SETTINGS, authenticate=False, tls=files)) as served:
        yield served


def hear(served: Served, tls: Tls | bool | None, token: str = "") -> None:
    """A call that is heard."""
    with Client(served.address, tls=tls, token=token, retry_for=0) as client, pytest.raises(NotFound):
        client.get_study("none")


def test_a_token_travels_over_tls(served: Served, authority: Authority) -> None:
    hear(served, Tls(authority.file), served.token())
    with (
        Client(served.address, tls=Tls(authority.file), token="", retry_for=0) as client,
        pytest.raises(Unauthenticated),
    ):
        client.get_study("none")


def test_the_environment_says_whom_to_trust(
    served: Served, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAZIR_CA", str(authority.file))
    monkeypatch.setenv("WAZIR_TOKEN", served.token())
    with Client(served.address, retry_for=0) as client, pytest.raises(NotFound):
        client.get_study("none")


def test_with_mutual_tls_a_certificate_of_the_authority_is_enough(mutual: Served, authority: Authority) -> None:
    hear(mutual, Tls(authority.file, *authority.issue("client")))


def test_a_service_whose_authority_is_not_trusted_is_not_called(served: Served, stranger: Authority) -> None:
    for tls in (Tls(stranger.file), True):
        with (
            Client(served.address, tls=tls, token=served.token(), retry_for=60) as client,
            pytest.raises(FailedPrecondition, match=r"is not trusted: unable to get local issuer.*--ca"),
        ):
            client.get_study("none")


def test_an_expired_certificate_is_not_trusted(authority: Authority) -> None:
    past = datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC)
    files = TlsFiles(*authority.issue("expired", past))
    with (
        serving(replace(SETTINGS, tls=files)) as served,
        Client(served.address, tls=Tls(authority.file), retry_for=60) as client,
        pytest.raises(FailedPrecondition, match="certificate has expired"),
    ):
        client.get_study("none")


@pytest.mark.parametrize("mutual", [False, True])
def test_a_service_that_is_called_by_another_name_is_told_by_its_own(authority: Authority, mutual: bool) -> None:
    files = TlsFiles(*authority.issue("elsewhere", host="tuning.example"), authority.file if mutual else None)
    tls = Tls(authority.file, *(authority.issue("caller") if mutual else ()))
    with serving(replace(SETTINGS, authenticate=False, tls=files)) as served:
        port = served.address.rpartition(":")[2]
        with Client(f"localhost:{port}", tls=tls, retry_for=60) as client, pytest.raises(FailedPrecondition) as refused:
            client.get_study("none")
    words = "for tuning.example, 127.0.0.1, and not for localhost. Call it by a name in its certificate, for instance"
    assert f"{words} tuning.example:{port}" in str(refused.value)


def test_doctor_names_the_names_of_a_certificate(authority: Authority, tmp_path: Path) -> None:
    files = TlsFiles(*authority.issue("doctored", host="tuning.example"))
    with serving(replace(SETTINGS, authenticate=False, tls=files)) as served:
        address = f"localhost:{served.address.rpartition(':')[2]}"
        arguments = ["doctor", "--db", str(tmp_path / "w.db"), "--address", address, "--ca", str(authority.file)]
        result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 1
    assert "is for tuning.example, 127.0.0.1, and not for localhost" in result.output


def test_a_client_without_tls_hears_that_it_may_be_wanted(served: Served) -> None:
    with Client(served.address, retry_for=0) as client, pytest.raises(Unavailable, match=r"hangs up.*asks for TLS"):
        client.get_study("none")


@pytest.mark.parametrize("whose", ["nobody's", "a stranger's"])
def test_a_client_without_a_certificate_of_the_authority_is_not_heard(
    mutual: Served, authority: Authority, stranger: Authority, whose: str
) -> None:
    pair = stranger.issue("intruder") if whose == "a stranger's" else (None, None)
    with (
        Client(mutual.address, tls=Tls(authority.file, *pair), retry_for=0) as client,
        pytest.raises(Unavailable, match="client certificate"),
    ):
        client.get_study("none")


def test_a_client_with_tls_hears_that_the_service_has_none(authority: Authority) -> None:
    with serving() as plain:
        client = Client(plain.address, tls=Tls(authority.file), retry_for=60)
        with client, pytest.raises(FailedPrecondition, match="does not speak TLS"):
            client.get_study("none")


def test_a_renewed_certificate_is_taken_up_without_a_restart(
    folder: Path, authority: Authority, stranger: Authority
) -> None:
    cert, key = (path.rename(folder / f"live{path.suffix}") for path in authority.issue("renewed"))
    with serving(replace(SETTINGS, tls=TlsFiles(cert, key))) as served:
        token = served.token()
        hear(served, Tls(authority.file), token)
        for new, live in zip(stranger.issue("renewed"), (cert, key), strict=True):
            if live == key:
                # Between the two: a certificate that does not go with the key is not taken up.
                hear(served, Tls(authority.file), token)
            new.replace(live)
        hear(served, Tls(stranger.file), token)


def test_files_that_are_no_good_are_refused_before_anything_listens(
    folder: Path, authority: Authority, stranger: Authority
) -> None:
    cert, key = authority.issue("good")
    _, other_key = authority.issue("other")
    nothing, missing = folder / "nothing", folder / "missing"
    nothing.write_text("nothing")
    bad = [
        (TlsFiles(missing, key), "--tls-cert", "cannot be read"),
        (TlsFiles(cert, missing), "--tls-key", "cannot be read"),
        (TlsFiles(cert, other_key), "--tls-cert", "matches"),
        (TlsFiles(nothing, key), "--tls-cert", "not a certificate"),
        (TlsFiles(cert, key, nothing), "--client-ca", "no certificate of an authority"),
        (TlsFiles(cert, key, missing), "--client-ca", "cannot be read"),
    ]
    for files, field, words in bad:
        with pytest.raises(InvalidArgument, match=words) as refusal:
            files.check()
        assert refusal.value.field == field


def test_a_clients_files_that_are_no_good_are_refused_when_it_is_made(folder: Path, authority: Authority) -> None:
    cert, key = authority.issue("mine")
    _, other_key = authority.issue("not-mine")
    nothing, missing = folder / "nothing", folder / "missing"
    nothing.write_text("nothing")
    for tls, field in [
        (Tls(missing), "tls.ca"),
        (Tls(nothing), "tls.ca"),
        (Tls(authority.file, missing, key), "tls.cert"),
        (Tls(authority.file, cert, other_key), "tls.cert"),
    ]:
        with pytest.raises(InvalidArgument) as refusal:
            Client("localhost:1", tls=tls)
        assert refusal.value.field == field
    with pytest.raises(InvalidArgument, match="Name both"):
        Tls(authority.file, cert)


def test_a_process_elsewhere_reaches_the_service_by_what_its_environment_says(
    mutual: Served, served: Served, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a controller gives its trials: the way there, and nothing that is secret."""
    with Client(served.address, tls=Tls(authority.file), token=served.token()) as client:
        given = client.environment()
    assert given == {"WAZIR_CA_PEM": authority.file.read_text()}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    hear(served, None, served.token())
    monkeypatch.setenv("WAZIR_CA_PEM", "nothing")
    with pytest.raises(InvalidArgument, match="WAZIR_CA_PEM"):
        Client(served.address)
    pair = authority.issue("mine")
    with Client(mutual.address, tls=Tls(authority.file, *pair)) as client:
        assert pair[1].read_text() not in client.environment().values()


def test_a_client_that_knows_nothing_of_wazir_works_by_reflection(served: Served, authority: Authority) -> None:
    """As grpcurl does it: the API is asked for, over TLS and with a token, and then used. No generated code."""
    token = served.token("vision", Role.EDITOR)
    per_call = grpc.access_token_call_credentials(token)
    channel_credentials = grpc.ssl_channel_credentials(authority.file.read_bytes())
    credentials = grpc.composite_channel_credentials(channel_credentials, per_call)
    with grpc.secure_channel(served.address, credentials) as channel:
        pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
        service = pool.FindServiceByName("wazir.v1.StudyService")

        def call(call: str, /, **fields: object) -> Any:
            method = service.FindMethodByName(call)
            request, response = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
            return channel.unary_unary(
                f"/{service.full_name}/{call}",
                request_serializer=request.SerializeToString,
                response_deserializer=response.FromString,
            )(request(**fields))

        with Client(served.address, tls=Tls(authority.file), token=token) as client:
            client.create_study("vision/s", SPEC)
        assert call("GetStudy", name="vision/s").name == "owners/vision/studies/s"
        suggested = call("SuggestTrials", parent="vision/s", count=3, start=True)
        assert [trial.name for trial in suggested.trials] == [f"owners/vision/studies/s/trials/{n}" for n in (1, 2, 3)]
        with pytest.raises(grpc.RpcError) as refusal:
            call("DeleteStudy", name="vision/s")
    error: Any = refusal.value
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
