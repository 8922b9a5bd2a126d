"""The command `wazir`: the remote commands of `clients/cli`, and those that run a process of Wazir itself.

Nothing is imported here that one command needs and another does not: `wazir --version`, `--help` and every refusal of a
command line answer before a client, a server or a terminal library is loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import click
from click.shell_completion import CompletionItem

from .. import __version__
from ..clients.cli.errors import visible_usage_errors
from ..clients.local_address import address_of, somebody_listens
from ..domain.database import DATABASE_VARIABLE, Database, database_of, shown
from ..domain.errors import FailedPrecondition, Unavailable

if TYPE_CHECKING:
    from ..clients.cli.session import Access, Session
    from ..clients.client import Client
    from ..domain.study import Study

PATIENCE = 5.0
"""Seconds that a command waits for a service that is away: enough for a restart, not too long for a person."""

EPILOG = """
Exit codes: 0 done; 1 done, without success (a study failed, nothing succeeded); 2 bad input; 3 not found; 4 refused in
the present state; 5 service or database away; 70 a defect of Wazir; 130 interrupted.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A command: the module that has it under its name, relative to this package, and its line in `wazir --help`."""

    module: str
    help: str
    attribute: str = ""


COMMANDS: Final = {
    "run": Entry(".run", "Run a study on this machine, from its file to its best trial."),
    "serve": Entry(".serve", "Serve studies to clients, workers and controllers."),
    "controller": Entry(".controller", "Run a service's trials as pods of a cluster, or on this machine."),
    "db": Entry(".db", "Upgrade, check, back up and restore a database."),
    "token": Entry(".token", "Make, list and revoke the tokens of a service's callers."),
    "doctor": Entry(".doctor", "Check this machine, a database and a service."),
    "check": Entry(".check", "Check a study file, and perhaps run one trial of it."),
    "audit": Entry("..clients.cli.audit", "Show who did what, and what was denied."),
    "best": Entry("..clients.cli.studies", "Show the best trial, or those that no other dominates."),
    "completion": Entry("..clients.cli.completion", "Print the completion script of a shell."),
    "create": Entry("..clients.cli.studies", "Make the study of a study file, for controllers to run."),
    "delete": Entry("..clients.cli.studies", "Delete a study or a trial."),
    "enqueue": Entry("..clients.cli.trials", "Have a trial run with given parameters."),
    "logs": Entry("..clients.cli.trials", "Print what a trial printed."),
    "pause": Entry("..clients.cli.studies", "Start no more trials of a study; running ones go on."),
    "release": Entry("..clients.cli.trials", "End a trial's attempt whose machine is known to be dead."),
    "resume": Entry("..clients.cli.studies", "Go on with a study that was paused or stopped."),
    "retry": Entry("..clients.cli.trials", "Run a failed trial again."),
    "show": Entry("..clients.cli.studies", "Show a study, or one trial of it. Also: status."),
    "stop": Entry("..clients.cli.studies", "End a study, or one trial early."),
    "studies": Entry("..clients.cli.studies", "List studies. Also: ls, list."),
    "trials": Entry("..clients.cli.trials", "List the trials of a study."),
    "watch": Entry("..clients.cli.trials", "Follow a study live until it ends."),
    "why": Entry("..clients.cli.trials", "Say why a trial's parameters were suggested."),
}

ALIASES: Final = {"list": "studies", "ls": "studies", "status": "show"}
"""What users of other programs type."""


def not_installed(command: str | None, error: ModuleNotFoundError) -> Exception:
    """What to install; the error itself if it is a module of Wazir's own."""
    if (error.name or "wazir").partition(".")[0] == "wazir":
        return error
    return click.ClickException(f"`wazir {command}` needs {error.name}; install it with: pip install 'wazir[run]'")


class LazyGroup(click.Group):
    """Loads a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        entry = COMMANDS.get(ALIASES.get(name, name))
        if entry is None:
            return None
        try:
            module = import_module(entry.module, __package__)
        except ModuleNotFoundError as error:
            raise not_installed(name, error) from error
        command: click.Command = getattr(module, entry.attribute or ALIASES.get(name, name))
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = not args or args[0].startswith("-") or args[0] in COMMANDS or args[0] in ALIASES
        if not known and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near = get_close_matches(args[0], [*COMMANDS, *ALIASES], n=1)
            hint = f' Did you mean "{near[0]}"?' if near else " `wazir --help` lists them."
            ctx.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(ctx, args)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        if kwargs.get("resilient_parsing"):
            # A completion runs no command, and names are completed with what the session finds.
            kwargs.setdefault("obj", make_session())
        with visible_usage_errors():
            return super().make_context(*args, **kwargs)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        if incomplete.startswith("-"):
            return super().shell_complete(ctx, incomplete)
        if ctx._protected_args or ctx.args:
            return []  # of no command that there is
        return [
            CompletionItem(name, help=entry.help) for name, entry in COMMANDS.items() if name.startswith(incomplete)
        ]

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with visible_usage_errors():
                return super().invoke(ctx)
        except ModuleNotFoundError as error:
            # Loaded by a command while it works.
            raise not_installed(ctx.invoked_subcommand, error) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wazir")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Wazir tunes hyperparameters: it suggests parameters, runs trials side by side, and keeps what they measured."""
    ctx.obj = make_session()


def make_session() -> Session:
    from ..clients.cli.session import Session

    return Session(open_client, pod_log, discard_checkpoints)


def pod_log(reference: str, follow: bool, kubeconfig: Path | None, context: str | None) -> Iterator[bytes]:
    from .pod_logs import pod_log as read

    return read(reference, follow, kubeconfig, context)


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
        from ..clients.client import Client

        with Client(access.address, retry_for=patience, token=access.token, tls=access.tls) as client:
            yield client
        return

    database = access.database or database_of(os.environ)
    if isinstance(database, Path) and not is_there(database):
        if access.database or os.environ.get(DATABASE_VARIABLE):
            raise Unavailable(
                f"{database} does not exist. `wazir run` and `wazir serve` make it; name another with --db or "
                f"{DATABASE_VARIABLE}, or a service with --address"
            )
        raise Unavailable(
            f"no service is named and {database} does not exist here. Give --address or set WAZIR_ADDRESS, change to "
            "the folder where `wazir run` was called, or name its database with --db or WAZIR_DB"
        )
    if isinstance(database, Path) and not is_served(database):
        from ..storage.sqlite_look import NotReadable, writable
        from .look import FileClient

        try:
            looking = FileClient(database, patience)
        except NotReadable:
            if access.only_look or not writable(database):
                raise
            # Of an older schema, for instance: to serve it brings it up to date, or says why not.
        else:
            with looking:
                yield cast("Client", looking)
            return

    if access.only_look and not is_served(database):
        raise Unavailable(f"nobody serves {shown(database)}")
    from ..clients.client import Client
    from .local_service import LocalService

    with LocalService(database) as service, Client(service.address, retry_for=patience) as client:
        yield client


def is_there(file: Path) -> bool:
    """Raises FailedPrecondition if this user may not look."""
    try:
        return file.is_file()
    except PermissionError as error:
        raise FailedPrecondition(
            f"{file} cannot be read: {error.strerror}. Ask its owner for the right to read the file and its folder"
        ) from error


def is_served(database: Database) -> bool:
    """Whether a process of this user serves it."""
    try:
        return somebody_listens(address_of(database))
    except FailedPrecondition:
        # There can be no socket, and a look at a file needs none.
        return False
