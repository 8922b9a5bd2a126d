"""What every store promises. A store's tests inherit `StoreContract` and supply the fixture `store`, an empty one."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import fields, replace
from functools import partial

import pytest

from wazir.domain.access import EVERY_OWNER, Role, Token
from wazir.domain.algorithm_status import AlgorithmStatus
from wazir.domain.attempt import Attempt, AttemptState, Cause, RetryPolicy
from wazir.domain.errors import AlreadyExists, NotFound, RevisionCompacted, Unavailable
from wazir.domain.metric import Goal, Objective, Pick, SafetyMetric
from wazir.domain.names import StudyName
from wazir.domain.parameters import Parameters, Value
from wazir.domain.space import Categorical, Condition, Double, Integer, Parameter, Scale, Space
from wazir.domain.study import Algorithm, Budget, Counts, EndReason, Stopping, Study, StudySpec, StudyState, Thinning
from wazir.domain.template import MetricsFrom, MetricsSource, Resources, Runtime, TrialTemplate
from wazir.domain.trial import (
    ENDED,
    LIVE,
    Measurement,
    Origin,
    Provenance,
    StopGoal,
    Trial,
    TrialState,
)
from wazir.storage.store import (
    Answer,
    Changes,
    DuplicatePoint,
    Point,
    Store,
    StudyFilter,
    Transaction,
    TrialFilter,
    View,
)

from .audit import AuditContract

NAME = StudyName("default", "s")
SPEC = StudySpec((Objective("loss", Goal.MINIMIZE),), Space((Parameter("x", Double(0.0, 1.0)),)))
S = TrialState


def new_study(name: StudyName = NAME, spec: StudySpec = SPEC, uid: str = "", create_time: float = 1.5) -> Study:
    return Study(name, uid or f"uid-{name}", spec, StudyState.ACTIVE, create_time, seed=7, revision=1)


def new_trial(trial_id: int, parameters: Parameters | None = None, name: StudyName = NAME) -> Trial:
    point = {"x": trial_id / 1024} if parameters is None else parameters
    return Trial(name.trial(trial_id), S.REQUESTED, point, create_time=100.25 + trial_id)


def in_state(trial: Trial, state: TrialState, **changes: object) -> Trial:
    """The trial as it is in that state, with as many attempts as that takes."""
    attempts = trial.attempts
    if state in LIVE and not (attempts and attempts[-1].live):
        attempts = (*attempts, Attempt(len(attempts) + 1, AttemptState.RUNNING, 200.5, leased=False))
    if state not in LIVE and attempts and attempts[-1].live:
        attempts = (
            *attempts[:-1],
            replace(attempts[-1], state=AttemptState.ENDED, cause=Cause.STOPPED, end_time=300.5),
        )
    end_time = 300.5 if state in ENDED else None
    return replace(trial, state=state, attempts=attempts, end_time=end_time, **changes)  # type: ignore[arg-type]


class Unit:
    """One unit on one study, as the service does it: lock, write, raise the revision by one, write the study."""

    def __init__(self, tx: Transaction, name: StudyName = NAME) -> None:
        self.tx = tx
        before = tx.lock(name)
        self.study = replace(before, revision=before.revision + 1)

    def add(self, *trials: Trial, repeats: int | None = None, untried: bool = False) -> list[Trial]:
        """Adds trials, whose ids the study gives."""
        first = self.study.next_trial_id
        named = [
            replace(t, name=self.study.name.trial(first + i), revision=self.study.revision)
            for i, t in enumerate(trials)
        ]
        self.tx.insert_trials(self.study, named, repeats, untried=untried)
        counts = self.study.counts
        for t in named:
            counts = counts.moved(None, t.state)
        self.study = replace(self.study, next_trial_id=first + len(named), counts=counts)
        return named

    def put(self, trial: Trial) -> Trial:
        trial = replace(trial, revision=self.study.revision)
        self.tx.update_trial(self.study, trial)
        return trial

    def delete(self, trial: Trial) -> None:
        self.tx.delete_trial(self.study, trial)

    def finish(self) -> None:
        self.tx.update_study(self.study)


def unit(store: Store, *work: Callable[[Unit], object], name: StudyName = NAME) -> Study:
    """Runs that in one unit and answers with the study after it."""

    def run(tx: Transaction) -> Study:
        u = Unit(tx, name)
        for do in work:
            do(u)
        u.finish()
        return u.study

    return store.write(run)


def add(store: Store, *trials: Trial, repeats: int | None = None, name: StudyName = NAME) -> list[Trial]:
    added: list[Trial] = []

    def do(u: Unit) -> None:
        added[:] = u.add(*trials, repeats=repeats)

    unit(store, do, name=name)
    return added


def put(store: Store, *trials: Trial) -> list[Trial]:
    written: list[Trial] = []

    def do(u: Unit) -> None:
        written[:] = [u.put(t) for t in trials]

    unit(store, do)
    return written


def move(store: Store, trial: Trial, state: TrialState, **changes: object) -> Trial:
    """Reads the trial and writes it in that state, in one unit of its own."""
    written: list[Trial] = []
    unit(store, lambda u: written.append(u.put(in_state(u.tx.trial(trial.name), state, **changes))))
    return written[0]


def insert(store: Store, study: Study) -> None:
    store.write(lambda tx: tx.insert_study(study))


def report(store: Store, trial: Trial, attempt: int, *measurements: Measurement) -> None:
    store.write(lambda tx: tx.add_measurements(trial, attempt, measurements))


def together(store: Store, works: Sequence[Callable[[Transaction], object]]) -> list[object]:
    """What they return, or the errors they raise, where nothing else keeps them from sharing a commit: they are
    submitted while the writer is busy."""
    busy, go_on, caller = threading.Event(), threading.Event(), threading.current_thread()

    def wait(tx: Transaction) -> None:
        busy.set()
        if threading.current_thread() is not caller:  # a store without a writer has no commits to share
            go_on.wait()

    first = store.submit(wait)
    busy.wait()
    futures = [store.submit(work) for work in works]
    go_on.set()
    first.result()
    return [future.exception() or future.result() for future in futures]


def whole(tx: Transaction, do: Callable[[Unit], object]) -> int:
    """Does that as one unit; the study's revision after it."""
    unit = Unit(tx)
    do(unit)
    unit.finish()
    return unit.study.revision


def changes_of(store: Store, study: Study, since: int, limit: int = 10_000) -> Changes:
    return store.read(lambda view: view.changes(study, since, limit))


def points_of(store: Store, since: int = 0, limit: int = 1_000) -> list[Point]:
    return store.read(lambda view: view.points(view.study(NAME), since, limit))


def listed(store: Store, where: TrialFilter, after: int = 0, limit: int = 100, descending: bool = False) -> list[int]:
    """Ids of the trials in one page of the list."""
    return store.read(lambda view: ids(view.trials(view.study(NAME), where, after, limit, descending=descending)))


def listed_studies(store: Store, owner: str, where: StudyFilter, after: str = "", limit: int = 100) -> list[StudyName]:
    return [s.name for s in store.read(lambda view: view.studies(owner, where, after, limit))]


def ids(trials: Sequence[Trial]) -> list[int]:
    return [t.id for t in trials]


RICH_SPEC = StudySpec(
    objectives=(
        Objective("val/loss", Goal.MINIMIZE, target=0.05, pick=Pick.BEST),
        Objective("accuracy", Goal.MAXIMIZE),
    ),
    space=Space(
        (
            Parameter("lr", Double(1e-5, 0.1, Scale.LOG), default=1e-3),
            Parameter("opt", Categorical(("sgd", "adam", True, 1, 1.5))),
            Parameter("momentum", Double(0.5, 0.99), when=(Condition("opt", ("sgd",)),)),
            Parameter("batch", Integer(32, 2**62, step=32)),
        ),
    ),
    safety=(SafetyMetric("memory", at_most=0.1 + 0.2),),
    algorithm=Algorithm("gp", seed=2**63 - 1, repeats=3, settings={"n": 1, "f": 1.0, "deep": {"list": [1, None]}}),
    stopping=Stopping("asha", {"min": 1, "eta": 3}),
    budget=Budget(trials=200, parallel=8, failed=0, duration=43200.0, gpu_hours=0.1),
    trial=TrialTemplate(
        command=("python", "train.py", "--lr=${lr}"),
        env={"DATA": "/data"},
        workdir="/tmp",
        runtime=Runtime.LOCAL,
        image="registry/train:1.4",
        resources=Resources(gpu=0.5, cpu=4.0, memory=64 * 2**30),
        timeout=21600.0,
        grace=60.0,
        retries=RetryPolicy(failed=1, preempted=5),
        metrics=MetricsSource(MetricsFrom.STDOUT, r"(?P<name>\w+)=(?P<value>\S+)"),
    ),
    labels={"team": "vision", "empty": ""},
)

RICH_STUDY = Study(
    NAME,
    "0" * 32,
    RICH_SPEC,
    StudyState.PAUSED,
    create_time=1700000000.123457,
    seed=2**63 - 1,
    ending=EndReason.GPU_HOURS,
    reason="paused by a person — später",
    end_time=0.1 + 0.2,
    counts=Counts({S.REQUESTED: 2, S.SUCCEEDED: 2**40}),
    next_trial_id=2**40,
    rounds=12,
    memo='{"version": 1}\n\t\u2028',
    exhausted=True,
    growing=True,
    gpu_seconds=1e-9,
    spec_version=3,
    revision=2**50,
    metadata={"key": "", "": "value", "ключ": "знач"},
    algorithm_status=AlgorithmStatus(
        chosen="gp", chosen_because="the space is not finite", stand_ins=2**40, stand_in_reason="späť", failed_rounds=4
    ),
    thinning=Thinning(4, 0.1 + 0.2),
)

RICH_TRIAL = Trial(
    NAME.trial(1),
    S.STOPPING,
    {"z": 1, "a": 1.0, "flag": True, "text": "1", "big": 2**63 - 1, "tiny": 5e-324},
    create_time=1700000000.123457,
    origin=Origin.ENQUEUED,
    provenance=Provenance(
        "gp", 3, round=0, index=0, count=4, memo_digest="ab", history_digest="cd", fallback=True, why="why",
        details={"mean": 0.1, "deviation": math.inf},
    ),
    client_id="worker-1",
    attempts=(
        Attempt(
            1,
            AttemptState.ENDED,
            1700000001.5,
            holder="h",
            leased=False,
            lease_seconds=7.25,
            run_time=1700000002.5,
            end_time=1700000003.5,
            cause=Cause.OUT_OF_MEMORY,
            exit_code=0,
            message="killed",
            log_tail="line\n" * 100 + "\udc80 half a character",
            log_path="/var/log/1",
            node="node-1",
            devices=("0", "1"),
            gpus=0.5,
            infeasible="no",
        ),
        Attempt(2, AttemptState.QUEUED, 1700000004.5),
    ),
    final={"loss": 0.0, "inf": math.inf, "-inf": -math.inf},
    final_step=0,
    reason="told to",
    goal=StopGoal.PAUSE,
    start_time=0.0,
    end_time=None,
    labels={"a": "b"},
    metadata={"note": "x" * 10_000},
    until_step=0,
    checkpoint_of=2**40,
)  # fmt: skip


class StoreContract(AuditContract):
    """Inherit it and supply the fixture `store`."""

    @pytest.fixture
    def stored(self, store: Store) -> Store:
        """The store with one study in it."""
        insert(store, new_study())
        return store

    # Exact

    def test_a_study_comes_back_as_it_was_given(self, store: Store) -> None:
        insert(store, RICH_STUDY)
        assert store.read(lambda view: view.study(NAME)) == RICH_STUDY

    def test_a_study_without_any_of_its_optional_parts_comes_back(self, store: Store) -> None:
        bare = new_study(spec=replace(SPEC, space=None))
        insert(store, bare)
        assert store.read(lambda view: view.study(NAME)) == bare

    def test_every_part_of_a_study_can_be_rewritten(self, stored: Store) -> None:
        rewritten = replace(RICH_STUDY, uid=new_study().uid)

        def rewrite(tx: Transaction) -> None:
            tx.lock(NAME)
            tx.update_study(rewritten)

        stored.write(rewrite)
        assert stored.read(lambda view: view.study(NAME)) == rewritten

    @pytest.mark.parametrize("part", [f.name for f in fields(Study) if f.name not in ("name", "uid")])
    def test_each_part_of_a_study_can_be_rewritten_alone(self, stored: Store, part: str) -> None:
        def rewrite(tx: Transaction) -> Study:
            rewritten = replace(tx.lock(NAME), **{part: getattr(RICH_STUDY, part)})
            tx.update_study(rewritten)
            return rewritten

        rewritten = stored.write(rewrite)
        assert stored.read(lambda view: view.study(NAME)) == rewritten

    def test_a_trial_comes_back_as_it_was_given(self, stored: Store) -> None:
        (trial,) = add(stored, RICH_TRIAL)
        assert stored.read(lambda view: view.trial(trial.name)) == replace(RICH_TRIAL, revision=2)

    def test_every_part_of_a_trial_can_be_rewritten(self, stored: Store) -> None:
        add(stored, in_state(new_trial(1), S.ACTIVE))
        (rewritten,) = put(stored, RICH_TRIAL)
        assert stored.read(lambda view: view.trial(rewritten.name)) == rewritten

    @pytest.mark.parametrize("part", [f.name for f in fields(Trial) if f.name != "name"])
    def test_each_part_of_a_trial_can_be_rewritten_alone(self, stored: Store, part: str) -> None:
        add(stored, new_trial(1))

        def rewrite(u: Unit) -> None:
            u.tx.update_trial(u.study, replace(u.tx.trial(NAME.trial(1)), **{part: getattr(RICH_TRIAL, part)}))

        unit(stored, rewrite)
        back = stored.read(lambda view: view.trial(NAME.trial(1)))
        assert back == replace(new_trial(1), **{"revision": 2, part: getattr(RICH_TRIAL, part)})

    @pytest.mark.parametrize(
        "value", [0, 0.0, 1, 1.0, True, False, "", "1", "true", 2**53 + 1, 0.1 + 0.2, 5e-324, 1.7976931348623157e308]
    )
    def test_a_parameter_keeps_its_type_and_every_digit(self, stored: Store, value: Value) -> None:
        (trial,) = add(stored, new_trial(1, {"p": value}))
        back = stored.read(lambda view: view.trial(trial.name)).parameters["p"]
        assert (type(back), back) == (type(value), value)

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -0.0, 0.1 + 0.2, 5e-324, 1e308])
    def test_a_metric_keeps_every_digit_finite_or_not(self, stored: Store, value: float) -> None:
        (trial,) = add(stored, in_state(new_trial(1), S.ACTIVE, final={"m": value}))
        report(stored, trial, 1, Measurement(0, {"m": value}, 1.25))
        (measured,) = stored.read(lambda view: view.measurements(trial))
        final = stored.read(lambda view: view.trial(trial.name)).final
        assert (measured.step, measured.time) == (0, 1.25)
        assert repr(measured.metrics["m"]) == repr(value)
        assert final is not None
        assert repr(final["m"]) == repr(value)

    def test_a_final_value_that_is_not_there_is_not_an_empty_one(self, stored: Store) -> None:
        absent, empty = add(stored, new_trial(1), replace(new_trial(2), final={}))
        assert stored.read(lambda view: view.trial(absent.name)).final is None
        assert stored.read(lambda view: view.trial(empty.name)).final == {}

    # Atomic

    def test_a_unit_that_raises_leaves_nothing_and_its_error_reaches_the_caller(self, stored: Store) -> None:
        (kept,) = add(stored, in_state(new_trial(1), S.ACTIVE))
        report(stored, kept, 1, Measurement(1, {"loss": 1.0}, 1.0))
        before = self._everything(stored)

        class Boom(Exception):
            pass

        def work(tx: Transaction) -> None:
            tx.insert_study(new_study(StudyName("default", "other")))
            u = Unit(tx)
            u.add(new_trial(2), new_trial(3))
            u.put(in_state(kept, S.FAILED))
            tx.add_measurements(kept, 1, [Measurement(1, {"loss": 9.0}, 9.0), Measurement(2, {"loss": 2.0}, 9.0)])
            tx.keep_answer("default", "r", Answer("m", "p", "[]", 1.0))
            tx.trials(u.study, TrialFilter(), 0, 10)
            u.delete(kept)
            u.finish()
            tx.delete_study(u.study)
            raise Boom("no")

        with pytest.raises(Boom, match="no"):
            stored.write(work)
        assert self._everything(stored) == before
        assert stored.read(lambda view: view.answer("default", "r")) is None

    def test_units_that_fail_take_none_of_the_others_with_them(self, stored: Store) -> None:
        def work(number: int) -> Callable[[Transaction], int]:
            def run(tx: Transaction) -> int:
                u = Unit(tx)
                u.add(new_trial(0, {"x": float(number)}))
                u.finish()
                if number % 3 == 0:
                    raise ValueError(str(number))
                return number

            return run

        futures: list[Future[int]] = [stored.submit(work(number)) for number in range(30)]
        for number, future in enumerate(futures):
            if number % 3 == 0:
                with pytest.raises(ValueError, match=f"^{number}$"):
                    future.result()
            else:
                assert future.result() == number
        trials = stored.read(lambda view: view.trials(view.study(NAME), TrialFilter(), 0, 100))
        assert [t.parameters["x"] for t in trials] == [float(n) for n in range(30) if n % 3]
        assert ids(trials) == list(range(1, 21))

    # Units that share a commit

    def test_units_of_one_commit_see_what_those_before_them_wrote(self, stored: Store) -> None:
        """Each is one unit for all others: with a revision of its own, and without a trace where it failed."""
        (old,) = add(stored, in_state(new_trial(0, {"x": 1.0}), S.ACTIVE), repeats=1)
        point = {"x": 2.0}
        u1, u2, u3 = NAME.trial(2), NAME.trial(3), NAME.trial(4)

        def lost(u: Unit) -> None:
            u.add(new_trial(0, {"x": 9.0}), repeats=1)
            u.put(in_state(u.tx.trial(old.name), S.CANCELLED))
            u.tx.keep_answer("default", "lost", Answer("m", "p", "[]", 1.0))
            u.finish()
            raise ValueError("lost")

        def lost_later(u: Unit) -> None:
            u.put(in_state(u.tx.trial(old.name), S.CANCELLED))
            u.tx.trials(u.study, TrialFilter(), 0, 10)
            raise ValueError("lost")

        units: list[tuple[Callable[[Unit], object], type[Exception] | None]] = [
            (lambda u: u.add(new_trial(0, point), repeats=1), None),
            (lambda u: u.add(new_trial(0, point), repeats=1), DuplicatePoint),
            (lambda u: u.add(new_trial(0, {"x": 1.0}), repeats=1), DuplicatePoint),
            (lost, ValueError),
            (lambda u: u.put(in_state(u.tx.trial(u1), S.FAILED)), None),
            (lambda u: u.add(new_trial(0, point), repeats=1), None),
            (lambda u: u.put(in_state(u.tx.trial(u1), S.REQUESTED)), None),  # beside the one that took its place
            (lambda u: u.put(in_state(u.tx.trial(u1), S.ACTIVE)), None),
            (lambda u: u.add(new_trial(0, point), repeats=1), DuplicatePoint),
            (lambda u: u.add(new_trial(0, point), repeats=3), None),
            (lambda u: u.put(in_state(u.tx.trial(old.name), S.REQUESTED)), None),
            (lost_later, ValueError),
            (lambda u: u.put(in_state(u.tx.trial(old.name), S.ACTIVE)), None),
            (lambda u: u.tx.keep_answer("default", "r", Answer("m", "p", "[1]", 1.0)), None),
            (lambda u: u.tx.keep_answer("default", "r", Answer("m", "p", "[2]", 1.0)), AlreadyExists),
            (lambda u: u.delete(u.tx.trial(u3)), None),
            (lambda u: u.tx.trial(u3), NotFound),
            (lambda u: u.put(replace(u.tx.trial(u2), labels={"a": "b"})), None),
        ]

        outcomes = together(stored, [lambda tx, do=do: whole(tx, do) for do, _ in units])  # type: ignore[misc]
        errors = [type(outcome) if isinstance(outcome, Exception) else None for outcome in outcomes]
        assert errors == [error for _, error in units]
        kept = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
        assert kept == list(range(3, 3 + len(kept)))  # the study's revision after each
        study = stored.read(lambda view: view.study(NAME))
        changes = changes_of(stored, study, 0)
        assert study.revision == changes.revision == kept[-1]
        found = {t.id: (t.state, t.parameters, len(t.attempts), dict(t.labels)) for t in changes.trials}
        assert found == {
            1: (S.ACTIVE, {"x": 1.0}, 2, {}),
            2: (S.ACTIVE, point, 1, {}),
            3: (S.REQUESTED, point, 0, {"a": "b"}),
        }
        assert [a.number for a in stored.read(lambda view: view.trial(old.name)).attempts] == [1, 2]
        assert stored.read(lambda view: view.answer("default", "r")) == Answer("m", "p", "[1]", 1.0)
        assert stored.read(lambda view: view.answer("default", "lost")) is None

    # Serial, repeatable, threads

    def test_units_of_many_threads_each_see_what_the_earlier_ones_wrote(self, stored: Store) -> None:
        def work(tx: Transaction) -> int:
            u = Unit(tx)
            u.add(new_trial(0, {"x": u.study.next_trial_id}), repeats=1)
            u.finish()
            return u.study.revision

        with ThreadPoolExecutor(8) as pool:
            revisions = list(pool.map(lambda _: stored.write(work), range(80)))
        assert sorted(revisions) == list(range(2, 82))
        study = stored.read(lambda view: view.study(NAME))
        assert (study.revision, study.next_trial_id, study.counts[S.REQUESTED]) == (81, 81, 80)

    def test_units_run_in_the_order_of_submission(self, stored: Store) -> None:
        ran: list[int] = []
        futures = [stored.submit(lambda tx, n=n: ran.append(n)) for n in range(50)]  # type: ignore[misc]
        for future in futures:
            future.result()
        assert ran == list(range(50))

    def test_a_read_sees_one_moment(self, stored: Store) -> None:
        """Whatever is committed between two of its answers, they fit together."""
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                add(stored, new_trial(0))

        def look(view: View) -> tuple[int, list[int]]:
            study = view.study(NAME)
            return study.next_trial_id, ids(view.trials(study, TrialFilter(), 0, 1, descending=True))

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(50):
                next_id, last = stored.read(look)
                assert last == ([next_id - 1] if next_id > 1 else [])
        finally:
            stop.set()
            writer.join()

    def test_a_unit_sees_its_own_writes(self, stored: Store) -> None:
        def work(tx: Transaction) -> None:
            u = Unit(tx)
            a, b = u.add(new_trial(0), new_trial(0))
            assert tx.trial(a.name) == a
            assert tx.trials(u.study, TrialFilter(), 0, 10) == [a, b]
            a = u.put(in_state(a, S.ACTIVE))
            assert tx.trial(a.name) == a
            assert tx.live() == [a]
            assert tx.trials(u.study, TrialFilter(states=LIVE), 0, 10) == [a]
            a = u.put(in_state(a, S.SUCCEEDED, final={"loss": 1.0}))
            assert tx.best(u.study, 10) == [a]
            tx.add_measurements(a, 1, [Measurement(1, {"loss": 1.0}, 2.5)])
            assert tx.measurements(a) == [Measurement(1, {"loss": 1.0}, 2.5)]
            u.finish()
            assert tx.study(NAME) == u.study
            assert tx.changes(u.study, 1).trials == [a, b]
            tx.keep_answer("default", "r", Answer("m", "p", "[]", 1.0))
            assert tx.answer("default", "r") == Answer("m", "p", "[]", 1.0)
            u.delete(b)
            with pytest.raises(NotFound):
                tx.trial(b.name)
            tx.delete_study(u.study)
            with pytest.raises(NotFound):
                tx.trial(a.name)

        stored.write(work)

    # Studies

    def test_an_unknown_study_is_not_found_and_the_nearest_one_is_named(self, store: Store) -> None:
        insert(store, new_study(StudyName("default", "resnet")))
        insert(store, new_study(StudyName("vision", "resnot")))
        for ask in (
            lambda view: view.study(StudyName("default", "resnut")),
            lambda view: view.trial(StudyName("default", "resnut").trial(1)),
        ):
            with pytest.raises(NotFound, match=r'^resnut(/1)? does not exist. Did you mean "resnet"\?$'):
                store.read(ask)
        with pytest.raises(NotFound, match=r"^unlike does not exist$"):
            store.write(lambda tx: tx.lock(StudyName("default", "unlike")))

    def test_a_name_is_given_once_for_each_owner(self, stored: Store) -> None:
        with pytest.raises(AlreadyExists, match=r"^s exists already"):
            insert(stored, new_study(uid="another"))
        insert(stored, new_study(StudyName("vision", "s")))

    def test_studies_are_listed_by_owner_and_id_in_pages(self, store: Store) -> None:
        names = [StudyName(owner, study) for owner in ("b", "a", "a-b") for study in ("s2", "s-1", "s10", "s")]
        for name in names:
            insert(store, new_study(name))
        paged: list[StudyName] = []
        after = ""
        while page := listed_studies(store, "", StudyFilter(), after, 5):
            assert len(page) <= 5
            paged += page
            after = f"{page[-1].owner}/{page[-1].study}"
        assert paged == sorted(names)
        assert [n.study for n in listed_studies(store, "a", StudyFilter(), "a/s")] == ["s-1", "s10", "s2"]
        assert listed_studies(store, "nobody", StudyFilter()) == []

    @pytest.mark.parametrize(
        ("where", "found"),
        [
            (StudyFilter(), ["s1", "s2", "s3"]),
            (StudyFilter(states=frozenset({StudyState.PAUSED})), ["s2"]),
            (StudyFilter(states=frozenset({StudyState.PAUSED, StudyState.FAILED})), ["s2", "s3"]),
            (StudyFilter(labels={"team": "vision"}), ["s1", "s3"]),
            (StudyFilter(labels={"team": "vision", "kind": "a"}), ["s3"]),
            (StudyFilter(since=2.0), ["s2", "s3"]),
            (StudyFilter(labels={"team": "vision"}, since=2.0), ["s3"]),
        ],
    )
    def test_studies_are_filtered(self, store: Store, where: StudyFilter, found: list[str]) -> None:
        for number, state, labels in (
            (1, StudyState.ACTIVE, {"team": "vision"}),
            (2, StudyState.PAUSED, {"team": "speech"}),
            (3, StudyState.FAILED, {"team": "vision", "kind": "a"}),
        ):
            made = new_study(
                StudyName("default", f"s{number}"), replace(SPEC, labels=labels), create_time=float(number)
            )
            insert(store, replace(made, state=state))
        names = listed_studies(store, "default", where)
        assert [n.study for n in names] == found
        assert listed_studies(store, "default", where, limit=1) == names[:1]

    def test_a_deleted_study_is_gone_with_all_that_belongs_to_it(self, stored: Store) -> None:
        old = add(stored, in_state(new_trial(1), S.ACTIVE), new_trial(2), repeats=1)
        stored.write(lambda tx: tx.add_measurements(old[0], 1, [Measurement(1, {"loss": 1.0}, 1.0)]))
        unit(stored, lambda u: u.delete(old[1]))
        deleted = stored.read(lambda view: view.study(NAME))
        stored.write(lambda tx: tx.delete_study(tx.lock(NAME)))
        with pytest.raises(NotFound):
            stored.read(lambda view: view.study(NAME))
        with pytest.raises(NotFound):
            stored.read(lambda view: view.changes(deleted, 0))
        assert stored.read(lambda view: view.live()) == []

        fresh = new_study(uid="made-anew")
        insert(stored, fresh)
        assert stored.read(lambda view: view.changes(fresh, 0)).trials == []
        assert stored.read(lambda view: view.points(fresh, 0)) == []
        assert ids(add(stored, new_trial(1), repeats=1)) == [1]
        with pytest.raises(NotFound):
            stored.read(lambda view: view.changes(deleted, 0))
        assert stored.read(lambda view: view.trials(deleted, TrialFilter(), 0, 10)) == []
        assert stored.read(lambda view: view.points(deleted, 0)) == []

    # Trials

    def test_an_unknown_trial_is_not_found(self, stored: Store) -> None:
        with pytest.raises(NotFound, match=r"^s/1 does not exist$"):
            stored.read(lambda view: view.trial(NAME.trial(1)))

    def test_a_trial_keeps_all_its_attempts(self, stored: Store) -> None:
        (trial,) = add(stored, new_trial(1))
        for _ in range(3):
            trial = move(stored, trial, S.ACTIVE)
            (trial,) = put(
                stored, replace(trial, attempts=(*trial.attempts[:-1], replace(trial.attempts[-1], node="n")))
            )
            trial = move(stored, trial, S.REQUESTED)
        assert [a.number for a in trial.attempts] == [1, 2, 3]
        assert stored.read(lambda view: view.trial(trial.name)) == trial
        assert stored.read(lambda view: view.trials(view.study(NAME), TrialFilter(), 0, 10)) == [trial]

    def test_a_trial_ended_and_started_again_in_one_unit_keeps_both_attempts(self, stored: Store) -> None:
        (trial,) = add(stored, in_state(new_trial(1), S.ACTIVE))
        unit(stored, lambda u: u.put(in_state(u.put(in_state(trial, S.REQUESTED)), S.ACTIVE)))
        attempts = stored.read(lambda view: view.trial(trial.name)).attempts
        assert [(a.number, a.live) for a in attempts] == [(1, False), (2, True)]

    def test_ids_of_deleted_trials_do_not_come_back(self, stored: Store) -> None:
        last = add(stored, new_trial(1), new_trial(2))[-1]
        unit(stored, lambda u: u.delete(last))
        assert ids(add(stored, new_trial(3))) == [3]
        with pytest.raises(NotFound):
            stored.read(lambda view: view.trial(last.name))

    def test_trials_are_listed_by_id_in_pages_from_either_end(self, stored: Store) -> None:
        add(stored, *(new_trial(i) for i in range(1, 8)))
        for descending, expected in ((False, [1, 2, 3, 4, 5, 6, 7]), (True, [7, 6, 5, 4, 3, 2, 1])):
            paged: list[int] = []
            while page := listed(stored, TrialFilter(), paged[-1] if paged else 0, 3, descending):
                assert len(page) <= 3
                paged += page
            assert paged == expected

    @pytest.mark.parametrize(
        ("where", "found"),
        [
            (TrialFilter(), [1, 2, 3, 4, 5, 6]),
            (TrialFilter(states=frozenset({S.REQUESTED})), [1, 4]),
            (TrialFilter(states=frozenset({S.REQUESTED, S.ACTIVE, S.PAUSED})), [1, 2, 4, 5]),
            (TrialFilter(labels={"k": "a"}), [1, 2, 6]),
            (TrialFilter(labels={"k": "a", "l": "b"}), [6]),
            (TrialFilter(since=103.25), [3, 4, 5, 6]),
            (TrialFilter(states=frozenset({S.REQUESTED, S.FAILED}), labels={"k": "a"}, since=101.5), [6]),
            (TrialFilter(states=frozenset({S.INFEASIBLE})), []),
        ],
    )
    def test_trials_are_filtered(self, stored: Store, where: TrialFilter, found: list[int]) -> None:
        states = [S.REQUESTED, S.ACTIVE, S.SUCCEEDED, S.REQUESTED, S.ACTIVE, S.FAILED]
        labels = [{"k": "a"}, {"k": "a"}, {"k": "b"}, {}, {"l": "b"}, {"k": "a", "l": "b"}]
        add(
            stored,
            *(
                in_state(replace(new_trial(i), labels=label), state)
                for i, (state, label) in enumerate(zip(states, labels, strict=True), start=1)
            ),
        )
        assert listed(stored, where) == found
        assert listed(stored, where, limit=2) == found[:2]
        assert listed(stored, where, descending=True) == found[::-1]
        assert listed(stored, where, after=2) == [i for i in found if i > 2]

    def test_live_trials_are_those_with_a_live_attempt_in_every_study(self, stored: Store) -> None:
        other = StudyName("vision", "t")
        insert(stored, new_study(other))
        _, b, _ = add(stored, new_trial(1), in_state(new_trial(2), S.ACTIVE), in_state(new_trial(3), S.SUCCEEDED))
        (c,) = add(stored, in_state(new_trial(1, name=other), S.STOPPING), name=other)
        assert stored.read(lambda view: view.live()) == [b, c]
        move(stored, b, S.CANCELLED)
        assert stored.read(lambda view: view.live()) == [c]

    # No point twice

    @pytest.mark.parametrize(
        ("there", "repeats", "taken"),
        [
            ([], 1, False),
            ([(S.ACTIVE, 1)], 1, True),
            ([(S.SUCCEEDED, 1)], 1, True),
            ([(S.INFEASIBLE, 1)], 1, True),
            ([(S.FAILED, 1)], 1, False),
            ([(S.CANCELLED, 1)], 1, False),
            ([(S.REQUESTED, None)], 1, True),  # enqueued by a person
            ([(S.CANCELLED, None)], 1, False),
            ([(S.ACTIVE, 1)], 2, False),
            ([(S.ACTIVE, 2), (S.ACTIVE, 2)], 2, True),
            ([(S.ACTIVE, None), (S.ACTIVE, 2)], 2, True),
            ([(S.ACTIVE, 2), (S.FAILED, 2)], 2, False),
            ([(S.ACTIVE, 2), (S.ACTIVE, 2)], 1, True),  # repeats was lowered
        ],
    )
    def test_a_new_point_is_refused_where_as_many_counted_trials_have_it(
        self, stored: Store, there: list[tuple[TrialState, int | None]], repeats: int, taken: bool
    ) -> None:
        point = {"x": 0.5, "n": 1}
        for state, allowed in there:
            (trial,) = add(stored, new_trial(0, point), repeats=allowed)
            move(stored, trial, state)
        before = self._everything(stored)
        if taken:
            with pytest.raises(DuplicatePoint):
                add(stored, new_trial(0, {"x": 0.25}), new_trial(0, point), repeats=repeats)
            assert self._everything(stored) == before
        else:
            add(stored, new_trial(0, point), repeats=repeats)

    @pytest.mark.parametrize(
        ("a", "b", "same"),
        [
            ({"x": 1, "y": 2}, {"y": 2, "x": 1}, True),
            ({"x": 0.0}, {"x": -0.0}, True),
            ({"x": 1}, {"x": 1.0}, False),
            ({"x": 1}, {"x": True}, False),
            ({"x": 1}, {"x": "1"}, False),
            ({}, {"x": 1}, False),
        ],
    )
    def test_two_points_are_the_same_in_value_and_type(
        self, stored: Store, a: Parameters, b: Parameters, same: bool
    ) -> None:
        if same:
            with pytest.raises(DuplicatePoint):
                add(stored, new_trial(1, a), new_trial(2, b), repeats=1)
        else:
            add(stored, new_trial(1, a), new_trial(2, b), repeats=1)

    def test_a_point_said_to_be_untried_is_taken_like_any_other(self, stored: Store) -> None:
        unit(stored, lambda u: u.add(new_trial(0, {"x": 0.5}), repeats=1, untried=True))
        with pytest.raises(DuplicatePoint):
            add(stored, new_trial(0, {"x": 0.5}), repeats=1)
        add(stored, new_trial(0, {"x": 0.5}), repeats=2)
        with pytest.raises(DuplicatePoint):
            add(stored, new_trial(0, {"x": 0.5}), repeats=2)

    def test_enqueued_trials_may_have_any_point(self, stored: Store) -> None:
        add(stored, new_trial(1, {"x": 0.5}), new_trial(2, {"x": 0.5}), repeats=None)
        add(stored, new_trial(3, {"x": 0.5}), repeats=None)

    @pytest.mark.parametrize("allowed", [1, None], ids=["proposed", "enqueued"])
    @pytest.mark.parametrize(
        ("cause", "taken"),
        [
            (Cause.CODE_FAILED, True),
            (Cause.OUT_OF_MEMORY, True),
            (Cause.TIMED_OUT, True),
            (Cause.PREEMPTED, False),
            (Cause.CONFIG_BROKEN, False),
            (Cause.SUCCEEDED, False),
        ],
    )
    def test_a_point_that_failed_by_its_own_fault_has_been_tried(
        self, stored: Store, cause: Cause, taken: bool, allowed: int | None
    ) -> None:
        point = {"x": 0.5}
        (trial,) = add(stored, new_trial(1, point), repeats=allowed)
        ended = Attempt(1, AttemptState.ENDED, 200.5, end_time=300.5, cause=cause)
        put(stored, replace(trial, state=S.FAILED, attempts=(ended,), end_time=300.5))
        if taken:
            with pytest.raises(DuplicatePoint):
                add(stored, new_trial(2, point), repeats=1)
            add(stored, new_trial(2, point), repeats=2)
        else:
            add(stored, new_trial(2, point), repeats=1)

    def test_a_failed_trial_that_is_retried_counts_again(self, stored: Store) -> None:
        (trial,) = add(stored, new_trial(1, {"x": 0.5}), repeats=1)
        move(stored, trial, S.FAILED)
        move(stored, trial, S.REQUESTED)
        with pytest.raises(DuplicatePoint):
            add(stored, new_trial(2, {"x": 0.5}), repeats=1)

    def test_a_failed_trial_may_be_retried_though_its_point_was_proposed_again(self, stored: Store) -> None:
        (trial,) = add(stored, new_trial(1, {"x": 0.5}), repeats=1)
        move(stored, trial, S.FAILED)
        add(stored, new_trial(2, {"x": 0.5}), repeats=1)
        move(stored, trial, S.REQUESTED)
        assert stored.read(lambda view: view.trial(trial.name)).state is S.REQUESTED

    def test_a_trial_may_grow_into_the_point_of_another(self, stored: Store) -> None:
        """The training code names one more parameter, and its value happens to be that of another trial."""
        a, b = add(stored, new_trial(1, {"x": 0.5}), new_trial(2, {"x": 0.5, "y": 1}), repeats=1)
        put(stored, replace(a, parameters=b.parameters))
        with pytest.raises(DuplicatePoint):
            add(stored, new_trial(3, b.parameters), repeats=2)
        add(stored, new_trial(4, {"x": 0.5}), repeats=1)

    def test_a_point_changed_in_the_unit_that_adds_it_is_no_longer_taken(self, stored: Store) -> None:
        def do(u: Unit) -> None:
            (trial,) = u.add(new_trial(0, {"x": 0.5}), repeats=1)
            u.put(replace(trial, parameters={"x": 0.5, "y": 1}))

        unit(stored, do)
        add(stored, new_trial(0, {"x": 0.5}), repeats=1)
        with pytest.raises(DuplicatePoint):
            add(stored, new_trial(0, {"y": 1, "x": 0.5}), repeats=1)

    # The best

    @pytest.mark.parametrize(
        ("spec", "trials", "best"),
        [
            (SPEC, [(S.SUCCEEDED, 3.0), (S.STOPPED, 1.0), (S.SUCCEEDED, 2.0)], [2, 3, 1]),
            (SPEC, [(S.SUCCEEDED, 1.0), (S.SUCCEEDED, 1.0), (S.SUCCEEDED, 1.0)], [1, 2, 3]),
            (SPEC, [(S.SUCCEEDED, math.inf), (S.SUCCEEDED, -math.inf), (S.STOPPED, math.nan)], [2, 1]),
            (SPEC, [(S.SUCCEEDED, 0.0), (S.SUCCEEDED, -1e-300), (S.SUCCEEDED, 1e-300)], [2, 1, 3]),
            (SPEC, [(S.INFEASIBLE, 0.0), (S.FAILED, 0.0), (S.PAUSED, 0.0), (S.ACTIVE, 0.0), (S.SUCCEEDED, 9.0)], [5]),
            (
                replace(SPEC, objectives=(Objective("loss", Goal.MAXIMIZE),)),
                [(S.SUCCEEDED, 3.0), (S.STOPPED, 1.0), (S.SUCCEEDED, -math.inf)],
                [1, 2, 3],
            ),
            (
                replace(SPEC, safety=(SafetyMetric("loss", at_least=1.0, at_most=2.0),)),
                [(S.SUCCEEDED, 0.5), (S.SUCCEEDED, 2.0), (S.SUCCEEDED, 1.0), (S.SUCCEEDED, 2.5)],
                [3, 2],
            ),
            (
                replace(SPEC, safety=(SafetyMetric("memory", at_most=2.0),)),  # never reported, so nothing is safe
                [(S.SUCCEEDED, 0.5)],
                [],
            ),
            (replace(SPEC, objectives=(Objective("other", Goal.MINIMIZE),)), [(S.SUCCEEDED, 1.0)], []),
        ],
    )
    def test_the_best_are_safe_and_ended_well_and_stand_best_first(
        self, store: Store, spec: StudySpec, trials: list[tuple[TrialState, float]], best: list[int]
    ) -> None:
        insert(store, new_study(spec=spec))
        waiting = add(store, *(new_trial(0) for _ in trials))
        put(store, *(in_state(t, s, final={"loss": v}) for t, (s, v) in zip(waiting, trials, strict=True)))
        assert ids(store.read(lambda view: view.best(view.study(NAME), 10))) == best
        assert ids(store.read(lambda view: view.best(view.study(NAME), 1))) == best[:1]
        assert ids(store.read(lambda view: view.best(view.study(NAME), 10, 1))) == best[1:]

    # Changes

    def test_changes_tell_of_trials_as_they_are_now_by_revision(self, stored: Store) -> None:
        a, b, c = add(stored, new_trial(1), new_trial(2), new_trial(3))  # revision 2
        a = move(stored, a, S.ACTIVE)  # 3
        c = move(stored, c, S.CANCELLED)  # 4
        a = move(stored, a, S.SUCCEEDED, final={"loss": 1.0})  # 5
        study = stored.read(lambda view: view.study(NAME))
        for since, trials in ((0, [b, c, a]), (2, [c, a]), (3, [c, a]), (4, [a]), (5, [])):
            changes = changes_of(stored, study, since)
            assert (changes.study, list(changes.trials), list(changes.deleted)) == (study, trials, [])
            assert changes.revision == 5

    def test_changes_tell_of_deleted_trials(self, stored: Store) -> None:
        a, b, _ = add(stored, new_trial(1), new_trial(2), new_trial(3))  # revision 2
        unit(stored, lambda u: u.delete(b))  # 3
        unit(stored, lambda u: u.delete(a))  # 4
        study = stored.read(lambda view: view.study(NAME))
        for since, deleted in ((2, [2, 1]), (3, [1]), (4, [])):
            changes = changes_of(stored, study, since)
            assert (list(changes.trials), list(changes.deleted)) == ([], deleted)

    def test_changes_answer_with_the_study_as_it_is_now(self, stored: Store) -> None:
        old = stored.read(lambda view: view.study(NAME))
        (trial,) = add(stored, new_trial(1))
        changes = stored.read(lambda view: view.changes(old, 1))
        assert (changes.study.revision, changes.revision, list(changes.trials)) == (2, 2, [trial])

    @pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 100])
    def test_changes_cut_short_go_on_without_a_gap_or_a_repeat(self, stored: Store, limit: int) -> None:
        first = add(stored, new_trial(1), new_trial(2), new_trial(3))  # one revision for three of them
        add(stored, new_trial(4))
        unit(stored)
        unit(stored, lambda u: u.delete(first[1]))
        put(stored, in_state(first[0], S.ACTIVE))
        study = stored.read(lambda view: view.study(NAME))
        seen: list[int] = []
        deleted: list[int] = []
        since, answers = 0, 0
        while since < study.revision:
            changes = changes_of(stored, study, since, limit)
            assert changes.revision > since
            revisions = {t.revision for t in changes.trials}
            assert len(changes.trials) + len(changes.deleted) <= limit or len(revisions) == 1
            seen += ids(changes.trials)
            deleted += changes.deleted
            since, answers = changes.revision, answers + 1
        assert (seen, deleted) == ([3, 4, 1], [2])
        assert answers == {1: 4, 2: 2, 3: 2}.get(limit, 1)

    @pytest.mark.parametrize("since", [-1, 3, 10**9])
    def test_changes_since_a_revision_that_never_was_are_refused(self, stored: Store, since: int) -> None:
        add(stored, new_trial(1))
        with pytest.raises(RevisionCompacted, match="list again"):
            stored.read(lambda view: view.changes(view.study(NAME), since))

    # Measurements

    @pytest.mark.parametrize(
        ("reports", "curve"),
        [
            ([], []),
            # out of order
            (
                [(1, 2, {"a": 2.0}), (1, 0, {"a": 0.0}), (1, 1, {"a": 1.0})],
                [(0, {"a": 0.0}), (1, {"a": 1.0}), (2, {"a": 2.0})],
            ),
            # a repeat replaces
            ([(1, 1, {"a": 1.0}), (1, 1, {"a": 9.0})], [(1, {"a": 9.0})]),
            # metrics of one step may come apart
            ([(1, 1, {"a": 1.0}), (1, 1, {"b": 2.0})], [(1, {"a": 1.0, "b": 2.0})]),
            # a later attempt wins where they overlap, whoever reports last
            (
                [(1, 1, {"a": 1.0}), (1, 2, {"a": 2.0}), (2, 2, {"a": 20.0}), (2, 3, {"a": 30.0}), (1, 2, {"a": 3.0})],
                [(1, {"a": 1.0}), (2, {"a": 20.0}), (3, {"a": 30.0})],
            ),
            ([(1, 2**63 - 1, {"a": 1.0})], [(2**63 - 1, {"a": 1.0})]),
        ],
    )
    def test_a_curve_has_one_value_for_each_step_and_metric(
        self,
        stored: Store,
        reports: list[tuple[int, int, dict[str, float]]],
        curve: list[tuple[int, dict[str, float]]],
    ) -> None:
        trial, other = add(stored, in_state(new_trial(1), S.ACTIVE), in_state(new_trial(2), S.ACTIVE))
        report(stored, other, 1, Measurement(1, {"a": -1.0, "c": -1.0}, 0.5))
        for attempt, step, metrics in reports:
            report(stored, trial, attempt, Measurement(step, metrics, 2.5))
        measured = stored.read(lambda view: view.measurements(trial))
        assert [(m.step, dict(m.metrics)) for m in measured] == curve
        assert {m.time for m in measured} <= {2.5}

    def test_points_come_by_sequence_which_rises_with_every_row_written_or_replaced(self, stored: Store) -> None:
        a, b = add(stored, in_state(new_trial(1), S.ACTIVE), in_state(new_trial(2), S.ACTIVE))

        report(stored, a, 1, Measurement(1, {"x": 1.0, "y": 2.0}, 1.0), Measurement(2, {"x": 3.0}, 2.0))
        report(stored, b, 1, Measurement(1, {"x": 4.0}, 3.0))
        report(stored, a, 1, Measurement(1, {"x": 5.0}, 4.0))
        points = points_of(stored)
        assert [(p.trial_id, p.attempt, p.step, p.metric, p.value, p.time) for p in points] == [
            (1, 1, 1, "y", 2.0, 1.0),
            (1, 1, 2, "x", 3.0, 2.0),
            (2, 1, 1, "x", 4.0, 3.0),
            (1, 1, 1, "x", 5.0, 4.0),
        ]
        numbers = [p.sequence for p in points]
        assert numbers == sorted(set(numbers))
        for index, number in enumerate(numbers):
            assert points_of(stored, number) == points[index + 1 :]
        assert points_of(stored, limit=2) == points[:2]

    def test_a_sequence_number_is_not_given_again(self, stored: Store) -> None:
        a, b = add(stored, in_state(new_trial(1), S.ACTIVE), in_state(new_trial(2), S.ACTIVE))
        report(stored, a, 1, Measurement(1, {"x": 1.0}, 1.0))
        (first,) = points_of(stored)
        unit(stored, lambda u: u.delete(a))
        assert points_of(stored) == []
        report(stored, b, 1, Measurement(1, {"x": 1.0}, 1.0))
        (second,) = points_of(stored)
        assert second.sequence > first.sequence

    def test_a_report_changes_no_revision(self, stored: Store) -> None:
        (trial,) = add(stored, in_state(new_trial(1), S.ACTIVE))
        before = stored.read(lambda view: view.study(NAME))
        report(stored, trial, 1, Measurement(1, {"x": 1.0}, 1.0))
        assert stored.read(lambda view: view.study(NAME)) == before

    def test_a_curve_is_read_in_pieces_of_whole_steps(self, stored: Store) -> None:
        (trial,) = add(stored, new_trial(1))
        first = [Measurement(step, {"a": step / 8, "b": 1.0}, 1.0) for step in (0, 1, 2)]
        second = [Measurement(step, {"a": step / 4, "c": 2.0}, 1.0) for step in (2, 3)]
        stored.write(lambda tx: tx.add_measurements(trial, 1, first))
        stored.write(lambda tx: tx.add_measurements(trial, 2, second))
        whole = stored.read(lambda view: view.measurements(trial))
        assert [m.step for m in whole] == [0, 1, 2, 3]

        def pieces(view: View, limit: int) -> list[list[Measurement]]:
            found: list[list[Measurement]] = []
            while some := view.steps(trial, found[-1][-1].step if found else -1, limit):
                found.append(some)
            return found

        for limit in (1, 2, 3, 5, 100):
            found = stored.read(partial(pieces, limit=limit))
            assert [m for piece in found for m in piece] == whole
        assert [len(piece) for piece in stored.read(partial(pieces, limit=2))] == [1, 1, 1, 1]
        assert [len(piece) for piece in stored.read(partial(pieces, limit=100))] == [4]

    def test_measurements_of_an_unknown_trial_are_refused(self, stored: Store) -> None:
        with pytest.raises(NotFound, match=r"^s/1 does not exist$"):
            stored.write(lambda tx: tx.add_measurements(new_trial(1), 1, [Measurement(1, {"x": 1.0}, 1.0)]))

    # Answers

    def test_the_first_answer_to_a_request_is_kept(self, store: Store) -> None:
        first = Answer("SuggestTrials", "digest", "[1]", 1.25)
        assert store.read(lambda view: view.answer("default", "r")) is None
        store.write(lambda tx: tx.keep_answer("default", "r", first))
        with pytest.raises(AlreadyExists):
            store.write(lambda tx: tx.keep_answer("default", "r", Answer("m", "p", "[2]", 2.0)))
        store.write(lambda tx: tx.keep_answer("vision", "r", Answer("m", "p", "[3]", 3.0)))
        assert store.read(lambda view: view.answer("default", "r")) == first
        assert store.read(lambda view: view.answer("vision", "r")) == Answer("m", "p", "[3]", 3.0)

    def test_old_answers_are_forgotten(self, store: Store) -> None:
        def keep(tx: Transaction) -> None:
            for number in range(5):
                tx.keep_answer("default", f"r{number}", Answer("m", "p", "[]", float(number)))

        def kept(view: View) -> list[bool]:
            return [view.answer("default", f"r{number}") is not None for number in range(5)]

        store.write(keep)
        assert store.write(lambda tx: tx.forget_answers(2.0)) == 2
        assert store.read(kept) == [False, False, True, True, True]

    # Who may call

    def test_tokens_are_kept_exactly_and_listed_by_owner_and_age(self, store: Store) -> None:
        tokens = [
            Token("bb", "d" * 64, "vision", Role.EDITOR, "größe ✓", 3.25, 4.5),
            Token("zz", "c" * 64, "vision", Role.VIEWER, "", 1.5),
            Token("aa", "a" * 64, EVERY_OWNER, Role.ADMIN, "ops", 9.0),
            Token("ab", "b" * 64, "vision", Role.EDITOR, "", 3.25, 0.0),
        ]
        for token in tokens:
            store.write(lambda tx, token=token: tx.insert_token(token))  # type: ignore[misc]
        assert store.read(lambda view: view.tokens()) == [tokens[i] for i in (2, 1, 3, 0)]
        assert store.read(lambda view: view.token("bb")) == tokens[0]
        assert store.read(lambda view: view.token("BB")) is None

    def test_a_token_is_made_once_and_changed_only_where_it_is(self, store: Store) -> None:
        token = Token("aa", "a" * 64, "vision", Role.EDITOR, "", 1.5)
        with pytest.raises(NotFound, match="token aa"):
            store.write(lambda tx: tx.update_token(token))
        store.write(lambda tx: tx.insert_token(token))
        with pytest.raises(AlreadyExists, match="token aa"):
            store.write(lambda tx: tx.insert_token(replace(token, owner="speech")))
        revoked = replace(token, revoke_time=2.5)
        store.write(lambda tx: tx.update_token(revoked))
        assert store.read(lambda view: view.token("aa")) == revoked

    def test_a_failed_unit_leaves_no_token_and_no_secret(self, store: Store) -> None:
        def fail(tx: Transaction) -> None:
            tx.insert_token(Token("aa", "a" * 64, "vision", Role.EDITOR, "", 1.5))
            tx.keep_secret("key", "1")
            assert (len(tx.tokens()), tx.secret("key")) == (1, "1")
            raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            store.write(fail)
        assert store.read(lambda view: (view.tokens(), view.secret("key"))) == ([], None)

    def test_of_those_who_make_a_secret_at_once_all_get_the_same(self, store: Store) -> None:
        kept = [store.submit(lambda tx, n=n: tx.keep_secret("key", f"{n}")) for n in range(8)]  # type: ignore[misc]
        (secret,) = {future.result() for future in kept}
        assert store.read(lambda view: view.secret("key")) == secret
        assert store.write(lambda tx: tx.keep_secret("other", "9")) == "9"

    # The end

    def test_closing_finishes_what_was_submitted_and_then_refuses(self, stored: Store) -> None:
        futures = [stored.submit(lambda tx: tx.study(NAME)) for _ in range(20)]
        stored.close()
        stored.close()
        assert [future.result().name for future in futures] == [NAME] * 20
        for call in (stored.submit, stored.write, stored.read):
            with pytest.raises(Unavailable, match="closed"):
                call(lambda view: view.study(NAME))

    def _everything(self, store: Store) -> str:
        """All that can be asked about the studies, as text, because NaN is not equal to itself."""

        def look(view: View) -> list[object]:
            found: list[object] = []
            for study in view.studies("", StudyFilter(), "", 100):
                found += [study, view.changes(study, 0), view.points(study, 0)]
            return [*found, view.live()]

        return repr(store.read(look))
