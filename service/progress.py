"""How far a study's running trials are, from the curves that are kept in memory: nothing is written, nothing locked.

Screens ask about once a second. An answer costs the reports that came since the last one, and for each different step
that trials are at one look at every curve. Screens share answers, and one that was costly to make is given for longer,
so that however many screens look at however large a study, they take a small part of the event loop's time.
"""

from __future__ import annotations

import asyncio
import math
from array import array
from bisect import bisect_left
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Final

from ..domain.metric import Objective
from ..domain.names import StudyName
from ..domain.progress import MetricProgress, Pace, StudyProgress, TrialProgress
from ..suggestion.designer import Outcome
from ..suggestion.registry import whole_steps
from ..suggestion.stopping.curves import CurveIndex
from .live import LiveStudies, LiveStudy

MAX_TRIALS: Final = 1_000
MAX_POINTS: Final = 60
DEFAULT_TRIALS: Final = 100

SHARE: Final = 20
"""An answer that took t seconds to make is given for 20 t."""

LONGEST: Final = 15.0
"""Seconds for which the costliest answer is given."""

KEPT: Final = 256
"""Answers."""

LOOKED_AT: Final = 20
"""Whole trials that are looked at to learn how many steps a whole trial takes."""


_Key = tuple[StudyName, int, int]


@dataclass(frozen=True, slots=True)
class _Given:
    answer: StudyProgress
    until: float


class Progresses:
    """Used on the event loop only. `clock`: Unix seconds."""

    def __init__(self, live: LiveStudies, clock: Callable[[], float]) -> None:
        self._live = live
        self._clock = clock
        self._given: OrderedDict[_Key, _Given] = OrderedDict()
        self._making: dict[_Key, asyncio.Task[StudyProgress]] = {}

    async def of(self, name: StudyName, limit: int, points: int) -> StudyProgress:
        """The first `limit` trials that have reported and have not ended, with at most `points` points of each curve.

        Raises NotFound.
        """
        key = (name, limit, points)
        given = self._given.get(key)
        if given is not None and self._clock() < given.until:
            return given.answer

        making = self._making.get(key)
        if making is None:
            making = self._making[key] = asyncio.create_task(self._make(key))
            making.add_done_callback(partial(self._made, key))
        # A caller that leaves must not cancel the work of the others.
        return await asyncio.shield(making)

    def forget(self) -> None:
        """Gives no answer again that was made before."""
        self._given.clear()

    async def _make(self, key: _Key) -> StudyProgress:
        name, limit, points = key
        known = await self._live.with_curves(name)
        began = self._clock()
        answer = await _progress(known, limit, points, began)
        cost = max(0.0, self._clock() - began)

        self._given[key] = _Given(answer, began + min(SHARE * cost, LONGEST))
        self._given.move_to_end(key)
        while len(self._given) > KEPT:
            self._given.popitem(last=False)
        return answer

    def _made(self, key: _Key, making: asyncio.Task[StudyProgress]) -> None:
        del self._making[key]
        if not making.cancelled():
            # Callers get the exception from the task. Read it, so that asyncio does not log it if none is left.
            making.exception()


async def _progress(known: LiveStudy, limit: int, points: int, now: float) -> StudyProgress:
    spec = known.study.spec
    fields: dict[tuple[str, int], array[float]] = {}
    """The sorted losses of all trials by a metric and a step: trials that are equally far share one."""
    trials = []

    for trial_id, pace in list(islice(_running(known), limit)):
        metrics = []
        for objective, curves in zip(spec.objectives, known.curves, strict=True):
            found = curves.last(trial_id, pace.last_step)
            if found is None:
                continue
            step, value = found
            at = (objective.metric, step)
            if at not in fields:
                fields[at] = curves.field(step)
                # Others have their turn between two looks at all curves.
                await asyncio.sleep(0)
            metrics.append(
                MetricProgress(
                    metric=objective.metric,
                    step=step,
                    value=value,
                    rank=_rank(objective, value, fields[at]),
                    ranked=len(fields[at]),
                    curve=curves.thinned(trial_id, step, points),
                )
            )
        trials.append(TrialProgress(trial_id, pace, tuple(metrics)))

    setting = whole_steps(spec.algorithm, spec.stopping)
    whole = setting[1] if setting is not None else usual_steps(known.curves[0])
    return StudyProgress(tuple(trials), whole, now)


def _running(known: LiveStudy) -> Iterator[tuple[int, Pace]]:
    """Those that have reported and neither have ended nor are parked at a rung, by id."""
    for trial_id in sorted(known.paces):
        observation = known.history.get(trial_id)
        if observation is not None and observation.outcome is Outcome.PENDING:
            yield trial_id, known.paces[trial_id]


def _rank(objective: Objective, value: float, field: array[float]) -> int:
    loss = objective.loss(value)
    return 1 + bisect_left(field, math.inf if math.isnan(loss) else loss)


def usual_steps(curves: CurveIndex) -> int | None:
    """The step at which most of the latest whole trials ended; None if they did not agree, or if there are none."""
    steps = curves.last_steps(LOOKED_AT)
    if not steps:
        return None
    step, count = Counter(steps).most_common(1)[0]
    return step if 2 * count > len(steps) else None
