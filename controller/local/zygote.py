"""The program that starts attempts: a small process that forks one supervisor for each.

    controller ──requests──> zygote ──fork──> supervisor ──fork, exec──> the command
               <───────────events (launched)──┘  └─> exit.json, when the command and all it started are gone

Run as `python -I -S zygote.py`, with requests on standard input and events on standard output, and it imports little:
so a fork copies almost nothing, where a fork of the controller would copy its threads' locks and its whole memory.

Nobody above needs to live for an exit code to be kept: a supervisor is the parent of its command, in a session of its
own, and writes the exit record itself. It is the only one that signals the command: it alone knows that the process
has not been reaped, and its number not been given to another. Its signals:

    SIGTERM   ask the command's process group to end
    SIGUSR1   end the command and every descendant

Where the supervisor itself is killed, the kernel kills the command (PR_SET_PDEATHSIG).

Request, a line of JSON: {"key", "study", "folder", "command", "env", "workdir", "devices", "gpus", "reserve"}.
Event, a line of JSON of at most 4096 bytes, which a pipe takes whole:
    {"key", "pid", "start"}   launched; the supervisor's process id and start time
    {"key", "exists": true}   it was launched before
    {"key", "error"}          the machine could not do it

The attempt's folder appears in one step, with `launch.json` complete in it, so whoever finds no folder may launch. It
and all in it can be read by their owner alone. What must be writable on a full disk is there in full size from the
start (`reserve`: sizes by name), and is written over.
"""

# Nothing but what is needed is imported (no pathlib, no contextlib): every supervisor keeps it in memory.
# ruff: noqa: PTH101, PTH103, PTH104, PTH106, PTH108, PTH110, PTH118, PTH123, PTH208, SIM105

from __future__ import annotations

import ctypes
import errno
import gc
import json
import os
import signal
import sys
import time

TYPE_CHECKING = False

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
STAGES = ("workdir", "command")
EXIT_RESERVE = "exit.json.new"
PAUSES = (0.1, 0.5, 1.0, 3.0, 10.0)
"""Seconds between two tries to keep the exit record."""
MAX_ERROR = 500
"""Characters; escaped to six bytes each they fit into one event."""

if TYPE_CHECKING:
    from collections.abc import Callable
    from resource import struct_rusage
    from typing import Any, NoReturn

_prctl = ctypes.CDLL(None, use_errno=True).prctl


def main() -> None:
    """Forks a supervisor for each line of standard input until that ends."""
    # The controller may be somebody's foreground job; what reaches its terminal is not for us.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    # How supervisors end is of no interest here. Ignoring SIGCHLD would have the kernel reap them too, but then what
    # they and the trials used would be missing from the times that the system accounts to Wazir.
    signal.signal(signal.SIGCHLD, reap)
    count_kills = out_of_memory_counter()
    boot = read_text("/proc/sys/kernel/random/boot_id").strip()
    gc.disable()
    gc.freeze()
    rest = b""
    while data := os.read(0, 1 << 16):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            try:
                child = os.fork()
            except OSError as error:
                send({"key": json.loads(line)["key"], "error": f"could not start a process: {error.strerror}"})
                continue
            if child == 0:
                # Never back into the loop: that would make a second zygote.
                try:
                    supervise(json.loads(line), boot, count_kills)
                finally:
                    os._exit(1)


def reap(number: int, frame: object) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass  # there is none


def supervise(request: dict[str, Any], boot: str, count_kills: Callable[[], int]) -> NoReturn:
    """Runs one attempt to its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1})
    os.setsid()
    _prctl(PR_SET_NAME, b"wazir-attempt", 0, 0, 0)
    # What the command leaves behind becomes our child, even from a session of its own.
    _prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    key = request["key"]
    try:
        record = {**request, "pid": os.getpid(), "start": start_time(), "boot": boot, "time": time.time()}
        if not claim(request["folder"], record):
            send({"key": key, "exists": True})
            os._exit(0)
        log = os.open(os.path.join(request["folder"], "output.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        kills = count_kills()
        child, failure = spawn(request, log)
    except OSError as error:
        send({"key": key, "error": f"{error.filename or 'the process'}: {error.strerror}"[:MAX_ERROR]})
        os._exit(1)
    send({"key": key, "pid": os.getpid(), "start": record["start"]})
    # Whoever reads the events sees the end of the zygote, and the command's output goes nowhere but into its file.
    os.dup2(null, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(null)
    status, usage = attend(child)
    code = os.waitstatus_to_exitcode(status)
    written = os.fstat(2)
    keep(
        request["folder"],
        {
            "code": None if failure else code,
            "failure": failure,
            "time": time.time(),
            "max_rss": usage.ru_maxrss * 1024,
            # 137 is how a shell says that what it ran was killed.
            "out_of_memory": code in (-signal.SIGKILL, 128 + signal.SIGKILL) and count_kills() > kills,
            # Whoever reads the log can tell if it is another file now, and that what was printed may not be in it.
            "log": written.st_ino,
            "unwritable": unwritable(request["folder"]),
        },
    )
    os._exit(0)


def claim(folder: str, record: dict[str, Any]) -> bool:
    """Makes the attempt's folder with its launch record; False where somebody has made it."""
    fresh = f"{folder}.{record['pid']}"
    os.makedirs(fresh, mode=0o700)
    os.chmod(fresh, 0o700)
    try:
        for name, size in record["reserve"].items():
            with open(os.open(os.path.join(fresh, name), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(bytes(size))
        path = os.path.join(fresh, "launch.json")
        # The environment may hold secrets.
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(record, file)
            file.flush()
            # An attempt is run once: after a power failure it must be known that it was.
            os.fsync(file.fileno())
        os.rename(fresh, folder)
    except OSError as error:
        for name in os.listdir(fresh):
            os.unlink(os.path.join(fresh, name))
        os.rmdir(fresh)
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def spawn(request: dict[str, Any], log: int) -> tuple[int, list[Any] | None]:
    """Starts the command: its process id, and where it could not be started [stage, errno, words]."""
    parent = os.getpid()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        stage = STAGES[0]
        try:
            _prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)  # the supervisor died before the kernel was told
            os.setpgid(0, 0)
            for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.dup2(log, 1)
            os.dup2(log, 2)
            environment = {**os.environ, **request["env"]}
            if request["workdir"]:
                os.chdir(request["workdir"])
            stage = STAGES[1]
            os.execvpe(request["command"][0], request["command"], environment)
        except (OSError, ValueError) as error:
            words = [stage, getattr(error, "errno", None), getattr(error, "strerror", None) or str(error)]
            os.write(writing, json.dumps(words).encode()[:4096])
        finally:
            os._exit(127)
    os.close(writing)
    # Both sides, so that the group is there whoever comes first.
    try:
        os.setpgid(child, child)
    except OSError:
        pass  # it has executed its command, and so has made the group itself, or has ended
    failure = b""
    while data := os.read(reading, 4096):
        failure += data
    os.close(reading)
    return child, json.loads(failure) if failure else None


def attend(child: int) -> tuple[int, struct_rusage]:
    """Waits until the command and all it started are gone: its wait status and resource usage.

    What it leaves behind when it ends by itself is killed at once, as in a container. Where it was asked to end, the
    rest of its group keeps its grace: a shell ends at once, while the training that it runs may still save its state.
    """
    asked = killed = False
    result: tuple[int, struct_rusage] | None = None
    while True:
        try:
            while result is None or not killed:
                ready = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                if ready is None:
                    break
                if ready.si_pid == child and result is None:
                    if not asked:
                        killed = True
                        # While it is not reaped its group cannot be another one's.
                        signal_group(child, signal.SIGKILL)
                    _, status, usage = os.wait4(child, 0)
                    result = status, usage
                else:
                    os.waitpid(ready.si_pid, 0)
            if killed and result is not None:
                while True:
                    signal_children(signal.SIGKILL)
                    os.wait()
        except ChildProcessError:
            assert result is not None
            return result
        number = signal.sigwait({signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1})
        if number == signal.SIGTERM:
            asked = True
            if result is None:
                signal_group(child, signal.SIGTERM)
            else:
                signal_children(signal.SIGTERM)
        elif number == signal.SIGUSR1:
            killed = True
            if result is None:
                signal_group(child, signal.SIGKILL)


def signal_group(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass  # the group is empty


def signal_children(number: int) -> None:
    """Signals our children. Those of a killed child become ours, and come next."""
    for pid in children():
        try:
            os.kill(pid, number)
        except PermissionError:
            pass  # it has become another user, by a program that may


def children() -> list[int]:
    path = f"/proc/self/task/{os.getpid()}/children"
    if os.path.exists(path):
        return [int(pid) for pid in read_text(path).split()]
    # A kernel built without it.
    own = str(os.getpid())
    return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and parent(pid) == own]


def parent(pid: str) -> str:
    return (read_text(f"/proc/{pid}/stat").rpartition(")")[2].split() or ["", ""])[1]


def start_time() -> int:
    """This process's start in clock ticks since boot: with the process id, a name that is not given twice."""
    return int(read_text("/proc/self/stat").rpartition(")")[2].split()[19])


def out_of_memory_counter() -> Callable[[], int]:
    """A function that counts the kernel's out-of-memory kills: of our control group, else of the whole machine."""
    for line in read_text("/proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            file = f"/sys/fs/cgroup{path}/memory.events"
        elif "memory" in controllers.split(","):
            file = f"/sys/fs/cgroup/memory{path}/memory.oom_control"
        else:
            continue
        if "oom_kill " in read_text(file):
            return lambda: counter(file)
    return lambda: counter("/proc/vmstat")


def counter(file: str) -> int:
    for line in read_text(file).splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0


def read_text(path: str) -> str:
    """What the file holds; nothing where it is not there, which is how kernels without a feature show it."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def keep(folder: str, record: dict[str, Any]) -> None:
    """Keeps the whole record under its name, or nothing. Tries again for a while if the disk does not take it; if it
    never does, the attempt counts as lost."""
    reserved, size = os.path.join(folder, EXIT_RESERVE), 0
    for pause in PAUSES:
        try:
            file = os.open(reserved, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                size = os.fstat(file).st_size
                text = json.dumps(record).encode()
                # In place: a full disk takes that.
                os.pwrite(file, text.ljust(size), 0)
            finally:
                os.close(file)
            os.rename(reserved, os.path.join(folder, "exit.json"))
        except FileNotFoundError:
            return  # somebody has removed the folder
        except OSError as error:
            sys.stderr.write(f"wazir: cannot write how it ended: {error}\n")
            time.sleep(pause)
        else:
            return


def unwritable(folder: str) -> str:
    """Why nothing more can be written to the folder's disk; empty if it can be."""
    path = os.path.join(folder, f"probe.{os.getpid()}")
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(file, bytes(4096))
        finally:
            os.close(file)
            os.unlink(path)
    except OSError as error:
        return error.strerror or str(error)
    return ""


def send(event: dict[str, Any]) -> None:
    """Tells the controller, if it is still there."""
    try:
        os.write(1, json.dumps(event).encode() + b"\n")
    except BrokenPipeError:
        pass  # it finds the folder when it comes back


if __name__ == "__main__":
    main()
    sys.exit(0)
