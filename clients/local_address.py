"""Where a local service on a database listens: a Unix socket whose path follows from the database's name.

All that know the database find its service: the commands, the training code of a folder, a server that takes over.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import stat
from pathlib import Path

from ..domain.database import Database, without_password
from ..domain.errors import FailedPrecondition

LISTENER_TIMEOUT = 1.0
"""Seconds for which a process that listens may be too busy to accept a connection."""


def is_loopback(host: str) -> bool:
    """Whether nobody beyond this machine listens or is heard at that host, `[::1]` in brackets or not."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def address_of(database: Database) -> str:
    """`unix:/tmp/wazir-<uid>/<digest>.sock`, the same for every spelling of the path, or of the URL and its password.

    The folder is made if it is missing. It must be ours alone, since anyone who may write to it could put a service of
    their own there: FailedPrecondition if it is not. The path is digested because a socket's may have 107 bytes
    only.

    Neither XDG_RUNTIME_DIR nor TMPDIR is asked: both differ between a login, `sudo`, `cron` and a batch system, and
    both sides must come to the same place. The first is also removed at logout, under a server that goes on.
    """
    name = os.path.realpath(database) if isinstance(database, Path) else without_password(database)[0]
    digest = hashlib.blake2b(os.fsencode(name), digest_size=16).hexdigest()
    return f"unix:{_private_folder() / digest}.sock"


def _private_folder() -> Path:
    folder = Path("/tmp") / f"wazir-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise FailedPrecondition(
            f"cannot use {folder} for the sockets of local services: {error.strerror}. Make /tmp writable, or serve "
            "with `wazir serve --listen` elsewhere and set WAZIR_ADDRESS"
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise FailedPrecondition(
            f"{folder} is not a folder that only you may use (mode {stat.S_IMODE(found.st_mode):o}, user id "
            f"{found.st_uid}). Remove it, or `chmod 700` it if you made it"
        )
    return folder


def socket_of(database: Database) -> Path:
    """The file of that socket. It may be there without a service: a process that is killed leaves it behind."""
    return Path(address_of(database).removeprefix("unix:"))


def somebody_listens(address: str) -> bool:
    """Whether a process listens at a local service's address."""
    import socket

    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(LISTENER_TIMEOUT)
        try:
            connection.connect(address.removeprefix("unix:"))
        except OSError:
            return False
        return True
