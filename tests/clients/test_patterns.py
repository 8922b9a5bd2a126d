r"""Patterns for what trials print: they mean what they mean in Python, and take time in proportion to the text."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.clients.cli.study_files import load_and_warn
from wazir.clients.collect.stdout import StdoutReader
from wazir.domain.errors import InvalidArgument
from wazir.domain.pattern import MAX_LENGTH, groups
from wazir.wire.pattern import compiled

TEXT = "epoch 3: précision=0,5 loss = 1e-3 [x] a-b_c {7} 12\u00a0345 ΑΒ \x1c\tend"

SAME = [
    r"(?P<name>[\w/]+)\s*=\s*(?P<value>\S+)",
    r"\w+",
    r"\W+",
    r"\d+",
    r"\D+",
    r"\s+",
    r"\S+",
    r"[^\s=]+",
    r"[\w]+|[\d]+",
    r"[]a[]",
    r"[^]a]+",
    r"[\]x]+",
    r"\{\d\}",
    r"a{,2}b?",
    r"o{1,2}?",
    r"(?i)LOSS|Α",
    r"(?i:LOSS)",
    r"(?:e|p)+?o",
    r"(?#a comment)epoch",
    r"end\Z",
    r"\Aepoch",
    r"end$",
    r"\x65\u0070\U0000006f",
    r"\N{GREEK CAPITAL LETTER ALPHA}",
    r"\0|\x1c",
    r"[\b\t]",
    r"l.ss",
    "é",
    r"\é",
    r"[a-c_-]+",
    r"(?u)\w+",
    r"\bend\b",
    r"\.|\[|\(",
]


@pytest.mark.parametrize("pattern", SAME)
def test_a_pattern_finds_what_it_finds_in_python(pattern: str) -> None:
    found = [m.span() for m in compiled(pattern).finditer(TEXT)]
    assert found == [m.span() for m in re.finditer(pattern, TEXT)]


_ATOMS = ["a", "b", ".", r"\w", r"\d", r"\s", "[ab]", "[^a]", "(a|b)", "(?:ab)", "=", r"\.", r"[\w.]"]
_TIMES = ["", "", "+", "*", "?", "{1,3}", "+?"]


@given(st.lists(st.tuples(st.sampled_from(_ATOMS), st.sampled_from(_TIMES)), max_size=6))
def test_patterns_made_of_parts_find_the_same_in_python(parts: list[tuple[str, str]]) -> None:
    pattern = "".join(atom + times for atom, times in parts)
    for text in ("ab=1.5 ba", "", "aaa b", "é=ß"):
        assert [m.span() for m in compiled(pattern).finditer(text)] == [m.span() for m in re.finditer(pattern, text)]


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        (r"(?P<name>a)(?=b)", "looking ahead"),
        (r"(?P<name>a)(?!b)", "looking ahead"),
        (r"(?<=b)(?P<name>a)", "looking back"),
        (r"(?<!b)(?P<name>a)", "looking back"),
        (r"(?P<name>a)(?P=name)", "a backreference"),
        (r"(?P<name>a)\1", "a backreference"),
        (r"(a)?(?(1)b|c)", "a condition"),
        (r"(?>a+)b", "an atomic group"),
        (r"a++b", "possessive"),
        (r"a{2}+b", "possessive"),
        (r"(?x) a b", "flags other than"),
        (r"a{1001}", "more than 1000 times"),
        (r"\w{1,100}", "too much for RE2"),
        (r"((a{100}){100}){100}", "too much for RE2"),
        ("a" * (MAX_LENGTH + 1), f"at most {MAX_LENGTH} characters"),
    ],
)
def test_what_cannot_be_matched_in_linear_time_is_refused_with_the_reason(pattern: str, words: str) -> None:
    with pytest.raises(InvalidArgument, match=words) as refused:
        compiled(pattern)
    assert refused.value.field == "trial.metrics.pattern"
    assert refused.value.hint


@pytest.mark.parametrize("pattern", ["(", "*", "(?P<name>", "[", "a{99999999999}", "{7}", "(" * 500 + ")" * 500])
def test_what_is_no_pattern_is_refused_in_words(pattern: str) -> None:
    with pytest.raises(ValueError, match="is not a valid regular expression"):
        groups(pattern)


@given(st.text(max_size=30) | st.text("()[]{}?*+\\P<>=!:#,019abwdsZNux|^$-.&~", max_size=30))
def test_every_text_is_refused_in_words_or_compiled(text: str) -> None:
    try:
        groups(text)
    except ValueError:
        return
    try:
        compiled(text)
    except InvalidArgument:
        return


@pytest.mark.parametrize(
    ("pattern", "line"),
    [
        pytest.param(r"(?P<name>(a+)+)=(?P<value>\d)", "a" * 5_000, id="nested repetitions"),
        pytest.param(r"(?P<name>(a|a)*)=(?P<value>\d)", "a" * 5_000, id="alternatives that are the same"),
        pytest.param(r"(?P<name>(.*)*x)(?P<value>y)", "x" * 8_000, id="anything, any number of times"),
    ],
)
def test_a_line_that_would_freeze_a_backtracking_engine_is_read(pattern: str, line: str) -> None:
    """The suite's time limit would end a test that backtracks."""
    reader = StdoutReader(["loss"], pattern)
    assert reader.feed(line.encode() * 2 + b"\n", 1.0) == []
    assert reader.slow_lines == 0


def test_a_study_file_with_such_a_pattern_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(
        "study: s\nobjective: {metric: loss, goal: minimize}\nparameters:\n  x: {min: 0.0, max: 1.0}\n"
        "trial:\n  command: [train, '${args}']\n  metrics: {from: stdout, pattern: '(?P<name>a)(?P<value>b)(?=c)'}\n"
    )
    with pytest.raises(InvalidArgument, match=r"study.yaml:7: .*looking ahead"):
        load_and_warn(file)


def test_without_re2_the_error_names_what_to_install() -> None:
    code = (
        "import sys; sys.modules['re2'] = None\n"
        "from wazir.wire.pattern import compiled\n"
        "try: compiled('a')\n"
        "except Exception as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'wazir[run]'" in said
