"""What the service keeps in memory of a study: its row, its history for designers, its curves for the stopping rule.

All of it can be made again from the store, and is, whenever a change was missed. Used on the event loop only; `refresh`
is the one thing that reads.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import partial

from ..domain.errors import RevisionCompacted
from ..domain.names import StudyName
from ..domain.study import Study
from ..domain.trial import PENDING, Trial, TrialState
from ..storage.store import Changes, Point, Store, View
from ..suggestion.designer import Designer, Problem, reads_curves
from ..suggestion.history import TrialHistory, observe
from ..suggestion.registry import make_designer, make_rule
from ..suggestion.stopping.curves import CurveIndex
from ..suggestion.stopping.rule import StoppingRule
from .compute.answering import problem_of
from .feed import Change, Feed

COUNTS_AS_CURVE = frozenset({TrialState.SUCCEEDED, TrialState.STOPPED})


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
    curves_ready: bool = False

    @classmethod
    def of(cls, study: Study) -> LiveStudy:
        problem = problem_of(study.spec)
        return cls(
            study,
            problem,
            make_designer(study.spec.algorithm, problem) if problem else None,
            make_rule(study.spec.stopping, study.spec.objectives) if study.spec.stopping else None,
            TrialHistory(repeats=study.spec.algorithm.repeats),
            tuple(map(CurveIndex, study.spec.objectives)),
        )

    def see(self, study: Study) -> None:
        """Takes the newer row; makes designer and rule anew where the specification changed."""
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
                for curves in self.curves:
                    curves.end(trial.id, trial.state in COUNTS_AS_CURVE)
        for trial_id in deleted:
            self.history.remove(trial_id)
            for curves in self.curves:
                curves.forget(trial_id)
        self.revision = revision

    def bring_curves(self) -> None:
        """Tells the history of what was reported since this was last done."""
        for trial_id in self.curves[0].changed:
            known, points = self.history.get(trial_id), self.curves[0].points(trial_id)
            if known is not None and known.curve != points:
                self.history.put(replace(known, curve=points))
        self.curves[0].changed.clear()


class LiveStudies:
    """The studies lately asked about, least recently used ones dropped."""

    def __init__(self, store: Store, feed: Feed, most: int) -> None:
        self._store = store
        self._most = most
        self._studies: OrderedDict[StudyName, LiveStudy] = OrderedDict()
        feed.listen(self._hear)

    def refresh(self, name: StudyName) -> LiveStudy:
        """The study with a history up to date with the store. Costs in proportion to what changed unheard.

        Raises NotFound.
        """
        known = self._studies.get(name)
        study = self._store.read(lambda view: view.study(name))
        if known is None or known.study.uid != study.uid:
            known = self._studies[name] = LiveStudy.of(study)
        self._studies.move_to_end(name)
        while len(self._studies) > self._most:
            self._studies.popitem(last=False)
        while known.revision < study.revision:
            try:
                changes = self._store.read(partial(_changes, study=study, since=known.revision))
            except RevisionCompacted:
                known = self._studies[name] = LiveStudy.of(study)
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

    def with_curves(self, name: StudyName) -> LiveStudy:
        """Like `refresh`, with the curves of reports that were made before this process looked."""
        known = self.heard(name) or self.refresh(name)
        while not known.curves_ready:
            points = self._store.read(partial(_points, study=known.study, since=known.points_read))
            by_metric = {o.metric: c for o, c in zip(known.study.spec.objectives, known.curves, strict=True)}
            for p in points:
                if p.metric in by_metric:
                    by_metric[p.metric].report(p.trial_id, p.attempt, p.step, p.value)
            if points:
                known.points_read = points[-1].sequence
            else:
                known.curves_ready = True
        return known

    def to_ask(self, name: StudyName) -> LiveStudy:
        """The study as its designer is to see it."""
        known = self.heard(name) or self.refresh(name)
        if reads_curves(known.designer):
            known = self.with_curves(name)
            known.bring_curves()
        return known

    def doubt_curves(self, name: StudyName) -> None:
        """Reports were stored that this process has not seen; they are read when the curves are next asked for."""
        if name in self._studies:
            self._studies[name].curves_ready = False

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
    return view.changes(study, since)


def _points(view: View, study: Study, since: int) -> list[Point]:
    return view.points(study, since)
