"""A folder with studies that are run for real and broken for real.

Every process that a test starts, directly or through Wazir, inherits the variable `WAZIR_FAULTS` with the test's
folder, so that the process table tells which are ours. Trainings write what they do to one file (`Note`), each line
with one O_APPEND write: that is the witness which no part of Wazir has touched.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from wazir.clients.client import Client
from wazir.clients.local_address import address_of
from wazir.domain.attempt import AttemptState, Cause
from wazir.domain.study import Study, StudyState
from wazir.domain.trial import Trial, TrialState

T = TypeVar("T")

DEADLINE = 90.0
"""Seconds after which a condition that does not come is a failure; nothing is measured by it."""

OURS = "WAZIR_FAULTS"

NOTES = """
import json, os, sys, time

def note(what, **more):
    line = {"what": what, "trial": int(os.environ["WAZIR_TRIAL"].rsplit("/", 1)[1]), "time": time.monotonic(),
            "study": os.environ["WAZIR_TRIAL"].split("/")[3], "attempt": int(os.environ["WAZIR_ATTEMPT"]),
            "pid": os.getpid(), **more}
    file = os.open(os.environ["WAZIR_FAULTS"] + "/notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, json.dumps(line).encode() + b"\\n")
    os.close(file)

def held():
    return os.path.exists(os.environ["WAZIR_FAULTS"] + "/hold." + os.environ["WAZIR_TRIAL"].split("/")[3])

if os.environ.get("STUBBORN"):
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
note("start")
"""
"""What both scripts begin with. While the file `hold.{study}` is there, a training stays at its last step."""

PUSHES = (
    NOTES
    + """
import wazir
trial = wazir.current_trial()
steps = int(os.environ["STEPS"])
for step in range(1, steps + 1):
    began = time.monotonic()
    trial.report({"loss": (trial.params["x"] - 0.3) ** 2 + 1 / step}, step=step)
    note("report", step=step, seconds=time.monotonic() - began)
    if trial.flush(0.05):
        note("acknowledged", step=step)
    while step == steps and held():
        time.sleep(0.02)
if trial.flush(2.0):
    note("acknowledged", step=steps)
note("end")
"""
)

PRINTS = (
    NOTES
    + """
x = float(sys.argv[1].removeprefix("--x="))
for step in range(1, int(os.environ["STEPS"]) + 1):
    print(f"step {step} loss={(x - 0.3) ** 2 + 1 / step}", flush=True)
    note("report", step=step, seconds=0.0)
    time.sleep(0.03)
while held():
    time.sleep(0.02)
note("end")
"""
)


@dataclass(frozen=True)
class Note:
    """One line of a training: what it did, at which monotonic time of the machine."""

    what: str
    trial: int
    attempt: int
    pid: int
    time: float
    study: str
    step: int = 0
    seconds: float = 0.0


class World:
    """One folder with studies, and the processes started in it."""

    deadline = DEADLINE

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / ".wazir" / "wazir.db"
        self.environment = {**os.environ, OURS: str(folder), "COLUMNS": "120", "PYTHONFAULTHANDLER": "1"}
        self._started: list[subprocess.Popen[bytes]] = []

    def study(
        self,
        name: str,
        *,
        trials: int = 6,
        parallel: int = 2,
        steps: int = 4,
        prints: bool = False,
        retries: Mapping[str, int] | None = None,
        stubborn: bool = False,
    ) -> Path:
        """Writes the study's file and its script. A stubborn training does not hear SIGTERM."""
        script = self.folder / f"{name}.py"
        script.write_text(PRINTS if prints else PUSHES)
        file = self.folder / f"{name}.yaml"
        document = {
            "study": name,
            "objective": {"metric": "loss", "goal": "minimize"},
            "algorithm": {"name": "quasirandom", "seed": 1},
            "parameters": {"x": {"min": 0.0, "max": 1.0}},
            "budget": {"trials": trials, "parallel": parallel, "failed": 100},
            "trial": {
                "command": ["python", script.name, "${args}"],
                "env": {"STEPS": str(steps), **({"STUBBORN": "1"} if stubborn else {})},
                "grace": "1s" if stubborn else "30s",
                "retries": {"failed": 0, "preempted": 100, **(retries or {})},
                "metrics": {"from": "stdout" if prints else "push"},
            },
        }
        file.write_text(json.dumps(document))
        return file

    def wazir(self, *arguments: str) -> subprocess.Popen[bytes]:
        """The command, in the folder, in a process group of its own; its output goes to a numbered file."""
        return self.start([str(Path(sys.executable).with_name("wazir")), *arguments])

    def python(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        return self.start([sys.executable, "-c", program, *arguments])

    def start(self, command: list[str]) -> subprocess.Popen[bytes]:
        with self.output(len(self._started)).open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def run(self, file: Path) -> subprocess.Popen[bytes]:
        return self.wazir("run", file.name)

    def output(self, number: int) -> Path:
        return self.folder / f"wazir-{number}.txt"

    def said(self, process: subprocess.Popen[bytes]) -> str:
        return self.output(self._started.index(process)).read_text(errors="replace")

    def ended(self, process: subprocess.Popen[bytes]) -> int:
        """Its exit code, when it has one."""
        try:
            return process.wait(self.deadline)
        except subprocess.TimeoutExpired:
            # Where its threads stand goes to its output.
            process.send_signal(signal.SIGABRT)
            process.wait(self.deadline)
            raise AssertionError(f"process {process.pid} has not ended:\n{self.describe()}") from None

    def until(self, condition: Callable[[], T | None], what: str) -> T:
        """What the condition gives as soon as it is true."""
        end = time.monotonic() + self.deadline
        while time.monotonic() < end:
            if found := condition():
                return found
            time.sleep(0.01)
        raise AssertionError(f"it never came to this: {what}\n{self.describe()}")

    def notes(self, what: str = "", study: str = "") -> list[Note]:
        path = self.folder / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        notes = [Note(**json.loads(line)) for line in lines]
        return [n for n in notes if what in ("", n.what) and study in ("", n.study)]

    def says(self, process: subprocess.Popen[bytes], word: str) -> None:
        """Waits until the process has printed the word."""
        self.until(lambda: word in self.said(process), f"process {process.pid} says {word!r}")

    def noted(self, count: int, what: str = "", unless: subprocess.Popen[bytes] | None = None) -> None:
        """Waits until there are so many notes, or the process `unless` has ended."""
        self.until(
            lambda: len(self.notes(what)) >= count or (unless is not None and unless.poll() is not None),
            f"{count} notes {what}",
        )

    def hold(self, study: str) -> None:
        """From now on no training of the study ends by itself."""
        (self.folder / f"hold.{study}").touch()

    def let_go(self, study: str) -> None:
        (self.folder / f"hold.{study}").unlink()

    def running(self, study: str, count: int) -> list[Note]:
        """The latest attempts of the study, when so many are there and have reported all but their end."""

        def found() -> list[Note]:
            alive = self.trainings()
            steps = [n for n in self.notes("report", study) if n.pid in alive]
            last = {n.pid: n for n in steps}
            return list(last.values()) if len(last) >= count else []

        return self.until(found, f"{count} trainings of {study} run")

    def trainings(self) -> dict[int, str]:
        """Living processes that an attempt has started, with the marker of their attempt."""
        return {pid: env["WAZIR_MARKER"] for pid, env in self._processes() if "WAZIR_MARKER" in env}

    def supervisors(self) -> list[int]:
        """Living supervisors of attempts."""
        return [pid for pid, _ in self._processes() if _read(f"/proc/{pid}/comm") == b"wazir-attempt\n"]

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Reads what is there, through a service for as long as that takes where nobody serves."""
        from wazir.app.local_service import LocalService

        with LocalService(self.database) as service, Client(service.address, retry_for=DEADLINE) as client:
            yield client

    def connect(self) -> Client:
        """A client of whoever serves the folder."""
        return Client(address_of(self.database), retry_for=DEADLINE)

    def trials(self, name: str) -> tuple[Study, list[Trial]]:
        with self.client() as client:
            return client.get_study(name), list(client.list_trials(name))

    def check(
        self,
        name: str,
        *,
        trials: int,
        steps: int = 4,
        states: frozenset[TrialState] | None = None,
        defects: bool = False,
    ) -> None:
        """What must hold of an ended study, whatever happened on the way. `defects`: processes may have ended by one,
        which the test has planted."""
        with self.client() as client:
            study = client.get_study(name)
            listed = list(client.list_trials(name))
            measured = {t.id: {m.step: m.metrics for m in client.measurements(t.name)} for t in listed}
        about = self.describe()
        assert study.state is StudyState.COMPLETED, about
        assert [trial.id for trial in listed] == list(range(1, trials + 1)), about
        counted = Counter(trial.state for trial in listed)
        assert set(counted) <= (states or {TrialState.SUCCEEDED}), about
        assert {state: n for state, n in study.counts.by_state.items() if n} == dict(counted), about
        notes = self.notes(study=name)
        for trial in listed:
            if trial.state is TrialState.SUCCEEDED:
                assert trial.attempt is not None
                assert trial.attempt.state is AttemptState.ENDED
                *before, last = [n.attempt for n in notes if n.trial == trial.id and n.what == "end"]
                assert last == trial.attempt.number, about
                # Only where the supervisor is killed after the training's last word, and so before it could write down
                # how that ended, does a training that came to its end run again.
                assert all(trial.attempts[number - 1].cause is Cause.PREEMPTED for number in before), about
                expected = {s: {"loss": (_number(trial) - 0.3) ** 2 + 1 / s} for s in range(1, steps + 1)}
                assert measured[trial.id] == expected, about
        acknowledged = {(n.trial, n.step) for n in notes if n.what == "acknowledged"}
        assert all(step in measured[trial] for trial, step in acknowledged), about
        self.check_no_two_at_once(notes)
        assert defects or not [p.pid for p in self._started if "Traceback" in self.said(p)], about
        self.until(lambda: not self.trainings() and not self.supervisors(), "no process of an attempt is left")

    def check_no_two_at_once(self, notes: list[Note]) -> None:
        """Each attempt is one process, and the next one of its trial begins when it is gone."""
        first: dict[tuple[int, int], float] = {}
        last: dict[tuple[int, int], float] = {}
        pids: dict[tuple[int, int], set[int]] = {}
        for note in notes:
            key = (note.trial, note.attempt)
            first.setdefault(key, note.time)
            last[key] = note.time
            pids.setdefault(key, set()).add(note.pid)
        assert all(len(found) == 1 for found in pids.values()), f"an attempt was run twice: {pids}"
        ordered = sorted(first)
        for before, after in itertools.pairwise(ordered):
            if before[0] == after[0]:
                assert last[before] < first[after], f"attempts {before} and {after} ran at the same time"

    def describe(self) -> str:
        """All that helps to see what went wrong."""
        parts = [f"process {p.pid} -> {p.poll()}\n{self.said(p)[-1500:]}" for p in self._started[-4:]]
        log = self.folder / ".wazir" / "wazir.log"
        parts.append(log.read_text()[-5000:] if log.exists() else "no log")
        parts.append(f"alive: {self.trainings()}, supervisors {self.supervisors()}")
        return "\n---- ".join(["", *parts])

    def close(self) -> None:
        """Kills what a failed test has left."""
        for process in self._started:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        while left := [pid for pid, _ in self._processes()]:
            for pid in left:
                kill(pid)
            time.sleep(0.01)

    def _processes(self) -> Iterator[tuple[int, dict[str, str]]]:
        mine = f"{OURS}={self.folder}".encode()
        for name in (entry.name for entry in Path("/proc").iterdir()):
            if name.isdigit() and int(name) != os.getpid():
                environment = _read(f"/proc/{name}/environ").split(b"\0")
                if mine in environment and _read(f"/proc/{name}/stat").rpartition(b")")[2].split()[:1] not in (
                    [b"Z"],
                    [b"X"],
                    [],
                ):
                    pairs = (os.fsdecode(item).partition("=") for item in environment)
                    yield int(name), {variable: text for variable, _, text in pairs}


def kill(pid: int) -> None:
    """`kill -9`; a process that is gone already is as good."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _number(trial: Trial) -> float:
    x = trial.parameters["x"]
    assert isinstance(x, float)
    return x


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError:
        return b""
