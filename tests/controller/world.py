"""A world of plain values for the planner: what it knows, and what becomes of it when it acts.

`World.act` does to the snapshot what acting and observing again would do, as far as nothing else happens: a launched
attempt is starting, an asked service has not answered.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from wazir.controller.execution import Ending, Execution, Exit, Key, Phase
from wazir.controller.plan import (
    Action,
    Announce,
    Ask,
    Collect,
    Discard,
    End,
    Forget,
    Kill,
    Launch,
    Limits,
    Short,
    Snapshot,
    Terminate,
    Told,
    Wake,
    Watched,
    demand,
    plan,
)
from wazir.domain.attempt import Attempt, AttemptState
from wazir.domain.metric import Goal, Objective
from wazir.domain.names import StudyName
from wazir.domain.pod import PodOptions
from wazir.domain.space import Double, Parameter, Space
from wazir.domain.study import Budget, Study, StudySpec, StudyState
from wazir.domain.template import MetricsFrom, MetricsSource, Resources, TrialTemplate
from wazir.domain.trial import StopGoal, Trial, TrialState


def make_study(
    name: str = "s",
    *,
    uid: str = "",
    parallel: int | None = None,
    timeout: float | None = None,
    start_timeout: float | None = None,
    grace: float = 30.0,
    gpu: float = 0.0,
    metrics: MetricsFrom = MetricsFrom.PUSH,
    state: StudyState = StudyState.ACTIVE,
) -> Study:
    spec = StudySpec(
        objectives=(Objective("loss", Goal.MINIMIZE),),
        space=Space((Parameter("x", Double(0.0, 1.0)),)),
        budget=Budget(parallel=parallel),
        trial=TrialTemplate(
            command=("train", "${x}"),
            timeout=timeout,
            grace=grace,
            resources=Resources(gpu=gpu),
            metrics=MetricsSource(metrics),
            pod=PodOptions(start_timeout=start_timeout),
        ),
    )
    return Study(StudyName("default", name), uid or f"uid-{name}", spec, state, create_time=0.0, seed=1)


def make_trial(
    study: Study,
    trial_id: int,
    *,
    attempt: int = 1,
    state: TrialState = TrialState.ACTIVE,
    goal: StopGoal | None = None,
    reason: str = "",
    holder: str = "here",
    leased: bool = False,
    revision: int = 0,
) -> Trial:
    attempts = tuple(
        Attempt(n, AttemptState.STARTING if n == attempt else AttemptState.ENDED, 0.0, holder=holder, leased=leased)
        for n in range(1, attempt + 1)
    )
    if state is TrialState.STOPPING and goal is None:
        goal = StopGoal.STOP
    name = study.name.trial(trial_id)
    return Trial(name, state, {"x": 0.5}, 0.0, attempts=attempts, goal=goal, reason=reason, revision=revision)


@dataclass
class World:
    studies: dict[str, Watched] = field(default_factory=dict)
    executions: dict[Key, Execution] = field(default_factory=dict)
    told: dict[Key, float] = field(default_factory=dict)
    announced: dict[Key, Told] = field(default_factory=dict)
    busy: set[Key] = field(default_factory=set)
    later: dict[Key, float] = field(default_factory=dict)
    stale: set[Key] = field(default_factory=set)
    collected: dict[Key, float] = field(default_factory=dict)
    limits: Limits = Limits(default_parallel=2)
    quick: set[Key] = field(default_factory=set)
    """Of the busy ones, those whose call the service answers before anything else happens."""

    def snapshot(self) -> Snapshot:
        return Snapshot(
            list(self.studies.values()),
            dict(self.executions),
            dict(self.told),
            dict(self.announced),
            frozenset(self.busy),
            dict(self.later),
            frozenset(self.stale),
            dict(self.collected),
        )

    def plan(self, now: float) -> list[Action]:
        return plan(self.snapshot(), self.limits, now)

    def act(self, actions: Iterable[Action], now: float) -> None:
        for action in actions:
            match action:
                case Ask(study, count):
                    self.studies[study.study] = replace(self.studies[study.study], asking=count)
                case Launch(key, devices):
                    known = self.executions.get(key)
                    if known is not None:
                        assert known.partial, f"{key} is launched twice"
                        self.executions[key] = replace(known, partial=False)
                        continue
                    study_of = self.study_of(key)
                    assert study_of.spec.trial is not None
                    self.executions[key] = Execution(
                        key,
                        study_of.name,
                        Phase.STARTING,
                        now,
                        devices=devices or (),
                        gpus=study_of.spec.trial.resources.gpu,
                    )
                case Announce(key):
                    seen = self.executions[key]
                    self.announced[key] = Told(seen.phase, seen.waiting, now)
                    self.call(key)
                case Collect(key):
                    self.collected[key] = now
                    self.call(key)
                case Terminate(key, why):
                    assert self.executions[key].ending is None, f"{key} is terminated twice"
                    waited = self.executions[key]
                    self.executions[key] = replace(waited, ending=Ending(why, now, waited.waiting))
                case Kill(key):
                    assert not self.executions[key].killed, f"{key} is killed twice"
                    self.executions[key] = replace(self.executions[key], killed=True)
                case End(key, _):
                    self.busy.add(key)
                    self.quick.discard(key)
                case Forget(key):
                    del self.executions[key]
                case Discard(study, _, _):
                    self.studies[study.study] = replace(self.studies[study.study], spent=frozenset())
                case Wake(at):
                    assert at > now, "a time to wake up lies in the future"

    def call(self, key: Key) -> None:
        assert key not in self.busy, f"{key} has two calls under way"
        self.busy.add(key)
        self.quick.add(key)

    # ---- what happens by itself ---------------------------------------------------------------------------------

    def answer_quick(self) -> None:
        self.busy -= self.quick
        self.quick.clear()

    def study_of(self, key: Key) -> Study:
        return next(w.study for w in self.studies.values() if w.study.uid == key.uid)

    def trial(self, name: str, trial: Trial) -> None:
        watched = self.studies[name]
        assert trial.attempt is not None
        key = Key(watched.study.uid, trial.id, trial.attempt.number)
        trials = dict(watched.trials)
        if trial.state in (TrialState.ACTIVE, TrialState.STOPPING):
            trials[trial.id] = trial
        else:
            trials.pop(trial.id, None)
            self.busy.discard(key)
        self.studies[name] = replace(watched, trials=trials)

    def answer(self, name: str, trials: Iterable[Trial], short_until: float | None = None) -> None:
        """The service's answer to an ask."""
        watched = self.studies[name]
        short = None if short_until is None else Short(demand(watched.study), short_until)
        self.studies[name] = replace(watched, asking=0, short=short)
        for trial in trials:
            self.trial(name, trial)

    def exited(self, key: Key, ended: Exit) -> None:
        self.executions[key] = replace(self.executions[key], phase=Phase.ENDED, exit=ended)
