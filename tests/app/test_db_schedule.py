"""A server's own backups: when one is due, what they are called, which go, and that a failure harms nothing else."""

from __future__ import annotations

import logging
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from wazir.app.backup_schedule import Plan, Scheduled, name_at, own
from wazir.app.cli import cli
from wazir.service.backups import Backups
from wazir.storage.exchange import LocalExchange
from wazir.storage.sqlite import open_sqlite
from wazir.storage.sqlite_copy import check_file

from ..contract.store import insert, new_study
from ..postgres import Postgres
from .test_db_identity import served

NOON = 1_796_126_400.0
"""2026-12-01 12:00 UTC."""


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def plan(tmp_path: Path) -> Iterator[Plan]:
    file = tmp_path / "wazir.db"
    store = open_sqlite(file)
    insert(store, new_study())
    folder = tmp_path / "backups"
    folder.mkdir()
    yield Plan(file, every=3600.0, keep=3, folder=folder)
    store.close()


def names(plan: Plan) -> list[str]:
    return sorted(path.name for path in plan.folder.iterdir())


def test_backups_are_named_by_their_time_and_only_own_ones_are_known_again(plan: Plan) -> None:
    name = name_at(plan, NOON + 61)
    assert name == "wazir-20261201T120101Z.db"
    others = ["wazir.db", "wazir-20261201T120101Z.db.part", "other-20261201T120101Z.db", "wazir-20261399T120101Z.db"]
    assert own(plan, [name, *others]) == [(NOON + 61, name)]
    url = Plan("postgresql://wazir@db/tuning", 1.0, 1, plan.folder)
    assert name_at(url, NOON) == "tuning-20261201T120000Z.dump"


def test_a_backup_is_made_when_the_last_one_is_old_enough_and_the_oldest_go(plan: Plan) -> None:
    clock, state = Clock(), Backups()
    (plan.folder / "wazir-notes.db").touch()
    for _ in range(5):
        # One that starts again finds out from the files.
        Scheduled(plan, LocalExchange(), state, clock).look()
        clock.now += 1800.0
    assert names(plan) == [*_named("120000", "130000", "140000"), "wazir-notes.db"]
    clock.now += 3600.0
    Scheduled(plan, LocalExchange(), state, clock).look()
    assert names(plan) == [*_named("130000", "140000", "153000"), "wazir-notes.db"]
    assert state.last == clock.now
    for _, name in own(plan, names(plan)):
        check_file(plan.folder / name)
        assert stat.S_IMODE((plan.folder / name).stat().st_mode) == 0o600


def _named(*times: str) -> list[str]:
    return [f"wazir-20261201T{time}Z.db" for time in times]


def test_one_server_of_several_makes_them(plan: Plan) -> None:
    exchange = LocalExchange()
    one, other = (Scheduled(plan, exchange, Backups(), Clock()) for _ in range(2))
    one.look()
    other._plan.folder.joinpath(names(plan)[0]).unlink()
    other.look()
    assert names(plan) == []


def test_a_failure_is_said_once_and_counted_and_the_next_one_that_works_ends_it(
    plan: Plan, caplog: pytest.LogCaptureFixture
) -> None:
    state = Backups()
    clock = Clock()
    scheduled = Scheduled(plan, LocalExchange(), state, clock)

    def tried() -> None:
        try:
            scheduled.look()
        except Exception as error:  # noqa: BLE001 - as its thread does
            scheduled._failed(error)

    obstacle = plan.folder / (name_at(plan, NOON) + ".part")
    obstacle.mkdir()
    with caplog.at_level(logging.INFO):
        tried()
        tried()  # not yet time to try again
        assert state.failures == 1
        assert "no backup of" in caplog.text
        assert names(plan) == [obstacle.name]
        clock.now += 400.0
        tried()
    assert (state.failures, state.trouble) == (1, "")
    assert names(plan) == sorted([name_at(plan, clock.now), obstacle.name])


@pytest.mark.parametrize("kind", ["file", "postgres"])
def test_a_server_makes_them_and_says_so(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    database: Path | str = tmp_path / "wazir.db"
    if kind == "postgres":
        server: Postgres = request.getfixturevalue("postgres")
        database = server.ready()
    folder = tmp_path / "backups"
    with served(database, "--backup-every", "1h", "--backup-to", folder) as process:
        assert process.stderr is not None
        assert any("is backed up to" in line for line in process.stderr)
    (backup,) = folder.iterdir()
    restored: Path | str = tmp_path / "restored.db" if kind == "file" else server.fresh()
    done = CliRunner().invoke(cli, ["db", "restore", "--db", str(restored), str(backup)])
    assert done.exit_code == 0, done.output
    if kind == "postgres":
        server.drop(str(database))
        server.drop(str(restored))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--backup-keep", "3"], '--backup-keep = "3": says nothing without --backup-every'),
        (["--backup-every", "soon"], "--backup-every"),
        (["--backup-every", "0s"], '--backup-every = "0s": must be 1 s or more'),
        (["--backup-every", "1h", "--backup-to", "/proc/x"], "Choose another with --backup-to"),
        (["--drain", "-1"], "--drain = -1.0: must be 0 or more seconds"),
        (["--drain", "nan"], "--drain = NaN: must be 0 or more seconds"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: list[str], words: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["serve", "--db", str(tmp_path / "wazir.db"), *options])
    assert result.exit_code in (2, 4)
    assert words in result.output
    assert list(tmp_path.iterdir()) == []
