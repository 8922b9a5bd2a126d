"""What the service keeps in memory of a study: its row, its history for designers, its curves for the stopping rule.

All of it can be made again from the store, and is, whenever a change was missed. Used on the event loop only; what
reads, reads on a thread.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from functools import partial
from weakref import WeakValueDictionary

from ..domain.errors import RevisionCompacted
from ..domain.names import StudyName
from ..domain.progress import Pace
from ..domain.study import Study
from ..domain.trial import EVALUATED, PENDING, Trial, TrialState
from ..storage.store import Changes, Point, View
from ..suggestion.designer import Designer, Outcome, Problem, cheap, reads_curves
from ..suggestion.history import TrialHistory, observe
from ..suggestion.registry import make_designer, make_rule
from ..suggestion.stopping.curves import CurveIndex
from ..suggestion.stopping.rule import StoppingRule
from .compute.answering import problem_of
from .feed import Change, Feed
from .pages import AT_A_TIME, read_changes
from .reads import Reads
from .unit import PAGE

POINTS_PAGE = 5_000
"""Measurements read at a time: to take them in holds up the event loop for some milliseconds."""

UNENDED = frozenset({Outcome.PENDING, Outcome.PAUSED})


@dataclass
class LiveStudy:
    """`history` and `curves` are true for `revision` of the study; the rest belongs to its `spec_version`."""

    study: Study
    problem: Problem | None
    designer: Designer | None
    rule: StoppingRule | None
    history: TrialHistory
    curves: tuple[CurveIndex, ...]
    """One for each objective, in order."""
    revision: int = 0
    points_read: int = 0
    """The measurement sequence up to which curves were read from the store; later ones came as reports."""
    doubts: int = 1
    """How often there was reason to think that reports are missing in the curves, and how many of these reasons were
    seen to: reports may come while others are read."""
    doubts_seen_to: int = 0
    paces: dict[int, Pace] = field(default_factory=dict)
    """Of trials that have not ended and have reported, as far as `curves` go."""

    @property
    def curves_ready(self) -> bool:
        return self.doubts_seen_to == self.doubts

    @property
    def cheap(self) -> bool:
        """Whether its rounds are computed on the event loop."""
        return self.designer is not None and self.problem is not None and cheap(self.designer, self.problem)

    @classmethod
    def of(cls, study: Study) -> LiveStudy:
        problem = problem_of(study.spec, growing=study.growing)
        return cls(
            study,
            problem,
            make_designer(study.spec.algorithm, problem) if problem else None,
            make_rule(study.spec.stopping, study.spec.objectives) if study.spec.stopping else None,
            TrialHistory(repeats=study.spec.algorithm.repeats, partial=study.growing),
            tuple(map(CurveIndex, study.spec.objectives)),
        )

    def see(self, study: Study) -> None:
        """Takes the newer row; makes designer and rule again if the specification changed."""
        if study.spec_version != self.study.spec_version:
            fresh = LiveStudy.of(study)
            self.problem, self.designer, self.rule = fresh.problem, fresh.designer, fresh.rule
        self.study = study

    def absorb(self, study: Study, trials: list[Trial], deleted: list[int], revision: int) -> None:
        self.see(study)
        for trial in trials:
            self.history.put(observe(trial, study.spec.objectives))
            self.curves[0].changed.add(trial.id)
            if trial.state not in PENDING:
                self.paces.pop(trial.id, None)
                for curves in self.curves:
                    curves.end(trial.id, trial.state in EVALUATED, whole=trial.state is TrialState.SUCCEEDED)
        for trial_id in deleted:
            self.history.remove(trial_id)
            self.paces.pop(trial_id, None)
            for curves in self.curves:
                curves.forget(trial_id)
        self.revision = revision

    def note_pace(self, trial_id: int, attempt: int, step: int, time: float) -> None:
        """Takes the step and time of a report of some objective."""
        pace = self.paces.get(trial_id)
        if pace is not None:
            self.paces[trial_id] = pace.report(attempt, step, time)
        elif (known := self.history.get(trial_id)) is None or known.outcome in UNENDED:
            self.paces[trial_id] = Pace(attempt, step, time, step, time)

    def bring_curves(self) -> None:
        """Tells the history of what was reported since this was last done."""
        for trial_id in set().union(*(curves.changed for curves in self.curves)):
            known = self.history.get(trial_id)
            first, *others = (curves.points(trial_id) for curves in self.curves)
            if known is not None and (known.curve, known.other_curves) != (first, tuple(others)):
                self.history.put(replace(known, curve=first, other_curves=tuple(others)))
        for curves in self.curves:
            curves.changed.clear()


class LiveStudies:
    """The studies lately asked about, least recently used ones dropped."""

    def __init__(self, reads: Reads, feed: Feed, most: int) -> None:
        self._reads = reads
        self._most = most
        self._studies: OrderedDict[StudyName, LiveStudy] = OrderedDict()
        self._reading: WeakValueDictionary[StudyName, asyncio.Lock] = WeakValueDictionary()
        """Held while a study is read, so that it is read once for all who wait."""
        feed.listen(self._hear)

    async def refresh(self, name: StudyName) -> LiveStudy:
        """The study with a history up to date with the store. Costs in proportion to what changed unheard, and calls go
        on meanwhile.

        Raises NotFound.
        """
        async with self._reading.setdefault(name, asyncio.Lock()):
            return await self._refresh(name)

    async def _refresh(self, name: StudyName) -> LiveStudy:
        study = await self._reads.read(lambda view: view.study(name))
        known = self._studies.get(name)
        if known is None or known.study.uid != study.uid:
            # On a thread: to load an algorithm's libraries may take a second.
            known = self._studies[name] = await asyncio.to_thread(LiveStudy.of, study)
        self._studies.move_to_end(name)
        while len(self._studies) > self._most:
            self._studies.popitem(last=False)
        while known.revision < study.revision:
            try:
                read = partial(_changes, study=study, since=known.revision)
                changes = await self._reads.read(read)
            except RevisionCompacted:
                known = self._studies[name] = await asyncio.to_thread(LiveStudy.of, study)
                continue
            known.absorb(changes.study, list(changes.trials), list(changes.deleted), changes.revision)
            study = changes.study
        return known

    def heard(self, name: StudyName) -> LiveStudy | None:
        """The study as last heard of, if it is in memory and nothing was missed since."""
        known = self._studies.get(name)
        if known is None or known.revision != known.study.revision:
            return None
        return known

    async def with_curves(self, name: StudyName) -> LiveStudy:
        """Like `refresh`, with the curves of reports that were made before this process looked."""
        known = self.heard(name)
        if known is not None and known.curves_ready:
            return known

        async with self._reading.setdefault(name, asyncio.Lock()):
            known = self.heard(name) or await self._refresh(name)

            # Only what there was reason to doubt at the start: while reports keep coming there is always more.
            wanted = known.doubts
            while known.doubts_seen_to < wanted:
                doubts = known.doubts

                read = partial(_points, study=known.study, since=known.points_read)
                points = await self._reads.read(read)
                by_metric = {o.metric: c for o, c in zip(known.study.spec.objectives, known.curves, strict=True)}
                for p in points:
                    if p.metric in by_metric:
                        by_metric[p.metric].report(p.trial_id, p.attempt, p.step, p.value)
                        known.note_pace(p.trial_id, p.attempt, p.step, p.time)

                if points:
                    known.points_read = points[-1].sequence
                if len(points) < POINTS_PAGE:
                    known.doubts_seen_to = doubts
        return known

    async def to_ask(self, name: StudyName) -> LiveStudy:
        """The study as its designer is to see it."""
        known = self.heard(name) or await self.refresh(name)
        if reads_curves(known.designer):
            known = await self.with_curves(name)
            known.bring_curves()
        return known

    def doubt_curves(self, name: StudyName) -> None:
        """Reports were stored that this process has not seen; they are read when the curves are next asked for."""
        if name in self._studies:
            self._studies[name].doubts += 1

    def forget(self) -> None:
        """Anything may have changed unheard: all is read again when it is asked for."""
        self._studies.clear()

    def _hear(self, change: Change) -> None:
        name = change.study.name
        known = self._studies.get(name)
        if known is None:
            return
        if change.deleted or known.study.uid != change.study.uid:
            del self._studies[name]
        elif change.study.revision == known.revision + 1:
            known.absorb(change.study, list(change.trials), list(change.deleted_trials), change.study.revision)
        elif change.study.revision > known.study.revision:
            known.see(change.study)


def _changes(view: View, study: Study, since: int) -> Changes:
    return read_changes(view, study, since, PAGE, AT_A_TIME)


def _points(view: View, study: Study, since: int) -> list[Point]:
    return view.points(study, since, POINTS_PAGE)
