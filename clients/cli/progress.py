"""The live view of a study.

On a terminal the running trials are redrawn in place, and above them one line remains for every trial that ends.
Elsewhere there are only these lines, and once a minute without one a line that says how far the study is.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleDimensions, Group, RenderableType
from rich.control import Control
from rich.live import Live
from rich.segment import ControlType
from rich.text import Text

from ...domain.errors import WazirError
from ...domain.forecast import typical_duration
from ...domain.names import StudyName
from ...domain.new_best import is_new_best
from ...domain.progress import StudyProgress
from ...domain.study import Study
from ...domain.trial import ENDED, LIVE, Trial, TrialState
from ...domain.visible import on_one_line
from ..durations import span
from .frame import View, frame, summary
from .output import STATE_STYLES, number, took

if TYPE_CHECKING:
    from ..client import Client

RECENT = 6
"""Lines about trials that had ended before the view began, shown on a terminal."""

SHOWN = ENDED | {TrialState.PAUSED}
"""States that a line is written about, once for each attempt."""

REDRAWN = 0.25
"""Seconds between two frames, at least; after one second the times in it are out of date."""

ASKED = 1.0
"""Seconds between two questions how far the running trials are."""

SUMMED_UP = 60.0
"""Seconds without a line after which output that cannot be redrawn gets one."""

DURATIONS = 50
"""Latest trials whose durations say how long one usually takes."""

ASKED_FOR = 200
"""Running trials that are asked about: more than any screen has lines."""

ANSWERED = 2.0
"""Seconds to wait for an answer; the view goes on with the last one."""

Ask = Callable[[], StudyProgress]


def asking(client: Client, study: StudyName) -> Ask:
    """How `Progress` asks a service."""
    return partial(client.patient(0.0, timeout=ANSWERED).study_progress, study, limit=ASKED_FOR, curve_points=40)


class Progress:
    """Feed it with `update`; threads may. Use as a context manager, so that the terminal is left as it was."""

    def __init__(
        self,
        console: Console,
        *,
        study: Study | None = None,
        waits_for: str = "the study",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`study`: what to show until the first update; without it that `waits_for` is to come."""
        self.study: Study | None = None
        self._view = View(study=study, waits_for=waits_for)
        self._console = console
        self._clock = clock
        self._running: dict[int, Trial] = {}
        self._told: dict[int, int] = {}
        self._durations: deque[float] = deque(maxlen=DURATIONS)
        self._lock = threading.RLock()
        self._drawn = console.is_terminal and not console.is_dumb_terminal
        self._size: ConsoleDimensions | None = None
        self._widths: list[int] = []
        """Of the lines of the last frame, in cells."""
        self._live = Live(get_renderable=self._render, console=console, auto_refresh=False, transient=True)
        self._lines: list[Text] = []
        """To be written with the next frame."""
        self._changed = threading.Event()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._last_line = clock()

    def __enter__(self) -> Progress:
        if self._drawn:
            self._live.start()
            self._run(self._redraw, "wazir-screen")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._changed.set()
        for thread in self._threads:
            thread.join()
        if self._drawn:
            self._settle_size()
            self._write_lines()
            self._live.stop()

    @property
    def note(self) -> str:
        """A line at the end, for instance that the run is draining."""
        return self._view.note

    @note.setter
    def note(self, words: str) -> None:
        self._view.note = words
        self._changed.set()

    def ask(self, ask: Ask, *, parallel: int | None = None) -> None:
        """From now on asks how far the running trials are, in a thread of its own: on a terminal once a second.

        `parallel`: so many trials run at a time, whatever the study says.
        """
        self._view.parallel = parallel
        self._run(lambda: self._keep_asking(ask), "wazir-progress")

    def update(self, study: Study, trials: Iterable[Trial]) -> None:
        """Takes the study's latest state and the trials that changed, in order."""
        lines: list[Text] = []
        with self._lock:
            first = self.study is None
            self.study = self._view.study = study

            for trial in trials:
                if trial.state in LIVE:
                    self._running[trial.id] = trial
                else:
                    self._running.pop(trial.id, None)
                if is_new_best(trial, self._view.best, study.spec):
                    self._view.best = trial
                if trial.state is TrialState.SUCCEEDED and trial.attempts:
                    self._durations.append(took(trial))
                if trial.state in SHOWN and self._told.get(trial.id) != len(trial.attempts):
                    self._told[trial.id] = len(trial.attempts)
                    lines.append(self._line(trial))

            self._view.running = [trial for _, trial in sorted(self._running.items())]
            self._view.typical = typical_duration(self._durations)
        if first:
            # What ended before this view began is in the header's counts.
            lines = lines[-RECENT:] if self._drawn else []
        self._print(lines)

    def tell_trouble(self, words: str) -> None:
        """Shows what keeps the run from going on; "" when that is over. Harmless to repeat."""
        if words == self._view.trouble:
            return
        self._view.trouble = words
        if words and not self._drawn:
            self._print([Text(f"waiting: {words}")])
        self._changed.set()

    def _run(self, work: Callable[[], None], name: str) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _line(self, trial: Trial) -> Text:
        assert self.study is not None
        text = Text(f"trial {trial.id:>4}  ")
        text.append(f"{trial.state.value:<10}", STATE_STYLES.get(trial.state.value, ""))
        objectives = self.study.spec.objectives
        for objective in objectives:
            if trial.final and objective.metric in trial.final:
                text.append(f"  {on_one_line(objective.metric)}={number(trial.final[objective.metric])}")
        best = self._view.best
        if best is not None:
            value = number((best.final or {})[objectives[0].metric])
            text.append("  new best" if best.id == trial.id else f"  (best {value})", "dim")
        text.append(f"  {span(took(trial))}", "dim")
        if trial.reason:
            text.append(f"  {on_one_line(trial.reason.splitlines()[0])}", "dim")
        return text

    # Drawing

    def _print(self, lines: Sequence[Text]) -> None:
        """Writes lines that remain: on a terminal with the next frame, above it."""
        with self._lock:
            self._lines.extend(lines)
            if not self._drawn:
                self._write_lines()
        self._changed.set()

    def _write_lines(self) -> None:
        if self._lines:
            # Not folded: a terminal folds them itself, again whenever its width changes.
            self._console.print(Text("\n").join(self._lines), soft_wrap=True)
            self._lines.clear()
            self._last_line = self._clock()

    def _redraw(self) -> None:
        while not self._ended.is_set():
            with self._lock:
                self._changed.clear()
                self._settle_size()
                # In one write, so that no trial is seen twice.
                with self._console:
                    self._write_lines()
                    self._live.refresh()
            if not self._ended.wait(REDRAWN):
                self._changed.wait(1.0 - REDRAWN)

    def _settle_size(self) -> None:
        """On a terminal that has become narrower than the last frame, erases what its lines are now folded into."""
        size = self._console.size
        before, self._size = self._size, size
        if before is None or size.width >= before.width:
            return
        folds = sum((cells - 1) // size.width for cells in self._widths if cells)
        if folds:
            up = ((ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)) * folds
            self._console.control(Control(ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2), *up))

    def _render(self) -> RenderableType:
        width, height = self._console.size
        # A line as wide as the terminal would be folded by some.
        lines = frame(self._view, width - 1, height - 1, self._clock(), ascii_only=self._console.options.ascii_only)
        self._widths = [line.cell_len for line in lines]
        for line in lines:
            line.no_wrap = True
        # The cursor rests on a line of its own: the `^C` that a terminal echoes would fold the last line.
        return Group(*lines, Text())

    # Asking

    def _keep_asking(self, ask: Ask) -> None:
        while not self._ended.wait(self._pause()):
            if not self._drawn and self._pause() > 0:
                continue  # a line was written meanwhile

            if self._view.running:
                # That a service is away is shown elsewhere, and an older service has no answer.
                with suppress(WazirError):
                    progress = self._view.progress = ask()
                    self._view.reporting = self._view.reporting or bool(progress.trials)
                    self._changed.set()
            if not self._drawn:
                self._print([Text(summary(self._view, self._clock()))])

    def _pause(self) -> float:
        return ASKED if self._drawn else max(0.0, self._last_line + SUMMED_UP - self._clock())
