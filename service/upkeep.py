"""Work that has no hurry: removing what deleted studies have left, and thinning curves of studies that ended long ago.

It is done in small batches with a rest after each, so that the store's writer, which carries out everybody's units one
after the other, is never held for long and never used for more than a quarter of the time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final, TypeVar

from ..domain.errors import NotFound
from ..domain.study import Study
from ..storage.store import Store, Transaction, View
from . import thinning
from .feed import Change, Feed
from .settings import ServiceSettings
from .trouble import Trouble
from .writer import Units

BATCH_SECONDS: Final = 0.05
"""How long a batch is to take."""

FEWEST_ROWS: Final = 50
MOST_ROWS: Final = 10_000

RESTS: Final = 3
"""A rest is so many times as long as the batch before it."""

STUDIES: Final = 100
"""Read at a time."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Upkeep:
    """Used on the event loop only, by the server that has the duties."""

    def __init__(self, store: Store, units: Units, feed: Feed, settings: ServiceSettings) -> None:
        self._store = store
        self._units = units
        self._settings = settings
        self._batch = Batch()
        self._task: asyncio.Task[None] | None = None
        self._due = 0.0
        """When to look next, by the monotonic clock."""
        self._trouble = Trouble(logger, "upkeep", {"action": "upkeep_failed"})
        feed.listen(self._hear)

    def look(self) -> None:
        """Goes to work if it is time to. Returns at once."""
        if (self._task is None or self._task.done()) and time.monotonic() >= self._due:
            self._due = time.monotonic() + self._settings.upkeep_interval
            self._task = asyncio.create_task(self._work())

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _hear(self, change: Change) -> None:
        if change.deleted:
            self._due = 0.0

    async def _work(self) -> None:
        try:
            await self._purge()
            if self._settings.keep_measurements is not None:
                await self._thin(self._settings.keep_measurements, self._settings.keep_points)
        except Exception as error:  # noqa: BLE001 - there is another look
            self._trouble.met(error)
        else:
            self._trouble.over()

    async def _purge(self) -> None:
        while await self._batched(lambda tx: tx.purge(self._batch.rows), self._batch.rows):
            pass

    async def _thin(self, keep: float, points: int) -> None:
        """`keep`: seconds for which curves are left alone after their study's end."""
        async for study in self._to_thin(self._units.clock() - keep, points):
            try:
                await self._thin_one(study, points)
            except (thinning.GoesOn, NotFound):
                continue

    async def _to_thin(self, before: float, points: int) -> AsyncIterator[Study]:
        after = None
        while True:
            read = partial(_to_thin, before=before, points=points, after=after)
            studies = await self._read(read)
            for study in studies:
                yield study
            if len(studies) < STUDIES:
                return
            after = studies[-1]

    async def _thin_one(self, study: Study, points: int) -> None:
        removed = 0
        async for some in self._excess(study, points):
            if not removed:
                await self._units.write(partial(thinning.begin, study=study, points=points))
            removed += await self._batched(partial(thinning.remove, study=study, points=some), len(some))

        await self._units.write(partial(thinning.end, study=study, points=points))
        if removed:
            logger.info(
                "removed %d measurements of %s, which has ended: its curves keep at most %d points each",
                removed,
                study.name.short,
                points,
                extra={"action": "thinned", "study": str(study.name), "measurements": removed},
            )

    async def _excess(self, study: Study, points: int) -> AsyncIterator[list[thinning.Excess]]:
        """What is to go, a batch at a time."""
        found: list[thinning.Excess] = []
        for first in range(1, study.next_trial_id, thinning.TRIALS):
            for trial in await self._read(partial(thinning.long_trials, study=study, first=first, points=points)):
                found += await self._read(partial(thinning.excess, trial=trial, points=points))
                while len(found) >= self._batch.rows:
                    some, found = found[: self._batch.rows], found[self._batch.rows :]
                    yield some
        if found:
            yield found

    async def _read(self, work: Callable[[View], T]) -> T:
        return await asyncio.to_thread(self._store.read, work)

    async def _batched(self, work: Callable[[Transaction], int], rows: int) -> int:
        """One unit of about so many rows, and the rest after it."""
        began = time.monotonic()
        done = await self._units.submit(work)
        took = time.monotonic() - began
        self._batch.note(rows, took)
        await asyncio.sleep(RESTS * took)
        return done


class Batch:
    """How many rows a batch has: as many as take BATCH_SECONDS, by what earlier ones took."""

    def __init__(self) -> None:
        self.rows = 500

    def note(self, rows: int, seconds: float) -> None:
        """A batch of so many rows took so long."""
        if seconds > BATCH_SECONDS:
            self.rows = max(FEWEST_ROWS, self.rows // 2)
        elif rows >= self.rows and seconds < BATCH_SECONDS / 2:
            self.rows = min(MOST_ROWS, self.rows * 2)


def _to_thin(view: View, before: float, points: int, after: Study | None) -> list[Study]:
    return view.to_thin(before, points, STUDIES, after)
