"""What a shell offers to complete a name: studies, trials, parameters and their values.

A shell has no place for an error, so that of a service or a database means that nothing is offered. Nothing waits long.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem

from ...domain.errors import WazirError
from ...domain.names import StudyName, parse_study
from ...domain.visible import visible
from .session import Session, owner_of

if TYPE_CHECKING:
    from ..client import Client

PATIENCE: Final = 2.0
"""Seconds for one answer of a service."""

MOST: Final = 1_000
"""Studies, or latest trials of a study, that are looked through."""

OFFERED: Final = 200


def studies(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """Names of studies, as they are typed."""
    return _offered(context, incomplete, lambda client: _study_names(client, context, incomplete))


def trials(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """Names of trials, the latest first; until a study is typed, the studies, each with the slash that goes on."""

    def names(client: Client) -> Iterator[str]:
        known = _study_names(client, context, incomplete)
        matching = [name for name in known if f"{name}/".startswith(incomplete)]
        typed = incomplete.rpartition("/")[0]
        if typed in known:
            study = typed
        elif len(matching) == 1:
            # Its trials begin with its name, and a shell fills in that much.
            study = matching[0]
        else:
            yield from (f"{name}/" for name in matching)
            return

        found = client.list_trials(parse_study(study, default_owner=owner_of(context)), descending=True)
        yield from (f"{study}/{trial.id}" for trial in islice(found, MOST))

    return _offered(context, incomplete, names)


def studies_and_trials(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """Studies until a slash is typed."""
    found = studies(context, incomplete)
    return found or trials(context, incomplete)


def parameter_values(context: click.Context, incomplete: str) -> list[CompletionItem]:
    """`lr=` for the parameters that are not typed yet, and behind `opt=` the values of a list."""

    def words(client: Client) -> Iterator[str]:
        study = context.params.get("study")
        if not isinstance(study, StudyName):
            return
        space = client.get_study(study).spec.space
        name, equals, _ = incomplete.partition("=")
        typed = {str(value).partition("=")[0] for value in context.params.get("values") or ()}
        for parameter in space.parameters if space is not None else ():
            if not equals:
                if parameter.name not in typed:
                    yield f"{parameter.name}="
            elif parameter.name == name:
                values = getattr(parameter.kind, "values", ())
                yield from (f"{name}={_typed(value)}" for value in values)

    return _offered(context, incomplete, words)


def _typed(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _study_names(client: Client, context: click.Context, incomplete: str) -> list[str]:
    owner = owner_of(context)
    # An owner is shown to those who begin with it.
    before = f"{owner}/" if incomplete.startswith(f"{owner}/") else ""
    return [before + study.name.study for study in islice(client.list_studies(owner=owner), MOST)]


def _offered(
    context: click.Context, incomplete: str, words: Callable[[Client], Iterator[str] | list[str]]
) -> list[CompletionItem]:
    try:
        with _client(context) as client:
            found = [word for word in words(client) if word.startswith(incomplete) and visible(word) == word]
    except (WazirError, click.ClickException, OSError):
        return []
    return [CompletionItem(word) for word in found[:OFFERED]]


@contextmanager
def _client(context: click.Context) -> Iterator[Client]:
    session = context.find_object(Session)
    assert session is not None, "the group gives it to completions too"
    with (
        context.scope(cleanup=False),
        session.client(context.params.get("address"), retry_for=0, only_look=True) as client,
    ):
        yield client.patient(0, PATIENCE)
