"""`wazir db vacuum` gives back the room of what was deleted, and leaves alone what somebody serves."""

from __future__ import annotations

import re
from pathlib import Path

from wazir.domain.trial import Measurement
from wazir.storage.open import open_store
from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Store

from ..contract.store import add, insert, new_study, new_trial, report
from ..postgres import Postgres
from .test_db import execute, wazir
from .test_db_identity import served


def filled(database: Path | str) -> Store:
    """A store whose 20,000 measurements were deleted a moment ago."""
    store = open_store(database)
    insert(store, new_study())
    (trial,) = add(store, new_trial(1))
    report(store, trial, 1, *(Measurement(step, {"loss": float(step)}, 1.0) for step in range(1, 20_001)))
    execute(database, "DELETE FROM measurements")
    return store


def test_a_file_becomes_smaller_and_is_sound(tmp_path: Path) -> None:
    file = tmp_path / "wazir.db"
    filled(file).close()
    before = file.stat().st_size
    result = wazir("db", "vacuum", "--db", file)
    assert result.exit_code == 0, result.output
    assert re.fullmatch(rf"{file} took [\d.]+ MB and takes 0\.\d MB\.\n", result.output)
    assert file.stat().st_size < before / 4
    assert wazir("db", "check", "--db", file).exit_code == 0
    assert [p.name for p in tmp_path.iterdir()] == ["wazir.db"]


def test_a_file_that_is_served_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "wazir.db"
    open_sqlite(file).close()
    with served(file):
        result = wazir("db", "vacuum", "--db", file)
    assert result.exit_code == 4
    assert "is served already" in result.output
    assert "end it" in result.output


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert wazir("db", "vacuum", "--db", tmp_path / "nothing.db").exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_postgresql_is_vacuumed_while_it_is_in_use(postgres: Postgres) -> None:
    url = postgres.ready()
    store = filled(url)
    result = wazir("db", "vacuum", "--db", url)
    assert result.exit_code == 0, result.output
    assert re.search(r"takes [\d.]+ MB(, [\d.]+ MB less)?; the room of deleted rows is free", result.output)
    add(store, new_trial(1))
    store.close()
    postgres.drop(url)
