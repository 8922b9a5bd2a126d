"""The sign of reports that are in no file and at no service: it is right however the process ends."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from wazir.clients.spool import Spool
from wazir.clients.unsaved import SIZE, any_unsaved, sign_of
from wazir.domain.trial import Measurement

from .recorder import PATIENCE, Recorder, environment, recording


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with recording(tmp_path) as recorder:
        yield recorder


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "spool.jsonl"
    path.parent.mkdir()
    sign_of(path).write_bytes(bytes(SIZE))
    return path


def runs(code: str, recorder: Recorder, spool: Path) -> bool:
    """Runs training code to its end; whether it left the sign that reports are lost."""
    code = f"import os, wazir; trial = wazir.current_trial()\n{code}"
    subprocess.run([sys.executable, "-c", code], env={**os.environ, **environment(recorder, spool)}, check=False)
    return any_unsaved(sign_of(spool).read_bytes())


def test_nothing_is_lost_that_was_delivered(recorder: Recorder, spool: Path) -> None:
    assert not runs("trial.report({'loss': 1.0}, step=1)", recorder, spool)
    assert recorder.points == [(1, "loss", 1.0)]


def test_nothing_is_lost_that_was_spooled(recorder: Recorder, spool: Path) -> None:
    recorder.stop()
    assert not runs("trial.report({'loss': 1.0}, step=1)", recorder, spool)
    assert spool.stat().st_size


def test_a_report_that_nothing_takes_is_lost(recorder: Recorder, spool: Path) -> None:
    recorder.stop()
    spool.mkdir()
    assert runs("trial.report({'loss': 1.0}, step=1)", recorder, spool)


def test_a_process_that_ends_at_once_after_its_report_has_lost_it(recorder: Recorder, spool: Path) -> None:
    """Neither `atexit` nor the thread that delivers has its turn."""
    recorder.gate.clear()
    assert runs("trial.report({'loss': 1.0}, step=1); os._exit(0)", recorder, spool)


def test_a_process_that_ends_at_once_after_its_delivery_has_lost_nothing(recorder: Recorder, spool: Path) -> None:
    code = f"trial.report({{'loss': 1.0}}, step=1); trial.flush({PATIENCE}); os._exit(0)"
    assert not runs(code, recorder, spool)


def test_each_process_of_a_trial_has_a_sign_of_its_own(recorder: Recorder, spool: Path) -> None:
    """What one delivers says nothing of what another one has lost."""
    recorder.gate.clear()
    assert runs("trial.report({'loss': 1.0}, step=1); os._exit(0)", recorder, spool)
    recorder.gate.set()
    assert runs("trial.report({'loss': 1.0}, step=1)", recorder, spool)


def test_without_the_file_nothing_is_shown_and_reports_go_on(recorder: Recorder, spool: Path) -> None:
    sign_of(spool).unlink()
    code = "trial.report({'loss': 1.0}, step=1)"
    subprocess.run(
        [sys.executable, "-c", f"import wazir; trial = wazir.current_trial(); {code}"],
        env={**os.environ, **environment(recorder, spool)},
        check=True,
    )
    assert recorder.points == [(1, "loss", 1.0)]
    assert not sign_of(spool).exists()


def test_what_a_full_disk_takes_of_a_line_is_taken_back(tmp_path: Path) -> None:
    """A limit on the size of files stands for a disk: it, too, takes a part of a write."""
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        spool, code = Spool(tmp_path / "spool"), 1
        spool.append([Measurement(1, {"loss": 1.0}, 1.0)])
        try:
            spool.append([Measurement(step, {"loss": 1.0}, 1.0) for step in range(2, 9)])
        except OSError as error:
            code = 0 if error.errno == errno.EFBIG else 2
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (tmp_path / "spool").read_text() == '{"step": 1, "metrics": {"loss": 1.0}, "time": 1.0}\n'


def test_a_line_that_somebody_else_could_not_finish_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_text('{"step": 1, "met')
    Spool(path).append([Measurement(2, {"loss": 2.0}, 1.0)])
    assert path.read_text().splitlines()[1] == '{"step": 2, "metrics": {"loss": 2.0}, "time": 1.0}'


def in_a_pod(recorder: Recorder, folder: Path, code: str) -> str:
    """What a process leaves as the last words of its container."""
    words = folder / "termination-log"
    words.touch()
    program = f"import wazir.clients.spool as spool; spool.TERMINATION_LOG = {str(words)!r}\n"
    program += f"import os, wazir; trial = wazir.current_trial()\n{code}"
    variables = {**os.environ, **environment(recorder), "WAZIR_SPOOL": "stderr:"}
    subprocess.run([sys.executable, "-c", program], env=variables, check=True, stderr=subprocess.DEVNULL)
    return words.read_text()


def test_in_a_pod_the_last_words_say_how_many_reports_wait_in_the_log(recorder: Recorder, tmp_path: Path) -> None:
    recorder.stop()
    said = in_a_pod(recorder, tmp_path, "for step in range(3): trial.report({'loss': 1.0}, step=step)")
    assert said == "wazir-unsent: 3\n"


def test_in_a_pod_they_say_so_if_the_log_takes_nothing(recorder: Recorder, tmp_path: Path) -> None:
    recorder.stop()
    assert in_a_pod(recorder, tmp_path, "os.close(2); trial.report({'loss': 1.0}, step=1)") == "wazir-unsent: 1\n"


def test_in_a_pod_they_say_nothing_if_all_was_delivered(recorder: Recorder, tmp_path: Path) -> None:
    assert in_a_pod(recorder, tmp_path, "trial.report({'loss': 1.0}, step=1)") == ""
