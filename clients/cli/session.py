"""What commands share: the address option, the format option, and the client behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from ...domain.errors import WazirError
from ...domain.names import StudyName, parse_study, parse_trial
from ..client import Client
from .output import Format

F = TypeVar("F", bound=Callable[..., Any])

Opener = Callable[[str | None, float | None], AbstractContextManager[Client]]
"""Makes a client for an address (None: the service that the environment or this folder names). Given by `app/`, which
can also serve a local database for the length of one command."""


@dataclass(frozen=True)
class Session:
    """The click context's object."""

    open: Opener

    @contextmanager
    def client(self, address: str | None, retry_for: float | None = None) -> Iterator[Client]:
        """A client, for the time of the block. `retry_for`: seconds of patience with a service that is away."""
        with self.open(address, retry_for) as client:
            yield client


def address_option(command: F) -> F:
    return click.option(
        "--address",
        metavar="ADDRESS",
        envvar="WAZIR_ADDRESS",
        help="The service: host:port or unix:/path. Without it, the database of this folder (.wazir/wazir.db).",
    )(command)


def format_option(command: F) -> F:
    return click.option(
        "-o",
        "--output",
        "form",
        type=click.Choice([f.value for f in Format]),
        default=Format.TABLE.value,
        callback=lambda _ctx, _param, value: Format(value),
        help="A table for people, json or yaml for scripts.",
    )(command)


class StudyType(click.ParamType):  # type: ignore[type-arg]
    """A study: {study}, {owner}/{study} or its full name. Completes to the names that the service knows."""

    name = "study"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> StudyName:
        return value if isinstance(value, StudyName) else parse_study(str(value), "STUDY")

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        session = ctx.find_object(Session)
        if session is None:
            return []
        try:
            with session.client(ctx.params.get("address"), retry_for=0) as client:
                names = [study.name.short for study in client.list_studies()]
        except WazirError:
            # Completion has nowhere to put an error: no names is its way to say so.
            return []
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


class TrialType(click.ParamType):  # type: ignore[type-arg]
    """A trial: {study}/{id} or its full name."""

    name = "trial"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> object:
        return parse_trial(value, "TRIAL") if isinstance(value, str) else value


class NameType(StudyType):
    """A study or a trial; told apart by the number at the end."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        last = str(value).rsplit("/", 1)[-1]
        return parse_trial(value, "NAME") if "/" in str(value) and last.isdigit() else parse_study(value, "NAME")


def value_of(text: str) -> bool | int | float | str:
    """A parameter value as typed: true, 3, 1e-3 or text. Quotes make text of anything: '"3"'."""
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
