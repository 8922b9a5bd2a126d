"""A file that cannot be used is refused, and whoever reads the refusal knows which file, why, and the way out."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from wazir.domain.errors import FailedPrecondition, ResourceExhausted, Unavailable
from wazir.storage import sqlite as sqlite_store
from wazir.storage.schema import REVISION
from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Transaction, TrialFilter

from ..contract.store import NAME, Unit, add, insert, listed, new_study, new_trial

NOBODY = 65534

HOLD_THE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def locked_by_another_process(path: Path) -> Iterator[None]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_THE_LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield
        finally:
            process.communicate()


@contextlib.contextmanager
def whom_permissions_bind() -> Iterator[None]:
    """Root may write everything; as somebody else it may not."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user reaches, which those of `tmp_path` are not."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(folder)


def made(path: Path) -> Path:
    """A database with one study and one trial."""
    store = open_sqlite(path)
    insert(store, new_study())
    add(store, new_trial(1))
    store.close()
    return path


def other_schema(path: Path) -> Path:
    with contextlib.closing(sqlite3.connect(made(path))) as connection, connection:
        connection.execute("UPDATE wazir_schema SET version_num = 'v9000'")
    return path


def other_program(path: Path) -> Path:
    """Such as one of Optuna's, which also has studies, trials and a version of Alembic."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE studies (study_id INTEGER)")
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('v3.2.0.a')")
    return path


def text(path: Path) -> Path:
    path.write_text("study: resnet\n" * 100)
    return path


def torn(path: Path) -> Path:
    """The first page alone, with the pages it names gone."""
    content = made(path).read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def below_a_file(path: Path) -> Path:
    path.write_text("")
    return path / "wazir.db"


@pytest.mark.parametrize(
    ("make", "why", "way_out"),
    [
        (other_schema, rf"newer Wazir.*v9000.*{REVISION}", "Install that version"),
        (other_program, r"tables of another program \(alembic_version, studies\)", "Name another"),
        (text, "not a valid database", "Name another file"),
        (torn, "not a valid database", "restore this one from a copy"),
        (folder, "is a folder", "name a file"),
        (below_a_file, "cannot be made", "Name another place"),
    ],
)
def test_what_is_no_database_of_this_version_is_refused_and_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], Path], why: str, way_out: str
) -> None:
    path = make(tmp_path / "wazir.db")
    before = path.read_bytes() if path.is_file() else b""
    with pytest.raises(FailedPrecondition, match=why) as refusal:
        open_sqlite(path)
    assert str(path if make is not below_a_file else path.parent) in refusal.value.message
    assert way_out in refusal.value.message
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_the_refusal_of_a_newer_database_names_both_revisions_for_machines(tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition) as refusal:
        open_sqlite(other_schema(tmp_path / "wazir.db"))
    assert refusal.value.details == {"revision": "v9000", "known": REVISION}


def test_an_empty_file_is_a_new_database(tmp_path: Path) -> None:
    path = tmp_path / "wazir.db"
    path.touch()
    made(path)


def test_a_locked_database_is_unavailable_until_the_lock_is_gone(tmp_path: Path) -> None:
    path = made(tmp_path / "wazir.db")
    store = open_sqlite(path, lock_seconds=0.05)
    with locked_by_another_process(path):
        futures = [store.submit(lambda tx: tx.lock(NAME)) for _ in range(3)]
        for future in futures:
            with pytest.raises(Unavailable, match=r"locked by another process.*Try again") as refusal:
                future.result()
            assert str(path) in refusal.value.message
        with pytest.raises(Unavailable, match="locked by another process"):
            open_sqlite(path, lock_seconds=0.05)
        assert listed(store, TrialFilter()) == [1], "reading needs no lock"
    assert [t.id for t in add(store, new_trial(2))] == [2]
    store.close()


def test_a_full_disk_fails_the_units_that_do_not_fit_and_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_store, "SETTINGS", (*sqlite_store.SETTINGS, "max_page_count=60"))
    path = tmp_path / "wazir.db"
    store = open_sqlite(path)
    insert(store, new_study())

    def work(size: int) -> Callable[[Transaction], int]:
        def run(tx: Transaction) -> int:
            u = Unit(tx)
            (trial,) = u.add(replace(new_trial(0), metadata={"note": "x" * size}))
            u.finish()
            return trial.id

        return run

    sizes = [10, 10_000_000, 10, 10_000_000, 10]
    futures = [store.submit(work(size)) for size in sizes]
    for size, future in zip(sizes, futures, strict=True):
        if size == 10:
            future.result()
        else:
            with pytest.raises(ResourceExhausted, match=r"cannot grow.*Make room") as refusal:
                future.result()
            assert str(path) in refusal.value.message
    assert listed(store, TrialFilter()) == [1, 2, 3]
    store.close()


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_read_only_database_is_refused(open_folder: Path, what: str) -> None:
    path = made(open_folder / "wazir.db")
    if what == "file":
        path.chmod(0o444)
        open_folder.chmod(0o777)
    else:
        path.chmod(0o666)
        open_folder.chmod(0o555)
    with whom_permissions_bind():
        with pytest.raises(FailedPrecondition, match=r"cannot be written.*writable for user \d+") as refusal:
            open_sqlite(path)
        assert str(path) in refusal.value.message


def test_a_new_database_in_a_read_only_folder_is_refused(open_folder: Path) -> None:
    open_folder.chmod(0o555)
    with whom_permissions_bind():
        with pytest.raises(FailedPrecondition, match="cannot be written"):
            open_sqlite(open_folder / "wazir.db")
        with pytest.raises(FailedPrecondition, match="cannot be made"):
            open_sqlite(open_folder / "deeper" / "wazir.db")


def test_a_database_that_becomes_read_only_while_it_is_open_goes_on(open_folder: Path) -> None:
    """SQLite holds the file open, so nothing is lost that was acknowledged."""
    store = open_sqlite(open_folder / "wazir.db")
    insert(store, new_study())
    (open_folder / "wazir.db").chmod(0o444)
    add(store, new_trial(1))
    assert listed(store, TrialFilter()) == [1]
    store.close()
