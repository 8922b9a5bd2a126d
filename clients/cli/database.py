"""The one type of all options and variables that name a database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from ...domain.database import DATABASE_VARIABLE, Database, read_database
from ...domain.errors import InvalidArgument


class DatabaseType(click.ParamType):  # type: ignore[type-arg]
    """A SQLite file as a path, or a URL as text (`domain/database.py`). A password in it is never shown."""

    name = "file|url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Database:
        try:
            database = read_database(value, named_by(param, ctx))
        except InvalidArgument as error:
            raise click.UsageError(str(error), ctx) from error
        if isinstance(database, Path) and os.path.isdir(database):  # noqa: PTH112 - it raises no PermissionError
            folder = InvalidArgument(
                named_by(param, ctx), str(database), "is a folder", f"Name a file, for instance {database / 'wazir.db'}"
            )
            raise click.UsageError(str(folder), ctx)
        return database


def named_by(param: click.Parameter | None, ctx: click.Context | None) -> str:
    """Where the value comes from, as the user named it: the option or the variable."""
    if ctx is None or param is None or param.name is None:
        return "--db"
    return DATABASE_VARIABLE if ctx.get_parameter_source(param.name) is ParameterSource.ENVIRONMENT else "--db"
