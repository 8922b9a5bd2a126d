"""The local runtime, with real processes: the contract, and what only processes can suffer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from wazir.controller.execution import Fault, Key, Phase, Why
from wazir.controller.local.processes import MARKER, open_marked
from wazir.controller.local.runtime import LocalRuntime
from wazir.domain.errors import FailedPrecondition

from ..contract.runtime import Open, RuntimeContract, ended, order, printed, python, run, until

FAMILY = """
import os, sys, time
kind = sys.argv[1]
if os.fork() == 0:
    if kind == "daemon":
        os.setsid()
        if os.fork():
            os._exit(0)
    open(sys.argv[2], "w").write(str(os.getpid()))
    time.sleep(1000)
while not (os.path.exists(sys.argv[2]) and open(sys.argv[2]).read()):
    time.sleep(0.01)
print("ready", flush=True)
if sys.argv[3] == "stay":
    time.sleep(1000)
"""
"""Leaves a process behind, in its group or in a session of its own, and stays or ends."""


@pytest.fixture
def open_runtime(tmp_path: Path) -> Iterator[Open]:
    opened: list[LocalRuntime] = []

    def open_() -> LocalRuntime:
        opened.append(LocalRuntime(tmp_path / "runs"))
        return opened[-1]

    yield open_
    for runtime in opened:
        if not runtime._closed:
            for key in runtime.observe():
                runtime.kill(key)
            ended(runtime, *runtime.observe())
            runtime.close()


def test_checkpoints_are_discarded_and_logs_stay(open_runtime: Open, tmp_path: Path) -> None:
    runtime = open_runtime()
    folders = {}
    for uid, trial in (("5c1d", 1), ("5c1d", 2), ("5c1d", 3), ("9f", 1)):
        folders[uid, trial] = tmp_path / "runs" / uid / str(trial)
        (folders[uid, trial] / "checkpoints" / "step-000000000001").mkdir(parents=True)
        (folders[uid, trial] / "output.log").touch()

    def there() -> set[tuple[str, int]]:
        assert all((folder / "output.log").exists() for folder in folders.values())
        return {key for key, folder in folders.items() if (folder / "checkpoints").exists()}

    runtime.discard("5c1d", [2, 17])
    assert there() == {("5c1d", 1), ("5c1d", 3), ("9f", 1)}
    runtime.discard("5c1d", None)
    runtime.discard("5c1d", None)
    runtime.discard("unknown", None)
    assert there() == {("9f", 1)}


@pytest.fixture
def runtime(open_runtime: Open) -> LocalRuntime:
    made = open_runtime()
    assert isinstance(made, LocalRuntime)
    return made


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def folder(tmp_path: Path, key: Key) -> Path:
    return tmp_path / "runs" / str(key)


def supervisor(tmp_path: Path, key: Key) -> int:
    return int(json.loads((folder(tmp_path, key) / "launch.json").read_bytes())["pid"])


class TestContract(RuntimeContract):
    @pytest.fixture
    def open_runtime(self, open_runtime: Open) -> Open:
        return open_runtime


@pytest.mark.parametrize("kind", ["group", "daemon"])
def test_what_it_leaves_behind_ends_with_it(runtime: LocalRuntime, tmp_path: Path, kind: str) -> None:
    execution = run(runtime, python(FAMILY, kind, str(tmp_path / "pid"), "go"))
    assert execution.exit is not None
    assert execution.exit.code == 0
    assert not alive(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("kind", ["group", "daemon"])
def test_all_that_it_started_is_killed_with_it(runtime: LocalRuntime, tmp_path: Path, kind: str) -> None:
    what = python(FAMILY, kind, str(tmp_path / "pid"), "stay")
    runtime.launch(what)
    printed(runtime, what.key, b"ready")
    runtime.kill(what.key)
    ended(runtime, what.key)
    assert not alive(int((tmp_path / "pid").read_text()))


def test_what_a_shell_runs_keeps_its_grace_when_the_shell_ends(runtime: LocalRuntime, tmp_path: Path) -> None:
    """The shell dies of the signal at once; the training under it must still be able to save its state."""
    training = "trap 'echo saving; while [ ! -e go ]; do sleep 0.01; done; echo saved; exit' TERM; echo ready; "
    what = order("sh", "-c", f'sh -c "{training} while :; do sleep 0.01; done"; true', workdir=str(tmp_path))
    runtime.launch(what)
    printed(runtime, what.key, b"ready")
    runtime.terminate(what.key, Why.STOP)
    printed(runtime, what.key, b"saving")
    assert runtime.observe()[what.key].phase is Phase.RUNNING
    (tmp_path / "go").touch()
    [execution] = ended(runtime, what.key)
    assert runtime.tail(what.key, 100).endswith(b"saved\n")
    assert execution.exit is not None
    assert execution.exit.code == -15


@pytest.mark.parametrize("kind", ["group", "daemon"])
def test_a_killed_supervisor_takes_all_with_it_and_nothing_is_made_up(
    runtime: LocalRuntime, tmp_path: Path, kind: str
) -> None:
    what = python(FAMILY, kind, str(tmp_path / "pid"), "stay")
    runtime.launch(what)
    printed(runtime, what.key, b"ready")
    os.kill(supervisor(tmp_path, what.key), signal.SIGKILL)
    [execution] = ended(runtime, what.key)
    assert execution.exit is not None
    assert execution.exit.fault is Fault.LOST
    assert execution.exit.code is None
    assert open_marked(f"{runtime.identity}/{what.key}") == []
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_supervisor_killed_while_nobody_looks(open_runtime: Open, tmp_path: Path) -> None:
    first = open_runtime()
    what = python(FAMILY, "group", str(tmp_path / "pid"), "stay")
    first.launch(what)
    printed(first, what.key, b"ready")
    first.close()
    os.kill(supervisor(tmp_path, what.key), signal.SIGKILL)
    [execution] = ended(open_runtime(), what.key)
    assert execution.exit is not None
    assert execution.exit.fault is Fault.LOST
    assert not alive(int((tmp_path / "pid").read_text()))


def test_a_killed_controller_leaves_all_running_and_its_successor_adopts_it(open_runtime: Open, tmp_path: Path) -> None:
    program = f"""
import os, sys
from pathlib import Path
from wazir.controller.execution import Key, Order, Phase
from wazir.controller.local.runtime import LocalRuntime
from wazir.domain.names import StudyName
runtime = LocalRuntime(Path({str(tmp_path / "runs")!r}))
key = Key("5c1d", 1, 1)
wait = "while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; exit 9"
runtime.launch(Order(key, StudyName("default", "s"), ("sh", "-c", wait)))
while runtime.observe()[key].phase is not Phase.RUNNING:
    runtime.wait(None)
os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    successor = open_runtime()
    key = Key("5c1d", 1, 1)
    assert successor.observe()[key].phase is Phase.RUNNING
    (tmp_path / "go").touch()
    [execution] = ended(successor, key)
    assert execution.exit is not None
    assert execution.exit.code == 9


def test_a_killed_zygote_loses_nothing(runtime: LocalRuntime) -> None:
    before, after = order("sleep", "1000"), order("sh", "-c", "exit 4", trial=2)
    runtime.launch(before)
    until(runtime, before.key, lambda e: e.phase is Phase.RUNNING)
    assert runtime._launcher is not None
    os.kill(runtime._launcher.pid, signal.SIGKILL)
    runtime.launch(after)
    [execution] = ended(runtime, after.key)
    assert execution.exit is not None
    assert execution.exit.code == 4
    assert runtime.observe()[before.key].phase is Phase.RUNNING


def test_one_folder_has_one_controller(runtime: LocalRuntime, tmp_path: Path) -> None:
    with pytest.raises(FailedPrecondition, match=f"in use by another controller .process {os.getpid()}."):
        LocalRuntime(tmp_path / "runs")


def test_the_folder_is_free_after_closing(open_runtime: Open, tmp_path: Path) -> None:
    what = order("sleep", "1000")
    first = open_runtime()
    first.launch(what)
    until(first, what.key, lambda e: e.phase is Phase.RUNNING)
    first.close()
    first.close()
    assert what.key in open_runtime().observe()


def test_a_launch_that_raced_with_a_crash_is_adopted_not_repeated(open_runtime: Open, tmp_path: Path) -> None:
    """The request had reached the zygote, but the list of live attempts lost its entry."""
    what = order("sh", "-c", f"echo x >> {tmp_path}/runs-seen; exit 3")
    first = open_runtime()
    run(first, what)
    first.close()
    for entry in (tmp_path / "runs" / "live").iterdir():
        entry.unlink()
    second = open_runtime()
    assert second.observe() == {}
    execution = run(second, what)
    assert execution.exit is not None
    assert execution.exit.code == 3
    assert (tmp_path / "runs-seen").read_text() == "x\n"


def test_what_the_machine_cannot_launch_waits_and_says_why(tmp_path: Path) -> None:
    runtime = LocalRuntime(tmp_path / "runs", launch_again=0.05)
    what = order("true")
    in_the_way = tmp_path / "runs" / what.key.uid
    in_the_way.write_text("")
    runtime.launch(what)
    runtime.wait(0.0)
    waiting = runtime.observe()[what.key]
    assert waiting.phase is Phase.STARTING
    assert waiting.waiting == f"it cannot be launched: {in_the_way}: File exists"
    assert waiting.stuck_since is not None

    in_the_way.unlink()
    execution = run(runtime, what)
    assert execution.exit is not None
    assert execution.exit.code == 0
    runtime.close()


@pytest.mark.parametrize("requests", [1, 300], ids=["one", "more than the pipe takes"])
def test_a_launching_process_that_is_stopped_is_replaced_and_holds_up_nobody(tmp_path: Path, requests: int) -> None:
    """Training code of the same user may stop it."""
    runtime = LocalRuntime(tmp_path / "runs", launch_patience=0.3)
    run(runtime, order("true", trial=1))
    assert runtime._launcher is not None
    os.kill(runtime._launcher.pid, signal.SIGSTOP)
    whats = [order("true", trial=trial, env={"PAD": "x" * 1000}) for trial in range(2, requests + 2)]
    for what in whats:
        runtime.launch(what)
    while any(runtime.observe()[what.key].phase is not Phase.ENDED for what in whats):
        runtime.wait(None)
    assert {runtime.observe()[what.key].exit.code for what in whats} == {0}  # type: ignore[union-attr]
    runtime.close()


@pytest.mark.parametrize("end", [LocalRuntime.kill, lambda runtime, key: runtime.terminate(key, Why.STOP)])
def test_what_waits_for_the_machine_can_be_ended(tmp_path: Path, end: Callable[[LocalRuntime, Key], None]) -> None:
    runtime = LocalRuntime(tmp_path / "runs")
    what = order("true")
    (tmp_path / "runs" / what.key.uid).write_text("in the way")
    runtime.launch(what)
    end(runtime, what.key)
    assert runtime.observe()[what.key].phase is Phase.ENDED
    runtime.close()


@pytest.mark.parametrize("record", ["launch.json", "exit.json"])
def test_a_record_that_a_power_failure_cut_short_is_none(open_runtime: Open, tmp_path: Path, record: str) -> None:
    first = open_runtime()
    what = order("true")
    run(first, what)
    first.close()
    (folder(tmp_path, what.key) / record).write_text('{"co')
    seen = open_runtime().observe().get(what.key)
    assert seen is None or (seen.exit is not None and seen.exit.fault is Fault.LOST)


def test_secrets_in_the_environment_are_the_owners_to_read(runtime: LocalRuntime, tmp_path: Path) -> None:
    what = order("true", env={"TOKEN": "secret"})
    run(runtime, what)
    assert (folder(tmp_path, what.key) / "launch.json").stat().st_mode & 0o077 == 0


def test_its_environment(runtime: LocalRuntime, tmp_path: Path) -> None:
    what = python("import json, os; print(json.dumps(dict(os.environ)))", env={"A": "1"}, devices=("3",), gpus=1.0)
    run(runtime, what)
    seen = json.loads(runtime.tail(what.key, 1 << 20))
    assert seen["A"] == "1"
    assert seen["CUDA_VISIBLE_DEVICES"] == "3"
    assert seen["PYTHONUNBUFFERED"] == "1"
    assert seen["PATH"].split(":")[0] == str(Path(sys.executable).parent)
    assert seen[MARKER] == f"{runtime.identity}/{what.key}"
    assert seen["WAZIR_SPOOL"] == str(folder(tmp_path, what.key) / "spool.jsonl")


def test_what_was_spooled_is_read(runtime: LocalRuntime) -> None:
    what = order("sh", "-c", 'echo line > "$WAZIR_SPOOL"')
    run(runtime, what)
    assert runtime.spool(what.key) == b"line\n"


def test_signals_are_as_a_program_expects_them(runtime: LocalRuntime) -> None:
    """The zygote ignores some and blocks others; none of that may reach the training code."""
    what = python(
        "import signal; print([s.name for s in signal.Signals if signal.getsignal(s) is signal.SIG_IGN],"
        "signal.pthread_sigmask(signal.SIG_BLOCK, ()))"
    )
    run(runtime, what)
    # Python itself ignores these two.
    assert runtime.tail(what.key, 1000) == b"['SIGPIPE', 'SIGXFSZ'] set()\n"


def test_no_file_of_the_controller_is_open_in_it(runtime: LocalRuntime, tmp_path: Path) -> None:
    what = python(
        "import os\n"
        "for number in sorted(map(int, os.listdir('/proc/self/fd'))):\n"
        "    try: print(number, os.readlink(f'/proc/self/fd/{number}'))\n"
        "    except FileNotFoundError: pass  # the listing itself\n"
    )
    run(runtime, what)
    log = folder(tmp_path, what.key) / "output.log"
    assert runtime.tail(what.key, 1000).decode().splitlines() == ["0 /dev/null", f"1 {log}", f"2 {log}"]
