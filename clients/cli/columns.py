"""Columns that `--columns` chooses and `--sort` orders by, of trials and of studies, for tables and for CSV."""

from __future__ import annotations

import csv
import io
import math
import numbers
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from ...domain.choices import plain, shown
from ...domain.errors import InvalidArgument, nearest
from ...domain.study import Study
from ...domain.trial import Trial, TrialState
from ...domain.visible import visible
from ..durations import span
from .algorithm_words import algorithm_name
from .output import (
    Format,
    choice,
    console,
    emit,
    in_order,
    new_table,
    number,
    pairs,
    stamp,
    state_text,
    took,
    why,
)

if TYPE_CHECKING:
    from rich.table import Table

R = TypeVar("R")


def _as_it_is(value: object) -> object:
    return value


@dataclass(frozen=True, slots=True)
class Column(Generic[R]):
    """`value`: what it is sorted by. `shown`: that value in a table, for people; `data`: in JSON and YAML; `csv`: in
    CSV."""

    value: Callable[[R], object]
    shown: Callable[[Any], Any] = number
    data: Callable[[Any], object] = _as_it_is
    csv: Callable[[Any], object] = _as_it_is


def _date(text: object) -> str:
    return str(text)[:19].replace("T", " ") if text else ""


def _span(seconds: object) -> str:
    return span(seconds) if isinstance(seconds, float) else ""


STUDY_COLUMNS: Mapping[str, Column[Study]] = {
    "study": Column(lambda study: study.name.short),
    "state": Column(lambda study: study.state.value),
    "trials": Column(lambda study: study.counts.counted),
    "budget": Column(lambda study: study.spec.budget.trials),
    "running": Column(lambda study: study.counts.live),
    "succeeded": Column(lambda study: study.counts[TrialState.SUCCEEDED]),
    "failed": Column(lambda study: study.counts[TrialState.FAILED]),
    "algorithm": Column(algorithm_name),
    "created": Column(lambda study: stamp(study.create_time), _date),
    "ended": Column(lambda study: stamp(study.end_time), _date),
    "why": Column(lambda study: study.reason),
}
"""What `wazir studies` can show."""

_TRIAL_COLUMNS: Mapping[str, Column[Trial]] = {
    "trial": Column(lambda trial: trial.id),
    "name": Column(lambda trial: trial.name.short),
    "state": Column(lambda trial: trial.state.value),
    "took": Column(lambda trial: took(trial) if trial.attempts else None, _span),
    "step": Column(lambda trial: trial.final_step),
    "why": Column(why),
    "origin": Column(lambda trial: trial.origin.value),
    "attempts": Column(lambda trial: len(trial.attempts)),
    "node": Column(lambda trial: trial.attempt.node if trial.attempt else ""),
    "created": Column(lambda trial: stamp(trial.create_time), _date),
    "started": Column(lambda trial: stamp(trial.start_time), _date),
    "ended": Column(lambda trial: stamp(trial.end_time), _date),
}


def trial_columns(study: Study, trials: Sequence[Trial]) -> dict[str, Column[Trial]]:
    """What `wazir trials` can show: the columns above, and a column for each metric, parameter and label that occurs.

    A name that two of them have is that of the first; `metrics.NAME`, `params.NAME` and `labels.NAME` are always meant
    as they are written.
    """
    space = study.spec.space
    of_space = [parameter.name for parameter in space.parameters] if space is not None else []
    objectives = [objective.metric for objective in study.spec.objectives]

    found: dict[str, Column[Trial]] = {}
    for name in _names(objectives, (trial.final or {} for trial in trials)):
        found[f"metrics.{name}"] = Column(lambda trial, name=name: (trial.final or {}).get(name))  # type: ignore[misc]
    found["parameters"] = Column(lambda trial: pairs(in_order(trial, study)))
    for name in _names(of_space, (trial.parameters for trial in trials)):
        found[f"params.{name}"] = _parameter(name)
    for name in _names([], (trial.labels for trial in trials)):
        found[f"labels.{name}"] = Column(lambda trial, name=name: trial.labels.get(name))  # type: ignore[misc]

    columns = {**_TRIAL_COLUMNS, **found}
    for name, column in found.items():
        columns.setdefault(name.partition(".")[2] or name, column)
    return columns


def _parameter(name: str) -> Column[Trial]:
    """Choices such as None and tuples are told as what they are, and not in their stored form."""
    return Column(
        lambda trial: trial.parameters.get(name),
        shown=choice,
        data=lambda value: None if value is None else plain(value),
        csv=lambda value: shown(value) if isinstance(value, str) else value,
    )


def _names(first: Iterable[str], mappings: Iterable[Mapping[str, object]]) -> list[str]:
    """Every key, each once, those of `first` before the others."""
    names = dict.fromkeys(first)
    for mapping in mappings:
        names.update(dict.fromkeys(mapping))
    return list(names)


def csv_trial_columns(columns: Mapping[str, Column[Trial]]) -> list[str]:
    """Those that CSV has unless others are chosen: parameters and metrics in columns of their own."""
    long = [name for name in columns if name.startswith(("metrics.", "params."))]
    ends = []
    for name in long:
        short = name.partition(".")[2]
        ends.append(short if columns.get(short) is columns[name] else name)
    return ["trial", "state", *ends, "took", "step", "started", "ended", "why"]


def chosen(option: str, names: str, columns: Mapping[str, Column[R]]) -> list[str]:
    """The names in a list with commas. Raises InvalidArgument for a column that there is not."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in columns:
            raise InvalidArgument(option, name, "is not a column here", nearest(name, columns))
    if not wanted:
        raise InvalidArgument(option, names, "names no column", f"Known are: {', '.join(columns)}")
    return wanted


def ordered(rows: Sequence[R], key: str, columns: Mapping[str, Column[R]]) -> list[R]:
    """The rows by the column, ascending, or descending with a minus before its name. Rows without a value come last;
    rows with equal values stay as they are."""
    (name,) = chosen("--sort", key.removeprefix("-"), columns)
    value = columns[name].value
    given = [row for row in rows if not _missing(value(row))]
    given.sort(key=lambda row: _rank(value(row)), reverse=key.startswith("-"))
    return given + [row for row in rows if _missing(value(row))]


def _missing(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def _rank(value: object) -> tuple[bool, Any]:
    """Numbers before texts, because a list of values may hold both."""
    return (False, value) if isinstance(value, numbers.Real) else (True, str(value))


def column_table(rows: Sequence[R], names: Sequence[str], columns: Mapping[str, Column[R]]) -> Table:
    table = new_table()
    for name in names:
        right = any(isinstance(columns[name].value(row), numbers.Real) for row in rows)
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(name, columns[name], row) for name in names))
    return table


def _cell(name: str, column: Column[R], row: R) -> Any:
    value = column.value(row)
    if name == "state":
        return state_text(row.state)  # type: ignore[attr-defined]  # both have one
    return "" if value is None else column.shown(value)


def print_columns(rows: Sequence[R], names: Sequence[str], columns: Mapping[str, Column[R]], form: Format) -> None:
    """Prints these columns alone, in any form."""
    if form is Format.TABLE:
        console().print(column_table(rows, names, columns))
    elif form is Format.CSV:
        click.echo(csv_text(rows, names, columns), nl=False)
    else:
        emit(column_data(rows, names, columns), form)


def column_data(rows: Sequence[R], names: Sequence[str], columns: Mapping[str, Column[R]]) -> list[dict[str, object]]:
    """For JSON and YAML."""
    return [{name: columns[name].data(columns[name].value(row)) for name in names} for row in rows]


def csv_text(rows: Sequence[R], names: Sequence[str], columns: Mapping[str, Column[R]]) -> str:
    """RFC 4180 with `\\n` at the ends of lines; numbers with every digit, times as in ISO 8601, durations in seconds.
    Control characters are escaped, as everywhere."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(map(visible, names))
    for row in rows:
        writer.writerow([_csv_cell(columns[name].csv(columns[name].value(row))) for name in names])
    return written.getvalue()


def _csv_cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    return visible(value) if isinstance(value, str) else value
