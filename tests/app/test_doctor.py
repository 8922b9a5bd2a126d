"""`wazir doctor` says what is wrong, how to mend it, and by its exit code whether anything is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from wazir.app.cli import cli
from wazir.clients.client import Client
from wazir.domain.names import StudyName
from wazir.storage.open import open_store

from ..clients.served import serving, spec


def findings(*arguments: object) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code, and of each subject its state and words."""
    result = CliRunner().invoke(cli, ["doctor", "-o", "json", *map(str, arguments)])
    return result.exit_code, {f["subject"]: (f["state"], f["words"]) for f in json.loads(result.output)}


@pytest.fixture(autouse=True)
def no_service_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WAZIR_ADDRESS", "WAZIR_OWNER"):
        monkeypatch.delenv(name, raising=False)


def test_a_machine_in_order(tmp_path: Path) -> None:
    database = tmp_path / "wazir.db"
    open_store(database).close()
    with serving("memory", tmp_path) as address:
        code, found = findings("--db", database, "--address", address)
    assert code == 0
    assert found["database"] == ("ok", f"{database} opens, and holds 0 studies")
    assert found["service"][0] == "ok"
    assert address in found["service"][1]
    assert found["health"][0] == "ok"
    assert found["wazir[server]"][0] == "ok"
    assert "SQLAlchemy" in found["wazir[server]"][1]
    assert found["python"][0] == "ok"


def test_a_service_is_asked_for_the_studies_of_ones_own_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token is good for one owner: to list another's would be refused, and be called wrong."""
    monkeypatch.setenv("WAZIR_OWNER", "vision")
    with serving("memory", tmp_path) as address:
        with Client(address) as client:
            client.create_study(StudyName("vision", "s"), spec())
        _, found = findings("--db", tmp_path / "wazir.db", "--address", address)
    assert found["service"][0] == "ok"
    assert found["service"][1].endswith("shows 1 study")


def test_what_is_away_is_wrong_and_shows_no_password() -> None:
    code, found = findings("--db", "postgresql://me:secret@127.0.0.1:1/x", "--address", "127.0.0.1:1")
    assert code == 1
    assert (found["database"][0], found["service"][0]) == ("wrong", "wrong")
    assert "Start it" in found["database"][1]
    assert "secret" not in str(found)


def test_looking_makes_nothing(tmp_path: Path) -> None:
    code, found = findings("--db", tmp_path / "new" / "wazir.db")
    assert code == 0
    assert found["database"][0] == "note"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "wazir.db"
    file.write_text("hello, this is no database, and it is long enough to be looked at" * 20)
    code, found = findings("--db", file)
    assert code == 1
    assert "not a valid database" in found["database"][1]


def test_people_get_a_table() -> None:
    result = CliRunner().invoke(cli, ["doctor", "--db", "postgresql://127.0.0.1:1/x"])
    assert result.exit_code == 1
    assert "wrong" in result.output
    assert "wazir[server]" in result.output
