"""Options that several commands of the app share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_DATABASE = Path(".wazir/wazir.db")


def database_option(command: F) -> F:
    return click.option(
        "--db",
        type=click.Path(path_type=Path, dir_okay=False),
        default=DEFAULT_DATABASE,
        envvar="WAZIR_DB",
        show_default=True,
        show_envvar=True,
        help="The SQLite database; made where there is none.",
    )(command)
