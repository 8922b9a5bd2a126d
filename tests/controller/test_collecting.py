"""From what an attempt has left behind to what is reported of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from wazir.controller import collecting
from wazir.controller.collecting import MAX_VALUES, Collector, batches, last_words, unreadable
from wazir.controller.execution import Key
from wazir.controller.local.runtime import CHUNK, LocalRuntime
from wazir.controller.runtime import OutputLost
from wazir.domain.metric import Goal, Objective
from wazir.domain.template import MetricsFrom, MetricsSource
from wazir.domain.trial import Measurement

from ..contract.runtime import order, run
from .world import make_study

SPEC = make_study(metrics=MetricsFrom.STDOUT).spec


def collector(tmp_path: Path, output: bytes, metrics: MetricsFrom = MetricsFrom.STDOUT) -> Collector:
    """Of an attempt that has printed `output`."""
    runtime = LocalRuntime(tmp_path / "runs")
    try:
        (tmp_path / "output").write_bytes(output)
        what = order("cat", str(tmp_path / "output"))
        run(runtime, what)
        return Collector(runtime, what.key, make_study(metrics=metrics).spec)
    finally:
        runtime.close()


def test_all_output_is_read_once_however_long_it_is(tmp_path: Path) -> None:
    line = b"step=%d loss=1 " + b"x" * 1000 + b"\n"
    count = 2 * CHUNK // 1000
    reading = collector(tmp_path, b"".join(line % i for i in range(count)) + b"step=%d loss=1" % count)
    reading.read(5.0)
    assert [m.step for m in reading.unsent] == list(range(count))
    reading.read(6.0)
    assert len(reading.unsent) == count
    reading.finish(7.0)
    reading.finish(8.0)
    assert len(reading.unsent) == count + 1, "the last line has no line end"


def test_one_that_printed_without_end_is_read_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "SLICE", 0.0)
    line = b"loss=1 " + b"x" * 993
    count = 3 * collecting.PIECE // len(line)
    reading = collector(tmp_path, (line + b"\n") * count)
    turns = 0
    while not reading.finish(5.0):
        turns += 1
        assert turns * collecting.PIECE >= len(reading.unsent) * len(line)
    assert turns >= 3
    assert len(reading.unsent) == count


def test_a_pattern_that_is_no_longer_taken_harms_its_own_study_only(tmp_path: Path) -> None:
    """It is of a study that an earlier version has taken."""
    study = make_study(metrics=MetricsFrom.STDOUT)
    assert study.spec.trial is not None
    old = MetricsSource(MetricsFrom.STDOUT, r"(?P<name>\w+)=(?P<value>\d)(?=;)")
    spec = replace(study.spec, trial=replace(study.spec.trial, metrics=old))
    assert "looking ahead" in unreadable(spec)

    runtime = LocalRuntime(tmp_path / "runs")
    what = order("echo", "loss=1;")
    run(runtime, what)
    reading = Collector(runtime, what.key, spec)
    assert reading.finish(1.0)
    assert "looking ahead" in reading.lost
    runtime.close()


class Forgetful(LocalRuntime):
    """One whose machine went away before all was read."""

    def output(self, key: Key, offset: int) -> bytes:
        if data := super().output(key, offset):
            return data
        raise OutputLost("its node is gone")


def test_what_cannot_be_read_to_its_end_is_told_and_what_could_be_read_counts(tmp_path: Path) -> None:
    runtime = Forgetful(tmp_path / "runs")
    what = order("echo", "step=1 loss=1")
    run(runtime, what)
    reading = Collector(runtime, what.key, SPEC)
    reading.finish(5.0)
    runtime.close()
    assert reading.lost == "its node is gone"
    assert [m.step for m in reading.unsent] == [1]


def test_a_trial_that_pushes_its_metrics_is_not_read(tmp_path: Path) -> None:
    reading = collector(tmp_path, b"loss=1\n", MetricsFrom.PUSH)
    reading.finish(5.0)
    assert reading.unsent == []
    assert reading.remarks("") == ""


def test_each_objective_that_never_came_is_named(tmp_path: Path) -> None:
    reading = collector(tmp_path, b"loss=1\n")
    reading.finish(5.0)
    assert reading.remarks("loss=1\n") == ""
    several = replace(SPEC, objectives=(*SPEC.objectives, Objective("size", Goal.MINIMIZE)))
    reading = Collector(reading._runtime, reading._key, several)
    reading.finish(5.0)
    assert reading.remarks("loss=1\n").startswith("looked for 'size' in what it printed")


def test_values_that_could_not_be_read_are_told_with_what_to_write(tmp_path: Path) -> None:
    reading = collector(tmp_path, b"loss: 0,31\nloss: 0,29\n")
    reading.finish(5.0)
    assert reading.unsent == []
    assert reading.remarks("loss: 0,29").startswith(
        "loss = '0,31': not a plain number, so it was not read. Write 0.31; looked for 'loss'"
    )


def test_a_few_values_that_could_not_be_read_are_told_of_a_trial_that_has_others(tmp_path: Path) -> None:
    reading = collector(tmp_path, b"loss: 999.5\nloss: 1,234\n")
    reading.finish(5.0)
    assert [m.metrics for m in reading.unsent] == [{"loss": 999.5}]
    assert reading.remarks("") == (
        "1 of the values it printed could not be read: "
        "loss = '1,234': not a plain number, so it was not read. Write 1234 or 1.234"
    )


@pytest.mark.parametrize(("count", "metrics"), [(0, 1), (1, 1), (MAX_VALUES + 1, 1), (5000, 3), (2, 2 * MAX_VALUES)])
def test_reports_are_of_a_size_that_the_service_takes(count: int, metrics: int) -> None:
    values = {f"m{i}": 0.0 for i in range(metrics)}
    measurements = [Measurement(step, values, 0.0) for step in range(count)]
    parts = list(batches(measurements))
    assert [m for part in parts for m in part] == measurements
    assert all(len(part) == 1 or len(part) * metrics <= MAX_VALUES for part in parts)


def test_last_words_are_as_a_terminal_shows_them() -> None:
    output = b"\x1b[31mred\x1b[0m\n 10%|#   |\r 90%|####|\r\nend \xff"
    assert last_words(output) == "red\n 90%|####|\nend \ufffd"
