"""Whatever is done, in whatever order: the store on SQLite answers as the store in memory does."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from wazir.domain.errors import WazirError
from wazir.domain.metric import Goal, Objective, SafetyMetric
from wazir.domain.names import StudyName
from wazir.domain.parameters import Parameters
from wazir.domain.study import Study
from wazir.domain.trial import Measurement, Trial, TrialState
from wazir.storage.memory import MemoryStore
from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Answer, DuplicatePoint, Store, StudyFilter, Transaction, TrialFilter, View

from ..contract.store import SPEC, Unit, in_state, new_study, new_trial

# Few of each, so that they meet again and again.
names = st.sampled_from([StudyName("a", "s"), StudyName("b", "s")])
points = st.sampled_from([{"x": 0.5}, {"x": 1}, {"x": True}])
states = st.sampled_from(TrialState)
places = st.integers(0, 5)
"""Which of a study's trials: its place in their list, counted round and round."""
values = st.sampled_from([0.0, -0.0, 1.0, -1.5, math.inf, -math.inf, math.nan])
metrics = st.fixed_dictionaries({}, optional={"loss": values, "memory": values})
labels = st.fixed_dictionaries({}, optional={"k": st.sampled_from(["", "a"]), "l": st.just("a")})
measurements = st.lists(
    st.builds(Measurement, st.integers(0, 3), metrics.filter(bool), st.sampled_from([1.0, 1.25])), max_size=3
)
limits = st.integers(1, 4)


class GivenUp(Exception):
    """A unit that changes its mind at its end."""


class Histories(RuleBasedStateMachine):
    @initialize(goal=st.sampled_from(Goal), bounded=st.booleans())
    def open(self, goal: Goal, bounded: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "wazir.db"
        self.memory: Store = MemoryStore()
        self.sqlite = open_sqlite(self.path)
        self.made = 0
        safety = (SafetyMetric("memory", at_most=0.5),) if bounded else ()
        self.spec = replace(SPEC, objectives=(Objective("loss", goal),), safety=safety)
        self.both(lambda tx: [tx.insert_study(self.fresh(StudyName(owner, "s"))) for owner in ("a", "b")])

    def fresh(self, name: StudyName) -> Study:
        return new_study(name, self.spec, f"uid-{name.owner}-{self.made}", float(self.made))

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.memory.close()
            self.sqlite.close()
            self.folder.cleanup()

    def both(self, work: Callable[[Transaction], object], give_up: bool = False) -> None:
        """Runs the unit on both stores, which must answer alike, or fail alike."""

        def run(tx: Transaction) -> object:
            result = work(tx)
            if give_up:
                raise GivenUp
            return result

        assert outcome(lambda: self.memory.write(run)) == outcome(lambda: self.sqlite.write(run))

    def asked(self, ask: Callable[[View], object]) -> None:
        assert outcome(lambda: self.memory.read(ask)) == outcome(lambda: self.sqlite.read(ask))

    @rule(name=names, anew=st.booleans())
    def make_study_anew(self, name: StudyName, anew: bool) -> None:
        self.made += 1
        made = self.fresh(name)

        def work(tx: Transaction) -> None:
            if anew:
                tx.delete_study(tx.lock(name))
            tx.insert_study(made)

        self.both(work)

    @rule(
        name=names,
        new=st.lists(st.tuples(points, labels), min_size=1, max_size=3),
        repeats=st.sampled_from([None, 1, 2]),
        start=st.booleans(),
        give_up=st.booleans(),
    )
    def add_trials(
        self,
        name: StudyName,
        new: list[tuple[Parameters, dict[str, str]]],
        repeats: int | None,
        start: bool,
        give_up: bool,
    ) -> None:
        def work(tx: Transaction) -> object:
            u = Unit(tx, name)
            trials = [replace(new_trial(0, point), labels=label) for point, label in new]
            added = u.add(*trials, repeats=repeats)
            if start:
                added = [u.put(in_state(t, TrialState.ACTIVE)) for t in added]
            u.finish()
            return added, tx.live()

        self.both(work, give_up)

    @rule(name=names, place=places, moves=st.lists(st.tuples(states, metrics), min_size=1, max_size=3))
    def move_trial(self, name: StudyName, place: int, moves: list[tuple[TrialState, dict[str, float]]]) -> None:
        def work(tx: Transaction) -> object:
            u = Unit(tx, name)
            trial = chosen(tx, u.study, place)
            for state, final in moves:
                u.study = replace(u.study, counts=u.study.counts.moved(trial.state, state))
                trial = u.put(in_state(trial, state, final=final or None, reason=state.value))
            u.finish()
            return tx.trial(trial.name), tx.best(u.study, 3)

        self.both(work)

    @rule(name=names, place=places, point=points, labels=labels)
    def rewrite_trial(self, name: StudyName, place: int, point: Parameters, labels: dict[str, str]) -> None:
        def work(tx: Transaction) -> None:
            u = Unit(tx, name)
            u.put(replace(chosen(tx, u.study, place), parameters=point, labels=labels, metadata=labels))
            u.finish()

        self.both(work)

    @rule(name=names, labels=labels)
    def rewrite_study(self, name: StudyName, labels: dict[str, str]) -> None:
        def work(tx: Transaction) -> None:
            u = Unit(tx, name)
            spec = replace(u.study.spec, labels=labels)
            u.study = replace(u.study, spec=spec, spec_version=u.study.spec_version + 1, memo=repr(labels))
            u.finish()

        self.both(work)

    @rule(name=names, place=places)
    def delete_trial(self, name: StudyName, place: int) -> None:
        def work(tx: Transaction) -> object:
            u = Unit(tx, name)
            u.delete(chosen(tx, u.study, place))
            u.finish()
            return tx.changes(u.study, u.study.revision - 1)

        self.both(work)

    @rule(name=names, place=places, attempt=st.integers(1, 3), reported=measurements, give_up=st.booleans())
    def report(self, name: StudyName, place: int, attempt: int, reported: list[Measurement], give_up: bool) -> None:
        def work(tx: Transaction) -> object:
            trial = chosen(tx, tx.study(name), place)
            tx.add_measurements(trial, attempt, reported)
            return tx.measurements(trial)

        self.both(work, give_up)

    @rule(owner=st.sampled_from(["a", "b"]), request=st.sampled_from(["r", "q"]), time=st.integers(0, 9))
    def answer(self, owner: str, request: str, time: int) -> None:
        self.both(lambda tx: tx.keep_answer(owner, request, Answer("m", "p", str(time), float(time))))
        self.asked(lambda view: view.answer(owner, request))

    @rule(before=st.integers(0, 9))
    def forget(self, before: int) -> None:
        self.both(lambda tx: tx.forget_answers(float(before)))

    @rule()
    def reopen(self) -> None:
        self.sqlite.close()
        self.sqlite = open_sqlite(self.path)

    @rule(
        name=names,
        asked_for=st.frozensets(states, max_size=3),
        labels=labels,
        since=st.none() | st.floats(99, 107),
        after=st.integers(0, 6),
        limit=limits,
        descending=st.booleans(),
    )
    def list_trials(
        self,
        name: StudyName,
        asked_for: frozenset[TrialState],
        labels: dict[str, str],
        since: float | None,
        after: int,
        limit: int,
        descending: bool,
    ) -> None:
        where = TrialFilter(asked_for, labels, since)
        self.asked(lambda view: view.trials(view.study(name), where, after, limit, descending=descending))

    @rule(name=names, since=st.integers(0, 12), limit=limits)
    def list_changes(self, name: StudyName, since: int, limit: int) -> None:
        self.asked(lambda view: view.changes(view.study(name), since, limit))
        self.asked(lambda view: view.points(view.study(name), since, limit))
        self.asked(lambda view: view.best(view.study(name), limit))

    @rule(owner=st.sampled_from(["", "a", "b", "c"]), after=st.sampled_from(["", "a/s", "a/z", "b/a"]), labels=labels)
    def list_studies(self, owner: str, after: str, labels: dict[str, str]) -> None:
        self.asked(lambda view: view.studies(owner, StudyFilter(labels=labels), after, 2))

    @invariant()
    def all_is_the_same(self) -> None:
        if hasattr(self, "folder"):
            self.asked(everything)


def chosen(tx: Transaction, study: Study, place: int) -> Trial:
    """Raises NotFound where the study has no trial."""
    trials = tx.trials(study, TrialFilter(), 0, 100) or [new_trial(10**6, name=study.name)]
    return tx.trial(trials[place % len(trials)].name)


def outcome(call: Callable[[], object]) -> str:
    """What it answered or how it failed, as text: NaN is not equal to itself, and -0.0 is equal to 0.0."""
    try:
        return repr(call())
    except (WazirError, DuplicatePoint, GivenUp) as error:
        return repr(error)


def everything(view: View) -> object:
    studies = view.studies("", StudyFilter(), "", 10)
    trials: list[Trial] = [t for s in studies for t in view.trials(s, TrialFilter(), 0, 100)]
    return (
        studies,
        trials,
        [view.changes(s, 0) for s in studies],
        [view.points(s, 0) for s in studies],
        [view.measurements(t) for t in trials],
        [view.best(s, 100) for s in studies],
        view.live(),
    )


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=40, stateful_step_count=30)
