"""Errors on the command line: one sentence on stderr, and an exit code that scripts can rely on."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import click

from ...domain import errors
from ...domain.visible import visible
from .terminal import say

P = ParamSpec("P")
R = TypeVar("R")


class Exit(enum.IntEnum):
    """Documented in the README; never renumbered."""

    OK = 0
    FAILED = 1
    """What was asked for was done and did not succeed: a study failed, no trial succeeded."""
    USAGE = 2
    """Bad input: a wrong option, a mistake in a study file."""
    NOT_FOUND = 3
    REFUSED = 4
    """Right in itself, not in the present state: exists already, still running, changed meanwhile."""
    UNAVAILABLE = 5
    """The service or its database cannot be reached, or did not answer in time."""
    INTERNAL = 70
    """A defect of Wazir."""
    INTERRUPTED = 130


_CODES: dict[type[errors.WazirError], Exit] = {
    errors.InvalidArgument: Exit.USAGE,
    errors.NotFound: Exit.NOT_FOUND,
    errors.AlreadyExists: Exit.REFUSED,
    errors.FailedPrecondition: Exit.REFUSED,
    errors.Aborted: Exit.REFUSED,
    errors.RevisionCompacted: Exit.REFUSED,
    errors.ResourceExhausted: Exit.UNAVAILABLE,
    errors.DeadlineExceeded: Exit.UNAVAILABLE,
    errors.Unavailable: Exit.UNAVAILABLE,
    errors.Unauthenticated: Exit.REFUSED,
    errors.PermissionDenied: Exit.REFUSED,
    errors.Unimplemented: Exit.REFUSED,
    errors.Internal: Exit.INTERNAL,
}


def exit_code(error: errors.WazirError) -> Exit:
    """The code of the error's class, or of the nearest class above it."""
    return next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)


def reported(command: Callable[P, R]) -> Callable[P, R]:
    """A command whose errors of Wazir end it with one sentence and the right exit code."""

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except errors.WazirError as error:
            say(f"wazir: {error}", err=True)
            raise click.exceptions.Exit(exit_code(error)) from error
        except KeyboardInterrupt:
            say("wazir: interrupted", err=True)
            raise click.exceptions.Exit(Exit.INTERRUPTED) from None

    return run


@contextmanager
def visible_usage_errors() -> Iterator[None]:
    """click itself prints what it refuses, with the words of the command line in it."""
    try:
        yield
    except click.ClickException as error:
        # click declares it final; each class of its errors is made in another way, so a copy would not be simpler.
        vars(error)["message"] = visible(error.message)
        raise
