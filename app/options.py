"""Options that several commands of the app share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ..clients.cli.database import DatabaseType
from ..domain.database import DATABASE_VARIABLE, DEFAULT_DATABASE, Database
from ..domain.errors import InvalidArgument

F = TypeVar("F", bound=Callable[..., Any])


def database_option(command: F) -> F:
    """`--db` of commands that work on a database themselves."""
    return click.option(
        "--db",
        type=DatabaseType(),
        callback=_seen,
        default=DEFAULT_DATABASE,
        envvar=DATABASE_VARIABLE,
        show_default=True,
        show_envvar=True,
        help="A SQLite file, made if it does not exist, or postgresql://USER@HOST/DATABASE; PGPASSWORD or ~/.pgpass "
        "keeps the password out of the command line.",
    )(command)


def _seen(_: click.Context, __: click.Parameter, database: Database) -> Database:
    """Refuses a file in a folder that this user may not look into."""
    if isinstance(database, Path):
        try:
            database.exists()
        except PermissionError as error:
            hint = "Ask its owner for the right to the file and its folder"
            refused = InvalidArgument("--db", str(database), f"cannot be reached: {error.strerror}", hint)
            raise click.UsageError(str(refused)) from error
    return database


def cluster_options(command: F) -> F:
    """Which cluster and namespace."""
    for option in (
        click.option(
            "--namespace",
            metavar="NAME",
            envvar="WAZIR_NAMESPACE",
            help="Where pods run; else the context's namespace, or the one this process itself runs in.",
        ),
        click.option("--context", metavar="NAME", help="A context of the kubeconfig; else its current one."),
        click.option(
            "--kubeconfig",
            type=click.Path(path_type=Path, dir_okay=False),
            help="How to reach the cluster; else KUBECONFIG, ~/.kube/config or the service account of this pod.",
        ),
    ):
        command = option(command)
    return command
