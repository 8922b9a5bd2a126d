"""Backups that a server makes by itself: which files are its own, when the next one is due, and which are old.

    wazir-20261201T060000Z.db       SQLite       {name of the database}-{when it was begun, UTC}
    tuning-20261201T060000Z.dump    PostgreSQL

The files are the memory: a server that starts again, or another one that takes over, goes on where they end. Of several
servers on one PostgreSQL the one that has the duty makes them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import threading
import time
from calendar import timegm
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..clients.cli.output import counted
from ..domain.database import Database, shown
from ..domain.document.amounts import parse_duration
from ..domain.errors import MISSING, FailedPrecondition, InvalidArgument, WazirError
from ..service.backups import Backups
from ..storage.exchange import Claim, Exchange
from .backup import Cancelled, back_up
from .claim import folder_of, make_folder

if TYPE_CHECKING:
    from ..service.server import Server

DUTY: Final = "backups"
SHORTEST: Final = 1.0
"""Seconds between two backups: their names have whole seconds."""
LOOK_EVERY: Final = 5.0
"""Seconds between two looks if a backup is due."""
RETRY_AFTER: Final = 300.0
"""Seconds after a backup that failed, or its period if that is shorter."""
ENDING: Final = 10.0
"""Seconds that the end of a server waits for a backup that is to be given up."""
_TIME: Final = "%Y%m%dT%H%M%SZ"
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    database: Database
    every: float
    """Seconds."""
    keep: int
    folder: Path


def plan_of(database: Database, every: str | None, keep: int | None, folder: Path | None) -> Plan | None:
    """What the options say; None without `--backup-every`. Makes the folder.

    Raises InvalidArgument if they do not fit together, FailedPrecondition if no backup could be made.
    """
    if every is None:
        for option, given in (("--backup-keep", keep), ("--backup-to", folder)):
            if given is not None:
                raise InvalidArgument(option, str(given), "says nothing without --backup-every", "For instance 6h")
        return None
    period = parse_duration("--backup-every", every)
    if period < SHORTEST:
        raise InvalidArgument("--backup-every", every, f"must be {SHORTEST:g} s or more", "For instance 6h")
    if isinstance(database, str) and shutil.which("pg_dump") is None:
        raise InvalidArgument(
            "--backup-every", MISSING, "needs pg_dump", "Install it (Debian, Ubuntu: apt install postgresql-client)"
        )
    place = folder or folder_of(database) / "backups"
    make_folder(place, "--backup-to")
    if not os.access(place, os.W_OK | os.X_OK):
        raise FailedPrecondition(f"cannot write to {place}. Choose another folder with --backup-to")
    return Plan(database, period, 14 if keep is None else keep, place)


def name_at(plan: Plan, now: float) -> str:
    return f"{_stem(plan.database)}-{time.strftime(_TIME, time.gmtime(now))}{_ending(plan.database)}"


def own(plan: Plan, names: Iterable[str]) -> list[tuple[float, str]]:
    """The backups of the plan's database among the names, oldest first, with the times they were begun."""
    pattern = re.compile(re.escape(_stem(plan.database)) + r"-(\d{8}T\d{6}Z)" + re.escape(_ending(plan.database)))
    found = []
    for name in names:
        if match := pattern.fullmatch(name):
            with suppress(ValueError):  # no day that there is
                found.append((float(timegm(time.strptime(match[1], _TIME))), name))
    return sorted(found)


def _stem(database: Database) -> str:
    return database.stem if isinstance(database, Path) else urlsplit(database).path.strip("/")


def _ending(database: Database) -> str:
    return ".db" if isinstance(database, Path) else ".dump"


@asynccontextmanager
async def scheduled(plan: Plan | None, server: Server) -> AsyncIterator[None]:
    """Makes a server's backups meanwhile; none without a plan."""
    if plan is None:
        yield
        return
    state = server.service.backups = Backups()
    running = Scheduled(plan, server.service.store.exchange, state)
    running.start()
    try:
        yield
    finally:
        await asyncio.to_thread(running.close)


class Scheduled:
    """Makes them on a thread of its own, from `start` to `close`."""

    def __init__(self, plan: Plan, exchange: Exchange, state: Backups, clock: Callable[[], float] = time.time) -> None:
        self._plan = plan
        self._exchange = exchange
        self._state = state
        self._clock = clock
        self._claim: Claim | None = None
        self._not_before = 0.0
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="wazir-backups", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Gives up the backup that is being made."""
        self._closing.set()
        self._thread.join(ENDING)

    def _run(self) -> None:
        wait = min(LOOK_EVERY, self._plan.every)
        while not self._closing.is_set():
            try:
                self.look()
            except Cancelled:
                return
            except Exception as error:  # noqa: BLE001 - a backup that fails harms nothing else
                self._failed(error)
            self._closing.wait(wait)
        if self._claim is not None:
            self._claim.release()

    def look(self) -> None:
        """Makes a backup if one is due and this server has the duty."""
        if not self._on_duty():
            return
        made = own(self._plan, self._names())
        self._state.last = made[-1][0] if made else None
        now = self._clock()
        if now < self._not_before or (made and now < made[-1][0] + self._plan.every):
            return

        began = time.monotonic()
        file = self._plan.folder / name_at(self._plan, now)
        back_up(self._plan.database, file, self._check_wanted)
        self._state.last, self._state.trouble = now, ""
        logger.info(
            "%s is backed up to %s, in %.1f s",
            shown(self._plan.database),
            file,
            time.monotonic() - began,
            extra={"action": "backed_up"},
        )
        self._prune()

    def _on_duty(self) -> bool:
        if self._claim is None or not self._claim.held:
            self._claim = self._exchange.claim(DUTY)
        return self._claim is not None

    def _names(self) -> list[str]:
        return [path.name for path in self._plan.folder.iterdir()]

    def _prune(self) -> None:
        old = own(self._plan, self._names())[: -self._plan.keep]
        for _, name in old:
            (self._plan.folder / name).unlink()
        if old:
            removed = counted(len(old), "backup")
            logger.info("%s removed; the newest %d stay", removed, self._plan.keep, extra={"action": "pruned"})

    def _check_wanted(self, _: float) -> None:
        if self._closing.is_set():
            raise Cancelled

    def _failed(self, error: Exception) -> None:
        self._not_before = self._clock() + min(RETRY_AFTER, self._plan.every)
        self._state.failures += 1
        again = str(error) == self._state.trouble
        self._state.trouble = str(error)
        logger.log(
            logging.DEBUG if again else logging.ERROR,
            "no backup of %s could be made, and another try follows: %s",
            shown(self._plan.database),
            error,
            exc_info=None if isinstance(error, WazirError | OSError) else error,
            extra={"action": "backup_failed"},
        )
