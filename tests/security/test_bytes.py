"""However much is stored with each trial: pages and frames end in time, and all of it is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from wazir.clients.client import Client
from wazir.domain.attempt import Cause
from wazir.domain.metric import Goal, Objective
from wazir.domain.study import Algorithm, StudySpec
from wazir.domain.trial import Measurement, TrialState
from wazir.proto.v1 import study_service_pb2 as api
from wazir.service import pages
from wazir.service.settings import ServiceSettings
from wazir.storage.memory import MemoryStore
from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Store

from .serving import SPEC, Served, serving

DONE = TrialState.SUCCEEDED
KIB = "x" * 1_024
TWO = StudySpec(
    (Objective("a", Goal.MINIMIZE), Objective("b", Goal.MINIMIZE)), SPEC.space, algorithm=Algorithm("random")
)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    kept = MemoryStore() if request.param == "memory" else open_sqlite(tmp_path / "wazir.db")
    yield kept
    kept.close()


@pytest.fixture
def served(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """Pages of 16 KiB, and answers of at most four of them, so that few trials show what millions would."""
    monkeypatch.setattr(pages, "PAGE_BYTES", 16 * 1_024)
    monkeypatch.setattr(pages, "CHUNK", 4)
    with serving(ServiceSettings(max_response=64 * 1_024), store) as served:
        yield served


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    with Client(served.address, retry_for=0) as client:
        yield client


def fill(client: Client, number: int, study: str = "s", size: int = 8) -> None:
    """Trials with `size` KiB of metadata each."""
    client.create_study(study, SPEC)
    for i in range(number):
        client.create_trial(study, {"x": i / 64}, metadata={"note": KIB * size})


def test_a_list_of_trials_is_read_whole_however_large_each_is(client: Client) -> None:
    fill(client, 30)
    assert [t.id for t in client.list_trials("s")] == [*range(1, 31)]
    assert [t.id for t in client.list_trials("s", descending=True)] == [*range(30, 0, -1)]


def test_a_trial_larger_than_a_page_is_a_page_of_its_own(client: Client) -> None:
    fill(client, 3, size=40)
    assert [len(t.metadata["note"]) for t in client.list_trials("s")] == [40 * 1_024] * 3


def test_a_page_ends_with_the_item_that_fills_it_and_says_that_more_follow(client: Client, served: Served) -> None:
    fill(client, 5)
    request = api.ListTrialsRequest(parent="owners/default/studies/s", page_size=100)
    answer = served.call("ListTrials", request, api.ListTrialsResponse)
    assert ([t.name.rpartition("/")[2] for t in answer.trials], answer.next_page_token) == (["1", "2"], "2")


def test_the_last_page_says_so(client: Client, served: Served) -> None:
    fill(client, 4, size=0)
    request = api.ListTrialsRequest(parent="owners/default/studies/s", page_size=4)
    assert served.call("ListTrials", request, api.ListTrialsResponse).next_page_token == ""


def test_studies_are_listed_and_watched_however_large_each_is(client: Client) -> None:
    for i in range(20):
        client.create_study(f"s{i:02}", SPEC, metadata={"note": KIB * 8})
    names = [f"s{i:02}" for i in range(20)]
    assert [s.name.study for s in client.list_studies()] == names

    heard: list[str] = []
    for changes in client.watch_studies():
        heard += [s.name.study for s in changes.studies]
        if len(heard) == len(names):
            break
    assert heard == names


def test_a_watch_tells_of_all_trials_in_several_frames(client: Client) -> None:
    fill(client, 30)
    heard: list[int] = []
    for changes in client.watch_trials("s"):
        heard += [t.id for t in changes.trials]
        if changes.revision == changes.study.revision:
            break
    assert sorted(set(heard)) == [*range(1, 31)]


def test_a_watch_that_breaks_off_within_a_large_change_hears_all_of_it_again(client: Client) -> None:
    """One revision that cancels 30 large trials is told in several frames, and only the last one has its number."""
    fill(client, 30)
    before = client.get_study("s").revision
    client.stop_study("s")
    watch = client.watch_trials("s", since=before)
    first = next(watch)
    assert (len(first.trials), first.revision) == (1, before)
    again = client.watch_trials("s", since=first.revision)
    heard = set[int]()
    while len(heard) < 30:
        heard |= {t.id for t in next(again).trials}


def test_suggestions_that_fill_an_answer_leave_the_others_waiting(client: Client) -> None:
    """An answer that is too large to be sent would have started trials that nobody hears of."""
    fill(client, 30)
    got: list[int] = []
    while len(got) < 30:
        answer = client.suggest("s", 30 - len(got), client_id="w", start=True)
        assert answer.trials
        got += [t.id for t in answer.trials]
    assert got == [*range(1, 31)]
    reattached = client.suggest("s", 30, client_id="w", start=True, reattach=True)
    assert 1 <= len(reattached.trials) < 30


def test_the_best_trials_are_read_in_pages(client: Client) -> None:
    client.create_study("one", SPEC)
    client.create_study("two", TWO)
    for i in range(20):
        client.create_trial("one", {"x": i / 64}, final={"loss": float(-i)}, state=DONE, metadata={"note": KIB * 8})
        both = {"a": float(i), "b": float(-i)}
        client.create_trial("two", {"x": i / 64}, final=both, state=DONE, metadata={"note": KIB * 8})
    assert [t.id for t in client.best_trials("one", 15)] == [*range(20, 5, -1)]
    assert [t.id for t in client.best_trials("two")] == [*range(1, 21)]
    assert [t.id for t in client.best_trials("two", 7)] == [*range(1, 8)]


def test_a_curve_is_read_in_pages_of_whole_steps(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "VALUES", 10)
    client.create_study("s", SPEC)
    (trial,) = client.suggest("s", client_id="w", start=True).trials
    metrics = {f"{KIB[:100]}{i}": float(i) for i in range(7)}
    curve = [Measurement(step, {"loss": step / 8, **metrics}, 0.0) for step in range(60)]
    client.report(trial.name, 1, curve)
    found = client.measurements(trial.name)
    assert [(m.step, dict(m.metrics)) for m in found] == [(m.step, dict(m.metrics)) for m in curve]
    client.end_attempt(trial.name, 1, Cause.SUCCEEDED)
