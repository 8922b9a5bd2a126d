"""The service on a database file of this machine: served by this process, or by the one that has the file already.

A lock file beside the database says who serves it. The service listens on a Unix socket whose path follows from the
database's, so everyone who knows the file finds it, and a training process that outlives one server finds the next. A
process that came second stands by: when the first one goes, it takes over at the same address.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from ..clients.local_address import address_of
from ..domain.errors import FailedPrecondition, Unavailable
from ..service.server import Server
from ..service.settings import ServiceSettings
from ..storage.sqlite import open_sqlite
from .loop import run

STAND_BY_INTERVAL = 0.2
"""Seconds between two tries to take over. A lock that is waited for could not be given up at the end."""

START_TIMEOUT = 60.0
"""Seconds for migrations and start; a database that takes longer is better migrated by hand."""

logger = logging.getLogger(__name__)


class LocalService:
    """Use as a context manager. `address` is good from then on; `serving` says whether this process serves."""

    def __init__(
        self,
        database: Path,
        *,
        listen: Sequence[str] = (),
        settings: ServiceSettings | None = None,
        stand_by: bool = True,
    ) -> None:
        """`listen`: further addresses. With `stand_by` off a database that is served already is refused."""
        self.database = database.absolute()
        self.ports: list[int] = []
        self.serving = False
        self._listen = list(listen)
        self._settings = settings or ServiceSettings()
        self._may_stand_by = stand_by
        self._closing = threading.Event()
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._lock_file: int | None = None
        self._thread = threading.Thread(target=self._run, name="wazir-service", daemon=True)

    @property
    def address(self) -> str:
        return address_of(self.database)

    @property
    def _socket(self) -> Path:
        return Path(self.address.removeprefix("unix:"))

    def __enter__(self) -> LocalService:
        """Raises FailedPrecondition, Unavailable or ResourceExhausted where the database or an address is no good."""
        make_folder(self.database)
        if not self._take_lock() and not self._may_stand_by:
            raise FailedPrecondition(
                f"{self.database} is served already by process {self._holder()}; use that one (its address is "
                f"{self.address}), stop it, or choose another --db"
            )
        self._thread.start()
        if self._lock_file is not None:
            self._ready.wait(START_TIMEOUT)
            if self._error is not None:
                raise self._error
            if not self.serving:
                raise Unavailable(f"{self.database} could not be opened within {START_TIMEOUT:g} s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drains calls in flight, closes the database and lets others serve it."""
        self._closing.set()
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None:
            try:
                loop.call_soon_threadsafe(stop.set)
            except RuntimeError:
                logger.debug("the service's loop has ended already")
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while self._lock_file is None:
            if self._closing.wait(STAND_BY_INTERVAL):
                return
            if self._take_lock():
                logger.info("took over %s", self.database, extra={"action": "took_over"})
        try:
            run(self._serve())
        except BaseException as error:
            self._error = error
            if self._ready.is_set():
                logger.exception("the service on %s ended", self.database, extra={"action": "service_ended"})
        finally:
            self.serving = False
            os.close(self._lock_file)
            self._ready.set()

    async def _serve(self) -> None:
        store = open_sqlite(self.database)
        try:
            # Whoever made the old socket held the lock that is ours now, so nobody listens there.
            self._socket.unlink(missing_ok=True)
            server = Server(store, [self.address, *self._listen], self._settings)
            self._stop, self._loop = asyncio.Event(), asyncio.get_running_loop()
            await server.start()
            self._socket.chmod(0o600)
            self.ports = server.ports[1:]
            self.serving = True
            self._ready.set()
            if not self._closing.is_set():
                await self._stop.wait()
            await server.stop()
        finally:
            store.close()

    def _take_lock(self) -> bool:
        path = lock_path(self.database)
        try:
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise FailedPrecondition(
                f"cannot write {path}: {error.strerror}. Choose a folder that you may write to, with --db"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        os.ftruncate(file, 0)
        os.write(file, f"{os.getpid()}\n".encode())
        self._lock_file = file
        return True

    def _holder(self) -> str:
        return lock_path(self.database).read_text().strip() or "(unknown)"


def lock_path(database: Path) -> Path:
    return database.with_name(database.name + ".lock")


def make_folder(database: Path) -> None:
    """The database's folder, for its owner only. Raises FailedPrecondition where it cannot be made."""
    try:
        database.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FailedPrecondition(
            f"cannot make the folder {database.parent}: {error.strerror}. Choose another with --db"
        ) from error
