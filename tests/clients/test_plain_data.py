"""JSON and YAML for scripts: whatever the data hold, every reader takes it for the same."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from wazir.clients.json_text import json_text
from wazir.clients.study_file_reader import Reader
from wazir.clients.yaml_text import yaml_text

ODD = [
    "on",
    "yes",
    "no",
    "null",
    "~",
    "true",
    "1e-5",
    "1_000",
    "0o17",
    "0x1f",
    "017",
    ".inf",
    ".nan",
    "",
    "=",
    "<<",
    "-",
]
TIMES = ["2024-01-01", "2024-01-01T00:00:00+00:00", "12:30:00"]
MARKS = ["# x", "a: b", "\x85", "\u2028", "\x1b[31m", "\u202e", "'", '"', "\n"]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from([*ODD, *TIMES, *MARKS])
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def strict(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is not JSON")


def same(a: object, b: object) -> bool:
    """Equal, with 1, 1.0 and true apart, and NaN equal to itself."""
    return repr(a) == repr(b)


@given(PLAIN)
def test_json_is_read_by_the_strictest_reader(data: object) -> None:
    read = json.loads(json_text(data), parse_constant=strict)
    assert json_text(read) == json_text(data)


def test_json_names_what_it_has_no_numbers_for() -> None:
    data = {"loss": math.nan, "curve": [math.inf, -math.inf, 0.5]}
    assert json.loads(json_text(data), parse_constant=strict) == {
        "loss": "NaN",
        "curve": ["Infinity", "-Infinity", 0.5],
    }


@given(PLAIN)
@example([math.nan, math.inf, -math.inf, 1e17, 1e-5])
def test_yaml_1_1_reads_back_what_was_written(data: object) -> None:
    assert same(yaml.safe_load(yaml_text(data)), data)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=PLAIN)
@example(data=[math.nan, math.inf, -math.inf, 1e17, 1e-5])
def test_yaml_1_2_reads_back_what_was_written(tmp_path: Path, data: object) -> None:
    path = tmp_path / "data.yaml"
    path.write_bytes(yaml_text({"data": data}).encode())
    assert same(Reader(path).read()[0], {"data": data})


@pytest.mark.parametrize("write", [json_text, yaml_text])
def test_control_characters_never_reach_a_terminal(write: Callable[[object], str]) -> None:
    written = write({"reason": "\x1b[2J\x9b1m\u202etxt"})
    assert not {"\x1b", "\x9b", "\u202e"} & set(written)
