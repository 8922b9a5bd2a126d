"""A short round of fuzzing from the stored corpus; `python -m tests.fuzz` runs long ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from ..postgres import missing
from .targets import TARGETS, TooSlow, timed

ROOT = Path(__file__).parents[2]
SECONDS = 10


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_no_input_crashes_it_or_takes_more_than_a_second(target: str) -> None:
    try:
        import atheris  # noqa: F401
    except ImportError:
        missing("atheris (pip install 'wazir[dev]' on Linux)")
    command = [sys.executable, "-m", "tests.fuzz", target, "--seconds", str(SECONDS)]
    result = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert result.returncode == 0, result.stdout[-5000:]
    assert "Done " in result.stdout, result.stdout[-5000:]


def test_a_call_that_takes_too_long_is_found() -> None:
    def slow(data: bytes) -> None:
        sum(range(10**8 if data else 1))

    call = timed(slow)
    call(b"")
    with pytest.raises(TooSlow):
        call(b"x")
