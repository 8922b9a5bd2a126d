"""What is removed bit by bit: the rows of deleted studies, and points of curves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from wazir.domain.errors import NotFound
from wazir.domain.names import StudyName
from wazir.domain.study import StudyState, Thinning
from wazir.domain.trial import Measurement, Trial, TrialState
from wazir.storage import sql
from wazir.storage.memory import MemoryStore
from wazir.storage.postgres import open_postgres
from wazir.storage.problems import problems
from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Store, StudyFilter

from ..contract.store import NAME, add, changes_of, in_state, insert, new_study, new_trial, points_of, unit

OTHER = StudyName("default", "other")


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store: Store
    if request.param == "memory":
        store = MemoryStore()
    elif request.param == "sqlite":
        store = open_sqlite(tmp_path / "wazir.db")
    else:
        store = open_postgres(request.getfixturevalue("postgres").ready())
    yield store
    store.close()


def measured(store: Store, steps: int, *metrics: str, name: StudyName = NAME) -> Trial:
    """A live trial with so many steps."""
    (trial,) = add(store, in_state(new_trial(1, name=name), TrialState.ACTIVE), name=name)
    points = [Measurement(step, dict.fromkeys(metrics, step / 7), 1.0) for step in range(steps)]
    store.write(lambda tx: tx.add_measurements(trial, 1, points))
    return trial


def purge(store: Store, limit: int) -> int:
    return store.write(lambda tx: tx.purge(limit))


# Deleted studies


@pytest.fixture
def deleted(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store that has deleted a study too large to be removed at once, and holds another."""
    monkeypatch.setattr(sql, "AT_ONCE", 20)
    insert(store, new_study())
    insert(store, new_study(OTHER))
    measured(store, 3, "loss", name=OTHER)
    measured(store, 50, "loss")
    add(store, new_trial(2), new_trial(3))
    store.write(lambda tx: tx.delete_study(tx.lock(NAME)))
    return store


def test_the_name_of_a_large_study_that_was_deleted_is_free_at_once(deleted: Store) -> None:
    with pytest.raises(NotFound):
        deleted.read(lambda view: view.study(NAME))
    insert(deleted, new_study())
    add(deleted, new_trial(1))
    while purge(deleted, 7):
        pass
    assert deleted.read(lambda view: len(changes_of(deleted, view.study(NAME), 0).trials)) == 1


def test_nothing_of_a_large_study_that_was_deleted_is_found(deleted: Store) -> None:
    assert [s.name for s in deleted.read(lambda view: view.studies("", StudyFilter(), "", 10))] == [OTHER]
    assert [s.name for s in deleted.read(lambda view: view.studies("default", StudyFilter(), "", 10))] == [OTHER]
    assert [t.name for t in deleted.read(lambda view: view.live())] == [OTHER.trial(1)]
    assert [s.name for s in deleted.read(lambda view: view.unended())] == [OTHER]
    assert deleted.read(lambda view: view.to_thin(1e12, 1, 10)) == []
    assert deleted.read(lambda view: list(problems(view))) == []


def test_what_is_left_of_deleted_studies_is_removed_bit_by_bit_and_nothing_else(deleted: Store) -> None:
    bits = list(iter(lambda: purge(deleted, 20), 0))
    if not isinstance(deleted, MemoryStore):
        assert bits == [20, 20, 10, 3, 1], "measurements, trials, and the study's own row"
    assert [p.step for p in deleted.read(lambda view: view.points(view.study(OTHER), 0))] == [0, 1, 2]
    assert deleted.read(lambda view: view.trial(OTHER.trial(1))).name == OTHER.trial(1)


def test_a_small_study_is_removed_at_once(store: Store) -> None:
    insert(store, new_study())
    measured(store, 3, "loss")
    store.write(lambda tx: tx.delete_study(tx.lock(NAME)))
    assert purge(store, 100) == 0


# Curves


def test_trials_with_long_curves_are_found(store: Store) -> None:
    insert(store, new_study())
    measured(store, 5, "loss", "accuracy")
    measured(store, 3, "loss")
    study = store.read(lambda view: view.study(NAME))

    def long(first: int, beyond: int, points: int) -> list[int]:
        return store.read(lambda view: view.long_curves(study, first, beyond, points))

    assert [long(1, 10, points) for points in (2, 3, 5)] == [[1, 2], [1], []]
    assert long(2, 10, 2) == [2]
    assert long(1, 2, 2) == [1]


def test_points_of_a_curve_are_deleted_by_their_keys(store: Store) -> None:
    insert(store, new_study())
    trial = measured(store, 3, "loss", "accuracy")
    assert store.write(lambda tx: tx.delete_points(trial.name, [(1, 0, "loss"), (1, 2, "accuracy"), (9, 9, "x")])) == 2
    assert sorted((p.step, p.metric) for p in points_of(store)) == [
        (0, "accuracy"), (1, "accuracy"), (1, "loss"), (2, "loss"),
    ]  # fmt: skip
    assert [(p.step, p.value) for p in store.read(lambda view: view.curve(trial.name)) if p.metric == "loss"] == [
        (1, 1 / 7), (2, 2 / 7),
    ]  # fmt: skip


def test_studies_to_thin_come_by_their_ends(store: Store) -> None:
    def ended(name: str, end_time: float, thinning: Thinning | None = None) -> None:
        study = new_study(StudyName("default", name))
        insert(store, replace(study, state=StudyState.COMPLETED, end_time=end_time, thinning=thinning))

    insert(store, new_study())
    ended("late", 500.0)
    ended("b", 20.0)
    ended("a", 30.0)
    ended("done", 25.0, Thinning(100, 90.0))
    ended("cut-short", 26.0, Thinning(100))
    ended("ended-again", 27.0, Thinning(100, 10.0))
    ended("to-more", 28.0, Thinning(101, 90.0))

    found = store.read(lambda view: view.to_thin(400.0, 100, 10))
    assert [s.name.study for s in found] == ["b", "cut-short", "ended-again", "to-more", "a"]
    assert store.read(lambda view: view.to_thin(400.0, 100, 2, after=found[1])) == found[2:4]


def test_that_a_study_is_thinned_is_kept_with_it(store: Store) -> None:
    insert(store, new_study())
    unit(store, lambda u: setattr(u, "study", replace(u.study, thinning=Thinning(200))))
    assert store.read(lambda view: view.study(NAME)).thinning == Thinning(200)
    unit(store, lambda u: setattr(u, "study", replace(u.study, thinning=Thinning(200, 5.5))))
    assert store.read(lambda view: view.study(NAME)).thinning == Thinning(200, 5.5)
