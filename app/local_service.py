"""The service on a database, for this user of this machine: served by this process, or by the one that does already.

A lock file says who serves it (`claim.py`). The service listens on a Unix socket whose path follows from the database's
name, so everyone who knows that finds it, and a training process that outlives one server finds the next. A process
that came second stands by: when the first one goes, it takes over at the same address.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from ..domain.database import Database, shown
from ..domain.errors import FailedPrecondition, Unavailable, WazirError
from .claim import Claim, folder_of, make_folder

if TYPE_CHECKING:
    import asyncio

    from ..service.server import Server
    from ..service.settings import ServiceSettings
    from .backup_schedule import Plan

STAND_BY_INTERVAL = 0.2
"""Seconds between two tries to take over. A lock that is waited for could not be given up at the end."""

KEEP_INTERVAL = 1.0
"""Seconds between two looks whether the lock file is still there."""

START_TIMEOUT = 60.0
"""Seconds for migrations and start; a database that takes longer is better migrated by hand."""

DRAIN = 10.0
"""Seconds that calls in flight get if no settings say otherwise, as the settings have it."""

CLOSE_SLACK = 20.0
"""Seconds that the end of a service may take beyond that."""

logger = logging.getLogger(__name__)


class LocalService:
    """Use as a context manager. `address` is good from then on; `serving` says whether this process serves."""

    def __init__(
        self,
        database: Database,
        *,
        listen: Sequence[str] = (),
        settings: ServiceSettings | None = None,
        stand_by: bool = True,
        on_failure: Callable[[], object] = lambda: None,
        backups: Plan | None = None,
    ) -> None:
        """`listen`: further addresses. With `stand_by` off a database that is served already is refused. `on_failure`
        is called, on another thread, if the service has to end by itself; `check` says why."""
        self.database = database.absolute() if isinstance(database, Path) else database
        self.ports: list[int] = []
        self.serving = False
        self._listen = list(listen)
        self._settings = settings
        self._may_stand_by = stand_by
        self._on_failure = on_failure
        self._backups = backups
        self._claim = Claim(self.database)
        self._closing = threading.Event()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="wazir-service", daemon=True)

    @property
    def address(self) -> str:
        return self._claim.address

    @property
    def name(self) -> str:
        """The database for people, without a password."""
        return shown(self.database)

    def __enter__(self) -> LocalService:
        """Raises FailedPrecondition, Unavailable or ResourceExhausted if the database or an address cannot be used."""
        if isinstance(self.database, Path):
            make_folder(folder_of(self.database))
        if not self._claim.take() and not self._may_stand_by:
            raise FailedPrecondition(
                f"{self.name} is served already by process {self._claim.holder()}; use that one (its address is "
                f"{self.address}), stop it, or choose another --db"
            )
        self._thread.start()
        if self._claim.held:
            self._ready.wait(START_TIMEOUT)
            if self._error is not None:
                raise self._error
            if not self.serving:
                raise Unavailable(f"{self.name} could not be opened within {START_TIMEOUT:g} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def check(self) -> None:
        """Raises why the service has ended by itself, if it has."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Drains calls in flight, closes the database and lets others serve it. Leaves behind what hangs: the process
        is about to end."""
        self._closing.set()
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None:
            try:
                loop.call_soon_threadsafe(stop.set)
            except RuntimeError:
                logger.debug("the service's loop has ended already")
        if self._thread.is_alive():
            drain = DRAIN if self._settings is None else self._settings.drain
            self._thread.join(drain + CLOSE_SLACK)
        if self._thread.is_alive():
            logger.warning("the service on %s does not end", self.name, extra={"action": "service_hangs"})

    def _run(self) -> None:
        while not self._claim.held:
            if self._closing.wait(STAND_BY_INTERVAL):
                return
            if self._claim.take():
                logger.info("took over %s", self.name, extra={"action": "took_over"})
        try:
            # Not before: a process that finds another one serving needs none of it.
            from .loop import run

            run(self._serve())
        except BaseException as error:
            self._error = error
            if self._ready.is_set():
                # What Wazir raises on purpose says all there is to say.
                trace = None if isinstance(error, WazirError) else error
                logger.error(
                    "the service on %s ended: %s", self.name, error, exc_info=trace, extra={"action": "service_ended"}
                )
        finally:
            self.serving = False
            self._claim.release()
            failed = self._error is not None and self._ready.is_set()
            self._ready.set()
            if failed:
                self._on_failure()

    async def _serve(self) -> None:
        import asyncio

        from ..service.server import Server
        from ..storage.open import open_store
        from .backup_schedule import scheduled

        store = open_store(self.database, serve=True)
        try:
            self._claim.clear_socket()
            server = Server(store, [self.address, *self._listen], self._settings)
            self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
            await server.start()
            self._claim.close_socket_to_others()
            self.ports = server.ports[1:]
            self.serving = True
            self._ready.set()
            if not self._closing.is_set():
                async with scheduled(self._backups, server):
                    await self._until_told(server)
            await server.stop()
        finally:
            store.close()
        if store.lost:
            raise FailedPrecondition(store.lost)

    async def _until_told(self, server: Server) -> None:
        """Returns when the service is to end, or has to."""
        import asyncio

        assert self._stop is not None
        ends = [asyncio.ensure_future(event.wait()) for event in (self._stop, server.lost)]
        while not any(end.done() for end in ends):
            await asyncio.wait(ends, timeout=KEEP_INTERVAL, return_when=asyncio.FIRST_COMPLETED)
            self._claim.keep()
        for end in ends:
            end.cancel()
