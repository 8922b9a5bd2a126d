"""One test for each promise of the threat model in docs/security.md, under the promise's name.

Each shows its promise in one example, as an adversary would try it. Whole tables of cases are in the other files here.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import grpc
import pytest
from click.testing import CliRunner

from wazir.app.cli import COMMANDS, cli
from wazir.app.serve_options import check_listen
from wazir.clients.cli.trial_log import read_log
from wazir.clients.client import Client
from wazir.clients.collect.stdout import StdoutReader
from wazir.clients.credentials import Tls
from wazir.clients.local_address import address_of
from wazir.controller.execution import Key
from wazir.controller.local.folder import Folder
from wazir.controller.local.reading import NotAFile, read_part
from wazir.controller.local.runtime import LocalRuntime
from wazir.controller.runtime import OutputLost
from wazir.domain.access import Role
from wazir.domain.attempt import Cause
from wazir.domain.audit import AuditFilter, AuditRecord, Outcome
from wazir.domain.errors import (
    FailedPrecondition,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    RateLimited,
    ResourceExhausted,
    StaleAttempt,
    Unauthenticated,
    Unavailable,
    WazirError,
)
from wazir.domain.limits import MAX_CONSTRAINTS
from wazir.domain.totals import MAX_METADATA_VALUE, MAX_TRIAL_METADATA
from wazir.domain.visible import visible
from wazir.proto.v1 import study_service_pb2 as api
from wazir.proto.v1 import study_service_pb2_grpc
from wazir.service import pages
from wazir.service.auditing.settings import AuditSettings
from wazir.service.connections import ConnectionSettings
from wazir.service.quotas import Quota, QuotaSettings
from wazir.service.security.attempt_tokens import AttemptTokens
from wazir.service.security.limits import LimitSettings, Rate
from wazir.service.security.tls import TlsFiles
from wazir.storage.memory import MemoryStore
from wazir.storage.sqlite import open_sqlite

from ..contract.runtime import order, run
from .certificates import Authority
from .serving import SETTINGS, SPEC, Served, serving

PAGE = Path(__file__).parents[2] / "docs" / "security.md"
QUICK = replace(SETTINGS, audit=AuditSettings(interval=0.01))
PATIENCE = 60.0

As = Callable[[str], Client]


def promised() -> list[str]:
    """The names of the promises on the page, as they stand there."""
    return re.findall(r"^\| `([a-z][a-z-]+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def test_the_page_and_the_tests_here_name_the_same_promises() -> None:
    names = promised()
    assert len(names) == len(set(names))
    tests = {name.removeprefix("test_").replace("_", "-") for name in globals() if name.startswith("test_")}
    helpers = {"the-page-and-the-tests-here-name-the-same-promises"}
    assert tests - helpers == set(names)


@pytest.fixture
def served() -> Iterator[Served]:
    with serving(QUICK) as served:
        yield served


@pytest.fixture
def as_(served: Served) -> Iterator[As]:
    """Makes a client for the token, until the test ends."""
    with ExitStack() as stack:
        yield lambda token: stack.enter_context(Client(served.address, token=token, retry_for=0))


@pytest.fixture
def running(served: Served, as_: As) -> tuple[Client, str]:
    """A study with two trials that run: its admin, and the token of the first trial's attempt."""
    boss = as_(served.token("vision", Role.ADMIN))
    boss.create_study("vision/s", SPEC)
    return boss, boss.suggest("vision/s", 2, client_id="c", start=True).tokens[1]


def records(served: Served, count: int) -> list[AuditRecord]:
    """The audit records as soon as there are so many."""
    until = time.monotonic() + PATIENCE
    while True:
        found = served.store.read(lambda view: view.audit_records(AuditFilter(), "", 1_000)).records
        if len(found) >= count:
            return list(found)
        assert time.monotonic() < until, found
        time.sleep(0.01)


# People who have a token


def test_only_its_owner(served: Served, as_: As) -> None:
    as_(served.token("vision", Role.ADMIN)).create_study("vision/there", SPEC)
    other = as_(served.token("speech", Role.ADMIN))
    calls = (other.get_study, other.pause_study, other.delete_study, lambda name: list(other.list_trials(name)))
    told: dict[str, list[str]] = {}
    for study in ("there", "gone"):
        for call in calls:
            with pytest.raises(PermissionDenied) as refusal:
                call(f"vision/{study}")
            told.setdefault(study, []).append(refusal.value.message.replace(study, "STUDY"))
    assert told["there"] == told["gone"]


def test_only_its_role(served: Served, as_: As) -> None:
    as_(served.token("vision", Role.ADMIN)).create_study("vision/s", SPEC)
    viewer, editor = as_(served.token("vision", Role.VIEWER)), as_(served.token("vision", Role.EDITOR))
    assert viewer.get_study("vision/s").name.study == "s"
    with pytest.raises(PermissionDenied):
        viewer.pause_study("vision/s")
    editor.pause_study("vision/s")
    for refused in (lambda: editor.delete_study("vision/s"), lambda: list(editor.audit_records("vision"))):
        with pytest.raises(PermissionDenied):
            refused()


def test_revoked_is_over(served: Served, as_: As) -> None:
    text = served.token("vision", Role.ADMIN)
    client = as_(text)
    client.create_study("vision/s", SPEC)
    watch = client.watch_trials("vision/s")
    next(watch)
    served.revoke(text)
    with pytest.raises(Unauthenticated):
        client.get_study("vision/s")
    with pytest.raises(Unauthenticated):
        list(watch)


def test_guessing_is_limited() -> None:
    settings = replace(QUICK, limits=LimitSettings(strangers=Rate(0.001, 3)))
    with serving(settings) as served:
        refusals: list[type[WazirError]] = []
        for number in range(5):
            guess = f"wzr_{'a' * 9}{number}_{'0' * 64}"
            with Client(served.address, token=guess, retry_for=0) as client, pytest.raises(WazirError) as refusal:
                client.get_study("vision/s")
            refusals.append(type(refusal.value))
    assert refusals == [Unauthenticated] * 3 + [RateLimited] * 2


def test_nobody_starves_others() -> None:
    settings = replace(QUICK, limits=LimitSettings(calls=Rate(0.001, 5)))
    with serving(settings) as served:
        greedy, modest = served.token(), served.token()
        with Client(served.address, token=greedy, retry_for=0) as client:
            for _ in range(5):
                list(client.list_studies())
            with pytest.raises(RateLimited):
                list(client.list_studies())
        with Client(served.address, token=modest, retry_for=0) as client:
            assert list(client.list_studies()) == []


def test_nothing_unrecorded(served: Served, as_: As) -> None:
    text = served.token("vision", Role.EDITOR)
    client = as_(text)
    client.create_study("vision/s", SPEC)
    with pytest.raises(PermissionDenied):
        client.delete_study("vision/s")
    denied, made = records(served, 2)
    for record, method, outcome in ((made, "CreateStudy", Outcome.DONE), (denied, "DeleteStudy", Outcome.DENIED)):
        assert (record.method, record.outcome, record.name) == (method, outcome, "owners/vision/studies/s")
        assert (record.caller, record.address) == (f"token:{text.split('_')[1]}", "127.0.0.1")


def test_records_are_bounded() -> None:
    store = MemoryStore()
    settings = replace(QUICK, audit=replace(QUICK.audit, kinds=3))
    with serving(settings, store) as served:
        for token in ("nonsense", served.token("vision", Role.VIEWER)):
            with Client(served.address, token=token, retry_for=0) as client:
                for number in range(20):
                    with pytest.raises(WazirError):
                        client.delete_study(f"vision/s{number}")
    found = store.read(lambda view: view.audit_records(AuditFilter(), "", 1_000)).records
    assert sum(record.count for record in found) == 40
    assert len(found) <= 8
    store.close()


# Training code


def test_its_own_trial(running: tuple[Client, str], as_: As) -> None:
    boss, token = running
    code = as_(token)
    code.heartbeat("vision/s/1", 1)
    calls: list[Any] = [
        lambda: code.heartbeat("vision/s/2", 1),
        lambda: code.get_trial("vision/s/2"),
        lambda: list(code.list_trials("vision/s")),
        lambda: code.end_attempt("vision/s/1", 1, Cause.SUCCEEDED),
        lambda: code.update_metadata("vision/s", {"a": "b"}),
        lambda: code.delete_study("vision/s", force=True),
    ]
    before = boss.get_study("vision/s").revision
    for call in calls:
        with pytest.raises(PermissionDenied):
            call()
    assert boss.get_study("vision/s").revision == before


def test_ended_is_over(running: tuple[Client, str], as_: As) -> None:
    boss, token = running
    boss.end_attempt("vision/s/1", 1, Cause.PREEMPTED)
    code = as_(token)
    for call in (lambda: code.heartbeat("vision/s/1", 1), lambda: code.update_metadata("vision/s/1", {"a": "b"})):
        with pytest.raises(StaleAttempt):
            call()


def test_deleted_is_over() -> None:
    with (
        serving(replace(QUICK, token_max_age=3600.0)) as served,
        Client(served.address, token=served.token("vision", Role.ADMIN)) as boss,
    ):
        boss.create_study("vision/s", SPEC)
        token = boss.suggest("vision/s", start=True).tokens[1]
        with Client(served.address, token=token, retry_for=0) as code:
            code.heartbeat("vision/s/1", 1)
            boss.delete_study("vision/s", force=True)
            boss.create_study("vision/s", SPEC)
            boss.suggest("vision/s", start=True)
            with pytest.raises(NotFound):
                code.heartbeat("vision/s/1", 1)


def test_no_token_of_others(running: tuple[Client, str], served: Served) -> None:
    boss, token = running
    with grpc.insecure_channel(served.address) as channel:
        stub: Any = study_service_pb2_grpc.StudyServiceStub(channel)
        metadata = [("authorization", f"Bearer {token}")]
        own = stub.GetTrial(api.GetTrialRequest(name="owners/vision/studies/s/trials/1"), metadata=metadata)
        study = stub.GetStudy(api.GetStudyRequest(name="owners/vision/studies/s"), metadata=metadata)
        with pytest.raises(grpc.RpcError):
            stub.GetTrial(
                api.GetTrialRequest(name="owners/vision/studies/s/trials/1", attempt_token=True), metadata=metadata
            )
    assert "wza_" not in str(own) + str(study)
    listed = "".join(map(repr, boss.list_trials("vision/s")))
    assert "wza_" not in listed


def test_bounded_words(running: tuple[Client, str], as_: As) -> None:
    _, token = running
    code = as_(token)
    with pytest.raises(InvalidArgument):
        code.update_metadata("vision/s/1", {"a": "x" * (MAX_METADATA_VALUE + 1)})
    for number in range(MAX_TRIAL_METADATA // 50_000):
        code.update_metadata("vision/s/1", {f"key{number}": "x" * 50_000})
    with pytest.raises(InvalidArgument):
        code.update_metadata("vision/s/1", {"more": "x" * 50_000})


def test_no_files_of_others(running: tuple[Client, str], as_: As, tmp_path: Path) -> None:
    boss, token = running
    (tmp_path / "key").write_text("somebody's key")
    with pytest.raises(PermissionDenied):
        as_(token).heartbeat("vision/s/1", 1, log_path=str(tmp_path / "key"))
    boss.heartbeat("vision/s/1", 1, log_path=str(tmp_path / "key"))
    name = boss.get_trial("vision/s/1").name
    with pytest.raises((NotFound, FailedPrecondition, Unavailable)):
        b"".join(read_log(boss, name, number=1, follow=False, of_pod=lambda reference, _: iter([b"pod"])))


def test_harmless_on_a_terminal(running: tuple[Client, str], as_: As) -> None:
    _, token = running
    written = as_(token).update_metadata("vision/s/1", {"note": "\x1b]0;owned\x07\x9b2J\u202e"})["note"]
    shown = visible(written)
    assert shown.isprintable()
    assert "\\x1b" in shown


def test_odd_files_harm_itself(tmp_path: Path) -> None:
    folder = Folder(tmp_path, Key("uid", 1, 1))
    folder.path.mkdir(parents=True)
    os.mkfifo(folder.spool)
    folder.log.symlink_to("/dev/zero")
    (folder.path / "exit.json").write_text("[" * 10_000)
    with pytest.raises(OutputLost, match="no regular file"):
        folder.spooled()
    with pytest.raises(NotAFile, match="a link"):
        read_part(folder.log, 0, 100)
    assert folder.exit() is None


def test_patterns_in_linear_time() -> None:
    """The suite's time limit would end an engine that backtracks."""
    reader = StdoutReader(["loss"], r"(?P<name>(a+)+)=(?P<value>\d)")
    assert reader.feed(b"a" * 8_000 + b"\n", 1.0) == []


# Local users


def test_no_socket_of_others(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Somebody has made the folder, or a link, before the user came."""
    stranger = 4_000_000_000 + os.getpid() % 100_000
    folder = Path("/tmp") / f"wazir-{stranger}"
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    try:
        folder.mkdir(mode=0o700)
        with pytest.raises(FailedPrecondition, match="not a folder that only you may use"):
            address_of(Path("a.db"))
        folder.rmdir()
        folder.symlink_to(tmp_path / "elsewhere")
        with pytest.raises(FailedPrecondition, match="not a folder that only you may use"):
            address_of(Path("a.db"))
    finally:
        folder.unlink() if folder.is_symlink() else folder.rmdir()


def test_socket_for_one_user(tmp_path: Path) -> None:
    address = address_of(tmp_path / "a.db")
    folder = Path(address.removeprefix("unix:")).parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder.stat().st_uid == os.geteuid()


def test_run_folders_for_one_user(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        runtime = LocalRuntime(tmp_path / "runs")
        what = order("true")
        run(runtime, what)
        runtime.close()
    finally:
        os.umask(before)
    folder = Folder(tmp_path / "runs", what.key).path
    assert not any(path.stat().st_mode & 0o077 for path in (folder, folder.parent.parent, *folder.iterdir()))


def test_no_token_in_arguments() -> None:
    """What stands on a command line is seen by everybody on the machine."""
    takers = []
    context = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        subcommands = command.commands.values() if isinstance(command, click.Group) else [command]
        for subcommand in subcommands:
            takers += [
                (name, option.name)
                for option in subcommand.params
                if any(word in (option.name or "") for word in ("token", "password", "secret"))
                and not isinstance(option.type, click.Path)
                and option.name != "token_id"
            ]
    assert takers == []


# The network


def test_no_open_door() -> None:
    with pytest.raises(InvalidArgument, match="everybody who reaches it"):
        check_listen(["0.0.0.0:8470"], authenticated=False, encrypted=True)
    with pytest.raises(InvalidArgument, match="unencrypted"):
        check_listen(["0.0.0.0:8470"], authenticated=True, encrypted=False)


def test_no_token_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAZIR_PLAINTEXT_TOKEN", raising=False)
    with pytest.raises(InvalidArgument):
        Client("service.example:8470", token="wzr_secret")


def test_no_false_service(tmp_path: Path) -> None:
    authority, impostor = Authority(tmp_path), Authority(tmp_path, "impostor")
    cert, key = impostor.issue("server")
    with serving(replace(QUICK, tls=TlsFiles(cert, key))) as served:
        address = served.address.replace("127.0.0.1", "localhost")
        with (
            Client(address, token=served.token(), tls=Tls(ca=str(authority.file)), retry_for=0) as client,
            pytest.raises(FailedPrecondition, match="not trusted"),
        ):
            list(client.list_studies())
        assert served.store.read(lambda view: view.audit_records(AuditFilter(), "", 10)).records == []


def test_no_false_client(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("server")
    mine, mine_key = authority.issue("ada")
    with serving(replace(QUICK, authenticate=False, tls=TlsFiles(cert, key, authority.file))) as served:
        address = served.address.replace("127.0.0.1", "localhost")
        nameless = Tls(ca=str(authority.file))
        with Client(address, token="", tls=nameless, retry_for=0) as client, pytest.raises(Unavailable):
            client.create_study("s", SPEC)
        own = Tls(ca=str(authority.file), cert=str(mine), key=str(mine_key))
        with Client(address, token="", tls=own, retry_for=0) as client:
            client.create_study("s", SPEC)
        assert [record.caller for record in records(served, 1)] == ["certificate:ada"]


# Whoever reads the database, or a backup of it


def test_no_tokens_in_the_database(tmp_path: Path) -> None:
    file = tmp_path / "wazir.db"
    with closing(open_sqlite(file)) as store, serving(QUICK, store) as served:
        text = served.token("vision", Role.ADMIN)
        with Client(served.address, token=text) as boss:
            boss.create_study("vision/s", SPEC)
            token = boss.suggest("vision/s", start=True).tokens[1]
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (text, text.split("_")[2], token, token.rpartition("_")[2]):
        assert secret.encode() not in kept


def test_key_elsewhere(tmp_path: Path) -> None:
    key = os.urandom(32).hex().encode()
    file = tmp_path / "wazir.db"
    with (
        closing(open_sqlite(file)) as store,
        serving(replace(QUICK, server_key=key), store) as served,
        Client(served.address, token=served.token("vision", Role.ADMIN)) as boss,
    ):
        study = boss.create_study("vision/s", SPEC)
        trial = boss.suggest("vision/s", start=True).trials[0]
        assert store.read(lambda view: view.secret("attempt-tokens")) is None
        forged = AttemptTokens(b"what else the database holds, perhaps").token(study.uid, trial)
        with Client(served.address, token=forged, retry_for=0) as code, pytest.raises(Unauthenticated):
            code.heartbeat(trial.name, 1)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert key not in kept


# What a caller can use up, and what files can be read


def test_quotas_hold() -> None:
    with serving(replace(QUICK, quotas=QuotaSettings(Quota(studies=1)))) as served:
        with Client(served.address, token=served.token("vision", Role.EDITOR), retry_for=0) as client:
            client.create_study("vision/a", SPEC)
            with pytest.raises(ResourceExhausted):
                client.create_study("vision/b", SPEC)
        with Client(served.address, token=served.token("speech", Role.EDITOR), retry_for=0) as client:
            client.create_study("speech/a", SPEC)


def test_no_endless_work(served: Served, as_: As) -> None:
    boss = as_(served.token("vision", Role.EDITOR))
    space = SPEC.space
    assert space is not None
    many = replace(SPEC, space=replace(space, constraints=("x >= 0",) * (MAX_CONSTRAINTS + 1)))
    with pytest.raises(InvalidArgument, match=f"{MAX_CONSTRAINTS}"):
        boss.create_study("vision/s", many)


def test_lists_stay_readable(running: tuple[Client, str], as_: As, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE_BYTES", 16 * 1_024)
    boss, token = running
    code = as_(token)
    for number in range(4):
        code.update_metadata("vision/s/1", {f"key{number}": "x" * 60_000})
    assert [trial.id for trial in boss.list_trials("vision/s")] == [1, 2]


def test_files_of_one_user(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with closing(open_sqlite(tmp_path / "wazir.db")) as store:
            store.write(lambda tx: tx.keep_secret("attempt-tokens", "k" * 32))
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
        done = CliRunner().invoke(cli, ["db", "backup", "--db", str(tmp_path / "wazir.db"), str(tmp_path / "copy")])
        assert done.exit_code == 0, done.output
    finally:
        os.umask(before)
    modes["copy"] = stat.S_IMODE((tmp_path / "copy").stat().st_mode)
    modes["token"] = _mode_of_a_new_token(tmp_path)
    assert {"wazir.db", "wazir.db-wal", "copy"} <= set(modes)
    assert set(modes.values()) == {0o600}


def _mode_of_a_new_token(folder: Path) -> int:
    """As a shell makes the file of `wazir token create > token`."""
    file = folder / "token"
    program = "from wazir.app.main import main; main()"
    command = [sys.executable, "-c", program, "token", "create", "--role", "viewer", "--db", str(folder / "wazir.db")]
    with file.open("wb") as stdout:
        file.chmod(0o666)
        subprocess.run(command, stdout=stdout, stderr=subprocess.DEVNULL, check=True, timeout=60)
    assert file.read_text().startswith("wzr_")
    return stat.S_IMODE(file.stat().st_mode)


def test_no_open_database(tmp_path: Path) -> None:
    file = tmp_path / "wazir.db"
    open_sqlite(file).close()
    file.chmod(0o644)
    refused = CliRunner().invoke(cli, ["serve", "--auth", "tokens", "--db", str(file), "--listen", "127.0.0.1:0"])
    assert refused.exit_code == 4
    assert "chmod 600" in refused.output


def test_strangers_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    read = api.CreateStudyRequest.FromString

    def counting(data: bytes) -> api.CreateStudyRequest:
        decoded.append(len(data))
        return read(data)

    monkeypatch.setattr(api.CreateStudyRequest, "FromString", counting)
    with serving(QUICK) as served, grpc.insecure_channel(served.address) as channel:
        call: Any = channel.unary_unary("/wazir.v1.StudyService/CreateStudy")
        with pytest.raises(grpc.RpcError):
            call(api.CreateStudyRequest(parent="owners/vision", study_id="s" * 100_000).SerializeToString(), timeout=60)
    assert [size for size in decoded if size] == []


def test_few_connections() -> None:
    with serving(replace(QUICK, connections=ConnectionSettings(connections=2))) as served, ExitStack() as stack:
        host, _, port = served.address.rpartition(":")
        for _ in range(2):
            assert stack.enter_context(socket.create_connection((host, int(port)))).recv(1)
        beyond = stack.enter_context(socket.create_connection((host, int(port))))
        beyond.settimeout(PATIENCE)
        try:
            while beyond.recv(4_096):
                pass
        except ConnectionError:
            pass
