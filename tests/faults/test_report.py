"""docs/reliability.md names a test for each fault that was observed; those tests are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
REPORT = TESTS.parent / "docs" / "reliability.md"
ROWS = [
    line.split("|")
    for line in REPORT.read_text().partition("## Faults that were observed")[2].partition("\n## ")[0].splitlines()
    if line.startswith("| ") and "`" in line
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1].strip())
def test_the_tests_of_a_fault_are_there(row: list[str]) -> None:
    named = re.findall(r"`([^`]+)`", row[3])
    file = ""
    for words in named:
        path, _, test = words.rpartition(": ") if ".py" in words and ": " in words else ("", "", words)
        file = path or (words if words.endswith(".py") else file)
        text = (TESTS / file).read_text()
        assert words.endswith(".py") or f"def test_{test}" in text, words


def test_every_fault_has_a_row() -> None:
    assert len(ROWS) == 13
