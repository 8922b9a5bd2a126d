"""The script of examples/from_optuna runs after changing its import, and nothing else of it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "from_optuna" / "tune.py"


@pytest.mark.slow
def test_a_script_for_optuna_runs_after_changing_its_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("WAZIR_ADDRESS", "WAZIR_DB"):
        monkeypatch.delenv(variable, raising=False)
    script, changes = re.subn(r"(?m)^import optuna$", "import wazir as optuna", SCRIPT.read_text())
    assert changes == 1
    (tmp_path / "tune.py").write_text(script)

    done = subprocess.run([sys.executable, "tune.py"], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    *announced, counts, first, best, steps = done.stdout.splitlines()
    assert announced[0] == "best so far: trial 0 with 0.0355"
    assert re.fullmatch(r"40 trials: \d+ complete, \d+ pruned; \{'points': 21\}", counts)
    assert first.startswith("trial 0 was enqueued by hand: {")
    assert ("'degree'" in first, "'count'" in first, "'momentum'" in first) == (True, False, False)
    # A trial has the parameters of the model that it chose, and no others.
    assert ("'degree'" in best) == ("'polynomial'" in best)
    assert ("'width'" in best) == ("'bumps'" in best)
    assert ("'momentum': " in best) == ("'optimizer': 'momentum'" in best)
    assert steps.startswith("its steps: 30, it took ")
