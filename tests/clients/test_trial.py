"""The trial as training code sees it: what it may report, and that a report arrives whatever becomes of the service."""

from __future__ import annotations

import json
import logging
import math
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from wazir.clients import trial as trial_module
from wazir.clients.spool import Spool
from wazir.clients.trial import Trial, current_trial
from wazir.domain.errors import Internal, InvalidArgument, NotFound, StaleAttempt
from wazir.domain.trial import Instruction, Measurement, StopGoal

from .recorder import PATIENCE, TRIAL, Recorder, environment, recording


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with recording(tmp_path) as recorder:
        yield recorder


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool.jsonl"


@pytest.fixture
def trial(recorder: Recorder, spool: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trial]:
    """This process's trial, for the time of one test."""
    for name, value in environment(recorder, spool).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(trial_module, "_current", None)
    trial = current_trial()
    yield trial
    assert trial._reporter is not None
    trial._reporter.close(0.0)


def test_checkpoints_that_nobody_needs_are_removed_where_only_the_trials_see_them(
    recorder: Recorder, spool: Path, tmp_path: Path
) -> None:
    for name in ("1", "3", "5", "x"):
        (tmp_path / "claim" / name).mkdir(parents=True)
        (tmp_path / "claim" / name / "weights").write_text("w")
    code = (
        "import threading, wazir; trial = wazir.current_trial()\n"
        "[t.join() for t in threading.enumerate() if t.name == 'wazir-discard']"
    )
    told = {"WAZIR_CHECKPOINTS": str(tmp_path / "claim" / "1"), "WAZIR_SPENT_CHECKPOINTS": "3 5 8 ../claim/x"}
    variables = {**os.environ, **environment(recorder, spool), **told}
    subprocess.run([sys.executable, "-c", code], env=variables, check=True)
    assert sorted(p.name for p in (tmp_path / "claim").iterdir()) == ["1", "x"]


class Scalar:
    """Stands for a NumPy scalar or a tensor of one element: what float() takes."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value


class Index:
    def __index__(self) -> int:
        return 5


def spooled(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


# What may be reported


@pytest.mark.parametrize(
    ("metrics", "kept"),
    [
        pytest.param({"loss": 1}, {"loss": 1.0}, id="an integer"),
        pytest.param({"loss": 0.25, "val/acc": 0.5}, {"loss": 0.25, "val/acc": 0.5}, id="several"),
        pytest.param({"loss": Scalar(0.5)}, {"loss": 0.5}, id="whatever float() takes"),
        pytest.param({"ok": True}, {"ok": 1.0}, id="a boolean counts as 0 or 1"),
        pytest.param({"loss": math.inf}, {"loss": math.inf}, id="an infinity is kept as it is"),
    ],
)
def test_metrics_arrive_as_floats(
    trial: Trial, recorder: Recorder, metrics: Mapping[str, float], kept: dict[str, float]
) -> None:
    trial.report(metrics, step=3)
    assert trial.flush(PATIENCE)
    assert sorted(recorder.points) == sorted((3, name, value) for name, value in kept.items())
    assert (recorder.reports[0].name, recorder.reports[0].attempt) == (TRIAL, 2)


@pytest.mark.parametrize(
    ("metrics", "step", "field"),
    [
        pytest.param({}, 1, "metrics", id="no metric at all"),
        pytest.param([0.3], 1, "metrics", id="values without names"),
        pytest.param({"loss": "0.3"}, 1, "metrics.loss", id="text, though float() would take it"),
        pytest.param({"loss": None}, 1, "metrics.loss", id="None"),
        pytest.param({"loss": [1.0, 2.0]}, 1, "metrics.loss", id="several numbers"),
        pytest.param({"loss": 10**400}, 1, "metrics.loss", id="too large for a float"),
        pytest.param({3: 0.3}, 1, "metrics", id="a name that is no text"),
        pytest.param({"": 0.3}, 1, "metrics", id="an empty name"),
        pytest.param({"loss": 0.3}, -1, "step", id="a negative step"),
        pytest.param({"loss": 0.3}, 1.5, "step", id="half a step"),
        pytest.param({"loss": 0.3}, True, "step", id="a boolean is no step"),
        pytest.param({"loss": 0.3}, 2**63, "step", id="beyond 64 bits"),
    ],
)
def test_what_is_no_report_is_refused_where_it_is_made(metrics: object, step: object, field: str) -> None:
    stand_in = Trial(None, 0, {}, None)
    with pytest.raises(InvalidArgument) as refused:
        stand_in.report(metrics, step=step)  # type: ignore[arg-type]
    assert refused.value.field == field


def test_one_metric_may_be_given_as_name_and_value(trial: Trial, recorder: Recorder) -> None:
    trial.report("loss", 0.5, step=1)
    assert trial.flush(PATIENCE)
    assert recorder.points == [(1, "loss", 0.5)]


@pytest.mark.parametrize("arguments", [("loss",), ({"loss": 1.0}, 2.0)], ids=["no value", "a value too many"])
def test_name_and_value_go_together(arguments: tuple[object, ...]) -> None:
    with pytest.raises(InvalidArgument):
        Trial(None, 0, {}, None).report(*arguments)  # type: ignore[arg-type]


def test_without_a_step_reports_count_from_one_and_go_on_from_the_last() -> None:
    trial = Trial(None, 0, {}, None)
    assert trial.resume_step() == 0
    assert trial.report("loss", 1.0) == 2
    assert trial.report("loss", 1.0, step=Index()) == 6
    assert trial.report("loss", 1.0) == 7


def test_reports_of_one_step_go_out_as_one_and_the_later_value_stands(trial: Trial, recorder: Recorder) -> None:
    recorder.gate.clear()
    trial.report("first", 0.0, step=0)
    for value in (1.0, 2.0):
        trial.report("loss", value, step=1)
    trial.report("accuracy", 0.5, step=1)
    recorder.gate.set()
    assert trial.flush(PATIENCE)
    for report in recorder.reports:
        steps = [m.step for m in report.measurements]
        assert len(steps) == len(set(steps))
    assert {(step, name): value for step, name, value in recorder.points} == {
        (0, "first"): 0.0,
        (1, "loss"): 2.0,
        (1, "accuracy"): 0.5,
    }


def test_many_reports_go_out_in_calls_that_the_service_takes(trial: Trial, recorder: Recorder) -> None:
    for step in range(12_000):
        trial.report("loss", step, step=step)
    assert trial.flush(PATIENCE)
    assert recorder.points == [(step, "loss", float(step)) for step in range(12_000)]
    assert max(len(r.measurements) for r in recorder.reports) <= 10_000


def test_metadata_arrives_beside_reports(trial: Trial, recorder: Recorder) -> None:
    trial.set_metadata({"checkpoint": "/data/7"})
    assert trial.flush(PATIENCE)
    assert recorder.metadata == {"checkpoint": "/data/7"}


def test_metadata_is_text() -> None:
    with pytest.raises(InvalidArgument, match="text"):
        Trial(None, 0, {}, None).set_metadata({"epochs": 3})  # type: ignore[dict-item]


# Being told


def test_the_answer_to_a_report_stops_the_trial(trial: Trial, recorder: Recorder) -> None:
    assert not trial.should_stop()
    assert trial.stop_reason == ""
    recorder.answer = Instruction(StopGoal.STOP, "step 9: rank 7 of 8")
    trial.report("loss", 1.0)
    assert trial.flush(PATIENCE)
    assert trial.should_stop()
    assert trial.stop_reason == "step 9: rank 7 of 8"


def test_a_trial_that_only_asks_is_told_too(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    from wazir.clients.client import Client
    from wazir.clients.reporter import Reporter
    from wazir.domain.names import parse_trial

    recorder.answer = Instruction(StopGoal.CANCEL, "cancelled by a person")
    name = parse_trial(TRIAL)
    reporter = Reporter(name, 2, lambda: Client(recorder.address), beat=0.05)
    trial = Trial(name, 2, {}, reporter)
    trial.should_stop()
    recorder.wait(lambda: len(recorder.beats) >= 2)
    assert trial.should_stop()
    assert trial.stop_reason == "cancelled by a person"
    reporter.close()


def test_infeasible_reaches_the_service_and_ends_the_trial_here(trial: Trial, recorder: Recorder) -> None:
    trial.report("loss", 1.0, step=1)
    trial.infeasible("the loss is not a number")
    assert trial.should_stop()
    assert "the loss is not a number" in trial.stop_reason
    assert trial.flush(PATIENCE)
    assert [r.infeasible for r in recorder.reports if r.infeasible] == ["the loss is not a number"]
    with pytest.raises(InvalidArgument, match="reason"):
        trial.infeasible(" ")


@pytest.mark.parametrize(
    "error",
    [StaleAttempt("s/7", 2, 3, False), NotFound("s/7")],
    ids=["another attempt holds the trial", "the trial was deleted"],
)
def test_a_trial_that_is_not_wanted_any_more_is_told_to_stop_and_sends_nothing_more(
    trial: Trial, recorder: Recorder, spool: Path, caplog: pytest.LogCaptureFixture, error: StaleAttempt | NotFound
) -> None:
    recorder.refuse = lambda: error
    trial.report("loss", 1.0)
    assert not trial.flush(PATIENCE)
    assert trial.should_stop()
    assert trial.stop_reason == str(error)
    recorder.refuse = lambda: None
    trial.report("loss", 2.0)
    assert not trial.flush(PATIENCE)
    assert recorder.reports == []
    assert spooled(spool) == []
    assert [r.levelno for r in caplog.records if "stopped reporting" in r.message] == [logging.WARNING]


def test_a_report_that_the_service_refuses_is_told_and_the_next_ones_go_on(
    trial: Trial, recorder: Recorder, caplog: pytest.LogCaptureFixture
) -> None:
    recorder.refuse = lambda: InvalidArgument("measurements", None, "are too old")
    trial.report("loss", 1.0, step=1)
    assert trial.flush(PATIENCE)
    recorder.refuse = lambda: None
    trial.report("loss", 2.0, step=2)
    assert trial.flush(PATIENCE)
    assert recorder.points == [(2, "loss", 2.0)]
    assert "are too old" in caplog.text


# A service that is away


def test_reports_made_while_the_service_is_away_arrive_in_order_when_it_is_back(
    trial: Trial, recorder: Recorder, spool: Path
) -> None:
    trial.report("loss", 0.0, step=0)
    assert trial.flush(PATIENCE)
    recorder.stop()
    for step in range(1, 6):
        trial.report("loss", step, step=step)
    assert not trial.flush(0.5)
    assert [line["step"] for line in spooled(spool)] == [1, 2, 3, 4, 5]
    recorder.start()
    trial.report("loss", 6.0, step=6)
    assert trial.flush(PATIENCE)
    assert recorder.points == [(step, "loss", float(step)) for step in range(7)]
    assert spooled(spool) == []


def test_a_service_that_fails_counts_as_away(trial: Trial, recorder: Recorder) -> None:
    failures = iter([Internal("a defect"), Internal("a defect"), None])
    recorder.refuse = lambda: next(failures, None)
    trial.report("loss", 1.0, step=1)
    assert trial.flush(PATIENCE)
    assert recorder.points == [(1, "loss", 1.0)]


def test_without_a_usable_spool_reports_wait_in_memory(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in environment(recorder, tmp_path / "no such folder" / "spool").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(trial_module, "_current", None)
    trial = current_trial()
    recorder.stop()
    trial.report("loss", 1.0, step=1)
    assert not trial.flush(0.5)
    recorder.start()
    assert trial.flush(PATIENCE)
    assert recorder.points == [(1, "loss", 1.0)]


def test_a_spool_survives_what_interrupts_its_delivery(spool: Path) -> None:
    ours = Spool(spool)
    items = [Measurement(step, {"loss": math.nan if step == 2 else 0.5}, 1.5) for step in range(2_500)]
    ours.append([*items, "diverged"])
    sent: list[object] = []

    def fails(chunk: list[object]) -> None:
        if sent:
            raise ConnectionError
        sent.extend(chunk)

    with pytest.raises(ConnectionError):
        ours.deliver(fails)  # type: ignore[arg-type]
    pending = [ours.pending]
    again: list[object] = []
    ours.deliver(again.extend)
    assert repr(again) == repr([*items, "diverged"])
    assert [*pending, ours.pending] == [True, False]
    assert spool.read_bytes() == b""


def test_a_line_that_a_sudden_end_cut_off_is_left_out(spool: Path) -> None:
    ours = Spool(spool)
    ours.append([Measurement(1, {"loss": 0.5}, 1.5)])
    spool.write_bytes(spool.read_bytes() + b'{"step": 2, "metr')
    sent: list[object] = []
    ours.deliver(sent.extend)
    assert sent == [Measurement(1, {"loss": 0.5}, 1.5)]


# Processes


def run(code: str, variables: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables}, capture_output=True, text=True, timeout=60
    )


def test_what_was_reported_just_before_the_end_of_the_process_arrives(recorder: Recorder, spool: Path) -> None:
    code = "import wazir\ntrial = wazir.current_trial()\nfor i in range(100): trial.report('loss', i, step=i)"
    done = run(code, environment(recorder, spool))
    assert (done.returncode, done.stderr) == (0, "")
    assert recorder.points == [(step, "loss", float(step)) for step in range(100)]
    assert spooled(spool) == []


def test_what_was_reported_before_an_exception_arrives(recorder: Recorder) -> None:
    code = "import wazir\nwazir.current_trial().report('loss', 1.0)\nraise SystemExit(3)"
    assert run(code, environment(recorder)).returncode == 3
    assert recorder.points == [(1, "loss", 1.0)]


def test_a_thread_that_outlives_the_main_one_reports_too(recorder: Recorder) -> None:
    code = """
import threading, wazir
trial = wazir.current_trial()
main = threading.main_thread()
def late():
    main.join()
    trial.report("loss", 1.0, step=1)
threading.Thread(target=late).start()
"""
    done = run(code, environment(recorder))
    assert (done.returncode, done.stderr) == (0, "")
    assert recorder.points == [(1, "loss", 1.0)]


def test_a_process_that_ends_while_the_service_is_away_leaves_its_reports_in_the_spool(
    recorder: Recorder, spool: Path
) -> None:
    recorder.stop()
    code = "import wazir\ntrial = wazir.current_trial()\ntrial.report({'loss': 0.5}, step=4)\ntrial.infeasible('nan')"
    done = run(code, environment(recorder, spool))
    assert done.returncode == 0
    measured, infeasible = spooled(spool)
    assert (measured["step"], measured["metrics"]) == (4, {"loss": 0.5})
    assert infeasible == {"infeasible": "nan"}


def test_a_process_that_is_killed_while_the_service_is_away_leaves_its_reports_in_the_spool(
    recorder: Recorder, spool: Path
) -> None:
    recorder.stop()
    code = """
import os, signal, wazir
trial = wazir.current_trial()
trial.report({"loss": 0.5}, step=4)
while not (os.path.exists(os.environ["WAZIR_SPOOL"]) and os.path.getsize(os.environ["WAZIR_SPOOL"])):
    trial.flush(0.01)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert run(code, environment(recorder, spool)).returncode == -9
    assert [line["step"] for line in spooled(spool)] == [4]


@pytest.mark.parametrize("child_ends", ["os._exit(0)", "sys.exit(0)"], ids=["at once", "as Python ends"])
def test_a_forked_child_neither_hangs_nor_sends_what_its_parent_sends(recorder: Recorder, child_ends: str) -> None:
    """As the workers of a data loader: forked while the parent reports."""
    code = f"""
import os, sys, wazir
trial = wazir.current_trial()
for step in range(40):
    trial.report("loss", step, step=step)
    if step % 4 == 0:
        child = os.fork()
        if child == 0:
            assert trial.params["lr"] == 0.1
            {child_ends}
        assert os.waitpid(child, 0)[1] == 0
"""
    done = run(code, environment(recorder))
    assert (done.returncode, done.stderr) == (0, "")
    assert recorder.points == [(step, "loss", float(step)) for step in range(40)]


def test_what_a_forked_child_reports_arrives(recorder: Recorder) -> None:
    """As where the process that trains is forked from one that has read the parameters, or reported."""
    code = """
import multiprocessing, wazir
trial = wazir.current_trial()
def train():
    trial.report("child", 1.0, step=1)
if __name__ == "__main__":
    trial.report("parent", 1.0, step=0)
    trial.flush()
    child = multiprocessing.get_context("fork").Process(target=train)
    child.start()
    child.join()
    assert child.exitcode == 0
    trial.report("parent", 2.0, step=2)
"""
    done = run(code, environment(recorder))
    assert (done.returncode, done.stderr) == (0, "")
    assert recorder.points == [(0, "parent", 1.0), (1, "child", 1.0), (2, "parent", 2.0)]


def test_a_trial_that_reports_nothing_never_loads_grpc(recorder: Recorder) -> None:
    code = "import sys, wazir\ntrial = wazir.current_trial()\nprint(trial.params['lr'], 'grpc' in sys.modules)"
    assert run(code, environment(recorder)).stdout == "0.1 False\n"


# The environment


def test_the_trial_is_described_by_the_environment(trial: Trial) -> None:
    assert (trial.id, trial.name, trial.attempt) == (7, TRIAL, 2)
    assert current_trial() is trial
    with pytest.raises(KeyError, match=r"momentum.*lr"):
        trial.params["momentum"]
    with pytest.raises(TypeError):
        trial.params["lr"] = 1.0  # type: ignore[index]


def test_types_of_parameters_are_kept(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters = {"a": 1, "b": 1.0, "c": True, "d": "1", "e": 9_007_199_254_740_993}
    for name, value in environment(recorder, parameters=json.dumps(parameters)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(trial_module, "_current", None)
    assert repr(dict(current_trial().params)) == repr(parameters)


@pytest.mark.parametrize(
    ("reports", "stops", "why"),
    [
        ([(2, "loss"), (3, "loss")], [False, True], "the step is reached at equality"),
        ([(5, "loss")], [True], "it went past the step"),
        ([(3, "train"), (3, "loss")], [False, True], "what it is compared by is waited for"),
        ([(3, "train"), (4, "train")], [False, True], "what has not come by the next step does not come"),
    ],
)
def test_a_trial_that_is_to_pause_stops_by_itself(
    recorder: Recorder,
    reports: list[tuple[int, str]],
    stops: list[bool],
    why: str,
) -> None:
    told = {**environment(recorder), "WAZIR_UNTIL": "3", "WAZIR_OBJECTIVES": '["loss"]'}
    trial = trial_module._from_environment(told)
    said = []
    for step, metric in reports:
        trial.report(metric, 0.5, step=step)
        said.append(trial.should_stop())
    assert said == stops, why
    assert "it was to go to step 3 and wait there" in trial.stop_reason
    assert trial._reporter is not None
    trial._reporter.close()


@pytest.mark.parametrize("text", ["loss", '{"loss": 1}', "[1]"])
def test_objectives_that_are_no_list_of_texts_are_refused(recorder: Recorder, text: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        trial_module._from_environment({**environment(recorder), "WAZIR_OBJECTIVES": text})
    assert refused.value.field == "WAZIR_OBJECTIVES"


def test_outside_a_study_a_stand_in_checks_reports_and_never_stops(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv("WAZIR_TRIAL", raising=False)
    monkeypatch.setattr(trial_module, "_current", None)
    trial = current_trial()
    assert (trial.id, trial.name, dict(trial.params)) == (0, "", {})
    trial.report({"loss": 1.0})
    assert not trial.should_stop()
    assert trial.flush()
    with pytest.raises(KeyError, match="outside a study"):
        trial.params["lr"]
    assert current_trial() is trial
    assert len([r for r in caplog.records if "no study has started this process" in r.message]) == 1


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("WAZIR_TRIAL", "seven", "names no trial"),
        ("WAZIR_ATTEMPT", "", "is missing"),
        ("WAZIR_ATTEMPT", "0", "attempts count from 1"),
        ("WAZIR_ADDRESS", "", "is missing"),
        ("WAZIR_PARAMETERS", "{", "is not valid JSON"),
        ("WAZIR_PARAMETERS", '{"lr": [1]}', "holds what is no value"),
    ],
)
def test_half_a_description_is_refused_naming_the_variable(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, why: str
) -> None:
    for name, given in {**environment(recorder), variable: value}.items():
        monkeypatch.setenv(name, given)
    monkeypatch.setattr(trial_module, "_current", None)
    with pytest.raises(InvalidArgument) as refused:
        current_trial()
    assert refused.value.field == variable, why
