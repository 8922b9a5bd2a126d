"""`wazir run` ends when it is told to, whatever hangs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from ..waiting import eventually

STUDY = """\
study: s
objective: {metric: loss, goal: minimize}
parameters:
  x: {min: 0.0, max: 1.0}
budget: {trials: 1}
trial:
  command: [sh, -c, "echo loss=1; exec sleep 1000", "${x}"]
  metrics: {from: stdout}
  grace: 1s
"""


def test_a_trial_that_cannot_be_ended_does_not_hold_it_up(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(STUDY)
    run = subprocess.Popen(
        [Path(sys.executable).with_name("wazir"), "run", "s.yaml"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    eventually(lambda: list(tmp_path.glob(".wazir/runs/**/output.log")))
    (launched,) = tmp_path.glob(".wazir/runs/**/launch.json")
    supervisor = json.loads(launched.read_text())["pid"]
    # It hears no signal now, and is never gone.
    os.kill(supervisor, signal.SIGSTOP)
    try:
        assert run.stderr is not None
        for words in ("Draining", "Stopping", "Leaving"):
            run.send_signal(signal.SIGINT)
            while words not in run.stderr.readline():
                assert run.poll() is None
        assert run.wait() == 130
    finally:
        run.kill()
        run.wait()
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor, signal.SIGKILL)
