"""Metrics as people are shown them: those of the study first, then what else was reported."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ...domain.metric import Metrics
from ...domain.study import StudySpec
from ...domain.trial import Measurement
from .output import new_table, number, pairs

if TYPE_CHECKING:
    from rich.table import Table

BESIDE = 3
"""Metrics shown in one line beside the study's own."""
COLUMNS = 6
"""Metrics shown in a table beside the study's own."""


def own_first(metrics: Metrics, spec: StudySpec) -> dict[str, float]:
    """Objectives and safety metrics as the study has them, then the others by name."""
    own = [name for name in spec.metric_names if name in metrics]
    return {name: metrics[name] for name in [*own, *sorted(metrics.keys() - set(own))]}


def in_short(metrics: Mapping[str, float] | None, spec: StudySpec) -> str:
    """`loss=0.5 acc=0.9 and 4 more`: for one line."""
    ordered = list(own_first(metrics or {}, spec).items())
    shown = len(spec.metric_names) + BESIDE
    words = pairs(dict(ordered[:shown]))
    return f"{words} and {len(ordered) - shown} more" if len(ordered) > shown else words


def measured(measurements: Sequence[Measurement], spec: StudySpec) -> tuple[Table, Sequence[str]]:
    """One row a step, one column a metric, and the names of those for which there is no room."""
    names = list(own_first({name: 0.0 for m in measurements for name in m.metrics}, spec))
    shown = names[: len(spec.metric_names) + COLUMNS]
    table = new_table()
    for title in ("step", *shown):
        table.add_column(title, justify="right")
    for m in measurements:
        table.add_row(str(m.step), *(number(m.metrics.get(name, "")) for name in shown))
    return table, names[len(shown) :]
