"""The service on a database, in a process beside the one that needs it: for scripts and notebooks that name none.

Not a thread of theirs, because theirs is anybody's process. It forks, and no gRPC server survives a fork; it holds the
interpreter's lock for minutes, and leases would expire (docs/decisions/0060-ask-and-tell-without-a-server.md).

The process reads a pipe, its lifeline, whose other end is held by the script and what the script forks. When the last
of them is gone, killed or not, the pipe ends, and so does the process.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from ..clients.local_address import address_of, somebody_listens
from ..clients.reporter import close_all
from ..domain import errors
from ..domain.database import Database, shown
from ..domain.errors import FailedPrecondition, Unavailable, WazirError
from .claim import folder_of, make_folder

START_TIMEOUT: Final = 60.0
"""Seconds until a service answers: migrations, or another process that has the database and is about to go."""

LOOK_EVERY: Final = 0.5
"""Seconds between two looks whether the service is still there."""

EXIT_PATIENCE: Final = 3.0
"""Seconds for which the end of this process waits for that of its service."""

STARTED: Final = "WAZIR_STARTED_TO_SERVE"
"""Set in the environment of the process beside. An interpreter that is part of another program may start that program
instead, which would start one more, without end."""

LOG: Final = "wazir.log"
"""Beside the database."""

logger = logging.getLogger(__name__)

# Not `-m` and not multiprocessing: both would depend on how this process was started, and may run its script again.
_BOOTSTRAP: Final = (
    "import json, sys; told = json.loads(sys.stdin.buffer.readline()); sys.path[:] = told['path']; "
    f"from {__name__} import main; main(told['database'])"
)


def serve_beside(database: Database) -> str:
    """The address of a service on the database, once it answers: the one that is there, or one that this call starts.

    From then on, and until this process ends, a service that goes away is replaced. Raises FailedPrecondition where
    the database cannot be used or a library of the server is missing, and Unavailable if nothing answers in time.
    """
    if isinstance(database, Path):
        database = database.absolute()
    address = address_of(database)
    with _lock:
        served = _served.get(address) or _Served(database, address)
        served.start()
        _served[address] = served
    return address


class _Served:
    """One database, as long as this process lives."""

    def __init__(self, database: Database, address: str) -> None:
        self._database = database
        self._address = address
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None
        self._launching = threading.Lock()
        self._closing = threading.Event()
        self._watch: threading.Thread | None = None

    def start(self) -> None:
        """Returns when a service answers."""
        until = time.monotonic() + START_TIMEOUT

        while not self._answers():
            if time.monotonic() > until:
                raise Unavailable(f"no service on {shown(self._database)} answers within {START_TIMEOUT:g} s")
            if not self._launch():
                # Somebody else has the database, and is about to answer or to go.
                time.sleep(0.05)

        if self._watch is None:
            self._watch = threading.Thread(target=self._stand_by, name="wazir-stand-by", daemon=True)
            self._watch.start()

    def close(self) -> None:
        """Lets the process end, and waits for it, unless forked children still need it."""
        self._closing.set()
        process, lifeline = self._process, self._lifeline
        if process is None or lifeline is None:
            return

        os.close(lifeline)
        try:
            process.wait(EXIT_PATIENCE)
        except subprocess.TimeoutExpired:
            logger.debug("the service on %s is still needed", shown(self._database), extra={"action": "service_left"})

    def _stand_by(self) -> None:
        told = False
        while not self._closing.wait(LOOK_EVERY):
            if self._answers():
                told = False
                continue
            try:
                if self._launch():
                    logger.info("took over %s", shown(self._database), extra={"action": "took_over"})
            except WazirError as error:
                if not told:
                    logger.warning("%s", error, extra={"action": "take_over_failed"})
                told = True

    def _answers(self) -> bool:
        # The lock beside the database would say it too, but to look at it is to hold it for a moment.
        return somebody_listens(self._address)

    def _launch(self) -> bool:
        """Starts a process that serves; False if somebody else has the database."""
        with self._launching:
            return self._launched()

    def _refusal(self, why: str) -> FailedPrecondition:
        return FailedPrecondition(
            f"no service serves {shown(self._database)}, and this process cannot start one: {why}. Start one with "
            "`wazir serve` in this folder, or name one by `address=` or WAZIR_ADDRESS"
        )

    def _launched(self) -> bool:
        if self._process is not None and self._process.poll() is None:
            return True

        if not sys.executable or STARTED in os.environ:
            raise self._refusal(f"{sys.executable or 'its interpreter'} does not run Python's code")
        there, here = os.pipe()
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", _BOOTSTRAP],
                stdin=there,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                # Ctrl-C in the script's terminal is the script's.
                start_new_session=True,
                env={**os.environ, STARTED: "1"},
            )
        except OSError as error:
            os.close(here)
            raise self._refusal(str(error)) from None
        finally:
            os.close(there)

        # Not on the command line, which everybody can read: a URL may hold a password.
        told = {"path": sys.path, "database": _to_json(self._database)}
        with suppress(BrokenPipeError):
            os.write(here, json.dumps(told).encode() + b"\n")
        assert process.stdout is not None
        with process.stdout:
            reply = _reply(process.stdout.read(), self._database)
        if reply.get("serving") is True:
            previous, self._process, self._lifeline = self._lifeline, process, here
            if previous is not None:
                os.close(previous)
            return True

        os.close(here)
        process.wait()
        if "error" in reply:
            kind = getattr(errors, str(reply["error"]), FailedPrecondition)
            # The same errors end commands, where a database is named by an option.
            raise kind.restore(str(reply["message"]).replace("--db", "database="), "", {})
        return False


def _to_json(database: Database) -> list[str]:
    return ["file" if isinstance(database, Path) else "url", str(database)]


def _reply(line: bytes, database: Database) -> dict[str, object]:
    try:
        reply = json.loads(line)
    except ValueError:
        reply = None
    if not isinstance(reply, dict):
        log = folder_of(database) / LOG
        raise Unavailable(f"the process that was to serve {shown(database)} ended; {log} may say why")
    return reply


# The process beside


def main(told: list[str]) -> None:
    """Serves a database until standard input ends. Says on standard output, in one line of JSON, that it serves, that
    somebody else does, or what is wrong."""
    kind, name = told
    database: Database = Path(name) if kind == "file" else name
    try:
        from .local_service import LocalService
        from .logs import log_to_file

        folder = folder_of(database)
        make_folder(folder)
        with suppress(OSError):  # that this folder is not to be written to is said better below
            log_to_file(str(folder / LOG))
        with LocalService(database, on_failure=_end) as service:
            _say(serving=service.serving)
            if service.serving:
                sys.stdin.buffer.read()
    except ModuleNotFoundError as error:
        _say(
            error="FailedPrecondition",
            message=f"no service is named, and none serves {shown(database)}; to serve it, a process of yours needs "
            f"{error.name}, which is not installed: pip install 'wazir[server]', or name a service by `address=` or "
            "WAZIR_ADDRESS",
        )
    except WazirError as error:
        _say(error=type(error).__name__, message=error.message)


def _end() -> None:
    """The log says why. Who needs the service finds it gone, and starts another."""
    logging.shutdown()
    os._exit(1)


def _say(**reply: object) -> None:
    """The only thing that is ever written there: afterwards the reader sees the end."""
    sys.stdout.write(json.dumps(reply))
    sys.stdout.flush()
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 - a descriptor, not a file
        os.dup2(nothing.fileno(), sys.stdout.fileno())


# The end of a process, and forks

_served: dict[str, _Served] = {}
"""By address."""

_lock = threading.Lock()

_inherited: list[_Served] = []
"""Of the process that this one was forked from: what it holds of them keeps the service alive, and is not closed."""


def _close() -> None:
    # What trials have reported arrives first.
    close_all()
    for served in _served.values():
        served.close()
    _served.clear()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()
    _inherited.extend(_served.values())
    _served.clear()


atexit.register(_close)
os.register_at_fork(after_in_child=_after_fork_in_child)
