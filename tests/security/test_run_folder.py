"""What attempts leave behind is for the user of the controller alone, and nothing secret is passed on to them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from wazir.controller.local.environment import environment
from wazir.controller.local.folder import Folder
from wazir.controller.local.runtime import LocalRuntime

from ..contract.runtime import order, run


@pytest.fixture(params=[0o000, 0o022, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_nobody_else_can_read_it(tmp_path: Path) -> None:
    root = tmp_path / ".wazir" / "runs" / "team" / "mine"
    runtime = LocalRuntime(root)
    script = "echo x >> $WAZIR_SPOOL; mkdir -p $WAZIR_CHECKPOINTS"
    what = order("sh", "-c", script)
    run(runtime, what)
    runtime.close()

    above = [root, *list(root.parents)[:3]]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in above} == {0o700}
    assert stat.S_IMODE((root / "identity").stat().st_mode) == 0o600
    folder = Folder(root, what.key)
    of_study = folder.path.parent.parent
    assert stat.S_IMODE(of_study.stat().st_mode) == 0o700
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert folder.checkpoints.is_relative_to(of_study)
    ours = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir() if path != folder.spool}
    assert ours == dict.fromkeys(["exit.json", "launch.json", "output.log", folder.sign.name], 0o600)


def test_a_folder_of_an_earlier_version_is_closed_to_others(tmp_path: Path) -> None:
    what = order("true")
    of_study = Folder(tmp_path / "runs", what.key).path.parent.parent
    of_study.mkdir(parents=True, mode=0o755)
    runtime = LocalRuntime(tmp_path / "runs")
    run(runtime, what)
    runtime.close()
    assert stat.S_IMODE(of_study.stat().st_mode) == 0o700


def test_training_keeps_the_umask_of_its_user_for_its_own_files(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        runtime = LocalRuntime(tmp_path / "runs")
        run(runtime, order("touch", str(tmp_path / "result")))
        runtime.close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "result").stat().st_mode) == 0o640


def test_no_password_of_a_database_is_passed_on(tmp_path: Path) -> None:
    what = order("true")
    folder = Folder(tmp_path, what.key)
    held = {"WAZIR_DB": "postgresql://wazir:secret@db/wazir", "PATH": "/bin"}
    assert environment(what, folder, None, "m", held)["WAZIR_DB"] == ""
    assert "WAZIR_DB" not in environment(what, folder, None, "m", {"WAZIR_DB": "here.db"})
