"""Checkpoints: whole or not at all, and never another trial's."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wazir.clients.checkpoint import MANIFEST, Checkpoints
from wazir.domain.errors import InvalidArgument

MINE = "owners/default/studies/s/trials/1"


def saved(root: Path, step: int, text: str = "weights", trial: str = MINE) -> Path:
    with Checkpoints(root, trial).save(step) as folder:
        (folder / "model").mkdir()
        (folder / "model" / "w.bin").write_text(text)
    latest = Checkpoints(root, trial).latest()
    assert latest is not None
    return latest


def test_the_latest_is_found_by_another_attempt(tmp_path: Path) -> None:
    saved(tmp_path, 3)
    latest = saved(tmp_path, 12)
    again = Checkpoints(tmp_path, MINE)
    assert (again.latest(), again.step()) == (latest, 12)
    assert (latest / "model" / "w.bin").read_text() == "weights"


def test_older_ones_are_removed(tmp_path: Path) -> None:
    saved(tmp_path, 3)
    saved(tmp_path, 12)
    assert [p.name for p in tmp_path.iterdir()] == ["step-000000000012"]


def test_one_that_was_not_finished_is_none(tmp_path: Path) -> None:
    saved(tmp_path, 3)

    def fails() -> None:
        with Checkpoints(tmp_path, MINE).save(4) as folder:
            (folder / "half").write_text("x")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert Checkpoints(tmp_path, MINE).step() == 3
    assert [p.name for p in tmp_path.iterdir()] == ["step-000000000003"]


def cut_short(folder: Path) -> None:
    (folder / "model" / "w.bin").write_text("w")


def taken_away(folder: Path) -> None:
    (folder / "model" / "w.bin").unlink()


def without_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


def manifest_cut_short(folder: Path) -> None:
    (folder / MANIFEST).write_text('{"trial": "own')


def manifest_of_something_else(folder: Path) -> None:
    (folder / MANIFEST).write_text("[1, 2]")


def manifest_of_files_that_cannot_be(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "files": {"x" * 300: 1, "\0": 1}}))


def of_another_trial(folder: Path) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "trial": "owners/default/studies/s/trials/2"}))


@pytest.mark.parametrize(
    "damage",
    [
        cut_short,
        taken_away,
        without_manifest,
        manifest_cut_short,
        manifest_of_something_else,
        manifest_of_files_that_cannot_be,
        of_another_trial,
    ],
)
def test_a_damaged_one_is_passed_over_with_a_warning(
    damage: Callable[[Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(saved(tmp_path, 12))
    assert Checkpoints(tmp_path, MINE).latest() is None
    assert Checkpoints(tmp_path, MINE).step() == 0
    assert "is passed over" in caplog.text


def test_a_trial_may_begin_from_another_ones_until_it_has_its_own(tmp_path: Path) -> None:
    saved(tmp_path / "parent", 7, "theirs", "owners/default/studies/s/trials/2")
    mine = Checkpoints(tmp_path / "mine", MINE, parent=tmp_path / "parent")
    assert mine.step() == 7
    saved(tmp_path / "mine", 9, "ours")
    assert mine.step() == 9


def test_outside_a_study_nothing_is_kept() -> None:
    checkpoint = Checkpoints(None, "")
    with checkpoint.save(1) as folder:
        (folder / "w").write_text("x")
    assert not folder.exists()
    assert checkpoint.latest() is None


@pytest.mark.parametrize("step", [-1, 10**12, True, 1.0])
def test_steps_that_are_refused(step: int, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="step"), Checkpoints(tmp_path, MINE).save(step):
        pass


def test_what_a_killed_attempt_was_writing_is_removed_by_the_next_that_saves(tmp_path: Path) -> None:
    killed, beside = tmp_path / ".saving-1-77-4", tmp_path / ".saving-2-77-4"
    for draft in (killed, beside):
        draft.mkdir()
        (draft / "half").write_text("x")
    with Checkpoints(tmp_path, MINE, attempt=2).save(4):
        pass
    assert not killed.exists()
    assert beside.exists(), "another process of the same attempt may still be writing it"


def heir(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "mine", MINE, parent=tmp_path / "parent")


THEIRS = "owners/default/studies/s/trials/2"


def test_what_is_taken_over_stays_though_the_parent_goes_on_and_saves(tmp_path: Path) -> None:
    saved(tmp_path / "parent", 7, "theirs", THEIRS)
    mine = heir(tmp_path)
    assert mine.step() == 7
    saved(tmp_path / "parent", 8, "later", THEIRS)
    latest = mine.latest()
    assert (mine.step(), latest) == (7, tmp_path / "mine" / "step-000000000007"), "the step that it began with"
    assert latest is not None
    assert (latest / "model" / "w.bin").read_text() == "theirs"
    assert heir(tmp_path).step() == 7, "another attempt goes on from there, too"


def test_one_that_is_collected_after_it_was_taken_over_is_not_missed(tmp_path: Path) -> None:
    saved(tmp_path / "parent", 7, "theirs", THEIRS)
    mine = heir(tmp_path)
    assert mine.step() == 7
    shutil.rmtree(tmp_path / "parent")
    assert (mine.step(), heir(tmp_path).step()) == (7, 7)


def test_a_damaged_one_of_the_parent_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cut_short(saved(tmp_path / "parent", 7, "theirs", THEIRS))
    assert heir(tmp_path).step() == 0
    assert "w.bin is cut short" in caplog.text


def test_where_it_cannot_be_taken_over_the_trial_begins_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    saved(tmp_path / "parent", 7, "theirs", THEIRS)
    (tmp_path / "mine").write_text("a file where its folder should be")
    assert heir(tmp_path).latest() is None
    assert "could not be taken over" in caplog.text


def test_several_processes_of_an_attempt_take_over_the_same(tmp_path: Path) -> None:
    saved(tmp_path / "parent", 7, "theirs" * 100_000, THEIRS)
    code = (
        "import sys; from pathlib import Path; from wazir.clients.checkpoint import Checkpoints\n"
        f"root = Path({str(tmp_path)!r}); mine = Checkpoints(root / 'mine', {MINE!r}, parent=root / 'parent')\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "step, latest = mine.step(), mine.latest(); print(step, len((latest / 'model' / 'w.bin').read_text()))"
    )
    ranks = [
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for rank in ranks:
        assert rank.stdout is not None
        assert rank.stdout.readline() == "ready\n"
    assert [rank.communicate("go\n")[0] for rank in ranks] == ["7 600000\n"] * 4
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["step-000000000007"]
