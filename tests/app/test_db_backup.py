"""A backup is looked into before it gets its name, and copied as of one moment however much is written meanwhile."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from wazir.app.backup import back_up, check_dump
from wazir.domain.errors import FailedPrecondition, Unavailable
from wazir.storage import sqlite_copy
from wazir.storage.sqlite import open_sqlite
from wazir.storage.sqlite_copy import check_file, copy_file
from wazir.storage.sqlite_look import look

from ..contract.store import NAME, add, insert, new_study, new_trial
from ..postgres import Postgres
from .test_db import execute


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "wazir.db"
    store = open_sqlite(file)
    insert(store, new_study())
    add(store, *(new_trial(number) for number in range(1, 200)))
    store.close()
    return file


def test_a_copy_that_is_no_good_does_not_take_the_place_of_one_that_was(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    back_up(file, copy)
    before = copy.read_bytes()
    execute(file, "DELETE FROM trials WHERE id = 2")

    with pytest.raises(FailedPrecondition, match=r"no good \(default/s counts .*'requested': 199.*198.*wazir db check"):
        back_up(file, copy)

    assert copy.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy", "wazir.db"]


def test_a_damaged_copy_is_found_out(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4096 * 5 : 4096 * 8] = b"\xff" * (4096 * 3)
    file.write_bytes(content)
    with pytest.raises(FailedPrecondition, match="is no good"):
        check_file(file)


def test_a_copy_is_of_one_moment_and_ends_although_others_write_all_the_time(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_copy, "PAGES", 1)
    store = open_sqlite(file)
    told: list[float] = []

    def write(done: float) -> None:
        # Between two steps, on a thread of the store's.
        if len(told) < 20:
            add(store, new_trial(0))
        told.append(done)

    copy = tmp_path / "copy"
    copy.touch()
    copy_file(file, copy, write)

    assert store.read(lambda view: view.study(NAME)).next_trial_id == 220
    store.close()
    with look(copy) as view:
        assert view.study(NAME).next_trial_id == 200
    check_file(copy)
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_writers_do_not_wait_for_a_copy(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_copy, "PAGES", 1)
    store = open_sqlite(file)
    holding, written = threading.Event(), threading.Event()

    def hold(_: float) -> None:
        holding.set()
        assert written.wait(60)

    copy = tmp_path / "copy"
    copying = threading.Thread(target=back_up, args=(file, copy, hold))
    copying.start()
    assert holding.wait(60)
    add(store, new_trial(0))
    written.set()
    copying.join()
    store.close()
    assert copy.exists()


def test_a_dump_that_is_cut_off_is_found_out(postgres: Postgres, tmp_path: Path) -> None:
    url, dump = postgres.ready(), tmp_path / "dump"
    back_up(url, dump)
    check_dump(dump)
    content = dump.read_bytes()
    dump.write_bytes(content[: len(content) - 200])
    with pytest.raises(Unavailable, match="pg_restore failed"):
        check_dump(dump)
    postgres.drop(url)


def test_a_dump_of_another_database_is_no_backup(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.fresh()
    with pytest.raises(FailedPrecondition, match="lacks studies, trials"):
        back_up(url, tmp_path / "dump")
    assert list(tmp_path.iterdir()) == []
    postgres.drop(url)


def test_a_backup_is_one_file_and_stays_one_when_it_is_read(file: Path, tmp_path: Path) -> None:
    back_up(file, tmp_path / "copy")
    with closing(sqlite3.connect(f"{(tmp_path / 'copy').as_uri()}?mode=ro", uri=True)) as connection:
        connection.execute("SELECT * FROM studies").fetchall()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy", "wazir.db"]
