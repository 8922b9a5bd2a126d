"""What commands print: tables for people, JSON or YAML for scripts, from the same plain data."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from ...domain.attempt import Attempt
from ...domain.choices import plain, shown
from ...domain.document import to_document
from ...domain.parameters import Value
from ...domain.study import Study, StudyState
from ...domain.trial import Measurement, Provenance, Trial, TrialState
from ..durations import span
from ..json_text import json_text
from ..yaml_text import yaml_text
from .algorithm_words import algorithm_data, algorithm_name
from .format import Format as Format

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from .rich_console import Terminal

Plain = Mapping[str, object]

STATE_STYLES = {
    "requested": "dim",
    "active": "cyan",
    "stopping": "yellow",
    "paused": "yellow",
    "succeeded": "green",
    "completed": "green",
    "stopped": "blue",
    "infeasible": "magenta",
    "failed": "red",
    "cancelled": "dim",
}


def console() -> Terminal:
    """Standard output. Not folded if it is not a terminal, so that scripts get whole lines.

    Without rich's markup and emoji: brackets in reasons, categories and labels are people's own, and `[/x]` would be
    an error.
    """
    from .rich_console import Terminal
    from .terminal import spell_out

    spell_out(sys.stdout)
    terminal = sys.stdout.isatty()
    return Terminal(width=None if terminal else 200, highlight=False, markup=False, emoji=False, soft_wrap=not terminal)


def emit(data: object, form: Format) -> None:
    """Prints plain data for scripts, as `json_text` and `yaml_text` say."""
    if form is Format.JSON:
        click.echo(json_text(data, indent=2))
    else:
        click.echo(yaml_text(data), nl=False)


def study_data(study: Study) -> dict[str, object]:
    """A study as plain data, its specification in the study file's words."""
    return {
        "name": str(study.name),
        "study": study.name.study,
        "state": study.state.value,
        "reason": study.reason,
        "end_reason": study.ending.value if study.ending else None,
        "created": stamp(study.create_time),
        "ended": stamp(study.end_time),
        "trials": {state.value: n for state, n in study.counts.by_state.items()},
        "gpu_hours": study.gpu_seconds / 3600,
        "algorithm": algorithm_data(study),
        "curve_points": study.thinning.points if study.thinning else None,
        "seed": study.seed,
        "revision": study.revision,
        "metadata": dict(study.metadata),
        "spec": to_document(study.spec),
    }


def trial_data(trial: Trial, measurements: Sequence[Measurement] | None = None) -> dict[str, object]:
    data: dict[str, object] = {
        "name": str(trial.name),
        "id": trial.id,
        "state": trial.state.value,
        "reason": trial.reason,
        "parameters": {name: plain(value) for name, value in trial.parameters.items()},
        "metrics": dict(trial.final) if trial.final else None,
        "metrics_step": trial.final_step,
        "origin": trial.origin.value,
        "created": stamp(trial.create_time),
        "started": stamp(trial.start_time),
        "ended": stamp(trial.end_time),
        "labels": dict(trial.labels),
        "metadata": dict(trial.metadata),
        "attempts": [_attempt_data(attempt) for attempt in trial.attempts],
    }
    if trial.provenance is not None:
        data["suggested_by"] = _provenance_data(trial.provenance)
    if measurements is not None:
        data["measurements"] = [{"step": m.step, **m.metrics} for m in measurements]
    return data


def _attempt_data(attempt: Attempt) -> dict[str, object]:
    data: dict[str, object] = {
        "number": attempt.number,
        "why": attempt.why,
        "state": attempt.state.value,
        "cause": attempt.cause.value if attempt.cause else None,
        "exit_code": attempt.exit_code,
        "message": attempt.message,
        "started": stamp(attempt.start_time),
        "ran": stamp(attempt.run_time),
        "ended": stamp(attempt.end_time),
        "node": attempt.node,
        "devices": list(attempt.devices),
        "gpus": attempt.gpus,
        "log": attempt.log_path,
    }
    if attempt.unasked:
        data["unasked"] = {name: plain(value) for name, value in attempt.unasked.items()}
    return data


def _provenance_data(made: Provenance) -> dict[str, object]:
    data: dict[str, object] = {
        "algorithm": made.algorithm,
        "chosen": made.chosen or None,
        "version": made.version,
        "round": made.round,
        "index": made.index,
        "count": made.count,
        "history": made.history_digest,
        "fallback": made.fallback,
        "why": made.why,
    }
    if made.details:
        data["details"] = dict(made.details)
    return data


def stamp(seconds: float | None) -> str | None:
    """UTC, ISO 8601."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def ago(seconds: float | None, now: float | None = None) -> str:
    """How long ago, to one unit: `8 s`, `3 min`, `2 h`, `5 d`."""
    return "" if seconds is None else span(max(0.0, (time.time() if now is None else now) - seconds)) + " ago"


def number(value: object) -> str:
    """Short, for tables: six significant digits."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def choice(value: object) -> str:
    """A parameter's value, short: choices that are stored as text are what they mean."""
    return shown(value) if isinstance(value, str) else number(value)


def counted(count: int, one: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def pairs(values: Mapping[str, object]) -> str:
    return " ".join(f"{name}={choice(value)}" for name, value in values.items())


def styled(text: str, style: str) -> Text:
    from rich.text import Text

    return Text(text, style)


def one_line(text: str) -> Text:
    """Cut to the width that a table has for it, instead of being wrapped."""
    from rich.text import Text

    return Text(text, no_wrap=True, overflow="ellipsis")


def state_text(state: StudyState | TrialState) -> Text:
    return styled(state.value, STATE_STYLES.get(state.value, ""))


def new_table() -> Table:
    from rich.table import Table

    return Table(box=None, pad_edge=False, header_style="bold")


def trial_table(trials: Sequence[Trial], study: Study) -> Table:
    """One row a trial; a column for every objective and parameter that fits."""
    table = new_table()
    table.add_column("trial", justify="right")
    table.add_column("state")
    for objective in study.spec.objectives:
        table.add_column(objective.metric, justify="right")
    table.add_column("took", justify="right")
    table.add_column("parameters", overflow="fold")
    reasons = any(why(trial) for trial in trials)
    if reasons:
        table.add_column("why", overflow="fold")

    for trial in trials:
        table.add_row(
            str(trial.id),
            state_text(trial.state),
            *(number((trial.final or {}).get(o.metric, "")) for o in study.spec.objectives),
            span(took(trial)) if trial.attempts else "",
            pairs(in_order(trial, study)),
            *([why(trial)] if reasons else []),
        )
    return table


def took(trial: Trial, now: float | None = None) -> float:
    """Seconds that its attempts took; what it was paused for between them is not counted."""
    now = time.time() if now is None else now
    return sum((now if a.end_time is None else a.end_time) - a.start_time for a in trial.attempts)


def why(trial: Trial) -> str:
    """Why it is in its state: the reason of its end, or what it waits for."""
    return trial.reason or waits_for(trial)


def waits_for(trial: Trial) -> str:
    """What its attempt waits for, in the scheduler's or runtime's words; empty if it does not wait."""
    return trial.attempt.message if trial.attempt is not None and trial.attempt.live else ""


def in_order(trial: Trial, study: Study) -> dict[str, Value]:
    """The trial's parameters as the study file has them."""
    return dict(trial.parameters) if study.spec.space is None else study.spec.space.ordered(trial.parameters)


def study_table(studies: Sequence[Study]) -> Table:
    """One row a study, and one line a row: `why` has the room that the others leave; `wazir show` says all of it."""
    table = new_table()
    for name in ("study", "state", "trials", "running", "failed", "algorithm", "created"):
        table.add_column(name, justify="right" if name in ("trials", "running", "failed") else "left", no_wrap=True)
    # Not `no_wrap`: a table takes room from the columns that may be wrapped first.
    table.add_column("why")

    for study in studies:
        budget = study.spec.budget.trials
        table.add_row(
            study.name.short,
            state_text(study.state),
            f"{study.counts.counted}" + (f"/{budget}" if budget else ""),
            str(study.counts.live),
            str(study.counts[TrialState.FAILED]),
            algorithm_name(study),
            ago(study.create_time),
            one_line(study.reason),
        )
    return table
