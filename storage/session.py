"""Runs statements of SQLAlchemy on the driver's connection, each compiled once for its database.

Building, compiling and typing is SQLAlchemy's; executing is the driver's own. `Connection.execute` costs about five
times what SQLite needs for one of our statements, and all of them are known beforehand, have a fixed shape and hold
plain values (text, numbers, booleans, None) that drivers take and give as they are. One thing is left to the reader: a
boolean may come back as 0 or 1.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.sql.compiler import SQLCompiler

from . import statements

Values = Mapping[str, object]
"""Values by the names of a statement's parameters; others may be among them."""


@dataclass(frozen=True, slots=True)
class _Prepared:
    sql: str
    names: tuple[str, ...]
    constants: dict[str, object]
    """Values that the statement was built with, or the compiler added, such as an offset of 0."""
    by_position: bool
    row: Callable[[Any], Any] | None
    """Gives a row's values their names; None where the statement returns no rows."""

    def take(self, values: Values) -> Sequence[object] | Values:
        if self.constants:
            values = {**values, **self.constants}
        if self.by_position:
            return [values[name] for name in self.names]
        return {name: values[name] for name in self.names}


def _prepare(statement: Executable, dialect: Dialect) -> _Prepared:
    compiled = cast(SQLCompiler, statement.compile(dialect=dialect))  # type: ignore[attr-defined]  # each has it
    columns = [entry[0] for entry in compiled._result_columns]
    return _Prepared(
        compiled.string,
        tuple(compiled.positiontup or compiled.params),
        {name: value for name, value in compiled.params.items() if value is not None},
        bool(compiled.positional),
        _row_type(columns) if columns else None,
    )


def _row_type(columns: Sequence[str]) -> Callable[[Any], Any]:
    row: Any = namedtuple("Row", columns)  # type: ignore[misc]  # the names are known at run time only
    make: Callable[[Any], Any] = row._make
    return make


_PREPARED: dict[str, dict[Executable, _Prepared]] = {}
"""By name of the database."""


class Session:
    """One connection, for one thread at a time. Errors are those of the driver."""

    def __init__(self, connection: Connection) -> None:
        self._dialect = connection.dialect
        self._cursor = connection.connection.cursor()
        self._prepared = _PREPARED.setdefault(self._dialect.name, {})

    @property
    def reads(self) -> Any:
        return statements

    @property
    def database(self) -> str:
        return self._dialect.name

    @property
    def integrity_error(self) -> type[Exception]:
        """What the driver raises where a row breaks a constraint."""
        error: type[Exception] = self._dialect.loaded_dbapi.IntegrityError
        return error

    def all(self, statement: Executable, values: Values) -> list[Any]:
        """All rows, with their columns as attributes."""
        prepared = self._run(statement, values)
        assert prepared.row is not None
        return list(map(prepared.row, self._cursor.fetchall()))

    def one(self, statement: Executable, values: Values) -> Any:
        """The first row, or None."""
        rows = self.all(statement, values)
        return rows[0] if rows else None

    def run(self, statement: Executable, values: Values) -> int:
        """How many rows it met."""
        self._run(statement, values)
        return self._cursor.rowcount

    def run_many(self, statement: Executable, batch: Sequence[Values]) -> int:
        """How many rows it met in all."""
        if len(batch) == 1:
            return self.run(statement, batch[0])
        prepared = self._known(statement)
        self._cursor.executemany(prepared.sql, cast(Any, [prepared.take(values) for values in batch]))
        return self._cursor.rowcount

    def _run(self, statement: Executable, values: Values) -> _Prepared:
        prepared = self._known(statement)
        self._cursor.execute(prepared.sql, prepared.take(values))
        return prepared

    def _known(self, statement: Executable) -> _Prepared:
        prepared = self._prepared.get(statement)
        if prepared is None:
            prepared = self._prepared[statement] = _prepare(statement, self._dialect)
        return prepared
