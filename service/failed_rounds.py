"""Rounds in which a study's algorithm failed: counted with the study, and too many in a row pause it.

A round has failed if the algorithm raises an error, gives an answer that breaks the contract, ends its process, or
gives nothing but stand-ins of its own because its model cannot be fitted. A round that comes too late has not failed: a
slow algorithm may work, and what it computes serves the next caller. The count is part of the study, so it survives the
server, and several servers share it.
"""

from __future__ import annotations

from ..domain.algorithm_status import MAX_FAILED_ROUNDS
from ..domain.records import altered
from ..domain.study import Study, StudyState
from ..storage.store import Transaction
from .feed import Change
from .unit import Unit


def note_failed_round(tx: Transaction, made_for: Study, reason: str, now: float) -> Change | None:
    """Counts a round that failed, unless another one was committed since. `made_for`: the study as it was then."""
    unit = Unit.lock(tx, made_for.name, now)
    study = unit.study
    if study.next_round == made_for.next_round and study.state is StudyState.ACTIVE and study.ending is None:
        count_failed_round(unit, reason)
    return unit.finish()


def count_failed_round(unit: Unit, reason: str) -> None:
    """The study must be ACTIVE. `reason`: a clause about the algorithm, in its own words."""
    status = unit.study.algorithm_status
    number = status.failed_rounds + 1
    unit.study = altered(unit.study, algorithm_status=status.with_failed_rounds(number))
    if number >= MAX_FAILED_ROUNDS:
        name = unit.study.spec.algorithm.name
        unit.pause(f"{name} failed {number} rounds in a row: {reason}")
