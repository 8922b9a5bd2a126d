"""`wazir audit` and what commands record that work on a database themselves."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wazir.app.cli import cli
from wazir.app.local_service import LocalService
from wazir.app.serve_options import warn_of_key
from wazir.clients.client import Client
from wazir.domain.access import Role
from wazir.domain.audit import Outcome
from wazir.domain.errors import PermissionDenied
from wazir.service.auditing.settings import AuditSettings
from wazir.service.settings import ServiceSettings
from wazir.storage.sqlite import open_sqlite

from ..contract.audit import new_record
from .serving import SPEC, serving
from .test_audit import QUICK, eventually

Wazir = Callable[..., Result]


@pytest.fixture
def wazir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wazir:
    """Runs a command on the database in the test's folder."""
    monkeypatch.setenv("WAZIR_DB", str(tmp_path / "wazir.db"))
    for name in ("WAZIR_ADDRESS", "WAZIR_OWNER", "WAZIR_TOKEN", "WAZIR_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(cli, arguments, prog_name="wazir")
        assert result.exit_code == code, result.output
        return result

    return run


def rows(result: Result) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(result.stdout)
    return found


def test_tokens_and_databases_are_recorded_with_the_user_and_the_machine(wazir: Wazir, tmp_path: Path) -> None:
    token = wazir("token", "create", "--owner", "vision", "--role", "editor").stdout.split("_")[1]
    wazir("token", "revoke", token)
    wazir("db", "upgrade")
    wazir("db", "backup", str(tmp_path / "copy"))
    found = rows(wazir("audit", "--all", "-o", "json"))
    assert [(row["method"], row["name"], row["owner"]) for row in found] == [
        ("CreateToken", f"tokens/{token}", "vision"),
        ("RevokeToken", f"tokens/{token}", "vision"),
        ("UpgradeDatabase", "database", "*"),
        ("BackUpDatabase", "database", "*"),
    ]
    for row in found:
        assert (row["caller"], row["address"]) == (f"local:{os.getuid()}", f"machine:{platform.node()}")
        assert row["outcome"] == "done"
    assert len(rows(wazir("audit", "--owner", "vision", "-o", "json"))) == 2


def test_a_restored_database_says_so(wazir: Wazir, tmp_path: Path) -> None:
    wazir("token", "create", "--role", "viewer")
    wazir("db", "backup", str(tmp_path / "copy"))
    wazir("db", "restore", str(tmp_path / "copy"), "--db", str(tmp_path / "new.db"))
    found = rows(wazir("audit", "--all", "-o", "json", "--db", str(tmp_path / "new.db")))
    assert [row["method"] for row in found] == ["CreateToken", "RestoreDatabase"]


def fill(file: Path) -> None:
    with closing(open_sqlite(file)) as store:
        store.write(
            lambda tx: tx.add_audit_records(
                [
                    new_record(1, name="owners/vision/studies/a"),
                    new_record(2, name="owners/vision/studies/a/trials/7", method="StopTrial", caller="token:bb"),
                    new_record(3, name="owners/vision/studies/b", method="DeleteStudy", outcome=Outcome.DENIED),
                    new_record(4, name="owners/default/studies/s", owner="default", count=1),
                    new_record(5, name="", owner="", caller="stranger", outcome=Outcome.DENIED),
                ]
            )
        )


@pytest.mark.parametrize("served", [False, True], ids=["file", "service"])
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", [4]),
        ("--owner vision", [1, 2, 3]),
        ("--all", [1, 2, 3, 4, 5]),
        ("--study vision/a", [1, 2]),
        ("--all --caller bb", [2]),
        ("--all --caller stranger", [5]),
        ("--all --method deletestudy", [3]),
        ("--all --outcome denied", [3, 5]),
        ("--all -n 2", [4, 5]),
        ("--all --since 1h", []),
    ],
)
def test_the_command_filters(wazir: Wazir, tmp_path: Path, served: bool, options: str, expected: list[int]) -> None:
    file = tmp_path / "wazir.db"
    fill(file)
    forever = ServiceSettings(audit=AuditSettings(keep=1e10))
    if served:
        with LocalService(file, settings=forever):
            found = rows(wazir("audit", "-o", "json", *options.split()))
    else:
        found = rows(wazir("audit", "-o", "json", *options.split()))
    # `new_record` counts by its number, but for the fourth.
    assert [row["calls"] if row["owner"] != "default" else 4 for row in found] == expected


def test_the_table_is_for_people_and_escapes_what_strangers_wrote(wazir: Wazir, tmp_path: Path) -> None:
    with closing(open_sqlite(tmp_path / "wazir.db")) as store:
        store.write(lambda tx: tx.add_audit_records([new_record(1, name="\x1b[2Jgone", owner="default")]))
    shown = wazir("audit").stdout
    assert "\x1b" not in shown
    assert "\\x1b[2Jgone" in shown
    for word in ("token:aa", "127.0.0.1", "PauseStudy", "done"):
        assert word in shown
    assert wazir("audit", "--columns", "role,calls", "-o", "csv").stdout == "role,calls\neditor of vision,1\n"
    assert wazir("audit", "--owner", "nobody").stdout == "No records.\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--method", "DeletStudy"], 'Did you mean "DeleteStudy"'),
        (["--since", "yesterday"], "must be a duration"),
        (["--all", "--study", "s"], "cannot be given together"),
        (["--outcome", "perhaps"], "denied"),
        (["--columns", "nme"], 'Did you mean "name"'),
    ],
)
def test_bad_options_are_refused(wazir: Wazir, tmp_path: Path, arguments: list[str], words: str) -> None:
    fill(tmp_path / "wazir.db")
    assert words in wazir("audit", *arguments, code=2).output


def test_methods_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    line = "wazir audit --method del"
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_CWORD", "3")
    monkeypatch.setenv("_WAZIR_COMPLETE", "bash_complete")
    result = CliRunner().invoke(cli, [], prog_name="wazir", complete_var="_WAZIR_COMPLETE")
    assert "DeleteStudy" in result.output
    assert "DeleteTrial" in result.output


@pytest.mark.parametrize("keep", ["10s", "0", "soon"])
def test_a_server_keeps_records_for_an_hour_at_least(wazir: Wazir, keep: str) -> None:
    assert "--audit-keep" in wazir("serve", "--audit-keep", keep, code=2).output


def test_a_token_that_may_not_is_told_and_recorded() -> None:
    with serving(QUICK) as served:
        text = served.token("vision", Role.EDITOR)
        with Client(served.address, token=text, retry_for=0) as client:
            client.create_study("vision/s", SPEC)
            with pytest.raises(PermissionDenied):
                list(client.audit_records("vision"))
        assert eventually(served.store, 2)[-1].method == "ListAuditRecords"


@pytest.mark.parametrize(
    ("key_file", "authenticated", "shared", "says"),
    [
        (None, True, True, True),
        (None, True, False, False),
        (None, False, True, False),
        (Path("key"), True, True, False),
    ],
)
def test_a_server_says_who_else_has_its_key(
    caplog: pytest.LogCaptureFixture, key_file: Path | None, authenticated: bool, shared: bool, says: bool
) -> None:
    warn_of_key(key_file, authenticated=authenticated, shared=shared)
    assert ("who reads that or a backup" in caplog.text) is says
