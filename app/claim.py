"""Who of this machine serves a database locally: a lock file says it, and a Unix socket is where.

For a file of SQLite the lock lies beside it, because no second process may serve it. A PostgreSQL may be served by any
number of processes, and the lock, beside the socket, settles only which of this user's listens at the socket.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from ..clients.local_address import address_of, socket_of
from ..domain.database import DEFAULT_DATABASE, Database
from ..domain.errors import FailedPrecondition


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
        """Whether it is held from now on; False if another process holds it. Raises FailedPrecondition if the lock file
        cannot be written."""
        path = lock_path(self._database)
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
        return database.with_name(database.name + ".lock")
    return socket_of(database).with_suffix(".lock")


def folder_of(database: Database) -> Path:
    """Where logs and checkpoints of a database's trials are kept: beside its file; of a PostgreSQL in this folder."""
    return database.absolute().parent if isinstance(database, Path) else DEFAULT_DATABASE.parent.absolute()


def make_folder(folder: Path) -> None:
    """For its owner only. Raises FailedPrecondition if it cannot be made."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FailedPrecondition(
            f"cannot make the folder {folder}: {error.strerror}. Choose another with --db"
        ) from error
