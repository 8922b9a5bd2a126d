"""`kill -9` of `wazir serve` under clients that ask, report and tell: what it acknowledged is there when it is back."""

import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from wazir.clients.client import Client
from wazir.clients.local_address import address_of
from wazir.domain.attempt import Cause
from wazir.domain.metric import Goal, Objective
from wazir.domain.space import Double, Parameter, Space
from wazir.domain.study import Algorithm, Budget, Stopping, StudySpec, StudyState
from wazir.domain.trial import Measurement, Trial, TrialState

from ..clients.served import serving
from .world import World

pytestmark = pytest.mark.slow

TRIALS = 12

WORKER = """
import json, os, sys, time
import wazir

def note(what, trial, step=0):
    line = {"what": what, "trial": trial.id, "attempt": trial.attempt, "pid": os.getpid(), "time": time.monotonic(),
            "study": "asked", "step": step}
    file = os.open(os.environ["WAZIR_FAULTS"] + "/notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, json.dumps(line).encode() + b"\\n")
    os.close(file)

study = wazir.load_study("asked", address=sys.argv[1])
while True:
    try:
        trial = study.ask()
    except wazir.StudyEnded:
        break
    note("start", trial)
    for step in range(1, 5):
        trial.report("loss", trial.params["x"] + 1 / step, step=step)
        if trial.flush(30.0):
            note("acknowledged", trial, step)
    study.tell(trial, trial.params["x"])
    note("told", trial)
"""

SPEC = StudySpec(
    objectives=(Objective("loss", Goal.MINIMIZE),),
    space=Space((Parameter("x", Double(0.0, 1.0)),)),
    algorithm=Algorithm("quasirandom", seed=1),
    budget=Budget(trials=TRIALS, parallel=2),
)


def serve(world: World) -> "subprocess.Popen[bytes]":
    server = world.wazir("serve", "--db", str(world.database), "--listen", "127.0.0.1:0")
    world.says(server, "Serving")
    return server


def test_workers_do_not_notice_that_the_service_dies_and_comes_back(world: World) -> None:
    server = serve(world)
    with Client(address_of(world.database)) as client:
        client.create_study("asked", SPEC)
    workers = [world.python(WORKER, address_of(world.database)) for _ in range(2)]
    for told in (2, 5, 8):
        world.noted(told, "told")
        server.kill()
        server.wait()
        server = serve(world)
    assert [world.ended(worker) for worker in workers] == [0, 0], world.describe()
    with Client(address_of(world.database)) as client:
        study = client.get_study("asked")
        trials = list(client.list_trials("asked"))
        measured = {t.id: {m.step for m in client.measurements(t.name)} for t in trials}
    assert study.state is StudyState.COMPLETED
    assert [t.id for t in trials] == list(range(1, TRIALS + 1))
    assert {t.state for t in trials} == {TrialState.SUCCEEDED}
    assert study.counts[TrialState.SUCCEEDED] == TRIALS
    assert sorted(n.trial for n in world.notes("told")) == list(range(1, TRIALS + 1)), "told twice, or never"
    assert all(t.final == {"loss": t.parameters["x"]} for t in trials)
    assert all(n.step in measured[n.trial] for n in world.notes("acknowledged"))
    world.check_no_two_at_once(world.notes())


def test_a_repeated_request_is_answered_as_before_the_service_died(world: World) -> None:
    """Whoever did not get an answer asks again with the same id: nothing is done twice."""
    server = serve(world)
    with Client(address_of(world.database), retry_for=60.0) as client:
        study = client.create_study("asked", SPEC).name

        def ask() -> list[tuple[int, int]]:
            answer = client.suggest(study, 2, client_id="one", start=True, request_id="ask-1")
            return [(t.id, t.attempt.number if t.attempt else 0) for t in answer.trials]

        def add() -> int:
            return client.create_trial(study, {"x": 0.25}, request_id="add-1").id

        first, added = ask(), add()
        measurement = Measurement(1, {"loss": 0.5}, 1.0)
        client.report(f"asked/{first[0][0]}", first[0][1], [measurement])
        ended = client.end_attempt(f"asked/{first[0][0]}", first[0][1], Cause.SUCCEEDED)
        before = client.get_study(study)
        server.kill()
        server.wait()
        server = serve(world)
        assert ask() == first
        assert add() == added
        assert client.end_attempt(f"asked/{first[0][0]}", first[0][1], Cause.SUCCEEDED) == ended
        assert client.get_study(study) == before
        assert len(list(client.list_trials(study))) == 3
        assert client.measurements(f"asked/{first[0][0]}") == [measurement]


RULES = (
    Stopping("median", {"min_trials": 3}),
    Stopping("asha", {"max": 4, "eta": 2}),
    Stopping("curve", {"min_trials": 3, "probability": 0.2}),
)


def decisions(client: Client, rule: Stopping, between: Callable[[Client], Client]) -> list[tuple[int, int, str]]:
    """Ten trials of up to four steps, two at a time: what the rule said, by trial and step. `between` two reports."""
    spec = replace(SPEC, stopping=rule, budget=Budget(trials=10, parallel=2))
    study = client.create_study(rule.name, spec).name
    said: list[tuple[int, int, str]] = []
    live: list[Trial] = []
    done: dict[int, int] = {}
    while live := [*live, *client.suggest(study, 2 - len(live), client_id="one", start=True).trials]:
        trial = live.pop(0)
        step = done[trial.id] = done.get(trial.id, 0) + 1
        loss = float(trial.parameters["x"]) + 1 / step
        told = client.report(trial.name, 1, [Measurement(step, {"loss": loss}, 1.0)])
        client = between(client)
        if told.stop is not None:
            said.append((trial.id, step, told.reason))
            stored = client.get_trial(trial.name)
            assert (stored.state, stored.reason) == (TrialState.STOPPING, told.reason)
            assert client.report(trial.name, 1, [Measurement(step, {"loss": loss}, 1.0)]) == told, "it stands"
        if told.stop is not None or step == 4:
            client.end_attempt(trial.name, 1, Cause.SUCCEEDED)
        else:
            live.append(trial)
    return said


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_service_that_dies_decides_about_curves_as_one_that_does_not(world: World, rule: Stopping) -> None:
    server = serve(world)
    count = 0

    def killed(client: Client) -> Client:
        nonlocal server, count
        count += 1
        # No multiple of the steps or of the trials at once, so that it dies at each of them.
        if count % 7 == 0:
            server.kill()
            server.wait()
            server = serve(world)
        return client

    with tempfile.TemporaryDirectory() as folder, serving("memory", Path(folder)) as address, Client(address) as client:
        undisturbed = decisions(client, rule, lambda client: client)
    with Client(address_of(world.database), retry_for=60.0) as client:
        assert decisions(client, rule, killed) == undisturbed
    assert undisturbed, "the rule has stopped somebody"


def test_a_watch_that_was_quiet_for_long_goes_on_after_a_break(world: World) -> None:
    """Patience is counted from the break: here it is shorter than the quiet before."""
    server = serve(world)
    patience = 6.0
    with Client(address_of(world.database), retry_for=patience) as client:
        study = client.create_study("asked", SPEC).name
        watch = client.watch_trials(study)
        seen = next(watch).revision
        quiet_since = time.monotonic()
        world.until(lambda: time.monotonic() > quiet_since + patience, "it has been quiet for long enough")
        server.kill()
        server.wait()
        serve(world)
        added = client.create_trial(study, {"x": 0.5})
        changes = next(c for c in watch if c.revision > seen)
        assert [t.id for t in changes.trials] == [added.id]
