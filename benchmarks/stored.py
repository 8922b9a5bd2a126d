"""Studies that have stored much already, written through the store itself, because that is fastest."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from load import DIMENSIONS

from wazir.domain.attempt import Attempt, AttemptState, Cause
from wazir.domain.metric import Goal, Objective
from wazir.domain.names import StudyName
from wazir.domain.space import Double, Parameter, Space
from wazir.domain.study import Algorithm, Counts, Study, StudySpec, StudyState
from wazir.domain.trial import Measurement, Provenance, Trial, TrialState
from wazir.storage.store import Store, Transaction

CHUNK = 500
NAME = StudyName("default", "load-0")
SPEC = StudySpec(
    objectives=(Objective("loss", Goal.MINIMIZE),),
    space=Space(tuple(Parameter(f"x{i}", Double(0.0, 1.0)) for i in range(DIMENSIONS))),
    algorithm=Algorithm("random", seed=1),
)
TIME = 1_700_000_000.25


def fill(store: Store, trials: int, measurements: int = 0) -> None:
    """Makes the study of the load, with so many SUCCEEDED trials of so many measurements each."""
    draw = random.Random(1)
    store.write(_make)
    for first in range(1, trials + 1, CHUNK):
        some = [trial_of(number, draw) for number in range(first, min(first + CHUNK, trials + 1))]
        store.write(partial(_add, trials=some, measurements=measurements))


def _make(tx: Transaction) -> None:
    tx.insert_study(Study(NAME, "0" * 32, SPEC, StudyState.ACTIVE, TIME, seed=1))


def _add(tx: Transaction, trials: Sequence[Trial], measurements: int) -> None:
    last = trials[-1]
    study = replace(
        tx.lock(NAME),
        counts=Counts({TrialState.SUCCEEDED: last.id}),
        next_trial_id=last.id + 1,
        rounds=last.id,
        revision=last.revision,
    )
    tx.insert_trials(study, trials, None)
    for trial in trials if measurements else ():
        tx.add_measurements(trial, 1, [Measurement(i, {"loss": 1 / (i + 1)}, TIME) for i in range(measurements)])
    tx.update_study(study)


def trial_of(number: int, draw: random.Random) -> Trial:
    attempt = Attempt(1, AttemptState.ENDED, TIME, "client-0", True, 60.0, end_time=TIME, cause=Cause.SUCCEEDED)
    return Trial(
        NAME.trial(number),
        TrialState.SUCCEEDED,
        {f"x{i}": draw.random() for i in range(DIMENSIONS)},
        TIME,
        provenance=Provenance("random", 1, number - 1, 0, 1, history_digest="0" * 32, why="drawn at random"),
        client_id="client-0",
        attempts=(attempt,),
        final={"loss": draw.random()},
        start_time=TIME,
        end_time=TIME,
        revision=number,
    )
