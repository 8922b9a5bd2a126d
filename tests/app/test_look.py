"""A look at a database that nobody serves: the answers of a service, at once, and without the right to write."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wazir.app.cli import cli
from wazir.app.local_service import LocalService
from wazir.clients.client import Client
from wazir.domain.attempt import Cause
from wazir.domain.metric import Goal, Objective
from wazir.domain.study import Budget
from wazir.domain.trial import Measurement

from ..clients.served import spec

LOOKS = [
    "studies",
    "studies --state active --label team=vision",
    "show done",
    "show done/1",
    "show done/2",
    "show front",
    "trials done",
    "trials done --state failed --state succeeded",
    "trials done -n 2",
    "best done",
    "best front",
    "best done -n 3",
    "why done/2",
    "show nope",
    "show done/99",
    "trials nope",
    "best nope",
]


def fill(database: Path) -> None:
    with LocalService(database) as service, Client(service.address) as client:
        client.create_study("done", spec(budget=Budget(trials=5, failed=9), labels={"team": "vision"}))
        two = (Objective("loss", Goal.MINIMIZE), Objective("speed", Goal.MAXIMIZE))
        client.create_study("front", spec(objectives=two))
        for name, final in (
            ("done", {"loss": 0.5}),
            ("done", {}),
            ("done", {"loss": 0.25}),
            ("front", {"loss": 1.0, "speed": 1.0}),
            ("front", {"loss": 0.5, "speed": 2.0}),
            ("front", {"loss": 0.25, "speed": 1.5}),
        ):
            (trial,) = client.suggest(name, client_id="t", start=True).trials
            client.report(trial.name, 1, [Measurement(1, {"loss": 2.0}, 0.0), Measurement(2, {"loss": 1.5}, 0.0)])
            cause = Cause.SUCCEEDED if final else Cause.CODE_FAILED
            client.end_attempt(trial.name, 1, cause, final=final, message="went out", log_tail="the last words\n")
        client.retry_trial("done/2")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("look") / "wazir.db"
    fill(file)
    return file


def wazir(database: Path, command: str) -> Result:
    named = dict.fromkeys(("WAZIR_ADDRESS", "WAZIR_TOKEN", "WAZIR_OWNER", "WAZIR_DB"))
    return CliRunner().invoke(cli, [*command.split(), "--db", str(database)], env=named)


@pytest.mark.parametrize("command", LOOKS)
def test_the_answer_is_that_of_a_service(database: Path, command: str) -> None:
    alone = wazir(database, f"{command} -o json")
    with LocalService(database):
        served = wazir(database, f"{command} -o json")
    assert (alone.exit_code, alone.stderr) == (served.exit_code, served.stderr)
    # As data: the wire gives maps no order.
    assert json.loads(alone.stdout or "null") == json.loads(served.stdout or "null")


def test_a_look_loads_neither_server_nor_client(database: Path, tmp_path: Path) -> None:
    for command in ("studies", "show done", "show done/1", "trials done", "best done", "why done/1"):
        program = (
            "import atexit, sys; from wazir.app.main import main; "
            "atexit.register(lambda: print(*sys.modules, file=open('modules', 'w'))); main()"
        )
        subprocess.run(
            [sys.executable, "-c", program, *command.split(), "--db", str(database)],
            cwd=tmp_path,
            check=True,
            capture_output=True,
        )
        modules = (tmp_path / "modules").read_text().split()
        heavy = {"grpc", "google.protobuf", "sqlalchemy", "alembic", "numpy", "asyncio", "yaml", "wazir.clients.client"}
        assert not heavy & set(modules), command


def test_what_is_not_there_is_refused_before_a_service_is_started(database: Path) -> None:
    for command in ("stop nope", "pause nope", "delete nope -y", "enqueue nope x=1", "retry done/99"):
        result = wazir(database, command)
        assert (result.exit_code, "does not exist" in result.output) == (3, True), command


def test_a_write_is_seen_by_the_next_look(tmp_path: Path) -> None:
    file = tmp_path / "wazir.db"
    fill(file)
    assert wazir(file, "stop done --reason enough").exit_code == 0
    assert "enough" in wazir(file, "show done").output
    assert wazir(file, "delete front -y").exit_code == 0
    assert "front" not in wazir(file, "studies").output


AS_ANOTHER = """
import os, sys
from click.testing import CliRunner
from wazir.app.cli import cli

def wazir(command, database):
    return CliRunner().invoke(cli, [*command.split(), "--db", database])

# Everything is loaded by who may read the sources.
for command in sys.argv[3:]:
    wazir(command, sys.argv[1])
if not os.geteuid():
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
os.environ.pop("WAZIR_ADDRESS", None)
import json
results = [wazir(command, sys.argv[2]) for command in sys.argv[3:]]
print(json.dumps([[r.exit_code, r.output, repr(r.exception)] for r in results]))
"""


def as_another_user(database: Path, *commands: str) -> list[tuple[int, str, str]]:
    """What the commands come to for a user who may not write to the database or its folder: nobody, if this user is
    root, and otherwise this one."""
    with tempfile.TemporaryDirectory() as folder:
        twin = Path(folder) / "wazir.db"
        fill(twin)
        done = subprocess.run(
            [sys.executable, "-c", AS_ANOTHER, str(twin), str(database), *commands],
            capture_output=True,
            text=True,
            check=True,
            env={k: v for k, v in os.environ.items() if not k.startswith("WAZIR_")},
        )
    return [tuple(result) for result in json.loads(done.stdout.splitlines()[-1])]


@pytest.fixture
def public() -> Iterator[Path]:
    """A filled database that everybody may read and, unless they are root, nobody write."""
    with tempfile.TemporaryDirectory(prefix="wazir-public-") as name:
        folder = Path(name)
        file = folder / "wazir.db"
        fill(file)
        open_to_all(folder)
        yield file
        folder.chmod(0o755)


def open_to_all(folder: Path) -> None:
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)


LOOKS_AS_ANOTHER = ["studies", "show done", "show done/1", "trials done", "best done", "logs done/1", "why done/1"]


def check_looks(results: list[tuple[int, str, str]]) -> None:
    for (code, output, error), words in zip(
        results,
        ("front", "done  active", "done/1", "0.25", "Best trial: done/3", "the last words", "was suggested by"),
        strict=True,
    ):
        assert (code, words in output) == (0, True), (output, error)


def test_who_may_not_write_may_look(public: Path) -> None:
    check_looks(as_another_user(public, *LOOKS_AS_ANOTHER))


def test_who_may_not_write_may_look_while_another_user_serves(public: Path) -> None:
    if os.geteuid():
        pytest.skip("needs root, to be two users")
    public.parent.chmod(0o755)
    with LocalService(public) as service, Client(service.address) as client:
        client.stop_study("front", "while it is served")
        results = as_another_user(public, *LOOKS_AS_ANOTHER, "show front")
    check_looks(results[:-1])
    assert "while it is served" in results[-1][1], "what is in the log is seen, too"


def test_who_may_not_write_may_look_after_a_server_was_killed(public: Path) -> None:
    public.parent.chmod(0o755)
    public.chmod(0o644)
    server = subprocess.Popen(
        [Path(sys.executable).with_name("wazir"), "serve", "--db", public, "--listen", "127.0.0.1:0"],
        stderr=subprocess.PIPE,
    )
    assert server.stderr is not None
    assert b"Serving" in server.stderr.readline()
    with Client(database=public, retry_for=30.0) as client:
        client.stop_study("front", "before the crash")
    server.send_signal(signal.SIGKILL)
    server.communicate()
    assert public.with_name("wazir.db-wal").stat().st_size
    open_to_all(public.parent)

    results = as_another_user(public, *LOOKS_AS_ANOTHER, "show front")
    check_looks(results[:-1])
    assert "before the crash" in results[-1][1]


def test_a_write_is_refused_in_one_line(public: Path) -> None:
    for code, output, error in as_another_user(
        public, "stop done", "pause done", "enqueue done x=0.5", "delete done -y", "retry done/2", "watch done"
    ):
        assert code == 4, (output, error)
        assert "may look at its studies, not change or watch them" in output
        assert len(output.splitlines()) == 1


def test_an_older_schema_is_told_to_who_may_not_bring_it_up_to_date(public: Path) -> None:
    for path in (public.parent, public):
        path.chmod(0o755)
    with closing(sqlite3.connect(public)) as person, person:
        person.execute("UPDATE wazir_schema SET version_num = 'v0000'")
    open_to_all(public.parent)
    ((code, output, error),) = as_another_user(public, "studies")
    assert (code, "has the schema v0000, and this version of Wazir reads" in output) == (4, True), (output, error)


def test_who_may_not_even_read_is_told_so(public: Path) -> None:
    public.chmod(0o000)
    ((code, output, error),) = as_another_user(public, "studies")
    assert (code, "cannot be read" in output) == (4, True), (output, error)
    public.parent.chmod(0o000)
    ((code, output, error),) = as_another_user(public, "studies")
    public.parent.chmod(0o755)
    assert (code, "cannot be read" in output) == (4, True), (output, error)
