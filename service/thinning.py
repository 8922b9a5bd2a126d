"""Thinning the curves of studies that ended long ago: what is removed, and how the study says so.

A study that goes on, or may, is never thinned: stopping rules and algorithms that read curves compare its trials by
them. One that ended may go on later, when its budget is raised; its rules then find fewer points of its old trials.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from ..domain.names import TrialName
from ..domain.records import altered
from ..domain.study import UNENDED, Study, Thinning
from ..domain.thinning import kept
from ..storage.store import Point, PointKey, Transaction, View
from .feed import Change
from .unit import Unit

TRIALS: Final = 1_000
"""Looked at in one read."""

Excess = tuple[TrialName, PointKey]
"""A point that is to go."""


Step = Callable[[Transaction, float], tuple[None, Change | None]]
"""A unit at some time, Unix seconds, with what it changed."""


class GoesOn(Exception):
    """The study is not the one that had ended: somebody let it go on, or it is gone."""


def long_trials(view: View, study: Study, first: int, points: int) -> list[TrialName]:
    """Of TRIALS trials with ids from `first` on, those with a curve of more than `points` points."""
    return [study.name.trial(i) for i in view.long_curves(study, first, first + TRIALS, points)]


def excess(view: View, trial: TrialName, points: int) -> list[Excess]:
    """What is to go so that each of the trial's curves has at most `points` points."""
    return [(trial, key) for key in excess_of(view.curve(trial), points)]


def excess_of(rows: Sequence[Point], points: int) -> list[PointKey]:
    """Of the rows of one trial, which come by step, attempt and sequence. What a later attempt has reported anew is not
    part of the curve."""
    curves: defaultdict[str, dict[int, Point]] = defaultdict(dict)
    for row in rows:
        curves[row.metric][row.step] = row

    staying: set[PointKey] = set()
    for metric, curve in curves.items():
        by_step = list(curve.values())
        for place in kept([row.value for row in by_step], points):
            staying.add((by_step[place].attempt, by_step[place].step, metric))
    return [key for row in rows if (key := (row.attempt, row.step, row.metric)) not in staying]


def begin(tx: Transaction, now: float, study: Study, points: int) -> tuple[None, Change | None]:
    """Says that the study is being thinned, before anything is. Raises GoesOn, NotFound."""
    return _say(tx, now, study, Thinning(points))


def end(tx: Transaction, now: float, study: Study, points: int) -> tuple[None, Change | None]:
    """Says that it is done. Raises GoesOn, NotFound."""
    return _say(tx, now, study, Thinning(points, now))


def remove(tx: Transaction, study: Study, points: Sequence[Excess]) -> int:
    """How many of them were there to be removed. Raises GoesOn, NotFound."""
    _check_ended(tx.lock(study.name), study)
    by_trial: defaultdict[TrialName, list[PointKey]] = defaultdict(list)
    for trial, key in points:
        by_trial[trial].append(key)
    return sum(tx.delete_points(trial, keys) for trial, keys in by_trial.items())


def _say(tx: Transaction, now: float, study: Study, thinning: Thinning) -> tuple[None, Change | None]:
    unit = Unit.lock(tx, study.name, now)
    _check_ended(unit.study, study)
    unit.study = altered(unit.study, thinning=thinning)
    return None, unit.finish()


def _check_ended(found: Study, study: Study) -> None:
    if found.uid != study.uid or found.state in UNENDED:
        raise GoesOn(study.name.short)
