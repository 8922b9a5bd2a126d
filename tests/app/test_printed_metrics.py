"""From what a script prints to what `wazir show` says of its trial."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wazir.app.cli import cli

FILE = """\
study: printed
objective: {metric: val/loss, goal: minimize}
parameters: {lr: {min: 0.1, max: 1.0}}
budget: {trials: 1}
trial:
  command: [python, train.py, "${args}"]
  metrics: {from: stdout}
"""

SCRIPT = """\
print("lr=0.3 seed=7")
for epoch in (1, 2):
    print(f"epoch {epoch} loss={3 - epoch} val/loss={10 * (3 - epoch)}")
print("test accuracy: 0.9")
"""


@pytest.fixture
def wazir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.yaml").write_text(FILE)
    for name in ("WAZIR_ADDRESS", "WAZIR_DB"):
        monkeypatch.delenv(name, raising=False)

    def command(*arguments: str, script: str = SCRIPT) -> Result:
        (tmp_path / "train.py").write_text(script)
        return CliRunner().invoke(cli, list(arguments))

    return command


def test_all_metrics_are_shown_those_of_the_study_first(wazir) -> None:  # type: ignore[no-untyped-def]
    assert wazir("run", "study.yaml").exit_code == 0
    shown = wazir("show", "printed/1").stdout
    assert "metrics     val/loss=10 loss=1 test accuracy=0.9 (step 2)" in shown
    rows = [line.split() for line in shown.splitlines()[-3:]]
    assert rows == [["step", "val/loss", "loss", "test", "accuracy"], ["1", "20", "2"], ["2", "10", "1", "0.9"]]

    data = json.loads(wazir("show", "printed/1", "-o", "json").stdout)
    assert data["metrics"] == {"val/loss": 10, "loss": 1, "test accuracy": 0.9}
    assert data["measurements"] == [
        {"step": 1, "val/loss": 20, "loss": 2},
        {"step": 2, "val/loss": 10, "loss": 1, "test accuracy": 0.9},
    ]


def test_too_many_metrics_are_told_on_the_trial(wazir) -> None:  # type: ignore[no-untyped-def]
    assert wazir("run", "study.yaml", script="print('val/loss=1', *(f'm{i}={i}' for i in range(60)))").exit_code == 0
    shown = wazir("show", "printed/1").stdout
    assert "only the first 50 metrics beside its own are kept, 'm50' and 9 more are not" in shown
    assert "m8, m9: `wazir show printed/1 -o json` has them all" in shown


@pytest.mark.parametrize(
    ("printed", "code", "words"),
    [
        ("val/loss: 0,31", 1, "val/loss = '0,31': not a plain number, so it was not read. Write 0.31"),
        ("val/loss: 12 345", 1, "Write 12345"),
        ("val_loss: 0.31", 1, "it printed values of 'val_loss'. Did you mean \"val_loss\"?"),
        ("val/loss: 0.5\\nval/loss: 1,234", 0, "val/loss = '1,234': not a plain number, so it was not read."),
    ],
)
def test_what_could_not_be_read_is_told_on_the_trial(  # type: ignore[no-untyped-def]
    wazir, printed: str, code: int, words: str
) -> None:
    result = wazir("run", "study.yaml", script=f"print('{printed}')")
    assert result.exit_code == code
    for output in (result.stdout, wazir("show", "printed/1").stdout, wazir("trials", "printed").stdout):
        assert words in " ".join(output.split())
