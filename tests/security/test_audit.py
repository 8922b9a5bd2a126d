"""Who did what: a record for each call that changes something and each that is denied, on every store."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from wazir.app.logs import JsonFormatter
from wazir.clients.client import Client
from wazir.domain.access import EVERY_OWNER, Role
from wazir.domain.attempt import Cause
from wazir.domain.audit import AuditFilter, AuditRecord, Outcome
from wazir.domain.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RateLimited,
    StaleAttempt,
    Unauthenticated,
    Unavailable,
    WazirError,
)
from wazir.domain.study import StudyState
from wazir.domain.trial import Measurement
from wazir.proto.v1 import study_service_pb2 as api
from wazir.proto.v1 import study_service_pb2_grpc
from wazir.service.auditing.auditor import outcome_of, reason_of
from wazir.service.auditing.settings import AuditSettings
from wazir.storage.memory import MemoryStore
from wazir.storage.postgres import open_postgres
from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Store, Transaction

from ..contract.audit import new_record
from ..postgres import Postgres
from .serving import SETTINGS, SPEC, Served, serving

QUICK = replace(SETTINGS, audit=AuditSettings(interval=0.01, reports=3600.0, refusals=3600.0))
PATIENCE = 60.0


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "postgresql":
        postgres: Postgres = request.getfixturevalue("postgres")
        url = postgres.ready()
        with closing(open_postgres(url)) as store:
            yield store
        postgres.drop(url)
        return
    with closing(MemoryStore() if request.param == "memory" else open_sqlite(tmp_path / "wazir.db")) as store:
        yield store


@pytest.fixture
def served(store: Store) -> Iterator[Served]:
    with serving(QUICK, store) as served:
        yield served


def records(store: Store, **where: object) -> list[AuditRecord]:
    """The earliest first."""
    where_ = AuditFilter(**where)  # type: ignore[arg-type]
    return list(store.read(lambda view: view.audit_records(where_, "", 1_000)).records)[::-1]


def eventually(store: Store, count: int, **where: object) -> list[AuditRecord]:
    """The records as soon as there are so many: those that go by themselves come half a second later."""
    until = time.monotonic() + PATIENCE
    while len(found := records(store, **where)) < count:
        assert time.monotonic() < until, found
        time.sleep(0.01)
    return found


def as_(served: Served, token: str) -> Client:
    return Client(served.address, token=token, retry_for=0)


def told(record: AuditRecord) -> tuple[str, str, str, str]:
    return record.method, record.name, record.outcome.value, record.reason


def test_what_people_change_is_recorded_when_the_answer_is_there(served: Served) -> None:
    text = served.token("vision", Role.ADMIN)
    with as_(served, text) as boss:
        boss.create_study("vision/s", SPEC)
        boss.pause_study("vision/s")
        boss.create_trial("vision/s", {"x": 0.5})
        boss.update_metadata("vision/s", {"a": "b"})
        boss.delete_study("vision/s")
        # Not eventually: these records are in the table together with the changes.
        found = records(served.store)
    assert [told(record) for record in found] == [
        ("CreateStudy", "owners/vision/studies/s", "done", ""),
        ("PauseStudy", "owners/vision/studies/s", "done", ""),
        ("CreateTrial", "owners/vision/studies/s", "done", ""),
        ("UpdateMetadata", "owners/vision/studies/s", "done", ""),
        ("DeleteStudy", "owners/vision/studies/s", "done", ""),
    ]
    for record in found:
        assert record.caller == f"token:{text.split('_')[1]}"
        assert (record.caller_owner, record.role, record.owner) == ("vision", "admin", "vision")
        assert record.address == "127.0.0.1"
        assert abs(record.time - time.time()) < 3600
        assert record.count == 1


def test_a_change_without_its_record_is_impossible(served: Served) -> None:
    with as_(served, served.token("vision", Role.ADMIN)) as boss:
        boss.create_study("vision/s", SPEC)

        def broken(self: Transaction, records: object) -> None:
            raise RuntimeError("no room for records")

        transaction: Any = type(served.store.write(lambda tx: tx))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(transaction, "add_audit_records", broken)
            with pytest.raises(WazirError):
                boss.pause_study("vision/s")
        assert boss.get_study("vision/s").state is StudyState.ACTIVE


def test_handing_out_and_ending_trials_is_recorded_one_by_one(served: Served) -> None:
    with as_(served, served.token("vision", Role.EDITOR)) as worker:
        worker.create_study("vision/s", SPEC)
        for number in (1, 2):
            worker.suggest("vision/s", start=True)
            worker.end_attempt(f"vision/s/{number}", 1, Cause.SUCCEEDED, final={"loss": 1.0})
        found = eventually(served.store, 5)
    assert sorted(told(record)[:2] for record in found[1:]) == [
        ("EndAttempt", "owners/vision/studies/s/trials/1"),
        ("EndAttempt", "owners/vision/studies/s/trials/2"),
        ("SuggestTrials", "owners/vision/studies/s"),
        ("SuggestTrials", "owners/vision/studies/s"),
    ]


def test_reports_of_a_training_are_one_record_and_a_count(store: Store) -> None:
    with serving(QUICK, store) as served, as_(served, served.token("vision", Role.ADMIN)) as boss:
        boss.create_study("vision/s", SPEC)
        token = boss.suggest("vision/s", start=True).tokens[1]
        with as_(served, token) as code:
            for step in range(5):
                code.report("vision/s/1", 1, [Measurement(step, {"loss": 0.5}, 0.0)])
                code.heartbeat("vision/s/1", 1)
                code.update_metadata("vision/s/1", {"step": str(step)})
    # The end of the server is the end of every window.
    for method in ("ReportMeasurements", "Heartbeat", "UpdateMetadata"):
        first, rest = records(store, method=method)
        assert (first.count, rest.count) == (1, 4)
        assert first.time <= rest.time <= rest.last_time
        assert first.caller == rest.caller
        assert first.caller.startswith("attempt:")
        assert first.caller.endswith("/1/1")
        assert (first.role, first.name, first.outcome) == ("attempt", "owners/vision/studies/s/trials/1", Outcome.DONE)


DENIED: dict[str, Callable[[Client], object]] = {
    "DeleteStudy": lambda client: client.delete_study("speech/s", force=True),
    "PauseStudy": lambda client: client.pause_study("speech/s"),
    "GetStudy": lambda client: client.get_study("speech/s"),
    "WatchTrials": lambda client: next(iter(client.watch_trials("speech/s"))),
}


@pytest.mark.parametrize("method", DENIED)
def test_a_denied_call_is_recorded_whatever_it_is(served: Served, method: str) -> None:
    text = served.token("vision", Role.ADMIN)
    with as_(served, text) as client, pytest.raises(PermissionDenied):
        DENIED[method](client)
    (record,) = eventually(served.store, 1)
    assert told(record) == (method, "owners/speech/studies/s", "denied", "PERMISSION_DENIED")
    assert (record.caller, record.owner) == (f"token:{text.split('_')[1]}", "speech")


def test_reading_and_what_changes_nothing_is_not_recorded(served: Served) -> None:
    with as_(served, served.token("vision", Role.ADMIN)) as boss:
        boss.create_study("vision/dry", SPEC, validate_only=True)
        boss.create_study("vision/s", SPEC)
        boss.get_study("vision/s")
        assert len(list(boss.list_studies(owner="vision"))) == 1
        with pytest.raises(NotFound):
            boss.get_study("vision/none")
        boss.pause_study("vision/s")
    assert [record.method for record in records(served.store)] == ["CreateStudy", "PauseStudy"]


def test_what_was_refused_says_why(served: Served) -> None:
    with as_(served, served.token("vision", Role.ADMIN)) as boss:
        with pytest.raises(NotFound):
            boss.pause_study("vision/none")
        boss.create_study("vision/s", SPEC)
        with pytest.raises(InvalidArgument):
            boss.create_trial("vision/s", {"x": 7.0})
        found = eventually(served.store, 3)
    assert {told(record) for record in found} == {
        ("PauseStudy", "owners/vision/studies/none", "refused", "NOT_FOUND"),
        ("CreateStudy", "owners/vision/studies/s", "done", ""),
        ("CreateTrial", "owners/vision/studies/s", "refused", "INVALID_ARGUMENT"),
    }


def test_a_revoked_token_is_named_and_another_stranger_is_not(store: Store) -> None:
    with serving(QUICK, store) as served:
        text = served.token("vision", Role.ADMIN)
        served.revoke(text)
        strangers = [text[:-1] + ("0" if text[-1] != "0" else "1"), "nonsense", "wza_x_y"]
        for token in (text, *strangers):
            with as_(served, token) as client, pytest.raises(Unauthenticated):
                client.delete_study("vision/s")
    first, *others = records(store)
    # So the owner's admin sees that it was tried.
    assert (first.caller_owner, first.owner) == ("vision", "vision")
    assert (first.caller, *told(first)) == (
        f"token:{text.split('_')[1]}", "DeleteStudy", "", "denied", "UNAUTHENTICATED",
    )  # fmt: skip
    assert [(r.caller, r.count, r.name, r.address) for r in others] == [
        ("stranger", 1, "", "127.0.0.1"),
        ("stranger", 2, "", "127.0.0.1"),
    ]


def test_who_may_do_nothing_cannot_fill_the_table(store: Store) -> None:
    settings = replace(QUICK, audit=replace(QUICK.audit, kinds=5))
    with serving(settings, store) as served:
        with as_(served, served.token("vision", Role.VIEWER)) as client:
            for number in range(50):
                with pytest.raises(PermissionDenied):
                    client.pause_study(f"vision/s{number}")
        with as_(served, "nonsense") as stranger:
            for number in range(50):
                with pytest.raises(Unauthenticated):
                    stranger.pause_study(f"vision/s{number}")
    found = records(store, outcomes=frozenset({Outcome.DENIED}))
    assert sum(record.count for record in found) == 100
    assert len(found) == 5 + 2 + 2
    assert [record.name for record in found if record.caller.startswith("token:")].count("") == 2


def test_a_name_that_is_none_is_kept_harmless_and_short(served: Served) -> None:
    text = served.token("vision", Role.ADMIN)
    with grpc.insecure_channel(served.address) as channel:
        stub: Any = study_service_pb2_grpc.StudyServiceStub(channel)
        with pytest.raises(grpc.RpcError):
            stub.PauseStudy(
                api.PauseStudyRequest(name="\x1b[2J\x00\n\t12:00:00 INFO " + "a" * 10_000),
                metadata=[("authorization", f"Bearer {text}")],
            )
    (record,) = eventually(served.store, 1)
    assert record.name.startswith("\\x1b[2J\\x00 12:00:00 INFO aaa")
    assert len(record.name) == 200
    assert (record.owner, record.outcome) == ("", Outcome.REFUSED)


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (PermissionDenied("no"), Outcome.DENIED, "PERMISSION_DENIED"),
        (StaleAttempt("s/1", 1, 2, ended=False), Outcome.REFUSED, "STALE_ATTEMPT"),
        (RateLimited("too much", 1.0), Outcome.REFUSED, "RATE_LIMITED"),
        (Unavailable("the database is away"), Outcome.FAILED, "UNAVAILABLE"),
        (DeadlineExceeded("late"), Outcome.FAILED, "DEADLINE_EXCEEDED"),
        (ZeroDivisionError(), Outcome.FAILED, "INTERNAL"),
        (asyncio.CancelledError(), Outcome.FAILED, "CANCELLED"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_error_says_what_became_of_the_call(error: BaseException, outcome: Outcome, reason: str) -> None:
    assert (outcome_of(error), reason_of(error)) == (outcome, reason)


def test_over_a_unix_socket_the_caller_is_the_user_of_the_service(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s.sock"
    with serving(QUICK, listen=address) as served, Client(address) as client:
        client.create_study("s", SPEC)
        (record,) = records(served.store)
    assert (record.caller, record.address) == (f"local:{os.geteuid()}", "unix")
    assert (record.caller_owner, record.role) == (EVERY_OWNER, "admin")


def test_without_authentication_the_address_is_what_is_known() -> None:
    with serving(replace(QUICK, authenticate=False)) as served, Client(served.address, token="") as client:
        client.create_study("s", SPEC)
        (record,) = records(served.store)
    assert (record.caller, record.address) == ("anonymous", "127.0.0.1")


def test_the_log_has_the_same_and_nothing_secret(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="wazir.audit"), serving(QUICK) as served:
        text = served.token("vision", Role.ADMIN)
        with as_(served, text) as boss:
            boss.create_study("vision/s", SPEC)
            token = boss.suggest("vision/s", start=True).tokens[1]
            with pytest.raises(PermissionDenied):
                boss.delete_study("speech/s")
        found = eventually(served.store, 3)
    lines = [json.loads(JsonFormatter().format(r)) for r in caplog.records if r.name == "wazir.audit"]
    assert {line["record"] for line in lines} == {record.id for record in found}
    created = next(line for line in lines if line["method"] == "CreateStudy")
    assert created["level"] == "INFO"
    assert (created["caller"], created["resource"]) == (f"token:{text.split('_')[1]}", "owners/vision/studies/s")
    denied = next(line for line in lines if line["outcome"] == "denied")
    assert (denied["level"], denied["reason"]) == ("WARNING", "PERMISSION_DENIED")
    assert denied["message"] == (
        f"token:{text.split('_')[1]} at 127.0.0.1: DeleteStudy owners/speech/studies/s: denied (PERMISSION_DENIED)"
    )
    everything = json.dumps(lines) + repr(found)
    for secret in (text, text.split("_")[2], token):
        assert secret not in everything


# How long records are kept


def test_old_records_and_those_beyond_the_number_go(store: Store) -> None:
    now = time.time()
    day = 86_400.0
    old = [new_record(round(now - 100 * day) + number) for number in range(2_500)]
    young = [new_record(round(now - day) + number) for number in range(20)]
    store.write(lambda tx: tx.add_audit_records([*old, *young]))
    settings = replace(QUICK, audit=replace(QUICK.audit, keep=90 * day, keep_at_most=10))
    with serving(settings, store):
        until = time.monotonic() + PATIENCE
        while len(found := records(store)) != 10:
            assert time.monotonic() < until, len(found)
            time.sleep(0.01)
    assert found == young[-10:]


def test_records_wait_for_a_store_that_is_away_and_are_written_once() -> None:
    store = MemoryStore()
    with serving(QUICK, store) as served, as_(served, served.token("vision", Role.EDITOR)) as worker:
        worker.create_study("vision/s", SPEC)
        original = type(store).submit
        with pytest.MonkeyPatch.context() as patch:
            refused: list[int] = []

            def submit(self: MemoryStore, work: Callable[[Transaction], Any]) -> Any:
                future = original(self, work)
                if future.exception() is None and records(store, method="SuggestTrials") and not refused:
                    # The commit's answer is lost: nobody knows whether it was done.
                    refused.append(1)
                    future = Future()
                    future.set_exception(Unavailable("away"))
                return future

            patch.setattr(MemoryStore, "submit", submit)
            worker.suggest("vision/s", start=True)
            eventually(store, 1, method="SuggestTrials")
            until = time.monotonic() + PATIENCE
            while not refused:
                assert time.monotonic() < until
                time.sleep(0.01)
    assert len(records(store, method="SuggestTrials")) == 1
    store.close()


# Reading them


def test_an_admin_sees_what_was_done_to_its_owner_and_nothing_else(served: Served) -> None:
    tokens = {owner: served.token(owner, Role.ADMIN) for owner in ("vision", "speech", "*")}
    for owner in ("vision", "speech"):
        with as_(served, tokens[owner]) as boss:
            boss.create_study(f"{owner}/s", SPEC)
            with pytest.raises(PermissionDenied):
                boss.delete_study("vision/s" if owner == "speech" else "speech/s")
    with as_(served, "nonsense") as stranger, pytest.raises(Unauthenticated):
        stranger.pause_study("vision/s")
    eventually(served.store, 5)

    with as_(served, tokens["vision"]) as boss:
        seen = list(boss.audit_records("vision"))
        assert [(r.method, r.caller_owner, r.outcome.value) for r in seen] == [
            ("DeleteStudy", "speech", "denied"),
            ("CreateStudy", "vision", "done"),
        ]
        assert list(boss.audit_records("vision", study="speech/s")) == []
        for whose in ("speech", None):
            with pytest.raises(PermissionDenied):
                list(boss.audit_records(whose))
    eventually(served.store, 7)
    with as_(served, tokens["*"]) as boss:
        everything = list(boss.audit_records())
        assert len(everything) >= 5
        assert {record.caller for record in everything} >= {"stranger"}
        assert everything == records(served.store)[::-1]
        assert [r.method for r in boss.audit_records(outcomes=[Outcome.DONE])] == ["CreateStudy", "CreateStudy"]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_who_may_not_delete_may_not_read_who_did(served: Served, role: Role) -> None:
    with as_(served, served.token("vision", role)) as client, pytest.raises(PermissionDenied, match="role admin"):
        list(client.audit_records("vision"))


def test_pages_of_the_call_join_and_a_made_up_one_is_refused(served: Served) -> None:
    text = served.token("*", Role.ADMIN)
    kept = [new_record(round(time.time()) - 60 + number, count=number) for number in range(1, 8)]
    served.store.write(lambda tx: tx.add_audit_records(kept))
    with grpc.insecure_channel(served.address) as channel:
        stub: Any = study_service_pb2_grpc.StudyServiceStub(channel)
        metadata = [("authorization", f"Bearer {text}")]
        pages: list[list[int]] = []
        token = ""
        while not pages or token:
            asked = api.ListAuditRecordsRequest(parent="owners/vision", page_size=3, page_token=token)
            page = stub.ListAuditRecords(asked, metadata=metadata)
            pages.append([record.count for record in page.audit_records])
            token = page.next_page_token
        assert pages == [[7, 6, 5], [4, 3, 2], [1]]
        assert page.audit_records[0].name == f"owners/vision/auditRecords/{kept[0].id}"
        for wrong in (
            {"page_token": "; DROP"},
            {"page_size": 1_001},
            {"study": "a/b/c/d"},
            {"outcomes": [77]},
            {"caller": "a\0"},
        ):
            with pytest.raises(grpc.RpcError) as refusal:
                stub.ListAuditRecords(api.ListAuditRecordsRequest(parent="owners/vision", **wrong), metadata=metadata)
            error: Any = refusal.value
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_server_whose_store_does_not_answer_ends_all_the_same_and_says_what_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = replace(QUICK, audit=replace(QUICK.audit, interval=3600.0, patience=0.01))
    with pytest.MonkeyPatch.context() as patch, serving(settings) as served:
        with Client(served.address, token="nonsense", retry_for=0) as client, pytest.raises(Unauthenticated):
            client.delete_study("vision/s")
        patch.setattr(type(served.store), "submit", lambda store, work: Future())
    assert "audit records that could not be written, and that only this log has: 1" in caplog.text
    assert "stranger at 127.0.0.1: DeleteStudy: denied" in caplog.text
