"""The table of running trials: what each shows, and which columns a width has room for. Pure.

The columns from left to right are trial, state, time, ETA, step, one value for each objective, curve, rank and
parameters. What a width has no room for goes in this order: the bar beside the step, the parameters, the time that the
trial has run for, its state, values beyond the first, the rank, the curve, the ETA. The curve narrows before any of
them but the bar goes. Trial, step and value always stay.

A trial that has not reported has words in the place of step, value, curve and rank: what it waits for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from ...domain.attempt import AttemptState
from ...domain.forecast import time_left, time_to_go
from ...domain.progress import StudyProgress, TrialProgress
from ...domain.study import Study
from ...domain.template import Runtime
from ...domain.trial import StopGoal, Trial, TrialState
from ...domain.visible import on_one_line
from ..durations import span
from .glyphs import bar, sparkline
from .output import STATE_STYLES, in_order, pairs, waits_for

GAP = "  "
BAR = 10
CURVES = (8, 12, 20)
"""Widths of the curve: the least, the usual, and the one of a wide screen."""

PARAMETERS = 16
"""Characters of parameters that are worth a column; twice as many come before a bar, three times before a longer curve.
On a wide screen they have all that is left."""

NAME = 14
"""Characters of a metric's name above its values: its last ones, which tell `val/loss` from `val/accuracy`."""

OBJECTIVES = 4
"""Columns of values."""

STOPPING = {StopGoal.STOP: "stopping", StopGoal.PAUSE: "pausing", StopGoal.CANCEL: "cancelling", None: "stopping"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One running trial in words. What is unknown is empty."""

    trial: str
    state: str
    style: str
    elapsed: str
    eta: str
    step: str
    done: float
    """The share of its steps that is done, in [0, 1]; NaN if unknown."""
    values: tuple[str, ...]
    curve: tuple[tuple[int, float], ...]
    rank: str
    leads: bool
    waits: str
    """What is shown in place of step, value, curve and rank; empty if they are there."""
    parameters: str


def time_text(seconds: float) -> str:
    """Without tenths, which would change with every frame."""
    return f"{seconds:.0f} s" if seconds < 60 else span(seconds)


def eta_text(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return time_text(seconds) if seconds >= 1 else "soon"


def value_text(value: float) -> str:
    """Five significant digits with their zeros, so that a column does not change its width from report to report."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:#.5g}".rstrip(".")


def target_of(trial: Trial, progress: StudyProgress | None) -> int | None:
    """The step at which its attempt ends: that of its next pause, else that of a whole trial."""
    if trial.until_step is not None:
        return trial.until_step
    return progress.whole_steps if progress is not None else None


def running_for(trial: Trial, now: float) -> float:
    """Seconds since its attempt ran, or was begun."""
    attempt = trial.attempt
    if attempt is None:
        return max(0.0, now - trial.create_time)
    return max(0.0, now - (attempt.start_time if attempt.run_time is None else attempt.run_time))


def of_this_attempt(trial: Trial, found: TrialProgress | None) -> TrialProgress | None:
    """None if it is an earlier attempt's, of a trial that was begun again and has not reported since."""
    if found is None or not found.metrics or trial.attempt is None or found.pace.attempt != trial.attempt.number:
        return None
    return found


def eta_of(
    trial: Trial, found: TrialProgress | None, progress: StudyProgress | None, *, typical: float | None, now: float
) -> float | None:
    """Seconds until its attempt ends: by its own steps if it has any, else by the typical duration of a trial."""
    attempt = trial.attempt
    if trial.state is TrialState.STOPPING or attempt is None or attempt.state is AttemptState.QUEUED:
        return None
    target = target_of(trial, progress)
    if progress is None or found is None or target is None:
        # What a whole trial takes says little of one that is to be paused on the way.
        return time_left(running_for(trial, now), typical) if trial.until_step is None else None
    fresh = len(trial.attempts) == 1 and trial.checkpoint_of is None
    began = attempt.start_time if attempt.run_time is None else attempt.run_time
    return time_to_go(found.pace, target, progress.time, began=began if fresh else None)


def rows_of(
    trials: Iterable[Trial], study: Study, progress: StudyProgress | None, *, typical: float | None, now: float
) -> list[Row]:
    """`typical`: the seconds that a trial usually takes."""
    by_id = {found.trial_id: found for found in progress.trials} if progress is not None else {}
    return [_row(trial, study, progress, earlier=by_id.get(trial.id), typical=typical, now=now) for trial in trials]


def _row(
    trial: Trial,
    study: Study,
    progress: StudyProgress | None,
    *,
    earlier: TrialProgress | None,
    typical: float | None,
    now: float,
) -> Row:
    found = of_this_attempt(trial, earlier)
    eta = eta_of(trial, found, progress, typical=typical, now=now)
    target = target_of(trial, progress)
    state, style = state_of(trial, study, reported=found is not None)
    by_metric = {m.metric: m for m in found.metrics} if found is not None else {}
    first = by_metric.get(study.spec.objectives[0].metric)
    # By one of several objectives alone a rank would mean little.
    ranked = first if len(study.spec.objectives) == 1 else None

    return Row(
        trial=str(trial.id),
        state=state,
        style=style,
        elapsed=time_text(running_for(trial, now)),
        eta=eta_text(eta),
        step=_step(found, target),
        done=found.pace.last_step / target if found is not None and target else math.nan,
        values=tuple(
            value_text(by_metric[o.metric].value) if o.metric in by_metric else "" for o in study.spec.objectives
        ),
        curve=first.curve if first is not None else (),
        rank=f"{ranked.rank} of {ranked.ranked}" if ranked is not None else "",
        leads=ranked is not None and ranked.rank == 1 and ranked.ranked > 1,
        waits=on_one_line(waits_for(trial)) if found is None and waits_for(trial) else _waits(trial, study, earlier),
        parameters=on_one_line(pairs(in_order(trial, study))),
    )


def _step(found: TrialProgress | None, target: int | None) -> str:
    if found is None:
        return ""
    return f"{found.pace.last_step}/{target}" if target else str(found.pace.last_step)


def state_of(trial: Trial, study: Study, *, reported: bool) -> tuple[str, str]:
    """A word for what the trial or its attempt does, and its style.

    Nobody says of an attempt of ask and tell that it runs now, and of one that has reported it needs no saying.
    """
    if trial.state is TrialState.STOPPING:
        return STOPPING[trial.goal], STATE_STYLES["stopping"]
    if trial.state is TrialState.ACTIVE and trial.attempt is not None and trial.attempt.live:
        if reported or study.spec.trial is None or trial.attempt.state is AttemptState.RUNNING:
            return AttemptState.RUNNING.value, STATE_STYLES["active"]
        return trial.attempt.state.value, "yellow"
    return trial.state.value, STATE_STYLES.get(trial.state.value, "")


def _waits(trial: Trial, study: Study, earlier: TrialProgress | None) -> str:
    """What a trial without a report of its attempt waits for; empty for one that has reported."""
    attempt = trial.attempt
    if attempt is None or of_this_attempt(trial, earlier) is not None:
        return ""
    before = f" (step {earlier.pace.last_step} before)" if earlier is not None else ""
    template = study.spec.trial
    if attempt.state is AttemptState.STARTING and template is not None:
        pod = template.runtime is Runtime.KUBERNETES or (template.runtime is None and template.containerised)
        return f"starting its {'pod' if pod else 'process'}{before}"
    if attempt.state is AttemptState.QUEUED:
        return f"waiting for a place{before}"
    return f"no report yet{before}"


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The width of each column, 0 for one that is left out. The columns of values are counted."""

    trial: int
    state: int = 0
    time: int = 0
    eta: int = 0
    step: int = 0
    bar: int = 0
    values: tuple[int, ...] = ()
    curve: int = 0
    rank: int = 0
    waits: int = 0
    """Of what trials wait for, if none has reported."""
    parameters: int = 0

    @property
    def measured(self) -> int:
        """Of all that a trial has once it has reported, or of the words in its place, gaps included."""
        widths = [self.step + (self.bar and self.bar + 1), *self.values, self.curve, self.rank]
        return _joined(widths) if self.step else self.waits

    @property
    def width(self) -> int:
        return _joined([self.trial, self.state, self.time, self.eta, self.measured, self.parameters])


def _joined(widths: Sequence[int]) -> int:
    there = [width for width in widths if width]
    return sum(there) + len(GAP) * (len(there) - 1) if there else 0


def layout_of(rows: Sequence[Row], headings: Sequence[str], width: int, *, reporting: bool = False) -> Layout:
    """The columns that `width` has room for. `headings`: of the columns of values. `reporting`: trials of the study are
    known to report, though none of these may have; without it columns would come and go with every trial."""

    def widest(heading: str, cells: Sequence[str]) -> int:
        return max(map(cell_len, (heading, *cells)))

    reported = reporting or any(row.step for row in rows)
    values = [
        widest(heading, [row.values[place] for row in rows]) for place, heading in enumerate(headings[:OBJECTIVES])
    ]
    curve = max((len(row.curve) for row in rows), default=0)
    there: dict[str, Any] = {
        "trial": widest("trial", [row.trial for row in rows]),
        "step": widest("step", [row.step for row in rows]) if reported else 0,
        "values": (values[0],) if reported else (),
    }
    if not reported:
        there["waits"] = min(max(cell_len(row.waits) for row in rows), width // 2)

    def room(**more: Any) -> bool:
        layout = Layout(**{**there, **more})
        if layout.width > width:
            return False
        there.update(more)
        return True

    if any(row.eta for row in rows):
        room(eta=widest("ETA", [row.eta for row in rows]))
    if curve or reported:
        room(curve=CURVES[0])
    if any(row.rank for row in rows) or (reported and len(headings) == 1):
        room(rank=widest("rank", [row.rank for row in rows]))
    if reported and len(values) > 1:
        room(values=tuple(values))
    room(state=widest("state", [row.state for row in rows]))
    room(time=widest("time", [row.elapsed for row in rows]))

    parameters = max((cell_len(row.parameters) for row in rows), default=0)
    if parameters and there.get("state") and there.get("time"):
        if there.get("curve"):
            room(curve=CURVES[1])
        if room(parameters=min(parameters, PARAMETERS)):
            if any(not math.isnan(row.done) for row in rows) and room(parameters=min(parameters, 2 * PARAMETERS)):
                room(bar=BAR)
            if curve > CURVES[1] and room(parameters=min(parameters, 3 * PARAMETERS)):
                room(curve=CURVES[2])
            left = width - Layout(**there).width
            there["parameters"] = min(parameters, there["parameters"] + max(0, left))
    return Layout(**there)


def heading_of(metric: str, *, ascii_only: bool = False) -> str:
    """The metric's name, or its end."""
    shown, more = on_one_line(metric), "..." if ascii_only else "…"
    if cell_len(shown) <= NAME:
        return shown
    while cell_len(shown) > NAME - len(more):
        shown = shown[1:]
    return more + shown


def table(
    rows: Sequence[Row], metrics: Sequence[str], width: int, *, ascii_only: bool = False, reporting: bool = False
) -> list[Text]:
    """The heading and one line for each row, each at most `width` wide."""
    headings = [heading_of(metric, ascii_only=ascii_only) for metric in metrics]
    layout = layout_of(rows, headings, width, reporting=reporting)
    return [_heading(layout, headings), *(_line(row, layout, width, ascii_only=ascii_only) for row in rows)]


def _heading(layout: Layout, headings: Sequence[str]) -> Text:
    measured = [
        ("step".rjust(layout.step) + " " * (layout.bar and layout.bar + 1), layout.step),
        # Not by rjust: some characters are two cells wide.
        *(
            (" " * (width - cell_len(heading)) + heading, width)
            for heading, width in zip(headings, layout.values, strict=False)
        ),
        ("curve".ljust(layout.curve), layout.curve),
        ("rank".rjust(layout.rank), layout.rank),
    ]
    cells = [
        ("trial".rjust(layout.trial), layout.trial),
        ("state".ljust(layout.state), layout.state),
        ("time".rjust(layout.time), layout.time),
        ("ETA".rjust(layout.eta), layout.eta),
        *(measured if layout.step else [(" " * layout.waits, layout.waits)]),
        ("parameters", layout.parameters),
    ]
    return Text(GAP.join(text for text, there in cells if there).rstrip(), "bold")


def _line(row: Row, layout: Layout, width: int, *, ascii_only: bool) -> Text:
    parts = [Text(row.trial.rjust(layout.trial))]
    if layout.state:
        parts.append(Text(row.state.ljust(layout.state), row.style))
    if layout.time:
        parts.append(Text(row.elapsed.rjust(layout.time), "dim"))
    if layout.eta:
        parts.append(Text(row.eta.rjust(layout.eta)))

    if row.waits:
        # Without a column for it the state is part of the words.
        words = row.waits if layout.state or row.state in row.waits else f"{row.state}: {row.waits}"
        before = sum(map(cell_len, (part.plain for part in parts))) + len(GAP) * len(parts)
        fits = cell_len(words) <= layout.measured
        parts.append(Text(cut(words, width - before, ascii_only=ascii_only), "yellow"))
        # Longer words take the place of the parameters, too.
        if fits and layout.parameters:
            parts[-1].append(" " * (layout.measured - cell_len(words)))
            parts.append(_parameters(row, layout, ascii_only=ascii_only))
        return Text(GAP).join(parts)

    if layout.step:
        parts.append(Text(row.step.rjust(layout.step)))
    if layout.bar:
        filled, rest = bar(0.0 if math.isnan(row.done) else row.done, 1.0, layout.bar, ascii_only=ascii_only)
        parts[-1].append(" ").append(filled, "cyan").append(rest, "dim")
    for value, space in zip(row.values, layout.values, strict=False):
        parts.append(Text(value.rjust(space), "bold green" if row.leads else ""))
    if layout.curve:
        parts.append(Text(sparkline(row.curve, layout.curve, ascii_only=ascii_only).ljust(layout.curve), "cyan"))
    if layout.rank:
        parts.append(Text(row.rank.rjust(layout.rank), "bold green" if row.leads else ""))
    if layout.parameters:
        parts.append(_parameters(row, layout, ascii_only=ascii_only))
    line = Text(GAP).join(parts)
    line.rstrip()
    return line


def _parameters(row: Row, layout: Layout, *, ascii_only: bool) -> Text:
    return Text(cut(row.parameters, layout.parameters, ascii_only=ascii_only), "dim")


def cut(text: str, width: int, *, ascii_only: bool) -> str:
    """`text` in at most `width` cells; an ellipsis if something is left out."""
    if cell_len(text) <= width:
        return text
    more = "..." if ascii_only else "…"
    return set_cell_size(text, max(0, width - len(more))).rstrip() + more[: max(0, width)]
