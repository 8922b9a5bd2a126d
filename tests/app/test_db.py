"""`wazir db` on a file and on PostgreSQL: the same words for both."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from wazir.app.cli import cli
from wazir.domain.database import shown
from wazir.domain.trial import TrialState
from wazir.storage.open import open_store
from wazir.storage.schema import REVISION

from ..contract.store import NAME, S, Unit, in_state, insert, new_study, new_trial
from ..postgres import Postgres
from ..storage.earlier import TO_THE_FIRST


@pytest.fixture(params=["file", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    """A database with a study of two trials, one of them running."""
    where: Path | str = tmp_path / "wazir.db"
    if request.param == "postgres":
        where = request.getfixturevalue("postgres").ready()
    store = open_store(where)
    insert(store, new_study())

    def fill(unit: Unit) -> None:
        one, _ = unit.add(new_trial(1), new_trial(2))
        unit.put(in_state(one, S.ACTIVE))
        unit.study = replace(unit.study, counts=unit.study.counts.moved(S.REQUESTED, S.ACTIVE))
        unit.finish()

    store.write(lambda tx: fill(Unit(tx)))
    store.close()
    yield where
    if isinstance(where, str):
        request.getfixturevalue("postgres").drop(where)


def wazir(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def execute(database: Path | str, statement: str) -> None:
    """Behind Wazir's back."""
    if isinstance(database, Path):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute(statement)
    else:
        with psycopg.connect(database) as server:
            server.execute(statement)


def test_a_sound_database_is_found_sound(database: Path | str) -> None:
    result = wazir("db", "check", "--db", database)
    assert (result.exit_code, result.output) == (0, f"{shown(database)} is sound, with the schema {REVISION}.\n")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM trials WHERE id = 2", "default/s: its row counts"),
        ("UPDATE studies SET next_trial_id = 2", "trial 2 exists, and the next one would be 2"),
        ("UPDATE trials SET state = 'requested' WHERE id = 1", "it is requested, and attempts [1] have not ended"),
        ("UPDATE trials SET revision = 99 WHERE id = 1", "changed at revision 99, and the study is at 2"),
    ],
)
def test_rows_that_do_not_agree_are_named(database: Path | str, statement: str, words: str) -> None:
    execute(database, statement)
    result = wazir("db", "check", "--db", database)
    assert result.exit_code == 1
    assert words.removeprefix("default/") in result.output


def test_a_backup_restores_what_was_there(database: Path | str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    copy = tmp_path / "copy"
    assert wazir("db", "backup", "--db", database, copy).exit_code == 0
    again = wazir("db", "backup", "--db", database, copy)
    assert again.exit_code == 4
    assert "--force" in again.output
    assert wazir("db", "backup", "--db", database, copy, "--force").exit_code == 0
    onto_itself = wazir("db", "restore", "--db", database, copy)
    assert onto_itself.exit_code == 4
    target: Path | str = tmp_path / "new" / "wazir.db"
    if isinstance(database, str):
        target = request.getfixturevalue("postgres").fresh()
    result = wazir("db", "restore", "--db", target, copy)
    assert (result.exit_code, result.output) == (0, f"{shown(target)} is restored from {copy}: 1 study.\n")
    store = open_store(target)
    study = store.read(lambda view: view.study(NAME))
    assert {t.id: t.state for t in store.read(lambda view: view.live())} == {1: TrialState.ACTIVE}
    assert study.counts.by_state[TrialState.REQUESTED] == 1
    store.close()


def test_a_file_that_is_damaged_is_named(tmp_path: Path) -> None:
    file = tmp_path / "wazir.db"
    open_store(file).close()
    damaged = bytearray(file.read_bytes())
    damaged[4096 * 3 :] = b"\xff" * (len(damaged) - 4096 * 3)
    file.write_bytes(damaged)
    result = wazir("db", "check", "--db", file)
    assert result.exit_code == 1
    assert "SQLite:" in result.output


def test_an_older_schema_on_postgresql_is_upgraded_on_demand(postgres: Postgres) -> None:
    url = postgres.fresh()
    open_store(url).close()
    with psycopg.connect(url) as server:
        server.execute(TO_THE_FIRST)
    refused = wazir("db", "check", "--db", url)
    assert refused.exit_code == 4
    assert "wazir db upgrade" in refused.output
    assert wazir("db", "upgrade", "--db", url).output == f"{url} has the schema {REVISION}.\n"
    assert wazir("db", "check", "--db", url).exit_code == 0
    postgres.drop(url)


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", 2, "holds no database of Wazir"),
        (b"some words", 4, "file is not a database"),
        (None, 2, "holds no database of Wazir"),
    ],
    ids=["empty", "text", "another program's"],
)
def test_what_is_no_backup_is_refused_and_leaves_nothing(
    tmp_path: Path, content: bytes | None, code: int, words: str
) -> None:
    file = tmp_path / "backup"
    if content is None:
        execute(file, "CREATE TABLE notes (words TEXT)")
    else:
        file.write_bytes(content)
    result = wazir("db", "restore", "--db", tmp_path / "new" / "wazir.db", file)
    assert (result.exit_code, words in result.output) == (code, True)
    assert list(tmp_path.iterdir()) == [file]


def test_what_is_not_there_is_not_made(tmp_path: Path) -> None:
    for command in (["check"], ["backup", str(tmp_path / "copy")]):
        result = wazir("db", *command, "--db", tmp_path / "nothing.db")
        assert result.exit_code == 2
        assert "does not exist" in result.output
    assert list(tmp_path.iterdir()) == []


def test_no_password_is_shown() -> None:
    result = wazir("db", "check", "--db", "postgresql://wazir:secret@127.0.0.1:1/x")
    assert result.exit_code == 5
    assert "secret" not in result.output
    assert "is away" in result.output
