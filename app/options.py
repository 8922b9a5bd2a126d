"""Options that several commands of the app share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_DATABASE = Path(".wazir/wazir.db")


def database(value: Path | str) -> Path | str:
    """A file as a path, a URL as text."""
    return value if "://" in str(value) else Path(value)


def database_option(command: F) -> F:
    """`--db` of commands that use a file of their own."""
    return click.option(
        "--db",
        type=click.Path(path_type=Path, dir_okay=False),
        default=DEFAULT_DATABASE,
        envvar="WAZIR_DB",
        show_default=True,
        show_envvar=True,
        help="The SQLite database; made where there is none.",
    )(command)


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


def any_database_option(command: F) -> F:
    """`--db` of commands for servers, whose database may be PostgreSQL's."""
    return click.option(
        "--db",
        type=database,
        metavar="FILE|URL",
        default=DEFAULT_DATABASE,
        envvar="WAZIR_DB",
        show_default=True,
        show_envvar=True,
        help="A SQLite file, made where there is none, or postgresql://USER@HOST/DATABASE; PGPASSWORD or ~/.pgpass "
        "keeps the password out of the command line.",
    )(command)
