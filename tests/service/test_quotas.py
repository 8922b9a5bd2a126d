"""What one owner may hold, on every kind of store: counted by the database, refused in words, and freed by deleting."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from wazir.app.quotas import quotas_of
from wazir.clients.client import Client
from wazir.domain.attempt import Cause
from wazir.domain.errors import InvalidArgument, ResourceExhausted
from wazir.domain.trial import Measurement
from wazir.service.quotas import Quota, QuotaSettings
from wazir.service.settings import ServiceSettings
from wazir.storage.memory import MemoryStore
from wazir.storage.open import open_store
from wazir.storage.postgres import open_postgres
from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Store, Usage

from ..security.serving import SPEC, serving

QUOTAS = QuotaSettings(Quota(studies=2, trials=10, bytes=1_000_000), {"large": Quota(trials=100)})
TEXT = "x" * 60_000


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    kept: Store
    if request.param == "memory":
        kept = MemoryStore()
    elif request.param == "sqlite":
        kept = open_sqlite(tmp_path / "wazir.db")
    else:
        kept = open_postgres(request.getfixturevalue("postgres").fresh())
    yield kept
    kept.close()


@pytest.fixture
def client(store: Store) -> Iterator[Client]:
    with serving(ServiceSettings(quotas=QUOTAS), store) as served, Client(served.address, retry_for=0) as client:
        yield client


def used(store: Store, owner: str = "default") -> Usage:
    return next(iter(store.read(lambda view: view.usage(owner))), Usage(owner))


def test_studies_are_counted_and_a_deleted_one_makes_room(client: Client, store: Store) -> None:
    client.create_study("a", SPEC)
    client.create_study("b", SPEC)
    with pytest.raises(
        ResourceExhausted, match=r"^default has 2 of the 2 studies that its quota allows\. Delete studies or trials"
    ):
        client.create_study("c", SPEC)
    client.create_study("a", SPEC, resume=True)
    client.create_study("owners/other/studies/c", SPEC)

    client.delete_study("b")
    client.create_study("c", SPEC)
    assert used(store).studies == 2


def test_trials_are_suggested_and_enqueued_until_there_are_enough(client: Client, store: Store) -> None:
    client.create_study("s", SPEC)
    client.create_trial("s", {"x": 0.5})
    assert len(client.suggest("s", 20, client_id="w", start=True).trials) == 10
    for again in (lambda: client.suggest("s", client_id="v"), lambda: client.create_trial("s", {"x": 0.25})):
        with pytest.raises(ResourceExhausted, match="default has 10 of the 10 trials that its quota allows"):
            again()
    assert used(store).trials == 10

    client.end_attempt("s/1", 1, Cause.SUCCEEDED, final={"loss": 0.5})
    client.delete_trial("s/1")
    assert [t.id for t in client.suggest("s", 5, client_id="v").trials] == [11]


def test_what_waits_is_handed_out_though_nothing_may_be_added(client: Client) -> None:
    client.create_study("s", SPEC)
    for i in range(10):
        client.create_trial("s", {"x": i / 16})
    assert len(client.suggest("s", 20, client_id="w", start=True).trials) == 10


def test_bytes_are_counted_wherever_they_are_kept(client: Client, store: Store) -> None:
    client.create_study("s", SPEC, metadata={"a": TEXT})
    assert 60_000 <= used(store).bytes <= 62_000
    client.create_trial("s", {"x": 0.5}, metadata={"a": TEXT, "b": TEXT, "c": TEXT})
    (trial,) = client.suggest("s", client_id="w", start=True).trials
    client.update_metadata(trial.name, {"d": TEXT})
    client.report(trial.name, 1, [Measurement(step, {"loss": 0.5}, 0.0) for step in range(1_000)])
    assert 400_000 <= used(store).bytes <= 410_000
    client.end_attempt(trial.name, 1, Cause.SUCCEEDED, log_tail="x" * 10_000)
    assert 410_000 <= used(store).bytes <= 420_000
    client.delete_trial(trial.name)
    assert used(store).bytes <= 410_000 - 240_000


def test_whoever_has_no_room_for_bytes_can_neither_add_nor_report(client: Client) -> None:
    client.create_study("s", SPEC)
    (trial,) = client.suggest("s", client_id="w", start=True).trials
    for i in range(4):
        client.create_trial("s", {"x": i / 16}, metadata=dict.fromkeys("abcd", TEXT))
    report = [Measurement(step, {"loss": 0.5}, 0.0) for step in range(1_000)]
    for again in (
        lambda: client.create_trial("s", {"x": 0.75}, metadata={"a": TEXT}),
        lambda: client.update_metadata("s", {"a": TEXT}),
        lambda: client.report(trial.name, 1, report),
    ):
        with pytest.raises(ResourceExhausted, match="of the 1000000 bytes that its quota allows"):
            again()
    client.update_metadata("s/2", {}, remove=["a", "b", "c"])
    client.report(trial.name, 1, report)


def test_an_owner_may_have_a_quota_of_its_own(client: Client) -> None:
    client.create_study("owners/large/studies/s", SPEC)
    assert len(client.suggest("owners/large/studies/s", 200, client_id="w").trials) == 100


def test_two_servers_agree(request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("postgres").fresh()
    settings = ServiceSettings(quotas=QUOTAS)
    with (
        closing(open_postgres(url)) as a,
        closing(open_postgres(url)) as b,
        serving(settings, a) as one,
        serving(settings, b) as other,
        Client(one.address, retry_for=0) as first,
        Client(other.address, retry_for=0) as second,
    ):
        first.create_study("s", SPEC)
        assert len(second.suggest("s", 6, client_id="w", start=True).trials) == 6
        first.create_study("t", SPEC)
        assert len(first.suggest("t", 6, client_id="w", start=True).trials) == 4
        with pytest.raises(ResourceExhausted, match="10 of the 10 trials"):
            second.suggest("t", 5, client_id="v", start=True)


def test_a_database_from_before_is_counted_when_it_is_upgraded(tmp_path: Path) -> None:
    path = tmp_path / "wazir.db"
    with serving(ServiceSettings(), open_sqlite(path)) as served, Client(served.address, retry_for=0) as client:
        client.create_study("s", SPEC)
        client.create_trial("s", {"x": 0.5}, metadata={"a": TEXT})
        served.store.close()
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE studies DROP COLUMN trials")
        connection.execute("ALTER TABLE studies DROP COLUMN bytes")
        connection.execute("UPDATE wazir_schema SET version_num = 'v0006'")
    connection.close()
    store = open_store(path)
    assert used(store).trials == 1
    assert 60_000 <= used(store).bytes <= 62_000
    store.close()


@pytest.mark.parametrize(
    ("given", "quotas"),
    [
        ([], QuotaSettings()),
        (["studies=10,bytes=2Gi"], QuotaSettings(Quota(studies=10, bytes=2 * 2**30))),
        (["trials=5", "vision:bytes=100"], QuotaSettings(Quota(trials=5), {"vision": Quota(bytes=100)})),
    ],
)
def test_quotas_on_the_command_line(given: list[str], quotas: QuotaSettings) -> None:
    assert quotas_of(given) == quotas


@pytest.mark.parametrize("given", ["trials", "pods=3", "trials=many", "bytes=3 heaps", "a b:trials=3", "trials=-1"])
def test_a_quota_that_makes_no_sense_is_refused(given: str) -> None:
    with pytest.raises(InvalidArgument, match="--quota"):
        quotas_of([given])


@pytest.mark.parametrize("given", [["trials=1", "trials=2"], ["a:trials=1", "a:bytes=2"], ["trials=1,trials=2"]])
def test_a_quota_that_is_given_twice_is_refused(given: list[str]) -> None:
    with pytest.raises(InvalidArgument, match="twice"):
        quotas_of(given)
