"""`wazir serve` on one SQLite file by several names, and on a file that is taken away: real processes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from wazir.clients.client import Client
from wazir.clients.local_address import address_of
from wazir.storage.sqlite import open_sqlite

from ..contract.store import NAME, insert, new_study

PROGRAM = "from wazir.app.main import main; main()"


def wazir(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> tuple[int, str]:
    """How it ended, and what it said."""
    _, words = process.communicate(timeout=60)
    return process.returncode, words


@contextmanager
def served(database: Path | str, *options: object) -> Iterator[subprocess.Popen[str]]:
    process = wazir("serve", "--db", database, "--listen", "127.0.0.1:0", *options)
    try:
        assert process.stderr is not None
        assert any("Serving" in line for line in process.stderr)
        yield process
    finally:
        process.terminate()
        process.wait(60)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "wazir.db"
    store = open_sqlite(file)
    insert(store, new_study())
    store.close()
    return file


def test_a_second_server_is_refused_by_whatever_name(file: Path) -> None:
    link = file.with_name("link.db")
    link.symlink_to(file)
    with served(file) as server:
        code, words = said(wazir("serve", "--db", link, "--listen", "127.0.0.1:0"))
        assert code == 4
        assert f"is served already by process {server.pid}; use that one" in words
        with Client(address_of(link)) as client:
            assert client.get_study(NAME).name == NAME

        hard = file.with_name("hard.db")
        hard.hardlink_to(file)
        code, words = said(wazir("serve", "--db", hard, "--listen", "127.0.0.1:0"))
        assert code == 4
        assert "has 2 names (hard links)" in words
        hard.unlink()
    assert sorted(p.name for p in file.parent.iterdir()) == ["link.db", "wazir.db", "wazir.db.lock"]


def test_a_lock_file_that_is_removed_is_made_again_and_lets_no_second_server_in(file: Path) -> None:
    with served(file) as server:
        lock = file.with_name("wazir.db.lock")
        lock.unlink()
        code, words = said(wazir("serve", "--db", file, "--listen", "127.0.0.1:0"))
        assert code == 4
        assert re.search(rf"is served already,? by process {server.pid}\b", words)
        assert server.stderr is not None
        assert any("was removed, and is made again" in line for line in server.stderr)
        assert lock.read_text() == f"{server.pid}\n"


def removed(file: Path) -> None:
    file.unlink()


def replaced(file: Path) -> None:
    fresh = file.with_name("fresh.db")
    open_sqlite(fresh).close()
    fresh.replace(file)


@pytest.mark.parametrize(("change", "words"), [(removed, "removed or renamed"), (replaced, "replaced by another file")])
def test_a_server_whose_file_is_taken_away_ends_and_says_so(
    file: Path, change: Callable[[Path], None], words: str
) -> None:
    with served(file) as server:
        change(file)
        code, log = said(server)
    assert code == 4
    assert words in log
    assert "Traceback" not in log
    assert not file.with_name("wazir.db-wal").exists(), "it would be read as the log of the file that is there now"
