"""`--db` and WAZIR_DB mean the same database to every command: a file of SQLite or the URL of a PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wazir.app.cli import cli
from wazir.app.local_service import LocalService
from wazir.clients.client import Client
from wazir.clients.local_address import address_of
from wazir.storage.open import open_store
from wazir.storage.store import StudyFilter

from ..clients.served import spec
from ..postgres import Postgres

STUDY = """
study: mine
objective: {metric: loss, goal: minimize}
algorithm: random
parameters: {x: {min: 0.0, max: 1.0}}
budget: {trials: 2}
trial:
  command: [sh, -c, 'echo "loss=$0"', "${x}"]
  metrics: {from: stdout}
"""

COMMANDS = [
    "run mine.yaml",
    "studies",
    "show mine",
    "trials mine",
    "best mine",
    "create mine.yaml",
    "why mine/1",
    "logs mine/1",
    "watch mine",
    "enqueue mine x=0.5",
    "stop mine",
    "pause mine",
    "resume mine",
    "retry mine/1",
    "release mine/1 -y",
    "delete mine -y",
    "serve",
    "doctor",
    "token list",
    "db check",
    "db upgrade",
]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(STUDY)
    return tmp_path


def wazir(command: str, database: str | None = None, **environment: str) -> Result:
    named = dict.fromkeys(("WAZIR_ADDRESS", "WAZIR_TOKEN", "WAZIR_OWNER", "WAZIR_DB"))
    given = [] if database is None else ["--db", database]
    return CliRunner().invoke(cli, [*command.split(), *given], env={**named, **environment})


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("named", ["option", "variable"])
def test_what_resembles_a_url_is_never_a_path_and_its_password_is_never_shown(
    command: str, named: str, folder: Path
) -> None:
    url = "postgresql:/me:geheim@db/tuning"
    result = wazir(command, url) if named == "option" else wazir(command, WAZIR_DB=url)
    assert result.exit_code == 2
    assert "postgresql:/me:***@db/tuning" in result.output
    assert "must be postgresql://USER@HOST/DATABASE" in result.output
    assert "geheim" not in result.output
    assert [path.name for path in folder.iterdir()] == ["mine.yaml"]


def test_another_kind_of_database_is_refused_with_the_known_ones(folder: Path) -> None:
    result = wazir("studies", "mysql://me:geheim@db/tuning")
    assert result.exit_code == 2
    for words in ('no database of the kind "mysql"', "postgresql://USER@HOST/DATABASE", "sqlite:///FILE"):
        assert words in result.output
    assert "geheim" not in result.output


def test_a_database_that_is_away_is_named_without_its_password(folder: Path) -> None:
    for command in ("run mine.yaml", "studies", "create mine.yaml"):
        result = wazir(command, "postgresql://me:geheim@127.0.0.1:1/tuning")
        assert result.exit_code == 5, result.output
        assert "geheim" not in result.output


@pytest.mark.parametrize("option", ["foo=bar", "sslmode=nonsense"])
def test_an_option_that_postgresql_lacks_is_bad_input(option: str, folder: Path) -> None:
    result = wazir("studies", f"postgresql://me:geheim@127.0.0.1:1/tuning?{option}")
    assert (result.exit_code, "cannot be used to connect" in result.output) == (2, True), result.output
    assert "geheim" not in result.output


def test_sqlite_by_its_url_is_the_file(folder: Path) -> None:
    assert wazir("create mine.yaml", "sqlite:///there.db").exit_code == 5, "commands but `run` and `serve` make none"
    open_store(folder / "there.db").close()
    assert wazir("create mine.yaml", "sqlite:///there.db").exit_code == 0
    assert "mine" in wazir("studies", str(folder / "there.db")).stdout
    assert "mine" in wazir("studies", WAZIR_DB=f"sqlite:////{folder}/there.db").stdout
    assert "mine" not in wazir("studies").output


def test_a_study_runs_on_postgresql_and_every_command_finds_it(postgres: Postgres, folder: Path) -> None:
    url = postgres.ready()
    ran = wazir("run mine.yaml", url)
    assert ran.exit_code == 0, ran.output
    assert f"Results   {url}, logs under {folder / '.wazir' / 'runs'}" in ran.stdout
    assert f"wazir show mine --db {url}" in ran.stdout
    assert "wazir show mine ·" in wazir("run mine.yaml", WAZIR_DB=url).stdout, "the environment names it"

    for command, code, words in (
        ("studies", 0, "mine\tcompleted"),
        ("show mine", 0, "2 succeeded of 2"),
        ("best mine", 0, "Best trial: mine/"),
        ("logs mine/2", 0, "loss="),
        ("create mine.yaml", 4, "mine exists already"),
        ("doctor", 0, "none serves this database"),
        ("db check", 0, "is sound"),
        ("delete mine -y", 0, "Deleted mine."),
        ("studies", 0, "No studies."),
    ):
        given = wazir(command, url)
        assert (given.exit_code, words in given.output) == (code, True), (command, given.output)
    assert sorted(path.name for path in folder.iterdir()) == [".wazir", "mine.yaml"]
    assert not list((folder / ".wazir").glob("*.db")), "nothing was kept in a file"


def test_processes_of_a_machine_share_the_service_on_a_postgresql(postgres: Postgres) -> None:
    url = postgres.ready()
    spelt = url.replace("postgresql://wazir@", "postgres://wazir:any@")
    with LocalService(url) as first, LocalService(spelt) as second:
        assert (first.serving, second.serving) == (True, False)
        assert first.address == second.address
        with Client(database=spelt) as client:
            client.create_study("shared", spec())
        assert json.loads(wazir("studies -o json", spelt).stdout)[0]["study"] == "shared"
        assert "shows 1 study" in wazir("doctor", url).stdout
        first.close()
        with Client(database=url, retry_for=10.0) as client:
            assert client.get_study("shared").name.study == "shared"
    store = open_store(url)
    assert len(store.read(lambda view: view.studies("", StudyFilter(), "", 9))) == 1
    store.close()


def test_what_is_typed_is_meant_rather_than_what_the_environment_says(folder: Path) -> None:
    open_store(folder / "there.db").close()
    assert wazir("studies", "there.db", WAZIR_ADDRESS="127.0.0.1:1").exit_code == 0
    both = wazir("studies --address 127.0.0.1:1", "there.db")
    assert both.exit_code == 2
    assert 'wazir: --db = "there.db": cannot be given together with --address. Give one' in both.output


def test_a_database_in_the_place_of_an_address_is_told_apart_without_its_password(folder: Path) -> None:
    for given in (
        wazir("studies --address postgresql://me:geheim@db/tuning"),
        wazir("studies", WAZIR_ADDRESS="postgresql://me:geheim@db/tuning"),
    ):
        assert given.exit_code == 2
        assert "A database is named by --db" in given.output
        assert "geheim" not in given.output


def test_a_file_that_is_not_there_is_named_and_not_made(folder: Path) -> None:
    for result in (wazir("studies", "none.db"), wazir("show mine", WAZIR_DB="none.db")):
        assert (result.exit_code, "none.db does not exist. `wazir run` and" in result.output) == (5, True)
    assert "no service is named and .wazir/wazir.db does not exist here" in wazir("studies").output
    assert [path.name for path in folder.iterdir()] == ["mine.yaml"]


def test_a_folder_is_refused(folder: Path) -> None:
    result = wazir("studies", str(folder))
    assert (result.exit_code, "is a folder. Name a file, for instance" in result.output) == (2, True)
    assert [path.name for path in folder.iterdir()] == ["mine.yaml"]


def test_the_first_server_on_a_postgresql_is_found_by_its_name_and_more_may_join(postgres: Postgres) -> None:
    url = postgres.ready()
    program = [sys.executable, "-c", "from wazir.app.main import main; main()"]
    serve = [*program, "serve", "--db", url, "--listen", "127.0.0.1:0"]
    servers: list[subprocess.Popen[str]] = []
    lines: list[str] = []
    try:
        for _ in range(2):
            servers.append(subprocess.Popen(serve, stderr=subprocess.PIPE, text=True))
            stderr = servers[-1].stderr
            assert stderr is not None
            lines.append(next(line for line in stderr if "Serving" in line))
        first, second = lines
        assert address_of(url) in first
        assert "unix:" not in second
        with Client(database=url) as client:
            client.create_study("served", spec())
        assert "served\tactive" in wazir("studies", url).stdout
        elsewhere = second.split(" at ")[1].split()[0]
        assert "served\tactive" in wazir(f"studies --address {elsewhere}").stdout
    finally:
        for server in servers:
            server.terminate()
            server.communicate()
