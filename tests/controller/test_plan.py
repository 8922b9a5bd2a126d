"""The planner, by scenarios (`tests/scenarios/*.txt`) and by properties.

A scenario is a list of what happens and of ticks; under each tick stand the actions that were planned. The words:

    limits parallel=4 devices=0,1 mode=drain patience=9     the controller's limits; devices=cluster: a scheduler's
    study [NAME] parallel=2 timeout=60 grace=10 gpu=0.5 metrics=stdout state=paused uid=u2
                                                            a study as it is now
    gone NAME                                               it was deleted
    trial ID STATE [attempt=2] [goal=cancel] [study=NAME]   a trial as the service says
    spent ID...    spent all                                checkpoints of these trials, of all, may go
    answer ID... [short=SECOND] [study=NAME]                the service answers an ask with these trials
    run ID [attempt=1] [at=5] [uid=u1] [study=NAME] [devices=0] [gpus=1]      an execution is seen running
    run ID silent                                           its node answers no more
    wait ID [partial] [words=no_GPU] [stuck=SECOND] [too_large=SECOND]   it is seen waiting to be started; _ is a blank
    exit ID [CODE] [attempt=1] [at=9] [fault=lost] [error=WORDS]              it is seen ended
    failed ID later=20   stale ID                           a call about it failed; was refused as stale
    tick SECOND                                             plan, and act

Calls that announce and collect are answered before the next tick. After each tick the planner is asked again at the
same second and must want nothing more.

`WAZIR_REWRITE=1 pytest tests/controller/test_plan.py` writes what is planned now into the files, to be read in the
diff.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.controller.execution import Ending, Execution, Exit, Fault, Key, Phase, Why
from wazir.controller.plan import (
    Action,
    Ask,
    Discard,
    Forget,
    Kill,
    Launch,
    Limits,
    Mode,
    Short,
    Terminate,
    Told,
    Wake,
    Watched,
    demand,
)
from wazir.controller.slots import Held, used
from wazir.domain.study import StudyState
from wazir.domain.template import MetricsFrom
from wazir.domain.trial import StopGoal, TrialState

from .world import World, make_study, make_trial


def _devices(text: str) -> tuple[str, ...] | None:
    return None if text == "cluster" else tuple(text.split(","))


SCENARIOS = sorted((Path(__file__).parent.parent / "scenarios").glob("*.txt"))


def show(action: Action) -> str:
    """An action in words, with keys as people read them: `name` or `name#attempt`."""
    match action:
        case Ask(study, count):
            return f"ask {study.study} for {count}"
        case Wake(at):
            return f"wake at {at:g}"
        case Launch(key, devices):
            on = "" if devices is None else f" on GPU {','.join(devices) or 'none'}"
            return f"launch {key}{on}"
        case Terminate(key, why):
            return f"terminate {key}: {why.value}"
        case Discard(_, uid, trials):
            return f"discard {uid}/{'*' if trials is None else ','.join(map(str, sorted(trials)))}"
    key = action.key
    outcome = getattr(action, "outcome", None)
    if outcome is None:
        return f"{type(action).__name__.lower()} {key}"
    code = "" if outcome.exit_code is None else f" ({outcome.exit_code})"
    return f"end {key}: {outcome.cause.value}{code}{' ' if outcome.message else ''}{outcome.message}"


class Scenario:
    """Runs the lines of a scenario."""

    def __init__(self) -> None:
        self.world = World()
        self.settings: dict[str, dict[str, str]] = {}

    def line(self, text: str) -> list[str]:
        """What is to stand under the line."""
        verb, *words = text.split()
        options = dict(word.split("=", 1) for word in words if "=" in word)
        plain = [word for word in words if "=" not in word]
        result = getattr(self, verb)(plain, options)
        return result if isinstance(result, list) else []

    def tick(self, plain: list[str], options: dict[str, str]) -> list[str]:
        now = float(plain[0])
        self.world.answer_quick()
        for watched in self.world.studies.values():
            for trial in watched.trials.values():
                assert trial.attempt is not None
                if trial.state is TrialState.STOPPING:
                    self.world.told.setdefault(Key(watched.study.uid, trial.id, trial.attempt.number), now)
        actions = self.world.plan(now)
        self.world.act(actions, now)
        again = self.world.plan(now)
        assert [a for a in again if not isinstance(a, Wake)] == [], "replanning after acting yields nothing"
        return [show(a) for a in actions] or ["nothing"]

    def limits(self, plain: list[str], options: dict[str, str]) -> None:
        limits = self.world.limits
        self.world.limits = replace(
            limits,
            parallel=int(options["parallel"]) if "parallel" in options else limits.parallel,
            devices=_devices(options["devices"]) if "devices" in options else limits.devices,
            patience=float(options.get("patience", limits.patience)),
            mode=Mode(options.get("mode", limits.mode.value)),
        )

    def study(self, plain: list[str], options: dict[str, str]) -> None:
        name = plain[0] if plain else "s"
        known = self.settings.setdefault(name, {})
        known.update(options)
        made = make_study(
            name,
            uid=known.get("uid", name),
            parallel=int(known["parallel"]) if "parallel" in known else None,
            timeout=float(known["timeout"]) if "timeout" in known else None,
            grace=float(known.get("grace", 30)),
            start_timeout=float(known["start_timeout"]) if "start_timeout" in known else None,
            gpu=float(known.get("gpu", 0)),
            metrics=MetricsFrom(known.get("metrics", "push")),
            state=StudyState(known.get("state", "active")),
        )
        before = self.world.studies.get(name)
        if before is not None and before.study.uid == made.uid:
            made = replace(made, spec_version=before.study.spec_version + (made.spec != before.study.spec))
            self.world.studies[name] = replace(before, study=made)
        else:
            self.world.studies[name] = Watched(made)

    def gone(self, plain: list[str], options: dict[str, str]) -> None:
        self.world.studies[plain[0]] = replace(self.world.studies[plain[0]], gone=True)

    def spent(self, plain: list[str], options: dict[str, str]) -> None:
        name = options.get("study", "s")
        trials = None if plain == ["all"] else frozenset(map(int, plain))
        self.world.studies[name] = replace(self.world.studies[name], spent=trials)

    def trial(self, plain: list[str], options: dict[str, str]) -> None:
        name = options.get("study", "s")
        goal = StopGoal(options["goal"]) if "goal" in options else None
        self.world.trial(
            name,
            make_trial(
                self.world.studies[name].study,
                int(plain[0]),
                attempt=int(options.get("attempt", 1)),
                state=TrialState(plain[1]),
                goal=goal,
                reason=options.get("reason", ""),
            ),
        )

    def answer(self, plain: list[str], options: dict[str, str]) -> None:
        name = options.get("study", "s")
        trials = [make_trial(self.world.studies[name].study, int(word)) for word in plain]
        self.world.answer(name, trials, float(options["short"]) if "short" in options else None)

    def wait(self, plain: list[str], options: dict[str, str]) -> None:
        key = self._key(plain, options)
        known = self.world.executions.get(key) or Execution(
            key, make_study(options.get("study", "s")).name, Phase.STARTING, float(options.get("at", 0))
        )
        self.world.executions[key] = replace(
            known,
            waiting=options.get("words", "").replace("_", " "),
            stuck_since=float(options["stuck"]) if "stuck" in options else None,
            too_large_since=float(options["too_large"]) if "too_large" in options else None,
            partial="partial" in plain,
        )

    def run(self, plain: list[str], options: dict[str, str]) -> None:
        key = self._key(plain, options)
        known = self.world.executions.get(key)
        if known is not None:
            self.world.executions[key] = replace(known, phase=Phase.RUNNING, waiting="", silent="silent" in plain)
            return
        self.world.executions[key] = Execution(
            key,
            make_study(options.get("study", "s")).name,
            Phase.RUNNING,
            float(options.get("at", 0)),
            devices=tuple(options["devices"].split(",")) if "devices" in options else (),
            gpus=float(options.get("gpus", 0)),
        )

    def exit(self, plain: list[str], options: dict[str, str]) -> None:
        key = self._key(plain, options)
        fault = Fault(options["fault"]) if "fault" in options else None
        code = int(plain[1]) if len(plain) > 1 else None
        self.world.exited(key, Exit(code, float(options.get("at", 0)), fault, options.get("error", "")))

    def failed(self, plain: list[str], options: dict[str, str]) -> None:
        key = self._key(plain, options)
        self.world.busy.discard(key)
        self.world.later[key] = float(options["later"])

    def stale(self, plain: list[str], options: dict[str, str]) -> None:
        key = self._key(plain, options)
        self.world.busy.discard(key)
        self.world.stale.add(key)

    def _key(self, plain: list[str], options: dict[str, str]) -> Key:
        name = options.get("study", "s")
        uid = options.get("uid", self.settings.get(name, {}).get("uid", name))
        return Key(uid, int(plain[0]), int(options.get("attempt", 1)))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda p: p.stem)
def test_scenario(path: Path) -> None:
    scenario = Scenario()
    written: list[str] = []
    for line in path.read_text().splitlines():
        if line.startswith("    "):
            continue  # what was planned before
        written.append(line)
        if line and not line.startswith("#"):
            written.extend(f"    {action}" for action in scenario.line(line))
    text = "\n".join(written) + "\n"
    if os.environ.get("WAZIR_REWRITE"):
        path.write_text(text)
    assert text == path.read_text()


# ---- properties -------------------------------------------------------------------------------------------------

TIMES = st.sampled_from([0.0, 5.0, 20.0, 100.0])


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Any state of affairs, also such as no sane history leads to."""
    world = World()
    world.limits = Limits(
        parallel=draw(st.none() | st.integers(1, 6)),
        default_parallel=draw(st.integers(1, 3)),
        devices=draw(st.none() | st.integers(0, 3).map(lambda n: tuple(map(str, range(n))))),
        mode=draw(st.sampled_from(Mode)),
    )
    for name in draw(st.sets(st.sampled_from(["a", "b"]), min_size=1)):
        study = make_study(
            name,
            parallel=draw(st.none() | st.integers(1, 4)),
            timeout=draw(st.none() | st.just(10.0)),
            grace=draw(st.sampled_from([0.0, 10.0])),
            gpu=draw(st.sampled_from([0.0, 0.3, 0.5, 1.0, 2.0])),
            metrics=draw(st.sampled_from(MetricsFrom)),
            state=draw(st.sampled_from(StudyState)),
        )
        trials = {
            i: make_trial(
                study,
                i,
                attempt=draw(st.integers(1, 2)),
                state=draw(st.sampled_from([TrialState.ACTIVE, TrialState.STOPPING])),
                goal=draw(st.sampled_from(StopGoal)),
            )
            for i in draw(st.sets(st.integers(1, 4)))
        }
        short = draw(st.none() | st.builds(Short, st.just(demand(study)), TIMES))
        asking = draw(st.integers(0, 1))
        world.studies[name] = Watched(study, trials, draw(st.booleans()), asking, short)
    names = [*world.studies, "elsewhere"]
    for name in draw(st.lists(st.sampled_from(names), max_size=6)):
        uid = draw(st.sampled_from([f"uid-{name}", f"old-{name}"]))
        key = Key(uid, draw(st.integers(1, 5)), draw(st.integers(1, 2)))
        phase = draw(st.sampled_from(Phase))
        ended = Exit(draw(st.sampled_from([0, 1, -9])), 30.0) if phase is Phase.ENDED else None
        fault = draw(st.none() | st.sampled_from(Fault))
        if ended is not None and fault is not None:
            ended = Exit(None, 30.0, fault, "broken")
        ending = draw(st.none() | st.builds(Ending, st.sampled_from(Why), TIMES))
        # What runs holds GPUs that nobody else holds: the planner gave them.
        world.executions[key] = Execution(
            key,
            make_study(name).name,
            phase,
            draw(TIMES),
            ended,
            ending,
            ending is not None and draw(st.booleans()),
            waiting=draw(st.sampled_from(["", "no GPU"])),
            stuck_since=draw(st.none() | TIMES),
            too_large_since=draw(st.none() | TIMES),
            partial=phase is Phase.STARTING and draw(st.booleans()),
        )
    keys = [*world.executions, *(Key(w.study.uid, t, 1) for w in world.studies.values() for t in w.trials)]
    if keys:
        some = st.sets(st.sampled_from(keys))
        world.busy, world.stale = draw(some), draw(some)
        told = st.builds(Told, st.sampled_from(Phase), st.sampled_from(["", "no GPU"]), TIMES)
        world.announced = draw(st.dictionaries(st.sampled_from(keys), told))
        world.told, world.later, world.collected = (
            draw(st.dictionaries(st.sampled_from(keys), TIMES)) for _ in range(3)
        )
    return world


@given(worlds(), TIMES)
def test_replanning_after_acting_yields_nothing(world: World, now: float) -> None:
    world.act(world.plan(now), now)
    assert [a for a in world.plan(now) if not isinstance(a, Wake)] == []


@given(worlds(), TIMES)
def test_nothing_is_slept_through(world: World, now: float) -> None:
    """Launches and calls come back with news; of a signal nobody tells when the grace after it is over."""
    actions = world.plan(now)
    world.act([a for a in actions if isinstance(a, Terminate | Kill | Forget)], now)
    due = min((a.at for a in actions if isinstance(a, Wake)), default=float("inf"))
    later = min((a.at for a in world.plan(now) if isinstance(a, Wake)), default=float("inf"))
    assert due <= later


@given(worlds(), TIMES)
def test_no_limit_is_passed(world: World, now: float) -> None:
    before = {key for key, e in world.executions.items() if e.phase is not Phase.ENDED}
    actions = world.plan(now)
    launched = [a for a in actions if isinstance(a, Launch)]
    asked = sum(a.count for a in actions if isinstance(a, Ask))
    if world.limits.parallel is not None and launched:
        assert len(before) + len(launched) <= world.limits.parallel
    for watched in world.studies.values():
        mine = [a for a in launched if a.key.uid == watched.study.uid]
        alive = [key for key in before if key.uid == watched.study.uid]
        parallel = watched.study.spec.budget.parallel or world.limits.default_parallel
        if mine:
            assert len(alive) + len(mine) <= parallel
    if world.limits.mode is not Mode.RUN:
        assert launched == []
        assert asked == 0
    world.act(actions, now)
    held = [Held(e.devices, e.gpus) for e in world.executions.values() if e.devices and e.phase is not Phase.ENDED]
    assert all(part <= 1 + 1e-6 for part in used(world.limits.devices or (), held).values())


@given(worlds(), TIMES)
def test_what_belongs_to_others_is_left_alone(world: World, now: float) -> None:
    touched = {getattr(a, "key", None) for a in world.plan(now)}
    assert not any(key is not None and key.uid.endswith("elsewhere") for key in touched)


@given(worlds(), TIMES)
def test_the_same_snapshot_gives_the_same_plan(world: World, now: float) -> None:
    assert world.plan(now) == world.plan(now)
