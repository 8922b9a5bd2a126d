"""Databases that hold much already, written by bulk inserts, because the service and the store would take hours.

The rows are made by the store's own functions. Of studies that are all alike only the first is made so, and the others
are copied inside the database; measurements are counted up there as well.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stored import NAME, SPEC, TIME, trial_of

from wazir.domain.attempt import AttemptState
from wazir.domain.names import StudyName
from wazir.domain.study import Counts, EndReason, Study, StudyState
from wazir.domain.trial import TrialState
from wazir.storage import rows
from wazir.storage.open import open_store

CHUNK = 10_000


@dataclass(frozen=True)
class Shape:
    """What is stored: the study of the load, open and large, and many small ones."""

    trials: int
    """Of the large study, all of them SUCCEEDED."""
    measurements: int = 0
    """A trial, of one metric, in every study."""
    studies: int = 0
    """Small ones, COMPLETED but for those that are open."""
    trials_each: int = 100
    open: int = 0
    """How many of the small studies are ACTIVE. Each has one live trial more, whose holder beats every day."""


def fill(database: Path | str, shape: Shape) -> None:
    """Makes the database's tables, and fills them. It must be empty or not there."""
    open_store(database).close()
    with _connected(database) as connection:
        sql = _Sql(connection, lite=isinstance(database, Path))
        studies = [_large(shape), *(_small(number, shape) for number in range(shape.studies))]
        sql.insert("studies", ({"key": key} | rows.study_values(s) for key, s in enumerate(studies, start=1)))
        draw = random.Random(1)
        large = (trial_of(number, draw) for number in range(1, shape.trials + 1))
        sql.insert("trials", ({"slot": 0} | rows.trial_values(1, SPEC, t) for t in large))
        _copy_trials(sql, shape)
        sql.insert("trials", _live(studies))
        _count_up(sql, shape)
        sql.finish(studies=len(studies))


def _large(shape: Shape) -> Study:
    return _study(NAME, "large", shape.trials)


def _small(number: int, shape: Shape) -> Study:
    study = _study(StudyName("default", f"small-{number}"), f"small-{number}", shape.trials_each)
    if number < shape.open:
        counts = study.counts.moved(None, TrialState.ACTIVE)
        return replace(study, counts=counts, next_trial_id=study.next_trial_id + 1)
    return replace(
        study, state=StudyState.COMPLETED, ending=EndReason.TRIALS, reason="all its trials", end_time=TIME + 1
    )


def _study(name: StudyName, uid: str, trials: int) -> Study:
    return Study(
        name,
        uid,
        SPEC,
        StudyState.ACTIVE,
        TIME,
        seed=1,
        counts=Counts({TrialState.SUCCEEDED: trials}),
        next_trial_id=trials + 1,
        rounds=trials,
        revision=trials,
    )


def _live(studies: Sequence[Study]) -> Iterator[rows.Values]:
    """The live trials of small studies that are open."""
    draw = random.Random(2)
    for key, study in enumerate(studies, start=1):
        if study.counts[TrialState.ACTIVE]:
            ended = trial_of(study.next_trial_id - 1, draw)
            attempt = replace(
                ended.attempts[0], state=AttemptState.RUNNING, lease_seconds=86_400.0, end_time=None, cause=None
            )
            live = replace(
                ended, state=TrialState.ACTIVE, attempts=(attempt,), final=None, end_time=None, revision=study.revision
            )
            yield {"slot": 0} | rows.trial_values(key, SPEC, live)


def _copy_trials(sql: _Sql, shape: Shape) -> None:
    columns = [c for c in sql.columns("trials") if c != "study"]
    names = ", ".join(columns)
    copied = ", ".join(f"t.{c}" for c in columns)
    sql.run(
        f"INSERT INTO trials (study, {names}) SELECT s.key, {copied} FROM studies s, trials t "
        f"WHERE s.key > 1 AND t.study = 1 AND t.id <= {shape.trials_each} ORDER BY s.key, t.id"
    )


def _count_up(sql: _Sql, shape: Shape) -> None:
    """The measurements of all trials that have ended, and the studies' counters of them."""
    each = shape.measurements
    if each:
        sql.run(
            "INSERT INTO measurements (study, trial, attempt, step, metric, value, time, sequence) "
            f"SELECT t.study, t.id, 1, n, 'loss', 1.0 / n, {TIME}, (t.id - 1) * {each} + n "
            f"FROM trials t, {sql.numbers(each)} WHERE {sql.ended} ORDER BY t.study, t.id, n"
        )
    sql.run(
        f"INSERT INTO sequences (study, value) SELECT key, {each} * (CASE WHEN key = 1 THEN {shape.trials} "
        f"ELSE {shape.trials_each} END) FROM studies"
    )


class _Sql:
    """What the two databases spell each in its own way."""

    def __init__(self, connection: Any, *, lite: bool) -> None:
        self._connection = connection
        self._lite = lite
        self.ended = "t.live = 0" if lite else "NOT t.live"

    def run(self, statement: str) -> None:
        self._connection.execute(statement)

    def columns(self, table: str) -> list[str]:
        return [column[0] for column in self._connection.execute(f"SELECT * FROM {table} LIMIT 0").description]

    def numbers(self, last: int) -> str:
        """A table of the column n, from 1 on."""
        if self._lite:
            return f"(WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {last}) SELECT n FROM c)"
        return f"generate_series(1, {last}) n"

    def insert(self, table: str, values: Iterator[rows.Values]) -> None:
        for first in values:
            names = list(first)
            listed = ", ".join(names)
            rest = ([row[name] for name in names] for row in values)
            if self._lite:
                marks = ", ".join("?" * len(names))
                insert = f"INSERT INTO {table} ({listed}) VALUES ({marks})"
                self._connection.execute(insert, list(first.values()))
                self._connection.executemany(insert, rest)
            else:
                with self._connection.cursor().copy(f"COPY {table} ({listed}) FROM STDIN") as copy:
                    copy.write_row(list(first.values()))
                    for row in rest:
                        copy.write_row(row)

    def finish(self, studies: int) -> None:
        """Ends the transaction, and lets the database learn what it holds, as it would have done meanwhile."""
        if not self._lite:
            self.run(f"SELECT setval(pg_get_serial_sequence('studies', 'key'), {studies})")
        self.run("COMMIT")
        if not self._lite:
            self.run("VACUUM (ANALYZE)")


def _connected(database: Path | str) -> AbstractContextManager[Any]:
    """In a transaction."""
    connection: Any
    if isinstance(database, Path):
        connection = sqlite3.connect(database, isolation_level=None)
        connection.execute("PRAGMA synchronous=OFF")
    else:
        import psycopg

        connection = psycopg.connect(database, autocommit=True)
        # The rows belong together as they are made: to look up the trial of each measurement takes half of the time.
        connection.execute("SET session_replication_role = replica")
    connection.execute("BEGIN")
    return closing(connection)
