"""What the supervisors find out about the machine."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from wazir.controller.local import processes, zygote


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("low 0\nhigh 2\nmax 7\noom 3\noom_kill 2\noom_group_kill 9\n", 2),
        ("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n", 4),
        ("nr_free_pages 5\n", 0),
        ("", 0),
    ],
)
def test_out_of_memory_kills_are_counted(tmp_path: Path, text: str, count: int) -> None:
    """The three forms are memory.events, memory.oom_control and a machine without either."""
    (tmp_path / "file").write_text(text)
    assert zygote.counter(str(tmp_path / "file")) == count


def test_this_machine_has_a_counter() -> None:
    assert zygote.out_of_memory_counter()() >= 0


def test_both_sides_of_the_pipe_read_the_same_start_time() -> None:
    assert zygote.start_time() == processes.start_time(os.getpid())


def test_a_process_is_told_from_a_later_one_with_its_number() -> None:
    start, boot = zygote.start_time(), processes.boot_id()
    handle = processes.open_process(os.getpid(), start, boot)
    assert handle is not None
    os.close(handle)
    assert processes.open_process(os.getpid(), start + 1, boot) is None
    assert processes.open_process(os.getpid(), start, "another boot") is None


def test_children_are_found_with_and_without_the_kernels_list(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as child:
        assert child.pid in zygote.children()
        monkeypatch.setattr(os.path, "exists", lambda path: False)
        assert child.pid in zygote.children()
