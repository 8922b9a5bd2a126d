"""What a writer remembers is never seen where it is no longer true, whoever wrote meanwhile and whatever failed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from wazir.domain.study import Study
from wazir.domain.trial import Trial
from wazir.storage.known import MOST, Known
from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Store, Transaction

from ..contract.store import NAME, S, Unit, in_state, insert, new_study, new_trial

TRIALS = 3
STATES = [S.ACTIVE, S.STOPPING, S.REQUESTED, S.SUCCEEDED]


class Boom(Exception):
    pass


@contextmanager
def two_stores() -> Iterator[list[Store]]:
    """On one file, as two servers have it."""
    with tempfile.TemporaryDirectory() as folder:
        stores = [open_sqlite(Path(folder) / "wazir.db") for _ in range(2)]
        try:
            yield stores
        finally:
            for store in stores:
                store.close()


steps = st.lists(
    st.tuples(
        st.integers(0, 1),  # which store
        st.integers(1, TRIALS),  # which trial
        st.sampled_from([*STATES, None]),  # its new state; none: it is deleted, and made anew
        st.sampled_from(["", "at once", "after it wrote", "after it sent what it wrote"]),  # how the unit fails
    ),
    max_size=12,
)


@settings(max_examples=60)
@given(steps)
def test_a_unit_sees_what_was_committed_last(steps: list[tuple[int, int, S | None, str]]) -> None:
    with two_stores() as stores:
        insert(stores[0], new_study())

        def make(tx: Transaction) -> list[Trial]:
            unit = Unit(tx)
            made = unit.add(*(new_trial(0) for _ in range(TRIALS)))
            unit.finish()
            return made

        model = {trial.id: trial for trial in stores[0].write(make)}

        def seen(tx: Transaction) -> tuple[Study, list[Trial]]:
            return tx.lock(NAME), [tx.trial(name.name) for name in model.values()]

        for which, number, state, failure in steps:

            def work(tx: Transaction, number: int = number, state: S | None = state, failure: str = failure) -> Trial:
                unit = Unit(tx)
                if failure == "at once":
                    raise Boom
                trial = tx.trial(NAME.trial(number))
                assert trial == model[number]
                if state is None:
                    tx.delete_trial(unit.study, trial)
                    tx.insert_trials(unit.study, [new_trial(number)], None)
                    trial = new_trial(number)
                else:
                    trial = unit.put(in_state(trial, state))
                if failure == "after it sent what it wrote":
                    tx.best(unit.study, 1)
                if failure:
                    raise Boom
                unit.finish()
                return trial

            try:
                model[number] = stores[which].write(work)
            except Boom:
                assert failure
            for store in stores:
                study, trials = store.write(seen)
                assert trials == list(model.values())
                assert study == store.read(lambda view: view.study(NAME))


def test_a_study_made_anew_is_not_taken_for_the_old_one() -> None:
    with two_stores() as (store, other):
        insert(store, new_study(uid="old"))
        store.write(lambda tx: tx.lock(NAME))
        other.write(lambda tx: tx.delete_study(tx.lock(NAME)))
        new = replace(new_study(uid="new"), seed=8)
        insert(other, new)
        assert store.write(lambda tx: tx.lock(NAME)) == new


def test_there_is_an_end_to_what_is_remembered() -> None:
    known, study = Known(), new_study()
    for number in range(1, MOST + 100):
        known.remember(1, study, [new_trial(number)])
    assert len(known) <= MOST + 1


def test_ended_trials_are_not_remembered() -> None:
    known, study = Known(), new_study()
    known.remember(1, study, [new_trial(1)])
    assert known.trial(study, 1) == new_trial(1)
    known.remember(1, study, [in_state(new_trial(1), S.SUCCEEDED)])
    assert known.trial(study, 1) is None
