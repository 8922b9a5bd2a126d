"""What is derived from stored values, in one spelling for every store."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping

from ..domain.audit import AuditFilter, AuditRecord
from ..domain.errors import NotFound, nearest
from ..domain.names import StudyName
from ..domain.study import StudySpec
from ..domain.trial import EVALUATED, Measurement, Trial
from .store import Point


def loss(spec: StudySpec, trial: Trial) -> float | None:
    """The first objective turned so that less is better; None where the trial cannot be among the best: it has not
    ended well, lacks the objective, has NaN for it, or is not safe."""
    objective = spec.objectives[0]
    if trial.final is None or trial.state not in EVALUATED or objective.metric not in trial.final:
        return None
    value = objective.loss(trial.final[objective.metric])
    return None if math.isnan(value) or not spec.safe(trial.final) else value


def curve(points: Iterable[Point]) -> list[Measurement]:
    """Measurements by step. `points` come by step, then attempt, then sequence: the last one of a metric wins, and the
    last one of all gives the time."""
    steps: dict[int, tuple[dict[str, float], float]] = {}
    for p in points:
        metrics = steps[p.step][0] if p.step in steps else {}
        metrics[p.metric] = p.value
        steps[p.step] = metrics, p.time
    return [Measurement(step, metrics, time) for step, (metrics, time) in steps.items()]


def labelled(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return wanted.items() <= labels.items()


def audited(record: AuditRecord, where: AuditFilter) -> bool:
    """Whether the record meets the filter; its time aside."""
    study = None if where.study is None else str(where.study)
    return (
        where.owner in ("", record.owner)
        and (study is None or record.name == study or record.name.startswith(f"{study}/"))
        and where.caller in ("", record.caller)
        and where.method in ("", record.method)
        and (not where.outcomes or record.outcome in where.outcomes)
    )


def no_study(name: StudyName, known: Iterable[str]) -> NotFound:
    """The error for an unknown study. `known`: ids of the owner's studies."""
    return NotFound(name.short, nearest(name.study, difflib.get_close_matches(name.study, known, n=1)))
