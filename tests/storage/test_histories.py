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

from wazir.domain.attempt import Cause
from wazir.domain.errors import WazirError
from wazir.domain.metric import Goal, Objective, SafetyMetric
from wazir.domain.names import StudyName
from wazir.domain.parameters import Parameters
from wazir.domain.trial import Measurement, Trial, TrialState
from wazir.storage.memory import MemoryStore
from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Answer, DuplicatePoint, Store, StudyFilter, Transaction, TrialFilter, View

from ..contract.store import SPEC, Unit, in_state, new_study, new_trial

# Few of each, so that they meet again and again.
names = st.sampled_from([StudyName("a", "s"), StudyName("a", "t"), StudyName("b", "s")])
points = st.sampled_from([{}, {"x": 0.5}, {"x": 1}, {"x": True}, {"x": 1.0, "y": "1"}])
states = st.sampled_from(TrialState)
numbers = st.integers(1, 6)
values = st.sampled_from([0.0, -0.0, 1.0, -1.5, math.inf, -math.inf, math.nan])
metrics = st.dictionaries(st.sampled_from(["loss", "memory", "other"]), values, max_size=3)
labels = st.dictionaries(st.sampled_from(["k", "l"]), st.sampled_from(["", "a", "b"]), max_size=2)
measurements = st.lists(
    st.builds(Measurement, st.integers(0, 3), metrics.filter(bool), st.sampled_from([1.0, 1.25])), max_size=3
)
limits = st.integers(1, 4)


class GivenUp(Exception):
    """A unit that changes its mind at its end."""


class Histories(RuleBasedStateMachine):
    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "wazir.db"
        self.memory: Store = MemoryStore()
        self.sqlite = open_sqlite(self.path)
        self.made = 0

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

    @rule(name=names, labels=labels, goal=st.sampled_from(Goal), bounded=st.booleans())
    def create_study(self, name: StudyName, labels: dict[str, str], goal: Goal, bounded: bool) -> None:
        self.made += 1
        safety = (SafetyMetric("memory", at_most=0.5),) if bounded else ()
        spec = replace(SPEC, objectives=(Objective("loss", goal),), safety=safety, labels=labels)
        made = new_study(name, spec, f"uid-{self.made}", float(self.made))
        self.both(lambda tx: tx.insert_study(made))

    @rule(name=names)
    def delete_study(self, name: StudyName) -> None:
        self.both(lambda tx: tx.delete_study(tx.lock(name)))

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

    @rule(name=names, number=numbers, moves=st.lists(st.tuples(states, metrics), min_size=1, max_size=3))
    def move_trial(self, name: StudyName, number: int, moves: list[tuple[TrialState, dict[str, float]]]) -> None:
        def work(tx: Transaction) -> object:
            u = Unit(tx, name)
            trial = tx.trial(name.trial(number))
            for state, final in moves:
                u.study = replace(u.study, counts=u.study.counts.moved(trial.state, state))
                trial = u.put(in_state(trial, state, final=final or None, reason=state.value))
            u.finish()
            return tx.trial(trial.name), tx.best(u.study, 3)

        self.both(work)

    @rule(name=names, number=numbers, point=points, labels=labels)
    def rewrite_trial(self, name: StudyName, number: int, point: Parameters, labels: dict[str, str]) -> None:
        def work(tx: Transaction) -> None:
            u = Unit(tx, name)
            u.put(replace(tx.trial(name.trial(number)), parameters=point, labels=labels, metadata=labels))
            u.finish()

        self.both(work)

    @rule(name=names, number=numbers, cause=st.sampled_from(Cause))
    def end_every_attempt(self, name: StudyName, number: int, cause: Cause) -> None:
        """And rewrite the study, as an update of its specification would."""

        def work(tx: Transaction) -> None:
            u = Unit(tx, name)
            for trial in tx.trials(u.study, TrialFilter(states=frozenset({TrialState.ACTIVE})), 0, 10):
                ended = in_state(trial, TrialState.FAILED)
                latest = replace(ended.attempts[-1], cause=cause, message=cause.value)
                u.put(replace(ended, attempts=(*ended.attempts[:-1], latest)))
            spec = replace(u.study.spec, labels={"k": cause.value})
            u.study = replace(u.study, spec=spec, spec_version=u.study.spec_version + 1, memo=cause.value)
            u.finish()

        self.both(work)

    @rule(name=names, number=numbers)
    def delete_trial(self, name: StudyName, number: int) -> None:
        def work(tx: Transaction) -> object:
            u = Unit(tx, name)
            u.delete(tx.trial(name.trial(number)))
            u.finish()
            return tx.changes(u.study, u.study.revision - 1)

        self.both(work)

    @rule(name=names, number=numbers, attempt=st.integers(1, 3), reported=measurements, give_up=st.booleans())
    def report(self, name: StudyName, number: int, attempt: int, reported: list[Measurement], give_up: bool) -> None:
        def work(tx: Transaction) -> object:
            trial = tx.trial(name.trial(number))
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
        chosen=st.frozensets(states, max_size=3),
        labels=labels,
        since=st.none() | st.floats(99, 107),
        after=st.integers(0, 6),
        limit=limits,
        descending=st.booleans(),
    )
    def list_trials(
        self,
        name: StudyName,
        chosen: frozenset[TrialState],
        labels: dict[str, str],
        since: float | None,
        after: int,
        limit: int,
        descending: bool,
    ) -> None:
        where = TrialFilter(chosen, labels, since)
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
TestHistories.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
