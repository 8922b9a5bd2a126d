"""Work about one study each, done side by side: what is wrong with one study is no concern of the others."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from ..domain.names import StudyName
from .trouble import Trouble

FIRST_REST: Final = 1.0
LONGEST_REST: Final = 30.0
"""Seconds that a study is left alone after its work failed: doubled from the first to the longest."""

MOST_TROUBLES: Final = 10_000
"""Studies that are remembered for their failures: of those that are gone one never hears again."""

logger = logging.getLogger(__name__)
Work = Callable[[], Awaitable[object]]


class StudyTasks:
    """At most `most` at a time, one for each study; further ones wait in order of arrival. Used on the event loop."""

    def __init__(self, what: str, action: str, most: int) -> None:
        """`what`, with the study's name behind it, begins the sentence that says that one failed."""
        self._what = what
        self._action = action
        self._most = most
        self._waiting: dict[StudyName, Work] = {}
        self._going: dict[StudyName, asyncio.Task[None]] = {}
        self._troubles: dict[StudyName, tuple[Trouble, float]] = {}
        """Of studies whose last task failed: until when they are left alone."""

    def send(self, study: StudyName, work: Work) -> None:
        """Does the work unless there is some about that study already, or it is left alone after a failure."""
        known = self._troubles.get(study)
        if study in self._going or study in self._waiting or (known is not None and time.monotonic() < known[1]):
            return
        self._waiting[study] = work
        self._begin()

    async def close(self) -> None:
        """Gives up all of them."""
        self._waiting.clear()
        going = list(self._going.values())
        self._most = 0
        for task in going:
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)

    def _begin(self) -> None:
        while self._waiting and len(self._going) < self._most:
            study = next(iter(self._waiting))
            work = self._waiting.pop(study)
            self._going[study] = asyncio.create_task(self._run(study, work))

    async def _run(self, study: StudyName, work: Work) -> None:
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - one study's error must not end the loop that serves all
            self._failed(study, error)
        else:
            known = self._troubles.pop(study, None)
            if known is not None:
                known[0].over()
        finally:
            # At once: who sees that there is nothing left to do can send another task about it.
            self._going.pop(study, None)
            self._begin()

    def _failed(self, study: StudyName, error: Exception) -> None:
        known = self._troubles.get(study)
        extra = {"action": self._action, "study": str(study)}
        trouble = known[0] if known is not None else Trouble(logger, f"{self._what} {study.short}", extra)
        trouble.met(error)
        rest = min(LONGEST_REST, FIRST_REST * 2.0 ** min(trouble.times - 1, 10))
        self._troubles[study] = trouble, time.monotonic() + rest
        while len(self._troubles) > MOST_TROUBLES:
            del self._troubles[next(iter(self._troubles))]
