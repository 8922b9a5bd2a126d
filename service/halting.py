"""Pauses a study whose trials fail for a reason that other parameters would not change."""

from __future__ import annotations

from ..domain.attempt import Cause
from ..domain.broken import broken, failed_alike, first_ended, how_to_fix
from ..domain.failures import cases
from ..domain.study import StudyState
from ..domain.trial import NOT_EVALUATED, Trial, TrialState
from ..storage.store import TrialFilter
from .unit import Unit

EARLIER = 100
"""The number of latest failed trials among which one that failed alike is looked for."""


def halt(unit: Unit, trial: Trial) -> None:
    """Pauses the study if the end of this trial says that going on would waste trials (`domain/broken.py`).

    This is for studies that a controller runs: callers who evaluate trials themselves see how each one fails, and
    decide whether to go on. After a person has resumed the study, the same failures do not pause it again.
    """
    study = unit.study
    if study.state is not StudyState.ACTIVE or study.ending is not None or study.spec.trial is None:
        return
    if trial.state not in NOT_EVALUATED:
        return

    case, reason = cases([trial])[0], ""
    if first_ended(study.counts):
        reason = failed_alike(cases(unit.with_states(NOT_EVALUATED)))
    if not reason and case.cause in (Cause.SUCCEEDED, Cause.CONFIG_BROKEN):
        where = TrialFilter(states=frozenset({TrialState.FAILED}))
        earlier = unit.tx.trials(study, where, 0, EARLIER, descending=True)
        reason = broken(case, cases(t for t in earlier if t.id != trial.id), study.counts)
    if reason:
        unit.pause(f"{reason}. {how_to_fix(case.cause)}, then: wazir resume {study.name.short}")
