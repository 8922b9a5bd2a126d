"""What commands share: the address option, the format option, and the client behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from ...domain.database import DATABASE_VARIABLE, DEFAULT_DATABASE, Database, shown
from ...domain.errors import InvalidArgument
from ...domain.names import DEFAULT_OWNER, StudyName, check_id, parse_study, parse_trial
from ...domain.numbers import as_typed
from .database import DatabaseType
from .format import Format

if TYPE_CHECKING:
    from ...domain.study import Study
    from ..client import Client
    from ..credentials import Tls

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Access:
    """Which service a command is to call and what to show it; what is None is left to the environment."""

    address: str | None = None
    database: Database | None = None
    """Named on the command line, in place of an address."""
    token: str | None = field(default=None, repr=False)
    tls: Tls | bool | None = None
    only_look: bool = False
    """Rather fail than start a service or change anything."""


Opener = Callable[["Access", float | None], AbstractContextManager["Client"]]
"""Makes a client (without an address: of the service on the database that is named, or on this folder's). Given by
`app/`, which can also serve a database for the length of one command."""

PodLog = Callable[[str, bool, Path | None, str | None], Iterator[bytes]]
"""Reads the log that an attempt's `log_path` names in a cluster; with True it follows it. By a kubeconfig and one of
its contexts. Given by `app/`, too."""

Discard = Callable[[Database | None, "Study", int | None], None]
"""Removes what checkpoints of a deleted trial, None: of a deleted study, lie beside the database (None: this folder's).
Given by `app/`, too."""

_META = f"{__name__}.access"
"""Where options of the command line are kept until a client is made: click's `Context.meta`."""


@dataclass(frozen=True)
class Session:
    """The click context's object."""

    open: Opener
    pod_log: PodLog
    discard_beside: Discard

    @property
    def database(self) -> Database | None:
        """The database that the command line names."""
        database: Database | None = _given(click.get_current_context(silent=True)).get("database")
        return database

    def discard(self, study: Study, trial: int | None) -> None:
        """Removes what checkpoints of a deleted trial, None: of a deleted study, this machine has."""
        self.discard_beside(self.database, study, trial)

    @contextmanager
    def client(
        self, address: str | None, retry_for: float | None = None, *, only_look: bool = False
    ) -> Iterator[Client]:
        """A client, for the time of the block. `retry_for`: seconds of patience with a service that is away."""
        context = click.get_current_context(silent=True)
        given = _given(context)
        database = self.database
        if database is not None:
            if context is not None and context.get_parameter_source("address") is ParameterSource.COMMANDLINE:
                raise InvalidArgument("--db", shown(database), "cannot be given together with --address", "Give one")
            # What is typed is meant rather than WAZIR_ADDRESS.
            address = None
        token, tls = None, given.get("tls")
        if given.get("token_file"):
            from ..credentials import token_of_file

            token = token_of_file("--token-file", given["token_file"])
        if files := {name: given[name] for name in ("ca", "cert", "key") if given.get(name)}:
            from ..credentials import Tls

            tls = Tls(**files)
        with self.open(Access(address, database, token=token, tls=tls, only_look=only_look), retry_for) as client:
            yield client


def address_option(command: F) -> F:
    """`--address`, which the command takes, and the options of owner, tokens and TLS, which `Session.client` takes."""
    owner = _kept(
        "--owner",
        metavar="OWNER",
        envvar="WAZIR_OWNER",
        kept_as="owner",
        is_eager=True,  # names that are read after it mean studies of this owner
        help=f"Whose studies a name without an owner means; else {DEFAULT_OWNER}.",
    )
    address = click.option(
        "--address",
        metavar="ADDRESS",
        envvar="WAZIR_ADDRESS",
        help="The service: host:port or unix:/path. Without it, the service on the database.",
    )
    database = _kept(
        "--db",
        type=DatabaseType(),
        kept_as="database",
        is_eager=True,  # names are completed with what it holds
        help=f"The database: a SQLite file or postgresql://USER@HOST/DATABASE. Else {DATABASE_VARIABLE}, else that of "
        f"this folder ({DEFAULT_DATABASE}).",
    )
    return address(database(connection_options(owner(command))))


def connection_options(command: F) -> F:
    """The options of tokens and TLS."""
    file = click.Path(exists=True, dir_okay=False)
    for option in (
        _kept("--client-key", type=file, kept_as="key", help="Its key (PEM)."),
        _kept("--client-cert", type=file, kept_as="cert", help="This client's certificate (PEM), if it asks for one."),
        _kept("--ca", type=file, kept_as="ca", help="Use TLS, and trust the authorities in this file (PEM)."),
        _kept(
            "--tls/--no-tls", default=None, kept_as="tls", help="Use TLS, trusting the public authorities; or do not."
        ),
        _kept("--token-file", type=file, kept_as="token_file", help="A file with the token; else WAZIR_TOKEN."),
    ):
        command = option(command)
    return command


def owner_of(context: click.Context | None) -> str:
    """Whose studies the command means if it names no owner."""
    given: str = _given(context).get("owner", DEFAULT_OWNER)
    with _told_as_usage(context):
        return check_id("--owner", given)


def _given(context: click.Context | None) -> dict[str, Any]:
    """What `_kept` options were given on the command line or by the environment."""
    return context.meta.get(_META, {}) if context is not None else {}


@contextmanager
def _told_as_usage(context: click.Context | None) -> Iterator[None]:
    """Of what is said of a value while the command line is still being read."""
    try:
        yield
    except InvalidArgument as error:
        raise click.UsageError(str(error), context) from error


def _kept(*names: str, kept_as: str, **how: Any) -> Callable[[F], F]:
    """An option whose value waits in the context until a client is made, so that commands need not pass it on."""

    def keep(context: click.Context, _: click.Parameter, value: object) -> None:
        if value is not None:
            context.meta.setdefault(_META, {})[kept_as] = value

    return click.option(*names, callback=keep, expose_value=False, **how)


def format_option(command: F) -> F:
    forms = [form for form in Format if form is not Format.CSV]
    return _output_option(forms, "A table for people, json or yaml for scripts.")(command)


def list_options(command: F) -> F:
    """`-o`, `--columns` and `--sort` of commands that print a list (`columns.py`)."""
    for option in (
        click.option(
            "--columns", metavar="A,B,C", help="These columns, in this order; for json and yaml these fields alone."
        ),
        click.option(
            "--sort",
            metavar="COLUMN",
            help="Order by a column, from its least value up; -COLUMN from its greatest down.",
        ),
        _output_option(list(Format), "A table for people; csv, json or yaml for scripts."),
    ):
        command = option(command)
    return command


def _output_option(forms: Sequence[Format], words: str) -> Callable[[F], F]:
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice([form.value for form in forms]),
        default=Format.TABLE.value,
        callback=lambda _ctx, _param, value: Format(value),
        help=words,
    )


class StudyType(click.ParamType):  # type: ignore[type-arg]
    """A study: {study}, {owner}/{study} or its full name. Completes to the names that the service knows."""

    name = "study"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> StudyName:
        if isinstance(value, StudyName):
            return value
        with _told_as_usage(ctx):
            return parse_study(str(value), "STUDY", owner_of(ctx))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from . import completing

        return completing.studies(ctx, incomplete)


class TrialType(click.ParamType):  # type: ignore[type-arg]
    """A trial: {study}/{id} or its full name."""

    name = "trial"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> object:
        if not isinstance(value, str):
            return value
        with _told_as_usage(ctx):
            return parse_trial(value, "TRIAL", owner_of(ctx))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from . import completing

        return completing.trials(ctx, incomplete)


class NameType(StudyType):
    """A study or a trial; told apart by the number at the end."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        last = str(value).rsplit("/", 1)[-1]
        parse = parse_trial if "/" in str(value) and last.isdigit() else parse_study
        with _told_as_usage(ctx):
            return parse(str(value), "NAME", owner_of(ctx))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from . import completing

        return completing.studies_and_trials(ctx, incomplete)


class ParameterValueType(click.ParamType):  # type: ignore[type-arg]
    """NAME=VALUE, taken apart by the command."""

    name = "name=value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from . import completing

        return completing.parameter_values(ctx, incomplete)


def value_of(text: str) -> bool | int | float | str:
    """A parameter value as typed: true, 3, 1e-3 or text. Quotes make text of anything: '"3"'."""
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    number = as_typed(text)
    return text if number is None else number
