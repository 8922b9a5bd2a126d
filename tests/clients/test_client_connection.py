"""The way to a service: which one is meant, patience while it is away, interrupts and forks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from wazir.clients.client import Client
from wazir.clients.endpoint import resolve_address
from wazir.clients.local_address import address_of
from wazir.domain.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    StaleAttempt,
    Unavailable,
)
from wazir.domain.trial import Instruction, StopGoal

from .recorder import PATIENCE, TRIAL, Recorder, recording


@pytest.fixture
def recorder(tmp_path: Path) -> Iterator[Recorder]:
    with recording(tmp_path) as recorder:
        yield recorder


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WAZIR_ADDRESS", raising=False)
    monkeypatch.delenv("WAZIR_DB", raising=False)
    monkeypatch.chdir(tmp_path)


# Which service


@pytest.mark.parametrize("address", ["localhost:8470", "10.1.2.3:1", "[::1]:8470", "a.b-c:65535", "unix:/run/w.sock"])
def test_addresses(address: str) -> None:
    assert resolve_address(address) == address


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        pytest.param("localhost", "localhost:8470", id="no port"),
        pytest.param("localhost:0", "localhost:8470", id="no port to call"),
        pytest.param("localhost:65536", "localhost:8470", id="beyond all ports"),
        pytest.param("http://host:8470/", '"host:8470"', id="a URL"),
        pytest.param("unix:relative.sock", "localhost:8470", id="a socket elsewhere in every folder"),
        pytest.param("::1:8470", "localhost:8470", id="IPv6 without brackets"),
        pytest.param("", "localhost:8470", id="empty"),
    ],
)
def test_what_is_no_address_is_refused_with_one(address: str, hint: str) -> None:
    with pytest.raises(InvalidArgument, match="must be host:port or unix:/path") as refused:
        resolve_address(address)
    assert hint in str(refused.value)
    assert refused.value.field == "address"


def test_an_argument_wins_over_a_database_and_that_over_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WAZIR_ADDRESS", "named:1")
    assert resolve_address("given:2", tmp_path / "w.db") == "given:2"
    assert resolve_address(None, tmp_path / "w.db") == address_of(tmp_path / "w.db")
    assert resolve_address() == "named:1"


def test_a_malformed_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAZIR_ADDRESS", "nowhere")
    with pytest.raises(InvalidArgument) as refused:
        resolve_address()
    assert refused.value.field == "WAZIR_ADDRESS"


def test_without_a_name_it_is_the_service_on_this_folders_database(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match="wazir serve"):
        resolve_address()
    address = address_of(tmp_path / ".wazir" / "wazir.db")
    socket = Path(address.removeprefix("unix:"))
    socket.touch()
    try:
        assert resolve_address() == address
        monkeypatch.setenv("WAZIR_DB", "other.db")
        with pytest.raises(Unavailable, match=r"other\.db"):
            resolve_address()
    finally:
        socket.unlink()


def test_a_database_has_one_address_however_it_is_spelt(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    address = address_of(tmp_path / "wazir.db")
    assert address == address_of(Path("wazir.db"))
    assert address == address_of(tmp_path / "link" / ".." / tmp_path.name / "wazir.db")
    assert address != address_of(tmp_path / "other.db")
    path = Path(address.removeprefix("unix:"))
    assert len(str(path)) <= 107
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_may_write_to_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever may write there could put a service of their own in the place of ours."""
    monkeypatch.setattr(os, "geteuid", lambda: 987_654_321)
    folder = Path("/tmp/wazir-987654321")
    folder.mkdir(mode=0o700)
    try:
        with pytest.raises(FailedPrecondition, match="only you may use"):
            address_of(tmp_path / "wazir.db")
    finally:
        folder.rmdir()


# Errors and patience


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("attempt", 0, "must be 1 or more", "Count from 1"),
        NotFound("s/7", "Did you mean"),
        StaleAttempt("s/7", 2, 3, False),
        Internal("a defect"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_arrives_as_it_was_raised(recorder: Recorder, error: InvalidArgument) -> None:
    recorder.refuse = lambda: error
    with Client(recorder.address) as client, pytest.raises(type(error)) as raised:
        client.heartbeat(TRIAL, 2)
    assert type(raised.value) is type(error)
    assert (str(raised.value), raised.value.field, raised.value.details) == (str(error), error.field, error.details)


def test_a_call_outlasts_an_absence_of_the_service(recorder: Recorder) -> None:
    recorder.stop()
    recorder.answer = Instruction(StopGoal.STOP, "enough")
    with Client(recorder.address, retry_for=PATIENCE) as client:
        answers: list[Instruction] = []
        with pytest.raises(Unavailable):
            client.patient(0.0).heartbeat(TRIAL, 2)
        thread = threading.Thread(target=lambda: answers.append(client.heartbeat(TRIAL, 2)))
        thread.start()
        recorder.start()
        thread.join()
    assert answers == [Instruction(StopGoal.STOP, "enough")]


def test_a_service_that_stays_away_is_named_with_the_way_out(recorder: Recorder) -> None:
    recorder.stop()
    with Client(recorder.address, retry_for=0.2) as client, pytest.raises(Unavailable) as raised:
        client.heartbeat(TRIAL, 2)
    assert recorder.address in str(raised.value)
    assert "wazir serve" in str(raised.value)


def test_a_service_that_does_not_answer_is_not_asked_again(recorder: Recorder) -> None:
    recorder.gate.clear()
    with Client(recorder.address, timeout=0.2) as client, pytest.raises(DeadlineExceeded, match=r"0\.2 s"):
        client.heartbeat(TRIAL, 2)


def test_an_interrupt_ends_a_call(recorder: Recorder) -> None:
    recorder.gate.clear()
    code = f"""
from wazir.clients.client import Client
try:
    Client({recorder.address!r}, timeout=600).heartbeat({TRIAL!r}, 2)
except KeyboardInterrupt:
    print("interrupted")
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert recorder.entered.wait(PATIENCE)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=PATIENCE)[0] == "interrupted\n"


def test_a_closed_client_says_so(recorder: Recorder) -> None:
    client = Client(recorder.address)
    client.heartbeat(TRIAL, 2)
    client.close()
    client.close()
    with pytest.raises(ValueError, match="closed"):
        client.heartbeat(TRIAL, 2)


def test_forked_children_call_while_their_parents_threads_do(recorder: Recorder) -> None:
    code = f"""
import os, threading
from wazir.clients.client import Client
client = Client({recorder.address!r})
client.heartbeat({TRIAL!r}, 1)
ended = threading.Event()
def call():
    while not ended.is_set():
        client.heartbeat({TRIAL!r}, 1)
threads = [threading.Thread(target=call) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(10):
    child = os.fork()
    if child == 0:
        client.heartbeat({TRIAL!r}, 2)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
ended.set()
for thread in threads:
    thread.join()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert sum(beat.attempt == 2 for beat in recorder.beats) == 10


def test_errors_come_without_the_transports_own_which_is_a_detail(tmp_path: Path) -> None:
    with Client(f"unix:{tmp_path}/nobody.sock", retry_for=0) as client, pytest.raises(Unavailable) as away:
        client.get_study("s")
    shown = "".join(traceback.format_exception(away.value))
    assert shown.count("Traceback") == 1
    assert "RpcError" not in shown
    assert away.value.details["grpc"].startswith("UNAVAILABLE: ")
