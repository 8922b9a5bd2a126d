"""`wazir db thin` on a file and on PostgreSQL, and what `show` says of a thinned study."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from wazir.app.cli import cli
from wazir.domain.study import StudyState
from wazir.domain.trial import Measurement, TrialState
from wazir.storage.open import open_store

from ..contract.store import NAME, add, in_state, insert, new_study, new_trial, report, unit

DAY = 86_400.0


@pytest.fixture(params=["file", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    """A study that ended ten days ago, with one trial of 100 steps and one of three."""
    where: Path | str = tmp_path / "wazir.db"
    if request.param == "postgres":
        where = request.getfixturevalue("postgres").ready()
    store = open_store(where)
    insert(store, new_study())
    trials = add(store, *(in_state(new_trial(i), TrialState.SUCCEEDED, final={"loss": 1.0}) for i in (1, 2)))
    for trial, steps in zip(trials, (100, 3), strict=True):
        report(store, trial, 1, *(Measurement(n, {"loss": 1 / (n + 1)}, 1.0) for n in range(steps)))
    end = time.time() - 10 * DAY
    unit(store, lambda u: setattr(u, "study", replace(u.study, state=StudyState.COMPLETED, end_time=end)))
    store.close()
    yield where
    if isinstance(where, str):
        request.getfixturevalue("postgres").drop(where)


def wazir(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def kept(database: Path | str) -> list[int]:
    store = open_store(database)
    try:
        return [len(store.read(lambda view, i=i: view.curve(NAME.trial(i)))) for i in (1, 2)]  # type: ignore[misc]
    finally:
        store.close()


def test_a_dry_run_says_how_many_measurements_would_go_and_removes_none(database: Path | str) -> None:
    done = wazir("db", "thin", "--db", database, "--older-than", "9d", "--points", 20, "--dry-run")
    assert (done.exit_code, done.output.split(" from ")[0]) == (0, "80 measurements of 1 study would be removed")
    assert kept(database) == [100, 3]
    assert "curves " not in wazir("show", "s", "--db", database).output


def test_long_curves_are_thinned_once_and_the_study_says_so(database: Path | str) -> None:
    done = wazir("db", "thin", "--db", database, "--older-than", "9d", "--points", 20)
    assert (done.exit_code, done.output.split(" from ")[0]) == (0, "80 measurements of 1 study are removed")
    assert kept(database) == [20, 3]
    assert "curves      at most 20 points of each are kept\n" in wazir("show", "s", "--db", database).output
    assert '"curve_points": 20' in wazir("show", "s", "--db", database, "-o", "json").output
    assert "20 steps kept, the last ones:" in wazir("show", "s/1", "--db", database).output

    again = wazir("db", "thin", "--db", database, "--older-than", "9d", "--points", 20)
    assert again.output.startswith("0 measurements of 0 studies are removed")
    fewer = wazir("db", "thin", "--db", database, "--older-than", "9d", "--points", 5)
    assert fewer.output.startswith("15 measurements of 1 study are removed")


def test_a_study_that_ended_lately_is_left_alone(database: Path | str) -> None:
    done = wazir("db", "thin", "--db", database, "--older-than", "11d", "--points", 20)
    assert done.output.startswith("0 measurements of 0 studies")
    assert kept(database) == [100, 3]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("db", "thin", "--older-than", "9d", "--points", 3), "--points = 3: must be 4 or more"),
        (("db", "thin", "--older-than", "soon"), "--older-than = 'soon': must be a duration"),
        (("serve", "--keep-measurements", "soon"), "--keep-measurements = 'soon': must be a duration"),
        (("serve", "--keep-points", 0), "--keep-points = 0: must be 4 or more"),
        (("serve", "--keep-points", 9), "--keep-points = 9: says nothing without --keep-measurements"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path: Path, arguments: tuple[object, ...], words: str) -> None:
    done = wazir(*arguments, "--db", tmp_path / "wazir.db")
    assert done.exit_code == 2
    assert words in " ".join(done.output.split()).replace('"', "'")
