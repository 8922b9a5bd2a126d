"""What Wazir writes is its user's alone, whatever the umask; with tokens it uses no file that others can read."""

from __future__ import annotations

import os
import secrets
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from wazir.app.cli import cli
from wazir.app.logs import log_to_file
from wazir.app.private_files import check_key
from wazir.domain.errors import InvalidArgument
from wazir.storage.sqlite import open_sqlite

from ..contract.store import insert, new_study
from .test_db import wazir


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


@pytest.fixture(params=[0o022, 0o000], ids=["umask 022", "umask 000"])
def umask(request: pytest.FixtureRequest) -> object:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_a_database_its_log_and_its_folder_are_private(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    store = open_sqlite(folder / "wazir.db", serve=True)
    insert(store, new_study())
    assert modes(tmp_path) == {"new": 0o700}
    assert modes(folder) == {"wazir.db": 0o600, "wazir.db-wal": 0o600, "wazir.db-shm": 0o600}
    store.close()


@pytest.mark.usefixtures("umask")
def test_backups_and_what_is_restored_from_them_are_private(tmp_path: Path) -> None:
    store = open_sqlite(tmp_path / "wazir.db")
    insert(store, new_study())
    store.close()
    assert wazir("db", "backup", "--db", tmp_path / "wazir.db", tmp_path / "copy").exit_code == 0
    assert wazir("db", "restore", "--db", tmp_path / "restored.db", tmp_path / "copy").exit_code == 0
    assert modes(tmp_path) == dict.fromkeys(("wazir.db", "copy", "restored.db"), 0o600)


@pytest.mark.usefixtures("umask")
def test_a_log_is_private_one_that_was_there_too(tmp_path: Path) -> None:
    log = tmp_path / "wazir.log"
    log.touch(0o644)
    # In a process of its own: it changes how everything logs.
    code = f"from {log_to_file.__module__} import log_to_file; log_to_file({str(log)!r})"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert modes(tmp_path) == {"wazir.log": 0o600}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_a_server_with_tokens_refuses_a_database_that_others_can_read(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "wazir.db"
    open_sqlite(file).close()
    file.chmod(mode)
    refused = CliRunner().invoke(cli, ["serve", "--db", str(file), "--auth", "tokens", "--listen", "127.0.0.1:0"])
    assert refused.exit_code == 4
    assert f"(mode {mode:o})" in refused.output
    assert f"chmod 600 {file}" in refused.output


def test_a_server_with_tokens_refuses_a_folder_where_others_could_replace_the_database(tmp_path: Path) -> None:
    file = tmp_path / "wazir.db"
    open_sqlite(file).close()
    tmp_path.chmod(0o777)
    refused = CliRunner().invoke(cli, ["serve", "--db", str(file), "--auth", "tokens", "--listen", "127.0.0.1:0"])
    assert refused.exit_code == 4
    assert f"chmod o-w {tmp_path}" in refused.output


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text(secrets.token_hex(32))
    key.chmod(0o644)
    refused = CliRunner().invoke(cli, ["serve", "--auth", "tokens", "--key-file", str(key)])
    assert refused.exit_code == 2
    assert f"chmod 600 {key}" in refused.output
    key.chmod(0o600)
    check_key("--key-file", key)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file of another user's")
def test_a_key_that_kubernetes_mounts_belongs_to_root_and_is_read_by_its_group() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        key = Path(folder) / "key"
        key.touch()
        key.chmod(0o440)
        with pytest.raises(InvalidArgument):
            check_key("--key-file", key)
        os.seteuid(65534)
        try:
            check_key("--key-file", key)
        finally:
            os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize(("mode", "words"), [(0o700, "Permission denied"), (0o755, "must be writable to be checked")])
def test_a_database_of_another_user_is_no_broken_one(mode: int, words: str) -> None:
    with tempfile.TemporaryDirectory() as above:
        Path(above).chmod(0o755)
        file = Path(above) / "theirs" / "wazir.db"
        open_sqlite(file).close()
        file.chmod(0o644)
        file.parent.chmod(mode)
        os.seteuid(65534)
        try:
            refused = wazir("db", "check", "--db", file)
        finally:
            os.seteuid(0)
    assert refused.exit_code in (2, 4)
    assert words in refused.output
