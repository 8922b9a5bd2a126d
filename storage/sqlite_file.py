"""A SQLite file as the file system knows it: by its inode, whatever names lead to it.

SQLite finds the log of a database by the database's name. So two names for one file are two logs, and whoever writes by
both destroys it; and a file that is moved or replaced while it is open leaves its log behind. Hence a file with more
than one name is refused, symbolic links are followed before anything is named, the one server of a file locks its
inode, and whoever has it open looks before and after each commit if it is still the one that the name leads to.

The lock is one of open files (F_OFD_SETLK), on a byte that SQLite does not use. It needs a descriptor of our own, and
to close one drops the locks that SQLite has on the same file in this process, which belong to the process. So all
stores of a process on one file share a descriptor, and the last one closes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..domain.errors import FailedPrecondition
from .private import PRIVATE

LOCK_BYTE: Final = 0x4000_0000 + 1024
"""SQLite's own locks are on the 512 bytes from 1 GiB on."""

HANDOVER_SECONDS: Final = 1.0
"""For which a server that ends, or was killed, may still hold the lock though its lock file is free already."""

Inode = tuple[int, int]
"""Device and number."""


class OpenFile:
    """One user's part in a database file of this process. Close it after the last connection of SQLite."""

    def __init__(self, file: Path, *, serve: bool = False, make: bool = True) -> None:
        """`serve`: nobody else may from now on. `make`: if it is not there.

        Raises FailedPrecondition if it has more than one name, if another process serves it by another name, or, for
        who wants to serve it, at all; and if this user may not read it, or it is not there.
        """
        self.file = file
        self._log = file.with_name(file.name + "-wal")
        self._log_inode: Inode | None = None
        self._serves = serve
        self._closed = False
        self._shared = _take(file, make=make)
        try:
            if serve:
                self._lock()
            else:
                self._check_name()
            self._check_log()
        except BaseException:
            _give_back(self._shared)
            raise

    def _check_log(self) -> None:
        """What lies beside the file may be the log of one that was there before, and is still open. SQLite would take
        it for this file's, and destroy it."""
        until = time.monotonic() + HANDOVER_SECONDS
        while (pid := _holder_of_other_log(self.file, self._shared.inode)) is not None:
            if time.monotonic() > until:
                raise FailedPrecondition(
                    f"{self.file} has taken the place of a file that process {pid} still has open, and whose log is "
                    "beside it. End that process, then try again"
                )
            time.sleep(0.02)

    @property
    def moved(self) -> str:
        """What has happened to the file, with the way out; empty if it is still where it was."""
        # Before the look: another thread may look, and remember the log, at the same time.
        known = self._log_inode
        try:
            now, log = _inode_of(self.file), _inode_of(self._log)
        except OSError:
            # The folder cannot be looked into, for the moment perhaps; that says nothing of the file.
            return ""
        if now is None:
            return (
                f"{self.file} has been removed or renamed while it was open, so nothing more can be written to it. "
                "Put it or a backup there, and start again"
            )
        if now != self._shared.inode:
            return (
                f"{self.file} has been replaced by another file while it was open, so nothing more is written to it. "
                "Start again to use the new one, and next time end the server first"
            )

        if known is not None and log != known:
            return (
                f"{self._log}, which belongs to {self.file.name}, has been removed or replaced while it was in use. "
                "Start again, and leave it where it is"
            )
        self._log_inode = log
        return ""

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """For a change that no server may see. Raises FailedPrecondition if another process serves the file."""
        if self._serves:
            yield
            return
        self._lock()
        try:
            yield
        finally:
            _unlock(self._shared)

    def remove_log(self) -> None:
        """Takes away what a file that has moved left behind. It would be read as the log of the file that comes to be
        there, and destroy it."""
        if self._log_inode is not None and _inode_of(self._log) == self._log_inode:
            self._log.unlink()
            self.file.with_name(self.file.name + "-shm").unlink(missing_ok=True)

    def close(self) -> None:
        """Harmless to repeat."""
        if self._closed:
            return
        self._closed = True
        if self._serves:
            _unlock(self._shared)
        _give_back(self._shared)

    def _lock(self) -> None:
        until = time.monotonic() + HANDOVER_SECONDS
        while not _locked(self._shared, self.file):
            if time.monotonic() > until:
                raise FailedPrecondition(
                    f"{self.file} is served already, {_served_by(self._shared.inode)}. Use that server or end it: two "
                    "would destroy the database"
                )
            time.sleep(0.02)

    def _check_name(self) -> None:
        """A server has SQLite's index of the log beside the name that it serves the file by."""
        until = time.monotonic() + HANDOVER_SECONDS
        while _locked_by_another_process(self._shared) and not self.file.with_name(self.file.name + "-shm").exists():
            if time.monotonic() > until:
                raise FailedPrecondition(
                    f"{self.file} is served by another name, {_served_by(self._shared.inode)}. Name it as its server "
                    "does, or end the server: to write by two names would destroy the database"
                )
            time.sleep(0.02)


def named(path: str | os.PathLike[str]) -> Path:
    """The one name of a database file, by which its log, its lock and its socket are named: no symbolic link is in
    it."""
    return Path(os.path.realpath(path))


def check_names(file: Path) -> None:
    """Raises FailedPrecondition if there are more names for the file than this one. It need not be there."""
    try:
        found = file.stat()
    except OSError:
        return
    if stat.S_ISREG(found.st_mode) and found.st_nlink > 1:
        raise FailedPrecondition(
            f"{file} has {found.st_nlink} names (hard links), and writing by two of them would destroy it. Keep one "
            f"(`find -L FOLDER -samefile {file}` finds them; `rm` those that you do not need), or copy it with `cp`"
        )


# The descriptors of this process


@dataclass
class _Shared:
    inode: Inode
    descriptors: list[int]
    users: int = 0
    served: bool = False


_open: dict[Inode, _Shared] = {}
_guard = threading.RLock()


def _take(file: Path, *, make: bool) -> _Shared:
    check_names(file)
    with _guard:
        # A file that is open already must not be opened once more, see above.
        inode = _inode_of(file)
        shared = _open.get(inode) if inode is not None else None
        if shared is None:
            descriptor = _opened(file, make=make)
            found = os.fstat(descriptor)
            inode = (found.st_dev, found.st_ino)
            shared = _open.setdefault(inode, _Shared(inode, []))
            shared.descriptors.append(descriptor)
        shared.users += 1
        return shared


def _give_back(shared: _Shared) -> None:
    with _guard:
        shared.users -= 1
        if not shared.users:
            del _open[shared.inode]
            for descriptor in shared.descriptors:
                os.close(descriptor)


def _opened(file: Path, *, make: bool) -> int:
    try:
        return os.open(file, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0), PRIVATE)
    except OSError as error:
        with contextlib.suppress(OSError):  # for who may only read
            return os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        raise FailedPrecondition(
            f"{file} cannot be {'written' if make else 'read'} ({error.strerror}). Make the file and its folder "
            f"accessible to user {os.geteuid()}, or name another place for the database"
        ) from error


# The lock


def _locked(shared: _Shared, file: Path) -> bool:
    with _guard:
        if shared.served:
            return False
        try:
            _fcntl(shared, fcntl.F_OFD_SETLK, fcntl.F_WRLCK)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise FailedPrecondition(
                f"{file} cannot be locked ({error.strerror}). Get the right to write to it, or name a place on a local "
                "disk for the database"
            ) from error
        shared.served = True
        return True


def _unlock(shared: _Shared) -> None:
    with _guard:
        shared.served = False
        _fcntl(shared, fcntl.F_OFD_SETLK, fcntl.F_UNLCK)


def _locked_by_another_process(shared: _Shared) -> bool:
    answer = _fcntl(shared, fcntl.F_OFD_GETLK, fcntl.F_WRLCK)
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


_FLOCK: Final = "@hhqqi4x"
"""The system's `struct flock`: kind, origin, start, length and process."""


def _fcntl(shared: _Shared, command: int, kind: int) -> bytes:
    return fcntl.fcntl(shared.descriptors[0], command, struct.pack(_FLOCK, kind, os.SEEK_SET, LOCK_BYTE, 1, 0))


def _served_by(inode: Inode) -> str:
    """Who has it open, as far as this user may see."""
    for link in _links_of_other_processes():
        with contextlib.suppress(OSError):
            found = link.stat()
            if (found.st_dev, found.st_ino) == inode:
                return f"by process {link.parts[2]} as {link.readlink()}"
    return "by a process that this user may not see, or by another name"


def _links_of_other_processes() -> Iterator[Path]:
    for process in Path("/proc").glob("[0-9]*"):
        if process.name != str(os.getpid()):
            with contextlib.suppress(OSError):
                yield from (process / "fd").iterdir()


def _holder_of_other_log(file: Path, inode: Inode) -> int | None:
    """A process that has the log beside the file open, and not the file. SQLite locks both for as long as it has a
    database with a log open."""
    index = _inode_of(file.with_name(file.name + "-shm"))
    if index is None:
        return None
    locked = list(_locks())
    of_file = {pid for pid, found in locked if found == inode}
    return next((pid for pid, found in locked if found == index and pid not in of_file), None)


def _locks() -> Iterator[tuple[int, Inode]]:
    """The POSIX locks on this machine, as far as this process may see them. To ask for those of one file takes a
    descriptor of it, see above."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text().splitlines():
            fields = line.split()
            if "POSIX" in fields and "->" not in fields:
                major, minor, number = fields[5].split(":")
                yield int(fields[4]), (os.makedev(int(major, 16), int(minor, 16)), int(number))


def _inode_of(file: Path) -> Inode | None:
    """None if there is no such file."""
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return (found.st_dev, found.st_ino)
