"""Every call with messages that nobody means well with: each is answered, or refused with nothing changed or told."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from wazir.storage.memory import MemoryStore
from wazir.storage.postgres import open_postgres
from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Store

from .hostile import messages, spoilt
from .serving import serving
from .target import GOOD, METHODS, REFUSALS, UNLIMITED, Target

NAMES = [
    "owners/default",
    "owners/vision",
    "owners/default/studies/s",
    "owners/default/studies/g",
    "s",
    "g",
    *(f"owners/default/studies/s/trials/{number}" for number in range(1, 6)),
    "s/1",
    "g/1",
    "new",
    "x",
    "loss",
    "w",
]


def opened(kind: str, request: pytest.FixtureRequest) -> Store:
    if kind == "memory":
        return MemoryStore()
    if kind == "sqlite":
        folder: Path = request.getfixturevalue("tmp_path_factory").mktemp("hostile")
        return open_sqlite(folder / "wazir.db")
    return open_postgres(request.getfixturevalue("postgres").fresh())


@pytest.fixture(scope="module", params=["memory", "sqlite", "postgresql"])
def target(request: pytest.FixtureRequest) -> Iterator[Target]:
    store = opened(request.param, request)
    with serving(UNLIMITED, store) as served:
        target = Target(served, request.param)
        yield target
        target.close()
    store.close()


def check(target: Target, error: Any, before: str) -> None:
    assert error.code() in REFUSALS, (error.code(), error.details())
    told = error.details() + repr(error.trailing_metadata())
    assert not any(
        word in told for word in ("Traceback", 'File "', "sqlite3", "psycopg", "sqlalchemy", target.token[15:])
    )
    # The name of a file of code; "parameters.python" is about a parameter that is called so.
    assert not re.search(r"\.py\b", told)
    assert target.state() == before


def attack(target: Target, method: str, requests: SearchStrategy[Any]) -> None:
    @settings(
        max_examples=25 if target.kind == "memory" else 8,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )
    @given(requests)
    def hostile(request: Any) -> None:
        target.prepare()
        before = target.state()
        error = target.send(method, request.SerializeToString())
        if error is not None:
            check(target, error, before)

    hostile()
    # It still serves.
    target.prepare()
    assert target.send("GetStudy", GOOD["GetStudy"].SerializeToString()) is None


@pytest.mark.parametrize("method", METHODS)
def test_a_hostile_message_is_answered_or_refused_and_a_refusal_changes_nothing(target: Target, method: str) -> None:
    attack(target, method, messages(METHODS[method].input_type, NAMES))


@pytest.mark.parametrize("method", METHODS)
def test_so_is_a_good_message_that_was_spoilt(target: Target, method: str) -> None:
    attack(target, method, spoilt(GOOD[method], NAMES))


@pytest.mark.parametrize("method", METHODS)
def test_the_good_messages_are_good(method: str) -> None:
    with serving(UNLIMITED) as served:
        target = Target(served, "memory")
        target.prepare()
        error: Any = target.send(method, GOOD[method].SerializeToString())
        assert error is None, error.details()
        target.close()


@pytest.mark.parametrize("method", METHODS)
def test_bytes_that_are_no_message_are_refused(target: Target, method: str) -> None:
    kind = GetMessageClass(METHODS[method].input_type)

    @settings(max_examples=10)
    @given(st.binary(min_size=1, max_size=200))
    def garbage(data: bytes) -> None:
        target.prepare()
        before = target.state()
        error = target.send(method, data)
        try:
            kind.FromString(data)
        except Exception:  # noqa: BLE001 - whatever the parser of this build raises
            assert error is not None
        if error is not None:
            check(target, error, before)

    garbage()


def test_a_deadline_already_over_changes_nothing(target: Target) -> None:
    target.prepare()
    before = target.state()
    for method in METHODS:
        error: Any = target.send(method, b"", timeout=-1.0)
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert target.state() == before


def test_a_call_that_nobody_has_heard_of_is_unimplemented(target: Target) -> None:
    error: Any = target.send("MakeCoffee", b"")
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_message_over_the_limit_changes_nothing() -> None:
    with serving(replace(UNLIMITED, max_request=100_000)) as served:
        target = Target(served, "memory")
        target.prepare()
        before = target.state()
        for method in METHODS:
            request = GetMessageClass(METHODS[method].input_type)()
            request.MergeFromString(b"\xca\x3e\xc0\x9a\x0c" + b"x" * 200_000)
            error: Any = target.send(method, request.SerializeToString())
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert target.state() == before
        target.close()
