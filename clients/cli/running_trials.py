"""The table of `wazir trials` while some of them run: those show step, latest value, curve, rank and ETA."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ...domain.errors import WazirError
from ...domain.forecast import typical_duration
from ...domain.progress import MetricProgress, StudyProgress, TrialProgress
from ...domain.study import Study
from ...domain.trial import LIVE, Trial, TrialState
from ..durations import span
from .columns import Column
from .output import in_order, new_table, number, pairs, state_text, styled, took, why

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from ..client import Client
    from .running import Row

NARROW, WIDE = 80, 110
"""Columns below which there is no room for parameters, and from which on there is room for a longer curve."""

CURVES = (8, 12)
MOST = 1_000
"""Running trials that are asked about."""

LATEST = 50
"""Trials whose durations say how long one usually takes."""


PROGRESS_COLUMNS = frozenset({"step", "value", "curve", "rank", "eta"})
"""What `with_progress` adds, and what it knows better."""


@dataclass(frozen=True, slots=True)
class Running:
    """The running ones of some trials, how far they are, and how long a trial usually takes."""

    trials: Sequence[Trial]
    progress: StudyProgress | None
    typical: float | None


def look_at_running(client: Client, trials: Sequence[Trial], study: Study) -> Running | None:
    """None if none of them runs."""
    running = [trial for trial in trials if trial.state in LIVE]
    if not running:
        return None

    progress = None
    # An older service has no answer; what runs is shown all the same.
    with suppress(WazirError):
        progress = client.study_progress(study.name, limit=MOST, curve_points=2 * CURVES[1])
    ended: Iterable[Trial] = [trial for trial in trials if trial.state is TrialState.SUCCEEDED]
    if not ended:
        ended = client.list_trials(study.name, states=frozenset({TrialState.SUCCEEDED}), descending=True)
    typical = typical_duration([took(trial) for trial in islice(ended, LATEST) if trial.attempts])
    return Running(running, progress, typical)


def with_progress(
    columns: Mapping[str, Column[Trial]], found: Running | None, study: Study
) -> dict[str, Column[Trial]]:
    """`columns` and what `--columns` and `--sort` know of running trials. A metric, parameter or label called `value`
    is meant rather than the objective."""
    more = _progress_columns(found, study)
    return {**columns, "step": more.pop("step"), **{name: more[name] for name in more if name not in columns}}


def _progress_columns(found: Running | None, study: Study) -> dict[str, Column[Trial]]:
    """Step, value, curve, rank and ETA of running trials, step and value of ended ones."""
    from .glyphs import sparkline
    from .running import eta_of, of_this_attempt

    objective = study.spec.objectives[0].metric
    now = time.time()
    doing: dict[int, TrialProgress] = {}
    etas: dict[int, float | None] = {}
    if found is not None:
        by_id = {known.trial_id: known for known in found.progress.trials} if found.progress is not None else {}
        for trial in found.trials:
            known = of_this_attempt(trial, by_id.get(trial.id))
            etas[trial.id] = eta_of(trial, known, found.progress, typical=found.typical, now=now)
            if known is not None:
                doing[trial.id] = known

    def first(trial: Trial) -> MetricProgress | None:
        metrics = doing[trial.id].metrics if trial.id in doing else ()
        return next((metric for metric in metrics if metric.metric == objective), None)

    def step(trial: Trial) -> int | None:
        return doing[trial.id].pace.last_step if trial.id in doing else trial.final_step

    def value(trial: Trial) -> float | None:
        latest = first(trial)
        return (trial.final or {}).get(objective) if latest is None else latest.value

    def rank(trial: Trial) -> int | None:
        latest = first(trial)
        return None if latest is None else latest.rank

    def curve(trial: Trial) -> str:
        latest = first(trial)
        return "" if latest is None else sparkline(latest.curve, CURVES[1])

    return {
        "step": Column(step),
        "value": Column(value),
        "curve": Column(curve),
        "rank": Column(rank),
        "eta": Column(lambda trial: etas.get(trial.id), lambda seconds: "" if seconds is None else span(seconds)),
    }


def progress_data(found: Running | None) -> dict[int, dict[str, object]]:
    """For scripts, by id: of each running trial that has reported its step, the step it goes to, the seconds until it
    is there, and the value and rank of each objective. What is unknown is null."""
    if found is None or found.progress is None:
        return {}

    from .running import eta_of, of_this_attempt, target_of

    now = time.time()
    by_id = {known.trial_id: known for known in found.progress.trials}
    data: dict[int, dict[str, object]] = {}
    for trial in found.trials:
        known = of_this_attempt(trial, by_id.get(trial.id))
        if known is not None:
            data[trial.id] = {
                "step": known.pace.last_step,
                "steps": target_of(trial, found.progress),
                "eta_seconds": eta_of(trial, known, found.progress, typical=found.typical, now=now),
                "metrics": {m.metric: {"value": m.value, "rank": m.rank, "of": m.ranked} for m in known.metrics},
            }
    return data


def rows_by_id(found: Running | None, study: Study) -> dict[int, Row]:
    """What the running trials show, by id; empty if none runs."""
    if found is None:
        return {}

    from .running import rows_of

    rows = rows_of(found.trials, study, found.progress, typical=found.typical, now=time.time())
    return {trial.id: row for trial, row in zip(found.trials, rows, strict=True)}


def table_of(
    trials: Sequence[Trial], study: Study, rows: Mapping[int, Row], width: int, *, terminal: bool, ascii_only: bool
) -> Table:
    """One row a trial, and on a terminal one line. `rows`: of those that run."""
    from .glyphs import sparkline

    objectives = study.spec.objectives
    narrow = terminal and width < NARROW
    curve = CURVES[width >= WIDE]
    reasons = any(why(trial) for trial in trials) and not narrow

    table = new_table()
    for heading in ("trial", "state"):
        table.add_column(heading, justify="right" if heading == "trial" else "left", no_wrap=True)
    for heading in ("step", *(objective.metric for objective in objectives)):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("curve", no_wrap=True)
    for heading in ("rank", *(() if narrow else ("took",)), "ETA"):
        table.add_column(heading, justify="right", no_wrap=True)
    if not narrow:
        table.add_column("parameters", overflow="fold")
    if reasons:
        table.add_column("why", overflow="fold")

    for trial in trials:
        row = rows.get(trial.id)
        final = [number((trial.final or {}).get(objective.metric, "")) for objective in objectives]
        table.add_row(
            str(trial.id),
            state_text(trial.state) if row is None else styled(row.state, row.style),
            "" if row is None else row.step,
            *(final if row is None else row.values),
            "" if row is None else styled(sparkline(row.curve, curve, ascii_only=ascii_only), "cyan"),
            "" if row is None else row.rank,
            *([] if narrow else [span(took(trial)) if trial.attempts else ""]),
            "" if row is None else row.eta,
            *([] if narrow else [_cell(pairs(in_order(trial, study)), terminal)]),
            *([_cell(why(trial), terminal)] if reasons else []),
        )
    return table


def _cell(text: str, one_line: bool) -> Text:
    cell = styled(text, "")
    if one_line:
        cell.no_wrap, cell.overflow = True, "ellipsis"
    return cell
