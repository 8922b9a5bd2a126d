"""What may be given to `create_study` and to the calls of a study. Each check raises InvalidArgument."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable

from ..domain.errors import InvalidArgument, similar
from ..domain.trial import TrialState
from .optimize_run import Callback

Caught = type[Exception] | tuple[type[Exception], ...]


def check_count(name: str, number: int | None) -> int | None:
    """A number of trials, or none given."""
    if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
        raise InvalidArgument(name, number, "must be a whole number of 1 or more")
    return number


def check_parallel(name: str, number: int | None) -> int | None:
    """How many trials run side by side, or none given; -1 is as many as there are cores."""
    return len(os.sched_getaffinity(0)) if number == -1 else check_count(name, number)


def check_timeout(timeout: float | None) -> None:
    """Seconds, 0 or more, or none given."""
    if timeout is None:
        return
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or math.isnan(timeout) or timeout < 0:
        raise InvalidArgument("timeout", timeout, "must be a number of seconds, 0 or more", "For instance 600")


def check_lease(lease: float) -> None:
    """Seconds, above 0."""
    if isinstance(lease, bool) or not isinstance(lease, int | float) or not 0 < lease < math.inf:
        raise InvalidArgument("lease", lease, "must be a number of seconds above 0", "For instance 60")


def check_list(name: str, given: object, example: str) -> None:
    """Not a text, whose characters would be taken for a list."""
    if isinstance(given, str):
        raise InvalidArgument(name, given, "must be a list", f'For instance ["{example}"]')


def check_catch(catch: Caught | Iterable[type[Exception]]) -> Caught:
    """Exceptions that only fail their trial."""
    kinds = (catch,) if isinstance(catch, type) or not isinstance(catch, Iterable) else tuple(catch)
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise InvalidArgument("catch", catch, "must be exception classes", "For instance (ValueError,)")
    return kinds


def check_callbacks(callbacks: Iterable[Callback]) -> tuple[Callback, ...]:
    """A list of functions of the study and the trial."""
    given = tuple(callbacks) if isinstance(callbacks, Iterable) else ()
    if not isinstance(callbacks, Iterable) or not all(map(callable, given)):
        raise InvalidArgument("callbacks", callbacks, "must be a list of functions", "For instance [callback]")
    return given


def check_state(state: TrialState | str) -> TrialState:
    """A state, or its name here or in Optuna."""
    if isinstance(state, TrialState):
        return state
    known = TrialState.__members__
    if isinstance(state, str) and state.upper() in known:
        return known[state.upper()]
    raise InvalidArgument("states", state, "is not a state of a trial", similar(str(state).upper(), known))
