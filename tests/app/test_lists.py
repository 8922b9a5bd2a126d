"""Lists of trials and studies: chosen columns, an order, CSV, and tables that a pipe gets a line a row."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from wazir.app.cli import cli
from wazir.clients.cli.output import study_table
from wazir.clients.client import Client
from wazir.domain.attempt import Cause
from wazir.domain.space import Categorical, Double, Parameter, Space
from wazir.domain.study import Budget

from ..clients.served import serving, spec

SPACE = Space(
    (
        Parameter("lr", Double(0.0, 1.0)),
        Parameter("opt", Categorical(("a, b", '"c"\n\td'))),
        Parameter("loss", Double(0, 1)),
    )
)
"""A parameter has the name of the metric, and values what CSV and tables separate by."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A study of four trials; the third has failed, the fourth waits."""
    with serving("memory", tmp_path_factory.mktemp("lists")) as address, Client(address) as client:
        client.create_study("s", spec(space=SPACE, budget=Budget(trials=9, failed=9), labels={"team": "x"}))
        client.create_study("t", spec())
        for lr, opt, final in ((0.1, "a, b", 1e-3), (0.30000000000000004, '"c"\n\td', 5.0), (0.2, "a, b", None)):
            client.create_trial("s", {"lr": lr, "opt": opt, "loss": 0.5}, labels={"who": "me"} if final else {})
            (trial,) = client.suggest("s", client_id="t", start=True).trials
            client.report(trial.name, 1, [])
            cause = Cause.SUCCEEDED if final else Cause.CODE_FAILED
            client.end_attempt(
                trial.name, 1, cause, final={"loss": final} if final else None, message="one\n\n  two\tthree"
            )
        client.create_trial("s", {"lr": 0.4, "opt": "a, b", "loss": 0.5})
        yield address


def wazir(address: str, *arguments: str) -> Result:
    named = {"WAZIR_ADDRESS": address, "WAZIR_TOKEN": None, "WAZIR_OWNER": None}
    return CliRunner().invoke(cli, list(arguments), env=named)


def column(address: str, *arguments: str) -> list[str]:
    result = wazir(address, "trials", "s", "--columns", "trial", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout.split()[1:]


@pytest.mark.parametrize(
    ("order", "trials"),
    [
        ("lr", "1 3 2 4"),
        ("-lr", "4 2 3 1"),
        ("metrics.loss", "1 2 3 4"),
        ("-metrics.loss", "2 1 3 4"),
        ("params.loss", "1 2 3 4"),
        ("-trial", "4 3 2 1"),
        ("state", "3 4 1 2"),
        ("labels.who", "1 2 3 4"),
    ],
)
def test_trials_are_ordered_by_any_column_and_those_without_a_value_come_last(
    address: str, order: str, trials: str
) -> None:
    assert column(address, f"--sort={order}") == trials.split()


def test_the_first_so_many_of_an_order_are_the_best(address: str) -> None:
    assert column(address, "--sort=-metrics.loss", "-n", "1") == ["2"]
    assert column(address, "-n", "2") == ["3", "4"], "without an order the latest"
    ids = json.loads(wazir(address, "trials", "s", "--sort", "-lr", "-n", "2", "-o", "json").stdout)
    assert [trial["id"] for trial in ids] == [4, 2]


def test_csv_has_a_column_for_each_metric_and_parameter_and_every_digit(address: str) -> None:
    rows = list(csv.DictReader(io.StringIO(wazir(address, "trials", "s", "-o", "csv").stdout)))
    assert [row["trial"] for row in rows] == ["1", "2", "3", "4"]
    assert rows[1]["lr"] == "0.30000000000000004"
    assert rows[1]["opt"] == '"c"\n\td'
    assert (rows[0]["loss"], rows[0]["params.loss"], rows[2]["loss"]) == ("0.001", "0.5", "")
    assert float(rows[0]["took"]) >= 0
    assert rows[3]["started"] == ""
    studies = list(csv.DictReader(io.StringIO(wazir(address, "studies", "-o", "csv").stdout)))
    assert [(row["study"], row["trials"], row["failed"]) for row in studies] == [("s", "3", "1"), ("t", "0", "0")]


def test_choices_are_told_as_what_they_are_and_not_as_they_are_stored(tmp_path: Path) -> None:
    with serving("memory", tmp_path) as address, Client(address) as client:
        client.create_study(
            "s", spec(space=Space((Parameter("shape", Categorical(("python:(64, 64)", "python:None"))),)))
        )
        for shape in ("python:(64, 64)", "python:None"):
            client.create_trial("s", {"shape": shape})
        rows = list(csv.DictReader(io.StringIO(wazir(address, "trials", "s", "-o", "csv").stdout)))
        assert [row["shape"] for row in rows] == ["(64, 64)", "None"]
        data = json.loads(wazir(address, "trials", "s", "--columns", "shape", "-o", "json").stdout)
        assert data == [{"shape": [64, 64]}, {"shape": None}]
        assert wazir(address, "trials", "s", "--columns", "shape").stdout.splitlines() == ["shape", "(64, 64)", "None"]


def test_what_python_says_of_a_script_is_no_choice(tmp_path: Path) -> None:
    with serving("memory", tmp_path) as address, Client(address) as client:
        client.create_study("s", spec(space=Space((Parameter("lr", Double(0.0, 1.0)),))))
        (trial,) = client.suggest("s", client_id="t", start=True).trials
        client.end_attempt(trial.name, 1, Cause.CODE_FAILED, message="python: can't open file 'train.py'")
        lines = wazir(address, "trials", "s", "--columns", "why").stdout.splitlines()
    assert lines == ["why", "python: can't open file 'train.py'"]


def test_a_pipe_gets_a_line_for_each_row_and_no_padding(address: str) -> None:
    lines = wazir(address, "trials", "s").stdout.splitlines()
    assert [len(line.split("\t")) for line in lines] == [6] * 5
    assert lines[0] == "trial\tstate\tloss\ttook\tparameters\twhy"
    assert lines[3].endswith("one two three")
    assert not any("  " in line for line in lines)
    assert len(wazir(address, "studies").stdout.splitlines()) == 3


def test_chosen_columns_are_those_of_tables_and_of_data(address: str) -> None:
    chosen = ["--columns", "trial,metrics.loss,lr,labels.who"]
    table = wazir(address, "trials", "s", *chosen).stdout.splitlines()
    assert table[:2] == ["trial\tmetrics.loss\tlr\tlabels.who", "1\t0.001\t0.1\tme"]
    data = json.loads(wazir(address, "trials", "s", *chosen, "-o", "json").stdout)
    assert data[3] == {"trial": 4, "metrics.loss": None, "lr": 0.4, "labels.who": None}
    assert wazir(address, "ls", "--columns", "study,budget", "--sort", "-study").stdout == "study\tbudget\nt\t\ns\t9\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("trials s --columns lrr", '--columns = "lrr": is not a column here. Did you mean "lr"?'),
        ("trials s --columns ,", "names no column. Known are: trial, name"),
        ("trials s --sort nothing", '--sort = "nothing": is not a column here. Known are:'),
        ("studies --sort lr", "is not a column here"),
        ("show s -o csv", "'csv' is not one of"),
    ],
)
def test_a_column_that_there_is_not_is_refused_with_those_that_there_are(
    address: str, arguments: str, words: str
) -> None:
    result = wazir(address, *arguments.split())
    assert (result.exit_code, words in result.output) == (2, True), result.output


def test_a_table_for_a_terminal_shows_the_same(address: str) -> None:
    def shown(*arguments: str) -> str:
        """With the ages left out, which grow between two commands."""
        return re.sub(r"[0-9.]+ \w+ ago", "ago", wazir(address, *arguments).stdout)

    assert "created     ago" in shown("show", "s")
    assert shown("status", "s") == shown("show", "s")
    assert shown("list") == shown("studies")


def test_on_a_terminal_a_study_is_one_line_however_long_the_reason_for_its_state_is(address: str) -> None:
    with Client(address) as client:
        study = client.get_study("s")
    reason = "the first three trials failed in the same way: exit code 1: KeyError: 'val_loss'. Fix the script"
    for width, begins in ((80, "the fir"), (140, "the first three trials failed in the same way: exit code 1")):
        screen = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
        screen.print(study_table([replace(study, reason=reason), study]))
        _, row, other = screen.file.getvalue().splitlines()  # type: ignore[attr-defined]
        assert [line.split()[0] for line in (row, other)] == ["s", "s"]
        assert begins in row
        assert row.rstrip().endswith("…")


def test_what_would_ask_says_how_to_go_without_where_nobody_can_answer(address: str) -> None:
    result = wazir(address, "delete", "t")
    assert (result.exit_code, "nobody is there to be asked. Give -y" in result.output) == (2, True)
    assert wazir(address, "show", "t").exit_code == 0


STUDY = """
study: counted
objective: {metric: loss, goal: minimize}
algorithm: {name: Random-Search, seed: 1}
parameters: {x: {min: 0.0, max: 1.0}}
budget: {trials: 2}
trial:
  command: [sh, -c, 'echo "loss=$0"', "${x}"]
  metrics: {from: stdout}
"""


def test_a_run_may_have_more_or_fewer_trials_than_the_file_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("WAZIR_ADDRESS", "WAZIR_DB"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "s.yaml").write_text(STUDY)

    def run(*options: str) -> str:
        result = CliRunner().invoke(cli, ["run", "s.yaml", *options])
        assert result.exit_code == 0, result.output
        return result.stdout

    first = run("--trials", "1")
    assert "budget.trials = 1 is reached (1 succeeded)" in first
    assert "or: wazir run s.yaml --trials N" in first
    assert "budget.trials = 3 is reached (3 succeeded)" in run("--trials", "3")
    assert "(3 succeeded)" in run(), "the file's own number is reached already"
    shown = CliRunner().invoke(cli, ["show", "counted"]).stdout
    assert "3 succeeded of 2" in shown
    assert "algorithm   random" in shown, "it is called as it is called here"
