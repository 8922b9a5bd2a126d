"""The token of an attempt: for its own trial, and for nothing else, until the attempt ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.clients.client import Client
from wazir.controller.local.runtime import LocalRuntime
from wazir.controller.loop import Controller, Finish
from wazir.controller.settings import Settings
from wazir.domain.access import Role
from wazir.domain.attempt import Attempt, AttemptState, Cause
from wazir.domain.errors import NotFound, PermissionDenied, StaleAttempt, Unauthenticated, WazirError
from wazir.domain.names import StudyName, TrialName
from wazir.domain.space import Double, Parameter
from wazir.domain.study import Budget, StudyState
from wazir.domain.template import TrialTemplate
from wazir.domain.trial import Measurement, Trial, TrialState
from wazir.proto.v1 import study_service_pb2 as api
from wazir.proto.v1 import study_service_pb2_grpc
from wazir.service.security.attempt_tokens import AttemptTokens
from wazir.service.security.callers import OwnAttempt
from wazir.storage.memory import MemoryStore

from .serving import SETTINGS, SPEC, Served, serving

KEY = b"k" * 32


@dataclass
class World:
    """A study with two trials that run, and who may call about the first."""

    served: Served
    boss: Client
    trials: tuple[Trial, ...]
    tokens: tuple[str, ...]

    def as_code(self, index: int = 0) -> Client:
        return Client(self.served.address, token=self.tokens[index], retry_for=0)


@pytest.fixture
def world() -> Iterator[World]:
    with serving() as served:
        boss = Client(served.address, token=served.token("vision", Role.ADMIN), retry_for=0)
        with boss:
            boss.create_study("vision/s", SPEC)
            answer = boss.suggest("vision/s", 2, client_id="c", start=True)
            yield World(served, boss, answer.trials, tuple(answer.tokens[t.id] for t in answer.trials))


def test_the_code_of_a_trial_can_do_what_training_code_does(world: World) -> None:
    name = world.trials[0].name
    with world.as_code() as code:
        assert code.heartbeat(name, 1).stop is None
        assert code.report(name, 1, [Measurement(1, {"loss": 0.5}, 0.0)]).stop is None
        assert code.update_metadata(name, {"checkpoint": "a"}) == {"checkpoint": "a"}
        assert code.get_trial(name).name == name
        assert code.measurements(name)[0].metrics == {"loss": 0.5}
        assert code.get_study("vision/s").name == name.parent


REFUSED: dict[str, Callable[[Client, TrialName, TrialName], object]] = {
    "another trial's measurements": lambda code, own, other: code.report(other, 1, []),
    "another trial's heartbeat": lambda code, own, other: code.heartbeat(other, 1),
    "reading another trial": lambda code, own, other: code.get_trial(other),
    "another trial's curve": lambda code, own, other: code.measurements(other),
    "another trial's metadata": lambda code, own, other: code.update_metadata(other, {"a": "b"}),
    "the study's metadata": lambda code, own, other: code.update_metadata(own.parent, {"a": "b"}),
    "the list of trials": lambda code, own, other: list(code.list_trials(own.parent)),
    "the best trials": lambda code, own, other: code.best_trials(own.parent),
    "the list of studies": lambda code, own, other: list(code.list_studies(owner="vision")),
    "watching the study": lambda code, own, other: next(iter(code.watch_trials(own.parent))),
    "asking for trials": lambda code, own, other: code.suggest(own.parent, start=True),
    "starting itself": lambda code, own, other: code.start_attempt(own, client_id="x"),
    "saying how it ended": lambda code, own, other: code.end_attempt(own, 1, Cause.SUCCEEDED),
    "stopping itself": lambda code, own, other: code.stop_trial(own),
    "cancelling itself": lambda code, own, other: code.cancel_trial(own),
    "retrying itself": lambda code, own, other: code.retry_trial(own),
    "deleting itself": lambda code, own, other: code.delete_trial(own),
    "ending the study": lambda code, own, other: code.stop_study(own.parent),
    "deleting the study": lambda code, own, other: code.delete_study(own.parent, force=True),
    "enqueuing a trial": lambda code, own, other: code.create_trial(own.parent, {"x": 0.5}),
    "a study of its own": lambda code, own, other: code.create_study("vision/mine", SPEC),
    "another attempt of its trial": lambda code, own, other: code.heartbeat(own, 2),
    "where it runs": lambda code, own, other: code.heartbeat(own, 1, node="elsewhere"),
    "which GPUs it holds": lambda code, own, other: code.heartbeat(own, 1, gpus=1024.0),
    "which file people read as its log": lambda code, own, other: code.heartbeat(own, 1, log_path="/etc/passwd"),
    "what it waits for": lambda code, own, other: code.heartbeat(own, 1, message="pay here"),
    "since when it runs": lambda code, own, other: code.heartbeat(own, 1, state=AttemptState.RUNNING, run_time=1.0),
    "a parameter of the study": lambda code, own, other: code.add_parameter(own, 1, Parameter("y", Double(0.0, 1.0))),
    "its own token again": lambda code, own, other: code.attempt_token(own),
}


@pytest.mark.parametrize("what", REFUSED)
def test_and_nothing_else(world: World, what: str) -> None:
    before = world.boss.get_study("vision/s").revision
    with world.as_code() as code, pytest.raises(PermissionDenied) as refusal:
        REFUSED[what](code, world.trials[0].name, world.trials[1].name)
    assert world.tokens[0] not in refusal.value.message
    assert world.boss.get_study("vision/s").revision == before


def test_it_ends_with_its_attempt(world: World) -> None:
    name = world.trials[0].name
    world.boss.end_attempt(name, 1, Cause.PREEMPTED)
    again = world.boss.start_attempt(name, client_id="c")
    assert (again.state, len(again.attempts)) == (TrialState.ACTIVE, 2)
    calls: list[Callable[[Client], object]] = [
        lambda code: code.heartbeat(name, 1),
        lambda code: code.report(name, 1, [Measurement(1, {"loss": 0.5}, 0.0)]),
        lambda code: code.update_metadata(name, {"a": "b"}),
        lambda code: code.get_trial(name),
        lambda code: code.get_study("vision/s"),
    ]
    with world.as_code() as code:
        for call in calls:
            with pytest.raises(StaleAttempt):
                call(code)
    assert world.boss.measurements(name) == []
    assert dict(world.boss.get_trial(name).metadata) == {}
    successor = world.boss.attempt_token(name)
    assert successor not in world.tokens
    with Client(world.served.address, token=successor, retry_for=0) as code:
        assert code.heartbeat(name, 2).stop is None


def test_it_is_worth_nothing_for_a_study_made_anew_under_the_same_name(world: World) -> None:
    name = world.trials[0].name
    world.boss.delete_study("vision/s", force=True)
    with world.as_code() as code, pytest.raises(NotFound):
        code.heartbeat(name, 1)
    world.boss.create_study("vision/s", SPEC)
    (trial,) = world.boss.suggest("vision/s", start=True).trials
    assert trial.name == name
    with world.as_code() as code, pytest.raises(NotFound, match="was deleted"):
        code.heartbeat(name, 1)


def test_a_repeated_call_gives_the_same_one_and_lists_give_none(world: World) -> None:
    with grpc.insecure_channel(world.served.address) as channel:
        stub: Any = study_service_pb2_grpc.StudyServiceStub(channel)
        bearer = [("authorization", f"Bearer {world.served.token('vision', Role.EDITOR)}")]
        viewer = [("authorization", f"Bearer {world.served.token('vision', Role.VIEWER)}")]
        asked = api.SuggestTrialsRequest(parent="vision/s", start=True, client_id="d", request_id="r")
        tokens = {stub.SuggestTrials(asked, metadata=bearer).trials[0].attempts[0].token for _ in range(2)}
        world.boss.end_attempt("vision/s/3", 1, Cause.PREEMPTED)
        start = api.StartAttemptRequest(name="vision/s/3", client_id="d", request_id="t")
        tokens |= {stub.StartAttempt(start, metadata=bearer).trial.attempts[1].token for _ in range(2)}
        assert len(tokens) == 2
        assert "" not in tokens
        assert stub.GetTrial(api.GetTrialRequest(name="vision/s/3"), metadata=bearer).attempts[1].token == ""
        listed = stub.ListTrials(api.ListTrialsRequest(parent="vision/s"), metadata=bearer)
        assert not any(attempt.token for trial in listed.trials for attempt in trial.attempts)
        watched = next(stub.WatchTrials(api.WatchTrialsRequest(parent="vision/s"), metadata=bearer))
        assert not any(attempt.token for trial in watched.trials for attempt in trial.attempts)
        with pytest.raises(grpc.RpcError) as refusal:
            stub.GetTrial(api.GetTrialRequest(name="vision/s/3", attempt_token=True), metadata=viewer)
    error: Any = refusal.value
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED


def test_every_server_of_a_database_knows_it_and_those_of_another_do_not(world: World) -> None:
    name = world.trials[0].name
    with serving(store=world.served.store) as second, Client(second.address, token=world.tokens[0]) as code:
        assert code.heartbeat(name, 1).stop is None
    with (
        serving() as stranger,
        Client(stranger.address, token=world.tokens[0], retry_for=0) as code,
        pytest.raises(Unauthenticated, match="not one of this service"),
    ):
        code.heartbeat(name, 1)


def test_a_key_given_to_the_servers_is_not_in_the_database() -> None:
    store = MemoryStore()
    with serving(replace(SETTINGS, server_key=KEY), store=store):
        assert store.read(lambda view: view.secret("attempt-tokens")) is None
    store.close()


def test_a_service_that_asks_for_no_tokens_gives_none(tmp_path: Path) -> None:
    with serving(replace(SETTINGS, authenticate=False)) as served, Client(served.address, token="") as client:
        client.create_study("s", SPEC)
        assert client.suggest("s", start=True).tokens == {}
        assert client.attempt_token("s/1") == ""


# Forgery

TOKENS = AttemptTokens(KEY)
TRIAL = Trial(
    StudyName("vision", "s").trial(7),
    TrialState.ACTIVE,
    {},
    0.0,
    attempts=(Attempt(1, AttemptState.ENDED, 0.0), Attempt(2, AttemptState.RUNNING, 0.0)),
)


def test_a_token_says_whose_it_is() -> None:
    assert TOKENS.attempt(TOKENS.token("uid", TRIAL)) == OwnAttempt("uid", TRIAL.name, 2)
    assert TOKENS.token("uid", replace(TRIAL, attempts=TRIAL.attempts[:1])) == ""
    assert TOKENS.token("uid", replace(TRIAL, attempts=())) == ""


@given(st.text() | st.integers(0, 150).flatmap(lambda n: st.characters().map(lambda c: _changed(n, c))))
def test_whatever_is_not_a_token_is_refused(text: str) -> None:
    good = TOKENS.token("uid", TRIAL)
    if text != good:
        with pytest.raises(Unauthenticated):
            TOKENS.attempt(text)


def _changed(place: int, letter: str) -> str:
    good = TOKENS.token("uid", TRIAL)
    place %= len(good)
    return good[:place] + letter + good[place + 1 :]


def test_another_key_gives_another_token() -> None:
    with pytest.raises(WazirError):
        AttemptTokens(b"l" * 32).attempt(TOKENS.token("uid", TRIAL))


# From the controller to the training code

TRAIN = """
import os, wazir
assert os.environ["WAZIR_TOKEN"].startswith("wza_"), "no token of its own"
assert not os.environ["WAZIR_TOKEN_FILE"], "the controller's token"
trial = wazir.current_trial()
trial.report({"loss": trial.params["x"]}, step=1)
assert trial.flush(30), "not delivered"
"""


def test_a_controller_hands_each_training_the_token_of_its_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAZIR_TOKEN_FILE", str(tmp_path / "token"))
    with serving() as served:
        (tmp_path / "token").write_text(served.token("vision", Role.EDITOR))
        template = TrialTemplate(command=(sys.executable, "-c", TRAIN))
        with Client(served.address, retry_for=30) as client:
            client.create_study("vision/s", replace(SPEC, trial=template, budget=Budget(trials=3, parallel=2)))
            # A trial of an earlier controller that went away before it was launched: its token must be asked for.
            runtime = LocalRuntime(tmp_path / "runs")
            client.suggest("vision/s", client_id=runtime.identity, start=True, leased=False)
            controller = Controller(client, runtime, [StudyName("vision", "s")], Settings(served.address))
            assert controller.run() is Finish.DONE
            runtime.close()
            study = client.get_study("vision/s")
            ended = [(t.state, t.reason) for t in client.list_trials("vision/s")]
            assert ended == [(TrialState.SUCCEEDED, "")] * 3
            assert study.state is StudyState.COMPLETED
