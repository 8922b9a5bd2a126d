"""No statement reads a table from end to end: each costs no more beside many rows than beside few.

Every statement of `statements.py` and of `sqlite_look.py` is run on a filled database of each kind, and what it touched
is counted: steps of SQLite's machine, pages of PostgreSQL. A statement that is not in the table of values fails.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import Executable
from sqlalchemy.dialects import postgresql, sqlite

from wazir.domain.metric import Goal, Objective
from wazir.domain.names import StudyName
from wazir.domain.space import Double, Parameter, Space
from wazir.domain.study import Study, StudySpec, StudyState
from wazir.domain.trial import Trial, TrialState
from wazir.storage import rows, schema, sqlite_look, statements
from wazir.storage.open import open_store

from ..postgres import Postgres

TRIALS = 20_000
"""Of the large study; the other tables have as many rows or more."""
STUDIES = 3_000
STEPS = 20_000
"""Of SQLite's machine. To look at each trial once takes more than 100,000."""
PAGES = 150
"""Of PostgreSQL. The trials alone fill more than 1,000."""

VALUES: Mapping[str, object] = {
    "owner": "default", "id": "study-1500", "study_id": "study-1", "uid": "uid-1500", "study": 1, "trial": 15_000,
    "limit": 10, "skip": 0, "records": "[]", "since": 1.0, "until": 1_000_000, "after": 15_000,
    "after_owner": "default", "after_id": "study-15",
    "digest": "00000000000000000000000000015000", "digests": ["00000000000000000000000000015000"],
    "request_id": "request-15000", "state": "active", "name": "nothing", "before": 3.0,
    "this_study": 1, "this_trial": 15_000, "this_uid": "uid-1500", "this_id": "nobody", "more": 5, "keeps_slot": True,
    "after_time": 1_000.0, "after_key": 1, "first": 15_000, "beyond": 15_010, "points": 3, "this_attempt": 1,
    "this_step": 1, "this_metric": "loss", "nobodys_id": "7", "nobodys_uid": "deleted-7",
}  # fmt: skip
"""By the name of the parameter. What is not here is the value of a column to be written."""

OTHER_VALUES: Mapping[str, Mapping[str, object]] = {
    "INSERT_TRIAL": {"id": TRIALS + 1},
    "CURVE_BEYOND": {"after": 0},
    "INSERT_SEQUENCE": {"study": STUDIES},
    "UPDATE_STUDY": {"uid": "uid-new"},
    "TO_THIN": {"points": 100, "before": 2_000.0},
    "AUDIT_FLOOR": {"since": "record-19000", "before": "record-19900", "scan": 10},
    "AUDIT_CEILING": {"before": "record-19900", "most": 10},
    "AUDIT_RECORDS": {"since": "record-19000", "before": "record-19900", "study": "", "method": "", "caller": ""},
    "FORGET_AUDIT_RECORDS": {"before": "record-00010"},
}
"""Of statements whose parameters mean something else."""

WHOLE = {"USAGE", "USAGE_OF_OWNER", "REVISIONS"}
"""Statements that look at all studies of an owner: what it uses, where its quota is nearly used up, and what a watch of
them may have missed, every few seconds. A quota of studies bounds that."""

SMALL = {"tokens", "secrets"}
"""Tables of a few rows, which are read whole."""


def named_statements() -> Iterator[tuple[str, Executable]]:
    for name, value in vars(statements).items():
        if name in WHOLE:
            continue
        if isinstance(value, Executable) and not name.startswith("_"):
            yield name, value
        elif isinstance(value, dict) and name != "SPELLINGS":
            for key, statement in value.items():
                if isinstance(statement, Executable):
                    yield f"{name}[{', '.join(map(str, key if isinstance(key, tuple) else (key,)))}]", statement


def statements_of(database: str) -> Iterator[tuple[str, Executable]]:
    yield from named_statements()
    yield from ((name, value) for name, value in vars(statements.SPELLINGS[database]).items() if value is not None)


SPEC = StudySpec((Objective("loss", Goal.MINIMIZE),), Space((Parameter("x", Double(0.0, 1.0)),)))
STUDY = Study(StudyName("default", "study"), "uid", SPEC, StudyState.COMPLETED, 1.0, seed=1)
TRIAL = Trial(STUDY.name.trial(1), TrialState.SUCCEEDED, {"x": 0.5}, 1.0, final={"loss": 0.5})
NEW = {
    **rows.study_values(STUDY), **rows.trial_values(1, SPEC, TRIAL), "slot": 7, "key": 0, "number": 1, "step": 1,
    "metric": "loss", "value": 0.5, "time": 1.0, "sequence": 1, "method": "m", "payload": "p", "result": "r",
    "role": "user", "label": "", "expire_time": None, "revoke_time": None, "attempt": 1, "revision": 7,
    "last_time": 1.0, "count": 1, "caller": "c", "caller_owner": "", "address": "", "outcome": "done", "of_study": "",
    **{f"outcome{i}": "done" for i in range(4)}, "records": "[]",
}  # fmt: skip


def fill(connection: Any, mark: str, text: str) -> None:
    """`mark`: a parameter by position; `text`: the type of text."""

    def insert(table: str, values: Mapping[str, object], counted: Mapping[str, str], last: int) -> None:
        """So many rows; `counted`: SQL for some columns, of the row's number n."""
        columns = {**dict.fromkeys(values, mark), **counted}
        given = [value for name, value in values.items() if name not in counted]
        connection.execute(
            f"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {last}) "
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(columns.values())} FROM c",
            given,
        )

    number = f"CAST(n AS {text})"
    digest = f"substr('00000000000000000000000000000000' || n, length({number}) + 1)"
    a_trial = {**rows.trial_values(1, SPEC, TRIAL), "slot": 0}
    of_large = {"study": "1", "id": "n", "revision": "n", "create_time": "n / 10000.0", "digest": digest, "loss": "n"}

    ended = "CASE WHEN mod(n, 100) = 0 THEN NULL ELSE n + 0.0 END"
    state = "CASE WHEN mod(n, 100) = 0 THEN 'active' ELSE 'completed' END"
    named = {"key": "n", "id": f"'study-' || {number}", "uid": f"'uid-' || {number}"}
    insert("studies", rows.study_values(STUDY), {**named, "state": state, "end_time": ended}, STUDIES)
    insert("sequences", {}, {"study": "n", "value": "n"}, STUDIES - 1)
    insert("trials", a_trial, of_large, TRIALS)
    insert("trials", a_trial, {"study": "n + 1", "digest": digest}, STUDIES - 1)
    connection.execute("UPDATE trials SET live = NOT live, state = 'active' WHERE mod(id, 1000) = 999")
    of_trial = {"study": "1", "trial": "n"}
    insert("attempts", {"attempt": "{}"}, {**of_trial, "number": "1"}, TRIALS)
    insert("tombstones", {}, {**of_trial, "revision": "n"}, TRIALS)
    row = {"metric": "loss", "value": 0.5, "time": 1.0, "attempt": 1}
    for step in range(5):
        insert("measurements", row, {**of_trial, "step": str(step), "sequence": f"n + {step * TRIALS}"}, TRIALS)
    answer = {"owner": "default", "method": "m", "payload": "p", "result": "r"}
    padded = f"'record-' || substr('00000' || n, length({number}) + 1)"
    record = {column.name: NEW.get(column.name, "") for column in schema.audit_records.c}
    insert("audit_records", {**record, "owner": "default", "name": ""}, {"id": padded}, TRIALS)
    insert("answers", answer, {"request_id": f"'request-' || {number}", "time": "n"}, TRIALS)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("plans") / "wazir.db"
    open_store(path).close()
    with closing(sqlite3.connect(path)) as connection:
        fill(connection, "?", "TEXT")
        connection.commit()
    return path


@pytest.fixture(scope="module")
def database(postgres: Postgres) -> Iterator[psycopg.Connection[Any]]:
    url = postgres.ready()
    with psycopg.connect(url) as connection:
        fill(connection, "%s", "VARCHAR")
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM (ANALYZE)")
        connection.autocommit = False
        yield connection
        connection.rollback()


def steps(connection: sqlite3.Connection, statement: str, values: Mapping[str, object] | list[object]) -> int:
    """Of SQLite's machine, in tens; undone afterwards."""
    taken = 0

    def step() -> None:
        nonlocal taken
        taken += 1

    connection.set_progress_handler(step, 10)
    try:
        connection.execute(statement, values).fetchall()
    finally:
        connection.set_progress_handler(None, 0)
        connection.rollback()
    return 10 * taken


def pages(connection: psycopg.Connection[Any], statement: str, values: Mapping[str, object]) -> tuple[int, set[str]]:
    """How many pages it touched, and which tables it read from end to end; undone afterwards. The plan is one for any
    values, as for a statement that was prepared: it knows the statistics, and not which rows are asked for."""
    names: list[str] = []

    def numbered(found: re.Match[str]) -> str:
        if found[1] not in names:
            names.append(found[1])
        return f"${names.index(found[1]) + 1}{found[2] or ''}"

    text = re.sub(r"%\((\w+)\)s(::[\w\[\]]+)?", numbered, statement)
    try:
        connection.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        connection.execute(f"PREPARE tested AS {text}")
        arguments = sql.SQL(", ").join(sql.Literal(values[name]) for name in names)
        call = sql.SQL("EXECUTE tested({})").format(arguments) if names else sql.SQL("EXECUTE tested")
        (found,) = connection.execute(
            sql.SQL("EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) ") + call
        ).fetchone() or ([],)
    finally:
        connection.rollback()
        connection.execute("DEALLOCATE ALL")
    plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return int(plan["Shared Hit Blocks"]) + int(plan["Shared Read Blocks"]), set(scanned(plan))


def scanned(plan: Mapping[str, Any]) -> Iterator[str]:
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for part in plan.get("Plans", ()):
        yield from scanned(part)


POSTGRES_ONLY = {"DELETE_FIRST_POINTS", "FREE_REVISION", "SAME_POINTS"}


def values_for(name: str, parameters: Iterable[str]) -> dict[str, object]:
    given = {**NEW, **VALUES, **OTHER_VALUES.get(name.removeprefix("look "), {})}
    return {parameter: given[parameter] for parameter in parameters}


def on_sqlite() -> Iterator[tuple[str, str, list[object]]]:
    for name, statement in statements_of("sqlite"):
        if name not in POSTGRES_ONLY:
            compiled = cast(Any, statement).compile(dialect=sqlite.dialect())
            fixed = {key: value for key, value in compiled.params.items() if value is not None}
            values = fixed | values_for(name, (p for p in compiled.positiontup if p not in fixed))
            yield name, compiled.string, [values[p] for p in compiled.positiontup]
    for name, value in vars(sqlite_look._Reads).items():
        for key, text in (value if isinstance(value, dict) else {"": value}).items():
            if not name.startswith("_") and name not in WHOLE:
                names = re.findall(r":(\w+)", text)
                yield (
                    f"look {name}{list(key) or ''}",
                    re.sub(r":\w+", "?", text),
                    [values_for(name, names)[n] for n in names],
                )


def on_postgres() -> Iterator[tuple[str, str, dict[str, object]]]:
    for name, statement in statements_of("postgresql"):
        compiled = cast(Any, statement).compile(dialect=postgresql.psycopg.dialect())  # type: ignore[no-untyped-call]
        fixed = {key: value for key, value in compiled.params.items() if value is not None}
        yield name, compiled.string, fixed | values_for(name, (p for p in compiled.params if p not in fixed))


def test_no_statement_costs_sqlite_more_than_a_few_rows(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        cost = {name: steps(connection, statement, values) for name, statement, values in on_sqlite()}
    assert {name: n for name, n in cost.items() if n > STEPS} == {}


@pytest.mark.parametrize(
    "index", sorted(str(i.name) for t in schema.metadata.sorted_tables for i in t.indexes if not i.unique)
)
def test_every_index_is_needed_and_would_be_missed(file: Path, index: str, tmp_path: Path) -> None:
    copy = shutil.copy(file, tmp_path / "copy.db")
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute(f"DROP INDEX {index}")
        connection.commit()
        assert any(steps(connection, statement, values) > STEPS for _, statement, values in on_sqlite())


def test_what_changes_with_each_trial_of_a_study_is_in_no_index() -> None:
    """So PostgreSQL puts the study's new row on the same page and touches no index: its row is updated for each trial,
    and would otherwise leave as many dead rows and entries behind."""
    changing = {c.name for c in statements.UPDATE_PROGRESS.table.c} & set(statements._PROGRESS)
    indexed = {c.name for index in schema.studies.indexes for c in index.columns}
    assert changing & indexed == {"end_time"}, "which changes when the study ends"


def test_every_foreign_key_is_found_by_an_index() -> None:
    """Otherwise deleting one row would read all of the table that refers to it."""
    for table in schema.metadata.sorted_tables:
        ordered = [[c.name for c in index.columns] for index in table.indexes]
        ordered.append([c.name for c in table.primary_key.columns])
        for key in table.foreign_key_constraints:
            names = list(key.column_keys)
            assert any(columns[: len(names)] == names for columns in ordered), f"{table.name}: {names}"


def test_no_statement_costs_postgresql_more_than_a_few_pages(database: psycopg.Connection[Any]) -> None:
    cost = {name: pages(database, statement, values) for name, statement, values in on_postgres()}
    assert {name: n for name, (n, _) in cost.items() if n > PAGES} == {}
    assert {name: tables for name, (_, tables) in cost.items() if tables - SMALL} == {}
