"""A worker process as the service sees it: started when it is first asked, told only what is new to it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Final

from ...domain.study import Study
from ...suggestion.designer import Suggestions
from ...suggestion.history import TrialHistory
from .answering import Question
from .frames import HEADER, MAX_FRAME, Message, observation_to_row, pack, spec_to_text, suggestions_from_message, unpack

ONE_THREAD: Final = dict.fromkeys(
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        "NUMEXPR_NUM_THREADS",
    ),
    "1",
)
"""Libraries read these when they are loaded. More threads would take turns on the same cores, and the order in which
they add numbers up would decide the last digits of a point."""

STUDIES: Final = 16
"""Histories that one worker keeps; the one asked about longest ago is forgotten for another."""

BATCH: Final = 500
"""Trials in one message. Between two of them the event loop turns to others."""

LAST_WORDS: Final = 2.0
"""Seconds that a worker which has hung up gets to end by itself, so that its exit code says why."""

KILLED: Final = 10.0
"""Seconds that a killed process gets to be gone. One that waits for a device or a network disk may take forever."""

logger = logging.getLogger(__name__)

# Not multiprocessing: it would run the main module once more, which may be anybody's script.
_BOOTSTRAP: Final = (
    f"import json, sys; sys.path[:] = json.loads(sys.argv[3]); from {__package__}.worker import main; main()"
)


class ComputationFailed(Exception):
    """A worker could not answer. `reason` is a clause for people, about the algorithm or its process.

    `by_algorithm`: whether the algorithm itself failed, and would fail again. Too little time or memory, and a process
    that somebody killed, are the server's affair.
    """

    def __init__(self, reason: str, trace: str = "", *, by_algorithm: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.trace = trace
        self.by_algorithm = by_algorithm


@dataclass(slots=True)
class _Known:
    """How much of a study a worker was told: up to that change of that history, under that specification."""

    spec_version: int
    history: TrialHistory
    changes: int


class Worker:
    """Used on the event loop, by one caller at a time."""

    def __init__(self) -> None:
        self.settled = True
        """Whether every question was answered. One that was not leaves the worker of no use: `end` it."""
        self.sent = 0
        """Bytes told to it."""
        self._process: subprocess.Popen[bytes] | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._known: OrderedDict[str, _Known] = OrderedDict()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    @property
    def gone(self) -> bool:
        """Whether its process ended by itself."""
        return self._reader is not None and self._reader.at_eof()

    def knows(self, uid: str) -> bool:
        return uid in self._known

    async def suggest(self, study: Study, history: TrialHistory, question: Question) -> tuple[Suggestions, str]:
        """The study's round, and the digest of the history it was made from: `history` as it is at the call.

        Raises ComputationFailed. Whoever gives up waiting has to `end` the worker.
        """
        self.settled = False
        try:
            if self._process is None:
                await self._start()
            digest = await self._tell(study, history)
            reply = await self._ask(study.uid, digest, question)
            if "unknown" in reply:
                del self._known[study.uid]
                digest = await self._tell(study, history)
                reply = await self._ask(study.uid, digest, question)
            suggestions = suggestions_from_message(reply["suggestions"]) if "suggestions" in reply else None
        except (OSError, asyncio.IncompleteReadError) as error:
            raise await self._epitaph() from error
        except (KeyError, TypeError, ValueError) as error:
            raise ComputationFailed(f"its process sent what cannot be read ({error})", by_algorithm=True) from error
        self.settled = True
        if suggestions is None:
            if "error" not in reply:
                raise ComputationFailed("its process lost the history twice")
            raise ComputationFailed(str(reply["error"]), str(reply.get("trace", "")), by_algorithm=True)
        return suggestions, digest

    async def end(self) -> None:
        """Kills the process and waits until it is gone, for KILLED at most. Harmless to repeat."""
        if self._writer is not None:
            self._writer.close()
        if self._process is None:
            return
        self._process.kill()
        try:
            await asyncio.to_thread(self._process.wait, KILLED)
        except subprocess.TimeoutExpired:
            pid = self._process.pid
            logger.warning("process %d was killed and is still there", pid, extra={"action": "worker_lingers"})

    async def _start(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._reader, self._writer = await asyncio.open_connection(sock=ours)
            command = [sys.executable, "-c", _BOOTSTRAP, str(theirs.fileno()), str(os.getpid()), json.dumps(sys.path)]
            # Not the loop's own way: uvloop forks, and runs Python in the child before it becomes another program. The
            # threads of a process that anybody may have filled, gRPC's among them, are not there then, and the child
            # crashes or hangs, and the loop with it. Popen forks without running anything.
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a millisecond
                command,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env={**os.environ, **ONE_THREAD},
            )

    async def _tell(self, study: Study, history: TrialHistory) -> str:
        """Sends what the worker does not know yet; returns the digest of what it then knows."""
        known = self._known.get(study.uid)
        # All of this before the first await: afterwards the history may have gone on.
        digest, changes = history.digest(), history.changes

        if known is None or known.history is not history or known.spec_version != study.spec_version:
            messages: list[Message] = [
                {"do": "study", "uid": study.uid, "spec": spec_to_text(study.spec), "growing": study.growing}
            ]
            put, removed = list(history.observations), list[int]()
        else:
            messages = []
            put, removed = history.changed_since(known.changes)

        self._known[study.uid] = _Known(study.spec_version, history, changes)
        self._known.move_to_end(study.uid)
        while len(self._known) > STUDIES:
            forgotten, _ = self._known.popitem(last=False)
            messages.append({"do": "forget", "uid": forgotten})

        for message in messages:
            await self._send(message)
        for start in range(0, max(len(put), len(removed)), BATCH):
            rows = [observation_to_row(o) for o in put[start : start + BATCH]]
            gone = removed[start : start + BATCH]
            await self._send({"do": "history", "uid": study.uid, "put": rows, "remove": gone})
            # A pipe with room to spare never waits, and the loop is to have its turn all the same.
            await asyncio.sleep(0)
        return digest

    async def _ask(self, uid: str, digest: str, question: Question) -> dict[str, Any]:
        await self._send(
            {
                "do": "suggest",
                "uid": uid,
                "digest": digest,
                "seed": question.seed,
                "round": question.round,
                "count": question.count,
                "memo": question.memo,
            }
        )
        assert self._reader is not None
        (length,) = HEADER.unpack(await self._reader.readexactly(HEADER.size))
        if length > MAX_FRAME:
            raise ValueError(f"a message of {length} bytes")
        return unpack(await self._reader.readexactly(length))

    async def _send(self, message: Message) -> None:
        assert self._writer is not None
        frame = pack(message)
        self.sent += len(frame)
        self._writer.write(frame)
        await self._writer.drain()

    async def _epitaph(self) -> ComputationFailed:
        """How the process ended."""
        if self._process is None:
            return ComputationFailed("its process could not be started")
        try:
            code = await asyncio.to_thread(self._process.wait, LAST_WORDS)
        except subprocess.TimeoutExpired:
            return ComputationFailed("its process hung up")
        if code >= 0:
            return ComputationFailed(f"its process ended with exit code {code}", by_algorithm=True)
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        # No code kills itself by SIGKILL: the kernel was out of memory, or somebody did it.
        return ComputationFailed(f"its process was killed by {name}", by_algorithm=-code != signal.SIGKILL)
