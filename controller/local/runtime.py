"""Attempts as processes of this machine. See `zygote.py` for what runs them and `folder.py` for what they leave."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import re
import select
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...clients.private_folder import make_private
from ...domain.errors import FailedPrecondition
from ..execution import Ending, Execution, Exit, Fault, Key, Order, Phase, Why
from ..runtime import OutputLost
from . import processes
from .environment import environment
from .folder import Folder, Supervisor, checkpoints, discard, live
from .launcher import Launcher
from .reading import NotAFile, read_part

log = logging.getLogger(__name__)

CHUNK = 1 << 20
"""Bytes of output read at a time."""

LOOK_EVERY = 0.2
"""Seconds between two looks at whether the zygote takes what it is asked."""

MAX_TRIES = 3
"""Zygotes that may die under one launch before the machine is to blame."""


@dataclass(slots=True)
class _Attempt:
    """What is known of one attempt, and what it is watched by."""

    folder: Folder
    execution: Execution
    request: dict[str, Any] | None = None
    """While it is STARTING: what the zygote was asked."""
    tries: int = 1
    again: float | None = None
    """While the machine cannot launch it: when that is tried again (monotonic)."""
    supervisor: int | None = None
    """A pidfd of its supervisor while that lives."""
    leftovers: set[int] = field(default_factory=set)
    """pidfds of processes that a killed supervisor has left behind, until they are gone too."""


class LocalRuntime:
    """Runs attempts below the folder `root`, which one controller at a time may use.

    `devices`: GPUs that it may hand out, as CUDA_VISIBLE_DEVICES names them. `launch_again`: seconds until what the
    machine could not launch is tried again; `launch_patience`: until a launching process that does not answer is
    replaced. Raises FailedPrecondition where another controller uses `root`.
    """

    def __init__(
        self,
        root: Path,
        *,
        devices: tuple[str, ...] = (),
        node: str = "",
        clock: Callable[[], float] = time.time,
        launch_again: float = 5.0,
        launch_patience: float = 60.0,
    ) -> None:
        self._root = root.absolute()
        self._devices = devices
        self._node = node or socket.gethostname()
        self._clock = clock
        self._launch_again = launch_again
        self._launch_patience = launch_patience
        make_private(self._root / "live")
        self._lock = _lock(self._root)
        self._identity = _identity(self._root)
        self._attempts: dict[Key, _Attempt] = {}
        self._by_handle: dict[int, Key] = {}
        self._launcher: Launcher | None = None
        self._poll = select.epoll()
        self._alarm = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll.register(self._alarm, select.EPOLLIN)
        self._closed = False
        # No thread may write to a number that is no longer, or again, a file's. A signal handler may wake as well.
        self._alarm_lock = threading.RLock()
        for key in live(self._root):
            self._adopt(key)

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def devices(self) -> tuple[str, ...]:
        return self._devices

    def observe(self) -> Mapping[Key, Execution]:
        return {key: attempt.execution for key, attempt in self._attempts.items()}

    def launch(self, order: Order) -> None:
        key = order.key
        if key in self._attempts:
            return
        if not re.fullmatch(r"[A-Za-z0-9][-A-Za-z0-9]*", key.uid):
            raise ValueError(f"{key.uid!r} is not the uid of a study")  # it becomes a folder's name
        folder = Folder(self._root, key)
        parent = None if order.checkpoint_of is None else checkpoints(self._root, key.uid, order.checkpoint_of)
        request = {
            "key": str(key),
            "study": str(order.study),
            "folder": str(folder.path),
            "command": (*order.command, *order.args),
            "env": environment(order, folder, parent, self._marker(key)),
            "workdir": order.workdir,
            "devices": order.devices or (),
            "gpus": order.gpus,
            "node": self._node,
            "reserve": folder.reserve,
        }
        execution = Execution(
            key,
            order.study,
            Phase.STARTING,
            self._clock(),
            node=self._node,
            devices=order.devices or (),
            gpus=order.gpus,
            log_path=str(folder.log),
        )
        attempt = self._attempts[key] = _Attempt(folder, execution, request)
        self._begin(attempt)

    def terminate(self, key: Key, why: Why) -> None:
        attempt = self._attempts.get(key)
        if attempt is None or attempt.execution.phase is Phase.ENDED or attempt.execution.ending is not None:
            return
        ending = Ending(why, self._clock(), attempt.execution.waiting)
        attempt.execution = replace(attempt.execution, ending=ending)
        if attempt.supervisor is not None:
            self._tell(attempt, ending)
        elif attempt.again is not None:
            self._end(attempt, Exit(None, self._clock()))

    def kill(self, key: Key) -> None:
        attempt = self._attempts.get(key)
        if attempt is None or attempt.execution.phase is Phase.ENDED:
            return
        attempt.execution = replace(attempt.execution, killed=True)
        if attempt.supervisor is not None:
            processes.send(attempt.supervisor, signal.SIGUSR1)
        elif attempt.again is not None:
            self._end(attempt, Exit(None, self._clock(), Fault.LOST))

    def output(self, key: Key, offset: int) -> bytes:
        folder = Folder(self._root, key)
        try:
            data = read_part(folder.log, offset, CHUNK)
        except FileNotFoundError:
            data = b""
        except (OSError, NotAFile) as error:
            raise OutputLost(str(error)) from error
        if not data and (words := folder.output_lost(offset)):
            raise OutputLost(words)
        return data

    def tail(self, key: Key, size: int) -> bytes:
        try:
            return read_part(Folder(self._root, key).log, -size, size)
        except (OSError, NotAFile):
            return b""

    def spool(self, key: Key) -> bytes:
        return Folder(self._root, key).spooled()

    def reports_lost(self, key: Key) -> str:
        return Folder(self._root, key).reports_lost()

    def forget(self, key: Key) -> None:
        attempt = self._attempts.get(key)
        if attempt is not None and attempt.execution.phase is Phase.ENDED:
            attempt.folder.leave()
            del self._attempts[key]

    def sweep(self, uids: Collection[str]) -> None:
        """Run folders are people's to delete: they hold logs."""

    def discard(self, uid: str, trials: Collection[int] | None) -> None:
        discard(self._root, uid, trials)

    def wait(self, timeout: float | None) -> None:
        self._push()
        due = [max(0.0, attempt.again - time.monotonic()) for attempt in self._attempts.values() if attempt.again]
        if timeout is not None:
            due.append(max(0.0, timeout))
        if self._launcher is not None and self._launcher.silence is not None:
            due.append(LOOK_EVERY)
        for handle, _ in self._poll.poll(min(due, default=None)):
            if handle == self._alarm:
                with contextlib.suppress(BlockingIOError):
                    os.eventfd_read(self._alarm)
            elif self._launcher is not None and handle == self._launcher.events:
                for event in self._launcher.read():
                    self._heard(event)
            elif self._launcher is not None and handle == self._launcher.process:
                self._zygote_died()
            elif handle in self._by_handle:
                self._process_ended(handle)
        self._try_again()

    def wake(self) -> None:
        with self._alarm_lock:
            if not self._closed:
                os.eventfd_write(self._alarm, 1)

    def close(self) -> None:
        with self._alarm_lock:
            if self._closed:
                return
            self._closed = True
        if self._launcher is not None:
            self._launcher.close()
        for handle in self._by_handle:
            os.close(handle)
        self._poll.close()
        os.close(self._alarm)
        os.close(self._lock)

    def _push(self) -> None:
        """Sees to it that the zygote gets on with what it was asked. One that is stopped is replaced."""
        launcher = self._launcher
        if launcher is None or launcher.silence is None:
            return
        with contextlib.suppress(BrokenPipeError):
            launcher.flush()
        if launcher.silence > self._launch_patience:
            words = "the launching process has answered nothing for %.0f s"
            log.warning(words, launcher.silence, extra={"action": "zygote_silent"})
            launcher.kill()

    # ---- starting -----------------------------------------------------------------------------------------------

    def _begin(self, attempt: _Attempt) -> None:
        try:
            attempt.folder.enter()
        except OSError as error:
            self._hold_up(attempt, f"{error.filename}: {error.strerror}")
        else:
            self._request(attempt)

    def _hold_up(self, attempt: _Attempt, words: str) -> None:
        """The machine cannot launch it: no space, no process, no right to write. That may pass, so it waits and says
        so; the planner knows how long it may. At once it would be tried until nothing is left of its retries."""
        execution = attempt.execution
        if execution.killed or execution.ending is not None:
            self._end(attempt, Exit(None, self._clock()))
            return
        attempt.again = time.monotonic() + self._launch_again
        since = self._clock() if execution.stuck_since is None else execution.stuck_since
        attempt.execution = replace(execution, waiting=f"it cannot be launched: {words}", stuck_since=since)

    def _try_again(self) -> None:
        for attempt in list(self._attempts.values()):
            if attempt.again is not None and attempt.again <= time.monotonic():
                attempt.again = None
                self._begin(attempt)

    def _request(self, attempt: _Attempt) -> None:
        try:
            if self._launcher is None:
                self._launcher = Launcher()
                self._poll.register(self._launcher.events, select.EPOLLIN)
                self._poll.register(self._launcher.process, select.EPOLLIN)
            assert attempt.request is not None
            self._launcher.request(attempt.request)
        except BrokenPipeError:
            pass  # it has died: `wait` is told so, and asks the next one
        except OSError as error:
            self._hold_up(attempt, f"could not start the launching process: {error.strerror}")

    def _heard(self, event: dict[str, Any]) -> None:
        attempt = self._attempts.get(Key.parse(event["key"]))
        if attempt is None or attempt.execution.phase is not Phase.STARTING:
            return  # adopted meanwhile, because the zygote that was asked first has died
        if "error" in event:
            self._hold_up(attempt, event["error"])
        else:
            self._launched(attempt)

    def _zygote_died(self) -> None:
        """Nobody but a person or the kernel ends a zygote. What it has started goes on; the rest is asked again."""
        assert self._launcher is not None
        log.warning("the launching process has died; starting another", extra={"action": "zygote_died"})
        self._poll.unregister(self._launcher.events)
        self._poll.unregister(self._launcher.process)
        # What it has still said first: what it has launched needs no second request.
        for event in self._launcher.read():
            self._heard(event)
        self._launcher.close()
        self._launcher = None
        for attempt in list(self._attempts.values()):
            if attempt.execution.phase is not Phase.STARTING or attempt.again is not None:
                continue
            if attempt.folder.launched() is not None:
                self._launched(attempt)
            elif attempt.tries < MAX_TRIES:
                attempt.tries += 1
                self._request(attempt)
            else:
                self._broken(attempt, "the launching process died again and again")

    def _launched(self, attempt: _Attempt) -> None:
        """From STARTING to what the folder says, with what was decided meanwhile."""
        found = attempt.folder.launched()
        if found is None:
            # Only a power failure leaves a folder without its record, and only of an attempt launched before it.
            self._end(attempt, Exit(None, self._clock(), Fault.LOST))
            return
        asked = attempt.execution
        execution, supervisor = found
        attempt.execution = replace(execution, killed=asked.killed)
        attempt.request = None
        self._watch(attempt, supervisor)
        if attempt.supervisor is not None:
            if asked.ending is not None and execution.ending is None:
                attempt.execution = replace(attempt.execution, ending=asked.ending)
                self._tell(attempt, asked.ending)
            if asked.killed:
                processes.send(attempt.supervisor, signal.SIGUSR1)

    def _broken(self, attempt: _Attempt, error: str) -> None:
        self._end(attempt, Exit(None, self._clock(), Fault.MACHINE, error))

    def _tell(self, attempt: _Attempt, ending: Ending) -> None:
        assert attempt.supervisor is not None
        try:
            attempt.folder.tell_ending(ending)
        except OSError as error:
            # A full disk is no reason to let it run; only a new controller will not know why it ended.
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
                raise
            log.warning("cannot write %s: %s", attempt.folder.path, error, extra={"action": "ending_not_kept"})
        processes.send(attempt.supervisor, signal.SIGTERM)

    # ---- watching -----------------------------------------------------------------------------------------------

    def _adopt(self, key: Key) -> None:
        """Takes up what an earlier controller has left under this key."""
        folder = Folder(self._root, key)
        found = folder.launched()
        if found is None:
            # It was about to be launched, or a power failure took the record: then nothing of it runs.
            folder.leave()
            return
        execution, supervisor = found
        attempt = self._attempts[key] = _Attempt(folder, execution)
        self._watch(attempt, supervisor)

    def _watch(self, attempt: _Attempt, supervisor: Supervisor) -> None:
        handle = processes.open_process(supervisor.pid, supervisor.start, supervisor.boot)
        if handle is None:
            self._supervisor_gone(attempt)
            return
        attempt.supervisor = handle
        self._register(handle, attempt)

    def _process_ended(self, handle: int) -> None:
        attempt = self._attempts[self._by_handle.pop(handle)]
        self._poll.unregister(handle)
        os.close(handle)
        if handle == attempt.supervisor:
            attempt.supervisor = None
            self._supervisor_gone(attempt)
        else:
            attempt.leftovers.discard(handle)
            self._end_if_gone(attempt)

    def _supervisor_gone(self, attempt: _Attempt) -> None:
        ended = attempt.folder.exit()
        if ended is not None:
            self._end(attempt, ended)
        else:
            self._end_if_gone(attempt)

    def _end_if_gone(self, attempt: _Attempt) -> None:
        """A supervisor died without a record. The kernel kills its command; what that had started is killed here."""
        if attempt.leftovers:
            return
        for handle in processes.open_marked(self._marker(attempt.folder.key)):
            processes.send(handle, signal.SIGKILL)
            attempt.leftovers.add(handle)
            self._register(handle, attempt)
        if not attempt.leftovers:
            self._end(attempt, Exit(None, self._clock(), Fault.LOST))

    def _marker(self, key: Key) -> str:
        """Of no other attempt on this machine: two folders may hold the same study, restored from one backup."""
        return f"{self._identity}/{key}"

    def _register(self, handle: int, attempt: _Attempt) -> None:
        self._by_handle[handle] = attempt.folder.key
        self._poll.register(handle, select.EPOLLIN)

    def _end(self, attempt: _Attempt, ended: Exit) -> None:
        attempt.request = attempt.again = None
        attempt.execution = replace(attempt.execution, phase=Phase.ENDED, exit=ended)


def check_free(root: Path) -> None:
    """Raises FailedPrecondition if a controller has the folder now, for a caller that would change something first."""
    if (root / "lock").exists():
        os.close(_lock(root))


def _lock(root: Path) -> int:
    """Takes the folder for this process; the kernel gives it back whatever becomes of us."""
    handle = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 100).decode("ascii", "replace").strip()
        os.close(handle)
        raise FailedPrecondition(
            f"{root} is in use by another controller (process {holder}); wait for it, or give this one another folder"
        ) from None
    os.truncate(handle, 0)
    os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
    return handle


def _identity(root: Path) -> str:
    """A name for the folder: attempts are adopted by whoever has it, on whatever host name."""
    path = root / "identity"
    if path.exists() and (known := path.read_text(encoding="utf-8").strip()):
        return known
    fresh = root / "identity.new"
    fresh.touch(mode=0o600)
    fresh.write_text(f"local-{socket.gethostname()}-{uuid.uuid4().hex[:8]}\n", encoding="utf-8")
    fresh.rename(path)
    return path.read_text(encoding="utf-8").strip()
