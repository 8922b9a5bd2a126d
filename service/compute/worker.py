"""The worker process: keeps studies' histories and designers, and computes one round at a time.

Started as `python -c BOOTSTRAP DESCRIPTOR PARENT SYS_PATH`. It finds algorithms by name like the service, which gives
it its own `sys.path`. What it is told:

    {"do": "study", "uid", "spec", "growing"}            know this study from now on, with nothing in its history
    {"do": "history", "uid", "put": [row], "remove": [id]}
    {"do": "forget", "uid"}
    {"do": "suggest", "uid", "digest", "seed", "round", "count", "memo"}

and what it answers to the last one:

    {"suggestions": {...}}                               made from the history of that digest
    {"unknown": true}                                    it has no history of that digest: tell it all
    {"error": sentence, "trace": traceback}

Histories and designers kept from one round to the next make rounds cheaper and never different.
"""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import socket
import sys
import threading
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ...domain.study import StudySpec
from ...suggestion.designer import Designer, Problem
from ...suggestion.history import TrialHistory
from ...suggestion.registry import make_designer
from .answering import Misfit, Question, answer, describe, problem_of
from .frames import HEADER, Message, observation_from_row, pack, spec_from_text, suggestions_to_message, unpack

PR_SET_NAME = 15
PR_SET_PDEATHSIG = 1

NICENESS = 5
"""Workers leave the processor to calls where there is not enough for both."""

OOM_SCORE = "500"
"""Where memory runs out, the kernel is to take a worker and not the service."""


@dataclass
class _Study:
    spec: StudySpec
    problem: Problem
    history: TrialHistory
    designer: Designer | None = field(default=None)


class Worker:
    """What it knows, and the answers it gives."""

    def __init__(self) -> None:
        self._studies: dict[str, _Study] = {}

    def hear(self, message: Message) -> Message | None:
        """The answer, where the message asks for one."""
        uid = message["uid"]
        match message["do"]:
            case "study":
                spec = spec_from_text(message["spec"])
                problem = problem_of(spec, growing=message["growing"])
                assert problem is not None
                history = TrialHistory(repeats=spec.algorithm.repeats, partial=problem.growing)
                self._studies[uid] = _Study(spec, problem, history)
            case "history":
                # Of a study that is not known it is of no use: the question that follows is answered with that.
                if (known := self._studies.get(uid)) is not None:
                    for row in message["put"]:
                        known.history.put(observation_from_row(row))
                    for trial_id in message["remove"]:
                        known.history.remove(trial_id)
            case "forget":
                self._studies.pop(uid, None)
            case "suggest":
                return self._suggest(uid, message)
        return None

    def _suggest(self, uid: str, message: Message) -> Message:
        known = self._studies.get(uid)
        if known is None or known.history.digest() != message["digest"]:
            return {"unknown": True}
        question = Question(message["seed"], message["round"], message["count"], message["memo"])
        try:
            if known.designer is None:
                known.designer = make_designer(known.spec.algorithm, known.problem)
            found = answer(known.designer, known.problem, known.history, question)
            return {"suggestions": suggestions_to_message(found)}
        except Misfit as error:
            return {"error": str(error), "trace": ""}
        except Exception as error:  # noqa: BLE001 - whatever an algorithm raises is told to the service
            # What it kept may be half done.
            known.designer = None
            return {"error": f"it raised {describe(error)}", "trace": traceback.format_exc()}


def main() -> None:
    """Serves until the service closes its end."""
    descriptor, parent = int(sys.argv[1]), int(sys.argv[2])
    _settle_in(parent)
    connection = socket.socket(fileno=descriptor)
    heard: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, heard), daemon=True).start()
    worker = Worker()
    while True:
        reply = worker.hear(unpack(heard.get()))
        if reply is None:
            continue
        try:
            frame = pack(reply)
        except (TypeError, ValueError) as error:
            frame = pack(
                {"error": f"it answered with something that is not a plain value: {describe(error)}", "trace": ""}
            )
        connection.sendall(frame)


def _listen(connection: socket.socket, heard: queue.SimpleQueue[bytes]) -> None:
    """Ends the process at once when the service is gone, whatever is being computed."""
    with connection.makefile("rb") as stream:
        while header := stream.read(HEADER.size):
            (length,) = HEADER.unpack(header)
            heard.put(stream.read(length))
    os._exit(0)


def _settle_in(parent: int) -> None:
    # Ctrl-C at a terminal and a supervisor's SIGTERM reach the whole group; the service says itself when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # Code that holds the interpreter's lock would keep the listening thread from seeing the end of the service.
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        prctl(PR_SET_NAME, b"wazir-compute", 0, 0, 0)
        # Where /proc is read-only the kernel keeps its own order, which is no reason not to compute.
        with suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    if os.getppid() != parent:
        os._exit(0)
    os.nice(NICENESS)
    # What algorithms print goes to the service's log.
    os.dup2(2, 1)
