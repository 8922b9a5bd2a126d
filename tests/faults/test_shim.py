"""The bad disk and the wrong clock that other tests use: a program sees what it is told to see, and nothing else."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .shim import Shim

WRITES = """
import os, sys
for name in sys.argv[1:]:
    file = os.open(name, os.O_WRONLY | os.O_CREAT)
    for call in (lambda: os.write(file, b"x"), lambda: os.pwrite(file, b"x", 0), lambda: os.fsync(file)):
        try:
            call()
            print(0)
        except OSError as error:
            print(error.errno)
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Shim:
    return Shim(tmp_path_factory.mktemp("shim"))


def output(shim: Shim, program: str, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, **shim.environment},
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def errors(shim: Shim, *files: Path) -> list[int]:
    """Of a write, a write at a place and a sync of each file."""
    return [int(line) for line in output(shim, WRITES, *map(str, files)).split()]


def test_writes_to_chosen_files_fail(shim: Shim, tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.db", tmp_path / "good.db"
    shim.fail("write", error=errno.ENOSPC, path="bad.db")
    assert errors(shim, bad, good) == [errno.ENOSPC, errno.ENOSPC, 0, 0, 0, 0]
    shim.heal()
    assert errors(shim, bad) == [0, 0, 0]


def test_every_second_write_fails(shim: Shim, tmp_path: Path) -> None:
    shim.fail("write", "sync", error=errno.EIO, nth=2, path="bad.db")
    assert errors(shim, tmp_path / "bad.db", tmp_path / "bad.db") == [0, errno.EIO, 0, errno.EIO, 0, errno.EIO]
    shim.heal()


def test_syncs_are_slow(shim: Shim, tmp_path: Path) -> None:
    shim.fail("sync", seconds=0.5, path="slow.db")
    began = time.monotonic()
    assert errors(shim, tmp_path / "slow.db") == [0, 0, 0]
    assert time.monotonic() - began >= 0.5
    shim.heal()


def test_the_wall_clock_is_wrong_and_the_monotonic_one_is_not(shim: Shim) -> None:
    shim.set_clock(3600.0)
    wall, steady = output(shim, "import time; print(time.time(), time.monotonic())").split()
    shim.set_clock(0.0)
    assert 3600.0 <= float(wall) - time.time() + 60.0 <= 3660.0
    assert float(steady) <= time.monotonic()
