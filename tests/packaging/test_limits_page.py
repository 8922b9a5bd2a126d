"""The page of limits says what the code goes by."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_of_limits_is_made_from_the_code() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "tools.limits", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
