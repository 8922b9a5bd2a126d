"""A SQLite file is one database, whatever its names: never served twice, nor written to where it no longer is."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from wazir.domain.errors import FailedPrecondition, Unavailable
from wazir.storage import sqlite_file
from wazir.storage.sqlite import open_sqlite
from wazir.storage.sqlite_look import look

from ..contract.store import NAME, add, insert, new_study, new_trial

SERVE = """
import sys
from pathlib import Path
from wazir.storage.sqlite import open_sqlite
store = open_sqlite(Path(sys.argv[1]), serve=True)
print("served", flush=True)
sys.stdin.read()
store.close()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one study."""
    path = tmp_path / "wazir.db"
    store = open_sqlite(path)
    insert(store, new_study())
    store.close()
    return path


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "HANDOVER_SECONDS", 0.1)


@contextmanager
def served_by_another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", SERVE, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "served\n"
        try:
            yield process
        finally:
            process.communicate()


# Two names


def test_a_file_with_two_names_is_refused_by_both(path: Path) -> None:
    other = path.with_name("other.db")
    other.hardlink_to(path)
    for name in (path, other):
        with pytest.raises(FailedPrecondition, match=r"2 names \(hard links\).*Keep one"):
            open_sqlite(name)
        with pytest.raises(FailedPrecondition, match="2 names"), look(name):
            pass
    assert sorted(p.name for p in path.parent.iterdir()) == ["other.db", "wazir.db"]
    other.unlink()
    open_sqlite(path).close()


def test_a_symbolic_link_is_the_file_that_it_leads_to(path: Path) -> None:
    link = path.parent / "elsewhere" / "link.db"
    link.parent.mkdir()
    link.symlink_to(path)
    store, other = open_sqlite(link), open_sqlite(path)
    add(store, new_trial(1))
    add(other, new_trial(2))
    assert [p.name for p in link.parent.iterdir()] == ["link.db"]
    assert store.read(lambda view: view.study(NAME)).counts == other.read(lambda view: view.study(NAME)).counts
    store.close()
    other.close()


@pytest.mark.parametrize("name", ["wazir.db", "link.db"])
def test_a_second_server_is_refused_by_the_file_itself(path: Path, name: str) -> None:
    path.with_name("link.db").symlink_to(path)
    with served_by_another_process(path) as server:
        with pytest.raises(FailedPrecondition, match=rf"served already, by process {server.pid} as .*Use that server"):
            open_sqlite(path.with_name(name), serve=True)
        # A command may look and write beside it.
        store = open_sqlite(path)
        add(store, new_trial(1))
        store.close()
    open_sqlite(path, serve=True).close()


def test_a_second_server_of_the_same_process_is_refused(path: Path) -> None:
    store = open_sqlite(path, serve=True)
    with pytest.raises(FailedPrecondition, match="served already"):
        open_sqlite(path, serve=True)
    store.close()
    open_sqlite(path, serve=True).close()


def test_a_server_that_is_killed_leaves_the_file_to_the_next(path: Path) -> None:
    with served_by_another_process(path) as server:
        server.kill()
        server.wait()
    open_sqlite(path, serve=True).close()


def test_a_file_that_was_renamed_under_its_server_is_refused_by_the_new_name(path: Path) -> None:
    """Its log still has the old one."""
    moved = path.with_name("moved.db")
    with served_by_another_process(path):
        path.rename(moved)
        for serve in (True, False):
            with pytest.raises(FailedPrecondition, match="served"):
                open_sqlite(moved, serve=serve)
        with pytest.raises(FailedPrecondition, match="served by another name"), look(moved):
            pass
        moved.rename(path)
    open_sqlite(path, serve=True).close()


def test_a_store_that_is_closed_leaves_the_locks_of_another_of_its_process(path: Path) -> None:
    """Whoever closes a descriptor of a file drops the locks that its process has on it, those of SQLite too. Then the
    last to close the database elsewhere would take the log away, and what is written afterwards with it."""
    store = open_sqlite(path)
    add(store, new_trial(1))
    open_sqlite(path).close()
    with look(path):
        pass

    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM studies'); c.close()"
    subprocess.run([sys.executable, "-c", code, str(path)], check=True)

    assert path.with_name("wazir.db-wal").exists()
    add(store, new_trial(2))
    with look(path) as view:
        assert view.study(NAME).next_trial_id == 3
    store.close()


# The file goes


def moved_away(path: Path) -> None:
    path.rename(path.with_name("kept.db"))


def removed(path: Path) -> None:
    path.unlink()


def replaced(path: Path) -> None:
    fresh = path.with_name("fresh.db")
    open_sqlite(fresh).close()
    fresh.replace(path)


def without_its_log(path: Path) -> None:
    path.with_name("wazir.db-wal").unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (moved_away, "removed or renamed while it was open"),
        (removed, "removed or renamed while it was open"),
        (replaced, "replaced by another file while it was open"),
        (without_its_log, "-wal, which belongs to wazir.db, has been removed"),
    ],
)
def test_nothing_is_written_to_a_file_that_is_no_longer_there(path: Path, change: object, words: str) -> None:
    store = open_sqlite(path)
    add(store, new_trial(1))
    assert callable(change)
    change(path)
    with pytest.raises(Unavailable, match=words):
        add(store, new_trial(2))
    assert words in store.lost
    with pytest.raises(Unavailable, match=words):
        store.read(lambda view: view.study(NAME))
    store.close()


def test_a_commit_to_a_file_that_went_meanwhile_is_not_acknowledged(path: Path) -> None:
    store = open_sqlite(path)

    with pytest.raises(Unavailable, match="removed or renamed"):
        store.write(lambda tx: moved_away(path))
    store.close()


def test_a_file_that_was_moved_away_has_all_that_was_acknowledged_and_leaves_nothing_behind(path: Path) -> None:
    """What stayed would be read as the log of the file that comes to be there."""
    store = open_sqlite(path)
    add(store, new_trial(1))
    moved_away(path)
    with pytest.raises(Unavailable):
        add(store, new_trial(2))
    store.close()
    assert [p.name for p in path.parent.iterdir()] == ["kept.db"]
    with look(path.with_name("kept.db")) as view:
        assert view.study(NAME).next_trial_id == 2


def test_all_that_was_acknowledged_is_in_the_file_that_lost_its_log(path: Path) -> None:
    store = open_sqlite(path)
    add(store, new_trial(1))
    without_its_log(path)
    with pytest.raises(Unavailable):
        add(store, new_trial(2))
    store.close()
    store = open_sqlite(path)
    assert [t.id for t in add(store, new_trial(2))] == [2]
    store.close()


def test_the_log_of_a_file_that_is_still_open_is_not_read_as_that_of_the_one_in_its_place(path: Path) -> None:
    with served_by_another_process(path) as server:
        replaced(path)
        before = path.read_bytes()
        for serve in (True, False):
            with pytest.raises(
                FailedPrecondition, match=rf"that process {server.pid} still has open.*End that process"
            ):
                open_sqlite(path, serve=serve)
        with pytest.raises(FailedPrecondition, match="still has open"), look(path):
            pass
        assert path.read_bytes() == before
    open_sqlite(path, serve=True).close()


def test_a_reader_does_not_see_the_file_that_took_the_place(path: Path) -> None:
    store = open_sqlite(path)
    replaced(path)
    with pytest.raises(Unavailable, match="replaced by another file"):
        store.read(lambda view: view.study(NAME))
    store.close()


# The schema


def test_a_newer_schema_is_not_written_to(path: Path) -> None:
    store = open_sqlite(path)
    add(store, new_trial(1))
    with closing(sqlite3.connect(path)) as upgrade, upgrade:
        upgrade.execute("UPDATE wazir_schema SET version_num = 'v9000'")
    with pytest.raises(Unavailable, match="schema v9000 by a newer Wazir"):
        add(store, new_trial(2))
    store.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM trials").fetchone() == (1,)


def test_a_file_is_not_brought_to_a_newer_schema_while_another_process_serves_it(path: Path) -> None:
    with served_by_another_process(path), closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE wazir_schema SET version_num = 'v0003'")
        connection.commit()
        with pytest.raises(FailedPrecondition, match="served already"):
            open_sqlite(path)
        assert connection.execute("SELECT version_num FROM wazir_schema").fetchone() == ("v0003",)


def test_a_folder_that_is_copied_is_another_database(path: Path) -> None:
    store = open_sqlite(path, serve=True)
    copy = path.parent / "copy"
    copy.mkdir()
    shutil.copy(path, copy)
    open_sqlite(copy / "wazir.db", serve=True).close()
    store.close()


def test_who_reads_a_file_that_was_removed_makes_no_other_in_its_place(path: Path) -> None:
    store = open_sqlite(path)
    path.unlink()
    with pytest.raises(Unavailable, match="removed or renamed"):
        store.read(lambda view: view.study(NAME))
    assert not path.exists()
    store.close()
