"""What a study without declared parameters knows of them: their values, and when its code asks for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...domain.growing import described
from ...domain.study import Study
from ...domain.trial import Trial
from .output import new_table, pairs

if TYPE_CHECKING:
    from rich.table import Table


def space_table(study: Study) -> Table | None:
    """One row a parameter; None if the space is declared, or nothing has been asked for."""
    space = study.spec.space
    if not study.growing or space is None:
        return None
    table = new_table()
    for column in ("parameter", "values", "asked for when"):
        table.add_column(column, overflow="fold")
    for parameter in space.parameters:
        conditions = [*map(str, parameter.when)]
        table.add_row(
            parameter.name, described(parameter.kind).removeprefix("the "), " and ".join(conditions) or "always"
        )
    for constraint in space.constraints:
        table.add_row("", constraint, "always")
    return table


def unasked_words(trial: Trial) -> str:
    """What was proposed for the trial and not asked for by its code; empty if there is nothing."""
    unasked = trial.attempt.unasked if trial.attempt else None
    return pairs(unasked) if unasked else ""
