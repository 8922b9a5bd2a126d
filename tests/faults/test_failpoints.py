"""Each failpoint is a place that exists, and does what its file says for as long as the file is there."""

from __future__ import annotations

import asyncio
import subprocess
import time
from pathlib import Path

import pytest

from .failpoints import POINTS, Failpoint, Failpoints, wrapped


@pytest.fixture
def failpoints(tmp_path: Path) -> Failpoints:
    return Failpoints(tmp_path)


def answer() -> int:
    return 42


async def answer_later() -> int:
    return 42


def test_a_function_fails_while_it_is_told_to(failpoints: Failpoints, tmp_path: Path) -> None:
    function = wrapped(answer, tmp_path / "writer")
    assert function() == 42
    failpoints.fail("writer")
    with pytest.raises(Failpoint, match="writer"):
        function()
    failpoints.heal()
    assert function() == 42
    assert failpoints.hits("writer") == 1


def test_a_coroutine_fails_while_it_is_told_to(failpoints: Failpoints, tmp_path: Path) -> None:
    function = wrapped(answer_later, tmp_path / "duties")
    failpoints.fail("duties")
    with pytest.raises(Failpoint, match="duties"):
        asyncio.run(function())
    failpoints.heal()
    assert asyncio.run(function()) == 42


def test_a_function_takes_longer_while_it_is_told_to(failpoints: Failpoints, tmp_path: Path) -> None:
    function = wrapped(answer, tmp_path / "writer")
    failpoints.hold("writer", 0.2)
    began = time.monotonic()
    assert function() == 42
    assert time.monotonic() - began >= 0.2


def test_every_failpoint_is_a_function_of_wazir(failpoints: Failpoints) -> None:
    """A program that starts with all of them wrapped. One that was renamed would be missed here."""
    done = subprocess.run(failpoints.command("--version"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert POINTS
