"""Who of this machine serves a database locally: a lock file says it, and a Unix socket is where.

For a file of SQLite the lock lies beside it, because no second process may serve it; a lock on the file itself makes
sure of it (`storage/sqlite_file.py`), and this one tells who serves and lets others wait. A PostgreSQL may be served by
any number of processes, and the lock, beside the socket, settles only which of this user's listens at the socket.
"""

from __future__ import annotations

import fcntl
import logging
import os
from contextlib import suppress
from pathlib import Path

from ..clients.local_address import address_of, socket_of
from ..clients.private_folder import make_private
from ..domain.database import DEFAULT_DATABASE, Database
from ..domain.errors import FailedPrecondition
from ..storage.sqlite_file import check_names, named

logger = logging.getLogger(__name__)


class Claim:
    """At most one process holds it; the system takes it from one that ends, however it ends."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock_file: int | None = None

    @property
    def address(self) -> str:
        return address_of(self._database)

    @property
    def held(self) -> bool:
        """Whether this object holds it."""
        return self._lock_file is not None

    def take(self) -> bool:
        """Whether it is held from now on; False if another process holds it. Raises FailedPrecondition if the database
        has several names, or the lock file cannot be written."""
        path = lock_path(self._database)
        if isinstance(self._database, Path):
            check_names(named(self._database))
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

    def keep(self) -> None:
        """Makes the lock file again if somebody has removed or replaced it: it is where others look who serves."""
        held, path = self._lock_file, lock_path(self._database)
        if held is None or _same(path, held):
            return
        self._lock_file = None
        if self.take():
            os.close(held)
            logger.warning("%s was removed, and is made again", path, extra={"action": "lock_made_again"})
        else:
            # Another process has the new one, for the moment in which it finds the database served.
            self._lock_file = held

    def clear_socket(self) -> None:
        """Makes room to listen. The old socket's process held this lock before, so it listens no more."""
        socket_of(self._database).unlink(missing_ok=True)

    def close_socket_to_others(self) -> None:
        socket_of(self._database).chmod(0o600)

    def release(self) -> None:
        """Harmless to repeat."""
        file, self._lock_file = self._lock_file, None
        if file is not None:
            os.close(file)

    def holder(self) -> str:
        """The process id of the holder, or of the last one."""
        return lock_path(self._database).read_text().strip() or "(unknown)"


def lock_path(database: Database) -> Path:
    if isinstance(database, Path):
        file = named(database)
        return file.with_name(file.name + ".lock")
    return socket_of(database).with_suffix(".lock")


def folder_of(database: Database) -> Path:
    """Where logs and checkpoints of a database's trials are kept: beside its file; of a PostgreSQL in this folder."""
    return named(database).parent if isinstance(database, Path) else DEFAULT_DATABASE.parent.absolute()


def _same(path: Path, descriptor: int) -> bool:
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    return False


def make_folder(folder: Path, option: str = "--db") -> None:
    """For its owner only. Raises FailedPrecondition if it cannot be made; the `option` can name another."""
    try:
        make_private(folder)
    except OSError as error:
        raise FailedPrecondition(
            f"cannot make the folder {folder}: {error.strerror}. Choose another with {option}"
        ) from error
