"""`wazir run` on a terminal: what a person sees, from the first second to the last line."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

TRAIN = """
import os, time
from pathlib import Path
import wazir

trial = wazir.current_trial()
for step in range(1, 4):
    trial.report({"val/loss": 1.0 / step}, step=step)
    trial.should_stop()
while not Path("go").exists():  # until the test has seen the row
    time.sleep(0.02)
"""

STUDY = """
study: seen
objective: {metric: val/loss, goal: minimize}
algorithm: random
parameters: {x: {min: 0.0, max: 1.0}}
budget: {trials: 2, parallel: 2}
trial: {command: [%s, train.py]}
"""

ROW = re.compile(r"1  running +\d+ s +(\d+ s +)?3 +0\.33333  \S+ +[12] of [12]")
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


class Screen:
    """A command on a terminal of its own."""

    def __init__(self, folder: Path, *command: str, width: int = 80, **environment: str) -> None:
        self._own, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("WAZIR_", "LC_"))}
        self.process = subprocess.Popen(
            [str(Path(sys.executable).with_name("wazir")), *command],
            cwd=folder,
            env={**clean, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", **environment},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        self.written = ""

    def read_until(self, wanted: re.Pattern[str]) -> str:
        """All that was written so far, without colours and cursor movements, once it has `wanted`."""
        while not wanted.search(self.seen):
            if not self._read():
                raise AssertionError(f"it ended without {wanted.pattern}:\n{self.seen}")
        return self.seen

    def read_to_end(self) -> str:
        while self._read():
            pass
        self.process.wait()
        return self.seen

    @property
    def seen(self) -> str:
        return CONTROL.sub("", self.written)

    def _read(self) -> bool:
        try:
            chunk = os.read(self._own, 65_536)
        except OSError:  # the other side is closed
            return False
        self.written += chunk.decode(errors="replace")
        return bool(chunk)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        os.close(self._own)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "s.yaml").write_text(STUDY % sys.executable)
    return tmp_path


@pytest.fixture
def screen(folder: Path, request: pytest.FixtureRequest) -> Iterator[Screen]:
    screen = Screen(folder, "run", "s.yaml", **getattr(request, "param", {}))
    yield screen
    screen.close()
    # Trainings outlive a command that is killed.
    (folder / "go").touch()


def test_a_running_trial_is_seen_with_its_step_and_the_finished_one_remains(folder: Path, screen: Screen) -> None:
    seen = screen.read_until(ROW)
    assert "waiting for the service to start" in seen
    assert "waiting for the study" not in seen, "it is known by then"
    assert "no report yet" in seen or "starting its process" in seen
    (folder / "go").touch()
    seen = screen.read_to_end()
    assert screen.process.returncode == 0
    assert re.search(r"trial +1  succeeded +val/loss=0\.333333", seen)
    assert "Best trial: seen/" in seen
    assert screen.written.count("\x1b[?25l") == screen.written.count("\x1b[?25h") > 0, "the cursor is shown again"


@pytest.mark.parametrize("screen", [{"PYTHONIOENCODING": "ascii", "NO_COLOR": "1"}], indirect=True)
def test_a_terminal_without_unicode_and_colours_has_ascii(folder: Path, screen: Screen) -> None:
    screen.read_until(re.compile(r"1  running +\d+ s +(\d+ s +)?3 +0\.33333  #\S+ +[12] of [12]"))
    (folder / "go").touch()
    assert screen.read_to_end().isascii()
    assert screen.process.returncode == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", screen.written)


@pytest.mark.parametrize("screen", [{"TERM": "dumb"}], indirect=True)
def test_a_dumb_terminal_gets_lines_and_no_cursor_movements(folder: Path, screen: Screen) -> None:
    (folder / "go").touch()
    assert re.search(r"trial +1  succeeded +val/loss=0\.333333", screen.read_to_end())
    assert "\x1b" not in screen.written


def test_after_an_interrupt_the_terminal_is_in_order(folder: Path, screen: Screen) -> None:
    screen.read_until(ROW)
    screen.process.send_signal(signal.SIGINT)
    screen.read_until(re.compile("Draining: running trials go on"))
    screen.process.send_signal(signal.SIGINT)
    seen = screen.read_to_end()
    assert "Go on     wazir run s.yaml" in seen
    assert screen.written.rstrip().rpartition("\x1b[?25h")[2].count("\x1b[?25l") == 0
    assert screen.process.returncode == 130
