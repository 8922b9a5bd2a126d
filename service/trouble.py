"""What fails again and again is said once, and once more when it is over."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from ..domain.errors import AWAY, Unavailable, WazirError


def said_by_store(error: BaseException) -> bool:
    """Whether the store has said itself, once for all, what is wrong: its database is away."""
    return isinstance(error, Unavailable) and AWAY.items() <= error.details.items()


class Trouble:
    """Of one thing that is tried again and again. `what` begins a sentence: "background duties"."""

    def __init__(
        self,
        logger: logging.Logger,
        what: str,
        extra: Mapping[str, object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._what = what
        self._extra = dict(extra)
        self._clock = clock
        self._since = 0.0
        self._said: type[BaseException] | None = None
        self.times = 0
        """How often in a row it failed."""

    def met(self, error: BaseException) -> None:
        """It failed. The first time in a row is logged, and so is the first error of another kind: with its trace
        unless it is one of ours, which says all that there is to say."""
        if not self.times:
            self._since = self._clock()
        self.times += 1
        if type(error) is self._said or said_by_store(error):
            return

        self._said = type(error)
        ours = isinstance(error, WazirError)
        self._logger.log(
            logging.WARNING if ours else logging.ERROR,
            "%s failed, and will be tried again: %s",
            self._what,
            error if ours else f"{type(error).__name__}: {error}",
            exc_info=None if ours else error,
            extra=self._extra,
        )

    def over(self) -> None:
        """It went well."""
        self.times, times = 0, self.times
        if self._said is None:
            return
        self._logger.warning(
            "%s: back after %.1f s (failed %d times)",
            self._what,
            self._clock() - self._since,
            times,
            extra=self._extra,
        )
        self._said = None
