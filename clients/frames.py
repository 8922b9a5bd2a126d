"""Trials as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from ..domain.choices import restored
from ..domain.trial import Trial as Record
from .results import Result


def row(trial: Record) -> dict[str, object]:
    """A trial as a flat row: one column for each metric, parameter and label."""
    begin, end = trial.start_time, trial.end_time
    return {
        "id": trial.id,
        "state": trial.state.name,
        **{f"metric_{name}": value for name, value in (trial.final or {}).items()},
        **{f"params_{name}": restored(value) for name, value in trial.parameters.items()},
        "create_time": datetime.fromtimestamp(trial.create_time, UTC),
        "start_time": None if begin is None else datetime.fromtimestamp(begin, UTC),
        "end_time": None if end is None else datetime.fromtimestamp(end, UTC),
        "duration": None if begin is None or end is None else end - begin,
        **{f"labels_{name}": text for name, text in trial.labels.items()},
    }


def framed(trial: Result, attrs: Sequence[str] | None = None) -> dict[str, object]:
    """A row of the data frame: `row`, with what Optuna's has; of `attrs` alone, if they are given."""
    value = {"value": trial.value} if len(trial.objectives) == 1 else {}
    attributes = {f"user_attrs_{name}": attribute for name, attribute in trial.user_attrs.items()}
    cells = row(trial)
    cells = {"id": cells.pop("id"), "number": trial.number, **value, **cells, **attributes}
    return cells if attrs is None else {name: cell for name, cell in cells.items() if _is_of(name, attrs)}


def _is_of(column: str, attrs: Sequence[str]) -> bool:
    return any(column == name or column.startswith(f"{name}_") for name in attrs)
