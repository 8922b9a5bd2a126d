"""`wazir token`, and where `wazir serve` refuses to listen."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wazir.app.cli import cli
from wazir.clients.client import Client
from wazir.domain.access import EVERY_OWNER, Role
from wazir.domain.errors import Unauthenticated
from wazir.storage.sqlite import open_sqlite

from .certificates import Authority
from .serving import SPEC, serving


def wazir(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "wazir.db"


def test_the_token_alone_goes_to_stdout_and_works_until_it_is_revoked(database: Path) -> None:
    made = wazir("token", "create", "--db", database, "--owner", "vision", "--role", "editor", "--label", "ci")
    assert made.exit_code == 0
    text = made.stdout.strip()
    token_id = text.split("_")[1]
    assert f"Token {token_id}: editor of vision, does not expire" in made.stderr
    store = open_sqlite(database)
    with serving(store=store) as served, Client(served.address, token=text, retry_for=0) as client:
        assert client.create_study("vision/s", SPEC).name.owner == "vision"
        # Another process's write to the same file.
        revoked = wazir("token", "revoke", token_id, "--db", database)
        assert (revoked.exit_code, f"Token {token_id} (ci) is revoked" in revoked.stdout) == (0, True)
        with pytest.raises(Unauthenticated, match="revoked"):
            client.get_study("vision/s")
    store.close()


def test_the_list_shows_everything_but_secrets(database: Path) -> None:
    assert "No tokens" in wazir("token", "list", "--db", database).stdout
    texts = [
        wazir("token", "create", "--db", database, "--owner", owner, "--role", role, "--expires", "30d").stdout.strip()
        for owner, role in (("vision", "viewer"), (EVERY_OWNER, "admin"))
    ]
    wazir("token", "revoke", texts[0].split("_")[1], "--db", database)
    listed = wazir("token", "list", "--db", database, "-o", "json").stdout
    shown = [(t["id"], t["owner"], t["role"], t["state"]) for t in json.loads(listed)]
    assert shown == [
        (texts[1].split("_")[1], EVERY_OWNER, Role.ADMIN.value, "valid"),
        (texts[0].split("_")[1], "vision", Role.VIEWER.value, "revoked"),
    ]
    table = wazir("token", "list", "--db", database).stdout
    assert all(t.split("_")[1] in table for t in texts)
    assert not re.search("[0-9a-f]{20}", listed + table)
    assert all(text.split("_")[2].encode() not in database.read_bytes() for text in texts)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        pytest.param(["create", "--role", "king"], 2, "king", id="no role"),
        pytest.param(["create"], 2, "--role", id="role missing"),
        pytest.param(["create", "--role", "viewer", "--expires", "soon"], 2, "--expires", id="no duration"),
        pytest.param(["create", "--role", "viewer", "--expires", "0d"], 2, "must be a time to come", id="expired"),
        pytest.param(["create", "--role", "viewer", "--owner", "A B"], 2, 'For instance "a-b"', id="no owner"),
        pytest.param(["revoke", "unknown"], 3, "token unknown does not exist", id="unknown"),
    ],
)
def test_what_makes_no_sense_is_refused(database: Path, arguments: list[str], code: int, words: str) -> None:
    result = wazir("token", *arguments, "--db", database)
    assert (result.exit_code, words in result.stderr) == (code, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param([], r"everybody who reaches it could do everything.*--auth tokens", id="open"),
        pytest.param(["TLS"], r"everybody who reaches it", id="TLS says who serves, not who calls"),
        pytest.param(["--auth", "tokens"], r"would travel unencrypted.*--tls-cert", id="readable"),
        pytest.param(["--insecure-without-authentication"], r"would travel unencrypted", id="readable and open"),
        pytest.param(["--tls-cert", "CERT"], r"--tls-key: is missing", id="half a pair"),
        pytest.param(["--client-ca", "CA"], r"--tls-cert: is missing", id="an authority alone"),
    ],
)
def test_nothing_listens_beyond_this_machine_without_protection(
    database: Path, tmp_path: Path, arguments: list[str], words: str
) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("server")
    files: dict[str, list[object]] = {
        "CERT": [cert],
        "CA": [authority.file],
        "TLS": ["--tls-cert", cert, "--tls-key", key],
    }
    given = [part for argument in arguments for part in files.get(argument, [argument])]
    for address in ("0.0.0.0:0", "[::]:0", "10.255.255.254:0"):
        result = wazir("serve", "--db", database, "--listen", "127.0.0.1:0", "--listen", address, *given)
        assert result.exit_code == 2
        assert re.search(words, result.stderr)
    assert not database.exists()


FILE = """
study: resnet
objective: {metric: loss, goal: minimize}
parameters: {x: {min: 0.0, max: 1.0}}
"""


@pytest.mark.parametrize("by", ["option", "environment"])
def test_names_without_an_owner_mean_the_studies_of_the_one_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    (tmp_path / "s.yaml").write_text(FILE)
    (tmp_path / "token").touch(0o600)
    with serving() as served:
        (tmp_path / "token").write_text(served.token("vision", Role.EDITOR))
        where = ["--address", served.address, "--token-file", str(tmp_path / "token")]
        if by == "option":
            where += ["--owner", "vision"]
        else:
            monkeypatch.setenv("WAZIR_OWNER", "vision")
        assert "Study vision/resnet is active" in wazir("create", tmp_path / "s.yaml", *where).stdout
        assert "vision/resnet" in wazir("studies", *where).stdout
        assert '"owners/vision/studies/resnet"' in wazir("show", "resnet", "-o", "json", *where).stdout
        assert wazir("enqueue", "resnet", "x=0.5", *where).exit_code == 0
        assert '"owners/vision/studies/resnet/trials/1"' in wazir("show", "resnet/1", "-o", "json", *where).stdout
        refused = wazir("show", "speech/resnet", *where)
        assert (refused.exit_code, "for owner vision" in refused.stderr) == (4, True)


@pytest.mark.parametrize("arguments", [["show", "Bad Name"], ["logs", "resnet"], ["studies", "--owner", "A B"]])
def test_a_name_that_is_none_is_refused_in_a_sentence(arguments: list[str]) -> None:
    result = wazir(*arguments, "--address", "127.0.0.1:1")
    assert (result.exit_code, "must be" in result.stderr) == (2, True)
