"""The live view of a study: redrawn in place on a terminal, elsewhere one line for every trial that ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ...domain.study import Study
from ...domain.trial import ENDED, LIVE, Trial, TrialState
from .algorithm_words import algorithm_name
from .measured import in_short
from .output import STATE_STYLES, in_order, number, pairs, span, state_text, took, waits_for

RECENT = 6
"""Ended trials shown on a terminal."""

SHOWN = ENDED | {TrialState.PAUSED}
"""States that a line is written about, once for each attempt."""


class Progress:
    """Feed it with `update`; threads may. Use as a context manager, so that the terminal is left as it was."""

    def __init__(self, console: Console) -> None:
        self.study: Study | None = None
        self.note = ""
        """A line at the end, for instance that the run is draining."""
        self._trouble = ""
        self._console = console
        self._running: dict[int, Trial] = {}
        self._told: dict[int, int] = {}
        self._recent: list[Trial] = []
        self._best: Trial | None = None
        self._lock = threading.Lock()
        self._live = Live(get_renderable=self._render, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def update(self, study: Study, trials: Iterable[Trial]) -> None:
        """Takes the study's latest state and the trials that changed, in order."""
        lines: list[Text] = []
        with self._lock:
            first = self.study is None
            self.study = study
            for trial in trials:
                if trial.state in LIVE:
                    self._running[trial.id] = trial
                else:
                    self._running.pop(trial.id, None)
                if trial.state in ENDED:
                    self._note_best(trial)
                if trial.state in SHOWN and self._told.get(trial.id) != len(trial.attempts):
                    self._told[trial.id] = len(trial.attempts)
                    self._recent = [*self._recent[-(RECENT - 1) :], trial]
                    # What ended before this view began is in the header's counts.
                    if not first:
                        lines.append(self._line(trial))
        if not self._console.is_terminal:
            for line in lines:
                self._console.print(line)

    def tell_trouble(self, words: str) -> None:
        """Shows what keeps the run from going on; "" when that is over. Harmless to repeat."""
        if words and words != self._trouble and not self._console.is_terminal:
            self._console.print(f"waiting: {words}", markup=False)
        self._trouble = words

    def _note_best(self, trial: Trial) -> None:
        assert self.study is not None
        objective = self.study.spec.objectives[0]
        value = (trial.final or {}).get(objective.metric)
        if value is None or trial.state not in (TrialState.SUCCEEDED, TrialState.STOPPED):
            return
        if not self.study.spec.safe(trial.final or {}):
            return
        if self._best is None or objective.better(value, (self._best.final or {})[objective.metric]):
            self._best = trial

    def _line(self, trial: Trial) -> Text:
        assert self.study is not None
        text = Text(f"trial {trial.id:>4}  ")
        text.append(f"{trial.state.value:<10}", STATE_STYLES.get(trial.state.value, ""))
        for objective in self.study.spec.objectives:
            if trial.final and objective.metric in trial.final:
                text.append(f"  {objective.metric}={number(trial.final[objective.metric])}")
        if len(self.study.spec.objectives) == 1 and self._best is not None:
            text.append("  new best" if self._best.id == trial.id else f"  (best {self._best_value()})", "dim")
        text.append(f"  {span(took(trial))}", "dim")
        if trial.reason:
            text.append(f"  {trial.reason.splitlines()[0]}", "dim")
        return text

    def _best_value(self) -> str:
        assert self.study is not None
        assert self._best is not None
        return number((self._best.final or {})[self.study.spec.objectives[0].metric])

    def _render(self) -> RenderableType:
        with self._lock:
            study = self.study
            if study is None:
                return Text("waiting for the study ...", "dim")
            counts = study.counts
            done = counts.counted - counts.pending
            head = Table.grid(padding=(0, 2))
            budget = study.spec.budget.trials
            bar: RenderableType = ProgressBar(total=budget, completed=done, width=30) if budget else ""
            head.add_row(
                Text(study.name.short, "bold"),
                state_text(study.state),
                algorithm_name(study),
                bar,
                f"{done}/{budget}" if budget else f"{done}",
                f"{counts.live} running",
                Text(f"{counts[TrialState.FAILED]} failed", "red") if counts[TrialState.FAILED] else "",
                span(time.time() - study.create_time),
            )
            parts: list[RenderableType] = [head]
            if self._best is not None and len(study.spec.objectives) == 1:
                parts.append(
                    Text(f"best  trial {self._best.id}  {in_short(self._best.final, study.spec)}  ").append(
                        pairs(in_order(self._best, study)), "dim"
                    )
                )
            rows = Table.grid(padding=(0, 2))
            for trial in self._recent:
                rows.add_row(self._line(trial))
            for trial in list(self._running.values())[: max(4, self._console.height - RECENT - 6)]:
                since = time.time() - (trial.attempts[-1].start_time if trial.attempts else trial.create_time)
                row = Text(f"trial {trial.id:>4}  ").append(f"{trial.state.value:<10}", STATE_STYLES[trial.state.value])
                row.append(f"  {span(since)}  ").append(pairs(in_order(trial, study)), "dim")
                rows.add_row(row.append(f"  {waits_for(trial)}" if waits_for(trial) else "", "yellow"))
            parts.append(rows)
            if self._trouble:
                parts.append(Text(f"waiting: {self._trouble}", "red"))
            if self.note:
                parts.append(Text(self.note, "yellow"))
            return Group(*parts)
