"""Studies and trials as HTML, for notebooks. Whatever others wrote is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from ..domain.names import parse_trial
from ..domain.study import Study, StudySpec
from ..domain.trial import Trial
from ..domain.visible import visible
from .results import Result
from .trial import Trial as Running

SHOWN = 20
"""Trials in a study's table: the last ones."""


def study_html(study: Study, best: Sequence[Result], last: Sequence[Result]) -> str:
    """State and counts, the best trial or trials, and a table of the last trials, newest first."""
    counts = str(study.counts) or "no trials yet"
    title = f"<b>{_text(study.name.short)}</b> is {study.state.value}: {_text(study.reason or counts)}"
    about = [f"{_text(counts)}" if study.reason else "", _best(study.spec, best)]
    head = "<br>".join(line for line in [title, *about] if line)

    best_ids = {trial.id for trial in best}
    columns = _columns(study.spec, last)
    rows = [_row(trial, study.spec, columns, best=trial.id in best_ids) for trial in last]
    if not rows:
        return f"<div>{head}</div>"
    heads = ["trial", "state", *study.spec.metric_names, *columns]
    more = study.counts.total - len(last)
    note = f"<div>and {more} before these</div>" if more > 0 else ""
    return f"<div>{head}</div>{_table(heads, rows)}{note}"


def trial_html(trial: Result) -> str:
    """What it is, with what parameters, and what came of it."""
    pairs: list[tuple[str, object]] = [("trial", trial.name.short), ("state", trial.state.value)]
    pairs += [(name, value) for name, value in (trial.final or {}).items()]
    pairs += list(trial.params.items())
    pairs += list(trial.user_attrs.items())
    if trial.duration is not None:
        pairs.append(("duration", f"{trial.duration.total_seconds():.1f} s"))
    if trial.reason:
        pairs.append(("reason", trial.reason))
    return _pairs_table(pairs)


def running_html(trial: Running) -> str:
    """A trial that is being evaluated: what its code has been given, and has said of it."""
    name = trial.name and parse_trial(trial.name).short
    pairs: list[tuple[str, object]] = [("trial", name or "outside a study"), *trial.params.items()]
    pairs += list(trial.user_attrs.items())
    return _pairs_table(pairs)


def _best(spec: StudySpec, best: Sequence[Result]) -> str:
    if not best:
        return ""
    if len(spec.objectives) > 1:
        return f"{len(best)} trials that no other dominates: {', '.join(str(trial.id) for trial in best)}"
    (trial,) = best
    values = _pairs(trial.final or {})
    return f"best: trial {trial.id}, {_text(values)} with {_text(_pairs(trial.params))}"


def _columns(spec: StudySpec, trials: Iterable[Trial]) -> list[str]:
    """The parameters of these trials, in the order of the space."""
    named = {name for trial in trials for name in trial.parameters}
    ordered = [p.name for p in spec.space.parameters] if spec.space is not None else []
    return [name for name in ordered if name in named] + sorted(named - set(ordered))


def _row(trial: Result, spec: StudySpec, columns: Sequence[str], *, best: bool) -> list[str]:
    final, params = trial.final or {}, trial.params
    cells = [str(trial.id), trial.state.value]
    cells += [_text(final.get(metric, "")) for metric in spec.metric_names]
    cells += [_text(params.get(name, "")) for name in columns]
    return [f"<b>{cell}</b>" for cell in cells] if best else cells


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = f"<thead><tr>{''.join(f'<th>{_text(name)}</th>' for name in heads)}</tr></thead>" if heads else ""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table>{head}<tbody>{body}</tbody></table>"


def _pairs_table(pairs: Iterable[tuple[str, object]]) -> str:
    return _table([], [[f"<b>{_text(name)}</b>", _text(value)] for name, value in pairs])


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={_shown(value)}" for name, value in values.items())


def _text(value: object) -> str:
    return escape(visible(_shown(value)))


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
