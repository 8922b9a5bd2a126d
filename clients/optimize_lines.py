"""What `optimize` shows while it runs: a line for each trial that ended, and a bar if there can be one.

All of it goes to standard error, where Optuna writes too: standard output is the script's. It is output of the call and
no log, so no logging is configured for it; `optimize(progress=False)` and `wazir.logging.set_verbosity` turn it off.
"""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Protocol, Self

from ..domain.new_best import is_new_best
from ..domain.study import StudySpec
from ..domain.trial import Trial
from ..domain.visible import visible
from . import verbosity
from .durations import span


class Bar(Protocol):
    """Counts trials."""

    def advance(self, text: str) -> None:
        """One more has ended; `text`: the best value."""

    def write(self, line: str) -> None:
        """A line above the bar."""

    def close(self) -> None: ...


class Lines:
    """Feed it with each trial that has ended; threads may. Use as a context manager."""

    def __init__(self, spec: StudySpec, best: Trial | None, bar: Bar | None, *, quiet: bool = False) -> None:
        """`best`: the best trial so far, if there is only one objective. `quiet`: no lines."""
        self._objectives = spec.objectives
        self._spec = spec
        self._best = best
        self._bar = bar
        self.quiet = quiet
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def ended(self, trial: Trial, seconds: float) -> None:
        """`seconds`: how long its evaluation took."""
        with self._lock:
            new = is_new_best(trial, self._best, self._spec)
            if new:
                self._best = trial
            if not self.quiet:
                line = self._line(trial, seconds, new)
                if self._bar is not None:
                    self._bar.write(line)
                else:
                    write(line)
            if self._bar is not None:
                self._bar.advance(self._best_so_far())

    def _best_so_far(self) -> str:
        if self._best is None:
            return ""
        return f"best {(self._best.final or {})[self._objectives[0].metric]:.6g} (trial {self._best.id})"

    def _line(self, trial: Trial, seconds: float, new: bool) -> str:
        parts = [f"trial {trial.id:>4}  {trial.state.value:<10}"]
        final = trial.final or {}
        parts += [f"{o.metric}={final[o.metric]:.6g}" for o in self._objectives if o.metric in final]
        if new:
            parts.append("new best")
        elif self._best is not None:
            parts.append(self._best_so_far())
        parts.append(span(seconds))
        if trial.reason:
            parts.append(trial.reason.splitlines()[0])
        return visible("  ".join(parts))


def write(line: str) -> None:
    """One line on standard error, whole although threads write beside each other. Nobody may be reading."""
    if sys.stderr is None:
        return  # a process without a console
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def make_bar(total: int | None, wanted: bool | None) -> Bar | None:
    """A bar if there can be one: a widget in a notebook, if ipywidgets is installed; on a terminal, if rich is.

    `wanted`: True also if standard error is not a terminal; False: none. `total`: trials, None if there is no limit.
    """
    if wanted is False or (wanted is None and not verbosity.shows_results()):
        return None
    try:
        if in_notebook():
            return _Widget(total)
        if wanted or (sys.stderr is not None and sys.stderr.isatty()):
            return _rich_bar(total)
    except ModuleNotFoundError:
        pass  # then it is lines alone
    return None


def in_notebook() -> bool:
    shell = sys.modules.get("IPython")
    found = shell.get_ipython() if shell is not None else None
    return type(found).__name__ == "ZMQInteractiveShell"


class _Widget:
    def __init__(self, total: int | None) -> None:
        import ipywidgets
        from IPython.display import display

        self._bar: Any = ipywidgets.IntProgress(min=0, max=total or 1, bar_style="" if total else "info")
        self._label: Any = ipywidgets.Label()
        self._total = total
        self._done = 0
        display(ipywidgets.HBox([self._bar, self._label]))

    def advance(self, text: str) -> None:
        self._done += 1
        self._bar.value = min(self._done, self._bar.max)
        self._label.value = f"{self._done}/{self._total}  {text}" if self._total else f"{self._done}  {text}"

    def write(self, line: str) -> None:
        write(line)

    def close(self) -> None:
        self._bar.bar_style = "success" if self._done == self._total else ""


def _rich_bar(total: int | None) -> Bar | None:
    from rich.errors import LiveError

    try:
        return _RichBar(total)
    except LiveError:
        return None  # the script, or another `optimize` of it, shows something already


class _RichBar:
    def __init__(self, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[best]}"))
        console = Console(stderr=True, markup=False, highlight=False)
        # What the objective prints appears above the bar; into a file or a pipe it goes untouched.
        self._progress = Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty())
        self._progress.start()
        self._task = self._progress.add_task("", total=total, best="")

    def advance(self, text: str) -> None:
        self._progress.update(self._task, advance=1, best=text)

    def write(self, line: str) -> None:
        self._progress.console.print(line, soft_wrap=True)

    def close(self) -> None:
        self._progress.stop()
