"""The live view over time: what remains, what is redrawn, and what output gets that cannot be redrawn."""

from __future__ import annotations

import io
import queue
import re
from dataclasses import replace
from itertools import count

import pytest

from wazir.clients.cli import progress as live
from wazir.clients.cli.progress import Progress
from wazir.clients.cli.rich_console import Terminal
from wazir.domain.attempt import Attempt, AttemptState, Cause
from wazir.domain.errors import Unavailable
from wazir.domain.progress import StudyProgress
from wazir.domain.trial import Trial, TrialState

from .test_frames import NOW, doing, falling, study, trial


class Pieces(io.StringIO):
    """Says what is written, as it is written."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: queue.Queue[str] = queue.Queue()

    def write(self, text: str) -> int:
        self.pieces.put(text)
        return super().write(text)

    def wait_for(self, words: str) -> None:
        while words not in self.getvalue():
            self.pieces.get(timeout=60)


def ended(number: int, value: float, state: TrialState = TrialState.SUCCEEDED) -> Trial:
    attempt = Attempt(1, AttemptState.ENDED, NOW - 60, end_time=NOW - 20, cause=Cause.SUCCEEDED)
    return replace(trial(number), state=state, final={"val/loss": value}, attempts=(attempt,))


def terminal(width: int = 80, height: int = 24) -> tuple[Terminal, Pieces]:
    out = Pieces()
    return Terminal(file=out, force_terminal=True, width=width, height=height, markup=False, highlight=False), out


def pipe() -> tuple[Terminal, Pieces]:
    out = Pieces()
    return Terminal(file=out, width=200, markup=False, highlight=False, soft_wrap=True), out


def test_lines_of_ended_trials_remain_and_running_ones_are_redrawn() -> None:
    console, out = terminal()
    with Progress(console, clock=lambda: NOW) as progress:
        progress.ask(lambda: StudyProgress((doing(2, *falling(12)),), 50, NOW))
        progress.update(study(active=2), [trial(1), trial(2)])
        out.wait_for("12/50")
        progress.update(study(active=1, succeeded=1), [ended(1, 0.5)])
        out.wait_for("best: trial 1")
    final = after_cursor_movements(out.getvalue())
    assert final == ["trial    1  succeeded   val/loss=0.5  new best  40 s"]


def after_cursor_movements(written: str) -> list[str]:
    return [line for line in drawn(written)[1] if line]


def drawn(written: str) -> tuple[str, list[str]]:
    """A terminal without folds after carriage returns, line feeds, erasures and moves up: the line that the cursor is
    in, and all lines."""
    lines, row = [""], 0
    plain = re.sub(r"\x1b\[(?:[0-9;]*m|\?25[lh])", "", written)
    for part in re.split(r"(\r|\n|\x1b\[1A|\x1b\[2K)", plain):
        if part == "\n":
            row += 1
            lines.extend([""] * (row + 1 - len(lines)))
        elif part == "\x1b[1A":
            row = max(0, row - 1)
        elif part == "\x1b[2K":
            lines[row] = ""
        elif part != "\r":
            lines[row] += part
    return lines[row], lines


def test_of_trials_that_ended_before_a_terminal_is_shown_the_latest() -> None:
    console, out = terminal()
    with Progress(console, clock=lambda: NOW) as progress:
        progress.update(study(succeeded=10), [ended(number, 1 / number) for number in range(1, 11)])
    lines = after_cursor_movements(out.getvalue())
    assert [line.split()[1] for line in lines] == ["5", "6", "7", "8", "9", "10"]


def test_a_pipe_gets_lines_of_trials_that_end_from_now_on_and_nothing_else() -> None:
    console, out = pipe()
    with Progress(console, clock=lambda: NOW) as progress:
        progress.update(study(succeeded=1, active=2), [ended(1, 0.5), trial(2), trial(3)])
        progress.update(study(succeeded=2, active=1), [ended(2, 0.25)])
        progress.tell_trouble("the service is away")
        progress.tell_trouble("the service is away")
    assert out.getvalue().splitlines() == [
        "trial    2  succeeded   val/loss=0.25  new best  40 s",
        "waiting: the service is away",
    ]


def test_after_a_minute_without_a_line_a_pipe_is_told_how_far_the_study_is() -> None:
    console, out = pipe()
    minutes = count(NOW, 61.0)
    with Progress(console, clock=lambda: next(minutes)) as progress:
        progress.update(study(active=1, succeeded=3), [trial(4)])
        progress.ask(lambda: StudyProgress((doing(4, *falling(12)),), 50, NOW))
        out.wait_for("resnet: 3/60 trials, 1 running, at step 12 of 50")


def test_a_service_that_is_away_or_older_leaves_the_last_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "ASKED", 0.0)
    answers: list[Unavailable | StudyProgress] = [
        Unavailable("away"),
        StudyProgress((doing(1, *falling(12)),), 50, NOW),
    ]
    asked: queue.Queue[None] = queue.Queue()

    def ask() -> StudyProgress:
        asked.put(None)
        answer = answers.pop() if answers else Unavailable("away")
        if isinstance(answer, Unavailable):
            raise answer
        return answer

    console, out = terminal()
    with Progress(console, clock=lambda: NOW) as progress:
        progress.update(study(active=1), [trial(1)])
        progress.ask(ask)
        for _ in range(3):
            asked.get(timeout=60)
        out.wait_for("12/50")


def test_however_many_trials_end_frames_are_drawn_at_their_own_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "REDRAWN", 3600.0)
    console, out = terminal()
    with Progress(console, clock=lambda: NOW) as progress:
        out.wait_for("waiting for the study")
        written = len(out.getvalue())
        progress.update(study(active=1), [trial(1)])
        for number in range(2, 102):
            progress.update(study(active=1, succeeded=number - 1), [ended(number, 1.0)])
        assert len(out.getvalue()) == written
    assert len(after_cursor_movements(out.getvalue())) == 100


def test_what_is_typed_meets_an_empty_line() -> None:
    """A terminal echoes `^C` where the cursor is; at the end of a full line it would begin another one."""
    console, out = terminal(width=60)
    with Progress(console, clock=lambda: NOW) as progress:
        progress.update(study(active=2), [trial(1), trial(2)])
        out.wait_for("no report yet")
        assert drawn(out.getvalue())[0] == ""


def test_what_a_narrower_terminal_folds_is_erased() -> None:
    console, out = terminal(width=120)
    with Progress(console, clock=lambda: NOW) as progress:
        progress.update(study(active=2), [trial(1), trial(2)])
        out.wait_for("no report yet")
        console.width = 50
        before = len(out.getvalue())
        progress.update(study(active=3), [trial(3)])
        out.wait_for("    3  ")
        # Five lines, of which the heading and both rows took two lines or three each at 50 columns.
        assert out.getvalue()[before:].count("\x1b[1A") > 5
