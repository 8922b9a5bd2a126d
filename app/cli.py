"""The command `wazir`: the remote commands of `clients/cli`, and those that run a process of Wazir itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import click

from .. import __version__
from ..clients.cli import studies, trials
from ..clients.cli.completion import completion
from ..clients.cli.errors import visible_usage_errors
from ..clients.cli.session import Access, Session
from ..clients.client import Client
from ..domain.database import Database, database_of
from ..domain.errors import Unavailable
from ..domain.study import Study
from .pod_logs import pod_log

PATIENCE = 5.0
"""Seconds that a command waits for a service that is away: enough for a restart, not too long for a person."""

EPILOG = """
Exit codes: 0 done; 1 done, without success (a study failed, nothing succeeded); 2 bad input; 3 not found; 4 refused in
the present state; 5 service or database away; 70 a defect of Wazir; 130 interrupted.
"""


class LazyGroup(click.Group):
    """Loads a command's module when it is called: `wazir --help` and the remote commands need no server packages."""

    lazy: ClassVar = {
        "run": ("run", "Run a study on this machine, from its file to its best trial."),
        "serve": ("serve", "Serve studies to clients, workers and controllers."),
        "controller": ("controller", "Run a service's trials as pods of a cluster, or on this machine."),
        "db": ("db", "Upgrade, check, back up and restore a database."),
        "token": ("token", "Make, list and revoke the tokens of a service's callers."),
        "doctor": ("doctor", "Check this machine, a database and a service."),
        "check": ("check", "Check a study file, and perhaps run one trial of it."),
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self.lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in self.lazy:
            return super().get_command(ctx, name)
        try:
            module = import_module(f".{self.lazy[name][0]}", __package__)
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"`wazir {name}` needs {error.name}; install it with: pip install 'wazir[run]'"
            ) from error
        command: click.Command = getattr(module, name)
        return command

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with visible_usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with visible_usage_errors():
            return super().invoke(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, text) for name, (_, text) in self.lazy.items()]
        for name in super().list_commands(ctx):
            command = super().get_command(ctx, name)
            if command is not None:
                rows.append((name, command.get_short_help_str(80)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wazir")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Wazir tunes hyperparameters: it suggests parameters, runs trials side by side, and keeps what they measured."""
    ctx.obj = Session(open_client, pod_log, discard_checkpoints)


for command in (
    studies.create,
    studies.studies,
    studies.show,
    studies.best,
    studies.stop,
    studies.pause,
    studies.resume,
    studies.delete,
    trials.trials,
    trials.enqueue,
    trials.why,
    trials.retry,
    trials.release,
    trials.logs,
    trials.watch,
    completion,
):
    cli.add_command(command)


def discard_checkpoints(database: Database | None, study: Study, trial: int | None) -> None:
    """Those that `wazir run` has left beside the database. Its study's uid is nobody else's."""
    from ..controller.local.folder import discard
    from .claim import folder_of
    from .local_run import run_folder

    runs = folder_of(database or database_of(os.environ)) / "runs"
    discard(run_folder(runs, study.name), study.uid, None if trial is None else [trial])


@contextmanager
def open_client(access: Access, retry_for: float | None) -> Iterator[Client]:
    """A client for the address, or for the database, which is served for the time of the block if nobody does."""
    patience = PATIENCE if retry_for is None else retry_for
    if access.address:
        with Client(access.address, retry_for=patience, token=access.token, tls=access.tls) as client:
            yield client
        return

    database = access.database or database_of(os.environ)
    if isinstance(database, Path) and not database.is_file():
        raise Unavailable(
            f"no service is named and {database} does not exist here. Give --address or set WAZIR_ADDRESS, change to "
            "the folder where `wazir run` was called, or name its database with --db or WAZIR_DB"
        )
    from .local_service import LocalService

    with LocalService(database) as service, Client(service.address, retry_for=patience) as client:
        yield client
