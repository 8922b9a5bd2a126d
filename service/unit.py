"""The unit of work of every use case: one study, one revision, counts kept right, and the study's end seen to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ..domain.attempt import Attempt, AttemptState
from ..domain.failures import Case, Common, cases, common, too_many
from ..domain.names import StudyName
from ..domain.records import altered
from ..domain.size import growth, size_of
from ..domain.study import STOPS_RUNNING, EndReason, Study, StudyState, check_study_move, ending, fruitless
from ..domain.trial import EVALUATED, NOT_EVALUATED, StopGoal, Trial, TrialState, move
from ..storage.store import Transaction, TrialFilter, Usage
from .feed import Change
from .quotas import UNLIMITED, Quotas

PAGE = 250

JUDGED = 150
"""Failed trials, and evaluated ones, by which it is judged if too many failed: the latest ones. That takes a tenth of a
second with ten parameters, and other units wait meanwhile."""


@dataclass(frozen=True, slots=True)
class Lease:
    """`leased` attempts end when heartbeats stay away for `seconds`."""

    seconds: float
    leased: bool = True


@dataclass
class Unit:
    """One unit of work on one study: what it changed so far, written in one go by `finish`.

    Every trial it touches carries the unit's revision, so a unit takes exactly one.
    """

    tx: Transaction
    before: Study
    study: Study
    now: float
    changed: dict[int, Trial] = field(default_factory=dict)
    added: list[Trial] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    quotas: Quotas = UNLIMITED

    @classmethod
    def lock(cls, tx: Transaction, name: StudyName, now: float, quotas: Quotas = UNLIMITED) -> Unit:
        """Locks the study. `now` in Unix seconds. `quotas`: where the unit adds something. Raises NotFound."""
        study = tx.lock(name)
        return cls(tx, study, altered(study, revision=study.revision + 1), now, quotas=quotas)

    def trial(self, trial_id: int) -> Trial:
        return self.changed.get(trial_id) or self.tx.trial(self.study.name.trial(trial_id))

    def add(self, trials: list[Trial], repeats: int | None, *, untried: bool = False) -> list[Trial]:
        """Stores new trials, whose ids the caller took from `study.next_trial_id` on. `untried`: as for the store."""
        trials = [self._revised(t) for t in trials]
        self.tx.insert_trials(self.study, trials, repeats, untried=untried)
        counts = self.study.counts
        for trial in trials:
            counts = counts.moved(None, trial.state)
        size = self.study.size + sum(map(size_of, trials))
        self.study = altered(self.study, counts=counts, next_trial_id=self.study.next_trial_id + len(trials), size=size)
        self.added.extend(trials)
        return trials

    def put(self, before: Trial, after: Trial) -> Trial:
        """Stores a changed trial and keeps the counts right."""
        after = self._revised(after)
        size = self.study.size + growth(before, after)
        if before.state is not after.state:
            self.study = altered(self.study, counts=self.study.counts.moved(before.state, after.state), size=size)
        else:
            self.study = altered(self.study, size=size)
        self.tx.update_trial(self.study, after)
        self.changed[after.id] = after
        return after

    def move(
        self, trial: Trial, target: TrialState, reason: str = "", goal: StopGoal | None = None, **changes: Any
    ) -> Trial:
        """Stores the trial in its next state. `changes`: other fields that change with it. Raises IllegalMove."""
        revision = self.study.revision
        moved = move(trial, target, now=self.now, reason=reason, goal=goal, revision=revision, **changes)
        return self.put(trial, moved)

    def start(self, trial: Trial, holder: str, lease: Lease) -> Trial:
        """Begins the trial's next attempt: the trial is ACTIVE, the attempt STARTING."""
        # `now` was read before the study's lock was had, on another server's clock perhaps: an attempt never begins
        # before the last one's end.
        began = max([self.now, *(a.end_time for a in trial.attempts[-1:] if a.end_time is not None)])
        number, why = len(trial.attempts) + 1, trial.reason
        attempt = Attempt(
            number,
            AttemptState.STARTING,
            began,
            holder=holder,
            leased=lease.leased,
            lease_seconds=lease.seconds,
            why=why,
        )
        return self.move(trial, TrialState.ACTIVE, client_id=holder, attempts=(*trial.attempts, attempt))

    def delete(self, trial: Trial) -> None:
        self.tx.delete_trial(self.study, trial)
        counts = self.study.counts.moved(trial.state, None)
        self.study = altered(self.study, counts=counts, size=max(0, self.study.size - size_of(trial)))
        self.deleted.append(trial.id)

    def with_states(self, states: Iterable[TrialState]) -> Iterable[Trial]:
        """All trials in these states, in pages, by id."""
        where, after = TrialFilter(states=frozenset(states)), 0
        while page := self.tx.trials(self.study, where, after, PAGE):
            yield from page
            after = page[-1].id

    def settle(self) -> None:
        """Starts the study's end where budget, target or space call for it, and ends it once nothing is live."""
        study = self.study
        if study.state not in (StudyState.ACTIVE, StudyState.PAUSED):
            return
        if study.ending is None:
            live_gpu = sum(
                t.attempt.gpu_seconds(self.now)
                for t in (self._live() if study.spec.budget.gpu_hours is not None else ())
                if t.attempt is not None
            )
            due = ending(study, self.now, live_gpu, self._failures() if self._may_be_too_many else "")
            if due is None or (due[0] not in STOPS_RUNNING and study.counts.live):
                return
            self.begin_end(*due)

        if not self.study.counts.live and not self.study.counts[TrialState.REQUESTED]:
            self._complete()

    def due(self) -> tuple[EndReason, str] | None:
        """Why a study that has ended, or is ending, cannot go on as it is; None if it can."""
        return ending(altered(self.study, ending=None), self.now, failures=self._failures())

    def begin_end(self, why: EndReason, reason: str) -> None:
        """From now on nothing starts; running trials are told to stop where the reason asks for it."""
        self.study = altered(self.study, ending=why, reason=reason)
        counts = self.study.counts
        if counts[TrialState.REQUESTED] or counts[TrialState.PAUSED]:
            for trial in self.with_states({TrialState.REQUESTED, TrialState.PAUSED}):
                # What was measured counts, whether the trial was parked or waited for another attempt.
                kept = trial.state is TrialState.PAUSED or self.study.spec.value_of(trial.final or {}) is not None
                self.move(trial, TrialState.STOPPED if kept else TrialState.CANCELLED, f"the study ends: {reason}")
        if why in STOPS_RUNNING and counts[TrialState.ACTIVE]:
            for trial in self.with_states({TrialState.ACTIVE}):
                self.move(trial, TrialState.STOPPING, f"the study ends: {reason}", StopGoal.STOP)

    def pause(self, reason: str) -> None:
        """From now on nothing starts until somebody resumes the study; running trials go on. Raises IllegalMove."""
        check_study_move(self.study.name, self.study.state, StudyState.PAUSED)
        self.study = altered(self.study, state=StudyState.PAUSED, reason=reason)

    def reopen(self) -> None:
        """Makes an ended study ACTIVE again. The caller has made sure that there is something left to do."""
        check_study_move(self.study.name, self.study.state, StudyState.ACTIVE)
        self.study = altered(self.study, state=StudyState.ACTIVE, ending=None, reason="", end_time=None)

    def finish(self) -> Change | None:
        """Writes the study, and tells what changed; None where nothing did, and then no revision is taken."""
        changed = self.changed or self.added or self.deleted
        if not changed and altered(self.study, revision=self.before.revision) == self.before:
            self.study = self.before
            return None
        self.tx.update_study(self.study)
        added = len(self.added) - len(self.deleted)
        self.quotas.note(Usage(self.study.name.owner, 0, added, bytes=self.study.size - self.before.size))
        # A trial may be added and changed in one unit: tell of it once, as it is now.
        trials = {t.id: t for t in self.added} | self.changed
        return Change(self.study, list(trials.values()), self.deleted)

    def _revised(self, trial: Trial) -> Trial:
        revision = self.study.revision
        return trial if trial.revision == revision else altered(trial, revision=revision)

    def _live(self) -> Iterable[Trial]:
        return self.with_states({TrialState.ACTIVE, TrialState.STOPPING})

    @property
    def _may_be_too_many(self) -> bool:
        """Whether anything has changed on which it depends if too many trials failed."""
        failed = any(trial.state is TrialState.FAILED for trial in self.changed.values())
        return failed or self.study.spec is not self.before.spec

    def _failures(self) -> str:
        """Why too many trials failed, if so. Trials are looked at only beyond the limit, and a bounded number."""
        limit, failed = self.study.spec.budget.failed, self.study.counts[TrialState.FAILED]
        if limit is None or failed <= limit:
            return ""
        return too_many(self._common({TrialState.FAILED}, EVALUATED), failed, limit)

    def _common(self, *states: Iterable[TrialState]) -> Common:
        """What failed trials have in common, of the latest ones in each of these sets of states."""
        found: list[Case] = []
        for some in states:
            where = TrialFilter(states=frozenset(some))
            found += cases(self.tx.trials(self.study, where, 0, JUDGED, descending=True))
        return common(found, self.study.spec.space)

    def _complete(self) -> None:
        why = self.study.ending
        assert why is not None
        target = StudyState.FAILED if why is EndReason.FAILURES else StudyState.COMPLETED
        reason = self.study.reason
        if target is StudyState.COMPLETED and fruitless(self.study):
            group = self._common(NOT_EVALUATED).groups[0]
            target = StudyState.FAILED
            reason += f", and no trial has a result; {len(group.trials)} of them: {group.words}"
        check_study_move(self.study.name, self.study.state, target)
        self.study = altered(self.study, state=target, reason=reason, end_time=self.now)
