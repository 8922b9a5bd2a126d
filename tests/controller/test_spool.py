"""Reports that training code could not deliver."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.controller.spool import Spooled, parse
from wazir.domain.trial import Measurement


def test_reports_come_in_order() -> None:
    data = b'{"step": 1, "metrics": {"loss": 1}, "time": 5.5}\n{"step": 2, "metrics": {"loss": 0.5}, "time": 6}\n'
    assert parse(data) == Spooled((Measurement(1, {"loss": 1.0}, 5.5), Measurement(2, {"loss": 0.5}, 6.0)))


def test_the_word_infeasible() -> None:
    assert parse(b'{"infeasible": "diverged"}\n').infeasible == "diverged"


def test_values_that_are_not_finite() -> None:
    [measurement] = parse(b'{"step": 1, "metrics": {"loss": NaN, "x": -Infinity}, "time": 1}').measurements
    assert math.isnan(measurement.metrics["loss"])
    assert measurement.metrics["x"] == -math.inf


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"step": 2, "metr', "cut off by a sudden end"),
        (b"hello", "no JSON"),
        (b"[1, 2]", "no object"),
        (b"{}", "nothing in it"),
        (b'{"step": -1, "metrics": {"a": 1}, "time": 1}', "no such step"),
        (b'{"step": true, "metrics": {"a": 1}, "time": 1}', "no number"),
        (b'{"step": 1.5, "metrics": {"a": 1}, "time": 1}', "no whole number"),
        (b'{"step": 1, "metrics": {}, "time": 1}', "no metric"),
        (b'{"step": 1, "metrics": {"a": "1"}, "time": 1}', "a text"),
        (b'{"step": 1, "metrics": {"": 1}, "time": 1}', "no name"),
        (b'{"step": 1, "metrics": {"a": 1}, "time": NaN}', "no time"),
        (b'{"step": 1, "metrics": {"a": 1' + b"0" * 400 + b'}, "time": 1}', "beyond all floats"),
        (b"\xff\xfe", "no text"),
        (b"[" * 100_000, "nested without end"),
    ],
)
def test_what_says_nothing_is_left_out_and_the_rest_is_read(line: bytes, reason: str) -> None:
    good = b'{"step": 1, "metrics": {"loss": 1}, "time": 5}'
    spooled = parse(good + b"\n" + line + b"\n" + good)
    assert len(spooled.measurements) == 2, reason
    assert spooled.rejected == 1


@given(st.binary(max_size=200))
def test_no_bytes_break_it(data: bytes) -> None:
    parse(data)


@given(st.dictionaries(st.sampled_from(["loss", "ä/b"]), st.floats(), min_size=1), st.integers(0, 2**63 - 1))
def test_what_was_written_is_read(metrics: dict[str, float], step: int) -> None:
    [read] = parse(json.dumps({"step": step, "metrics": metrics, "time": 1.25}).encode()).measurements
    assert read.step == step
    assert repr(dict(read.metrics)) == repr(metrics)
