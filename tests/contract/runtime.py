"""What every runtime promises (`controller/runtime.py`), as a class of tests over one fixture.

A runtime's own tests inherit `RuntimeContract` and give the fixture `open_runtime`: called twice it gives two runtimes
over the same place, the second as after a restart.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from wazir.controller.execution import Execution, Fault, Key, Order, Phase, Why
from wazir.controller.runtime import Runtime
from wazir.domain.names import StudyName

STUDY = StudyName("default", "contract")
Open = Callable[[], Runtime]


def order(*command: str, trial: int = 1, attempt: int = 1, **rest: Any) -> Order:
    return Order(Key("5c1d", trial, attempt), STUDY, command, **rest)


def python(code: str, *arguments: str, **rest: Any) -> Order:
    return order(sys.executable, "-c", code, *arguments, **rest)


def until(runtime: Runtime, key: Key, done: Callable[[Execution], bool]) -> Execution:
    """Waits for the runtime's own news. The suite's time limit ends a test whose news never come."""
    while not done(execution := runtime.observe()[key]):
        runtime.wait(None)
    return execution


def ended(runtime: Runtime, *keys: Key) -> list[Execution]:
    return [until(runtime, key, lambda e: e.phase is Phase.ENDED) for key in keys]


def run(runtime: Runtime, what: Order) -> Execution:
    runtime.launch(what)
    return ended(runtime, what.key)[0]


def printed(runtime: Runtime, key: Key, text: bytes) -> None:
    """Waits until it has printed that. What is printed is no news, so this one looks again and again."""
    while text not in runtime.tail(key, 1 << 16):
        runtime.wait(0.01)


class RuntimeContract:
    """`order` and `python` make orders that the runtime can carry out."""

    def order(self, *command: str, trial: int = 1, attempt: int = 1, **rest: Any) -> Order:
        return order(*command, trial=trial, attempt=attempt, **rest)

    def python(self, code: str, *arguments: str, **rest: Any) -> Order:
        return self.order(sys.executable, "-c", code, *arguments, **rest)

    @pytest.fixture
    def open_runtime(self) -> Open:
        raise NotImplementedError

    @pytest.fixture
    def runtime(self, open_runtime: Open) -> Runtime:
        return open_runtime()

    @pytest.mark.parametrize("code", [0, 1, 3, 255])
    def test_the_exit_code_is_kept(self, runtime: Runtime, code: int) -> None:
        execution = run(runtime, self.order("sh", "-c", f"exit {code}"))
        assert execution.exit is not None
        assert execution.exit.code == code
        assert execution.exit.fault is None
        assert execution.start_time <= execution.exit.time <= time.time()

    def test_a_signal_is_told_from_an_exit_code(self, runtime: Runtime) -> None:
        execution = run(runtime, self.order("sh", "-c", "kill -SEGV $$"))
        assert execution.exit is not None
        assert execution.exit.code == -11

    def test_it_is_seen_running_with_what_it_was_given(self, runtime: Runtime) -> None:
        what = self.python("print('here', flush=True); input()", devices=("0", "1"), gpus=2.0)
        runtime.launch(what)
        execution = until(runtime, what.key, lambda e: e.phase is not Phase.STARTING)
        # Nothing can be typed into it, so it ends at once; it may have done so already.
        assert execution.study == STUDY
        assert execution.devices == ("0", "1")
        assert execution.gpus == 2.0
        assert execution.node

    def test_arguments_arrive_as_they_are(self, runtime: Runtime) -> None:
        values = ["a b", "$HOME", "`id`", "x;y", '"', "'", "*", "", "é😀", "--lr=1e-3", "\n"]
        what = self.python("import sys; print(ascii(sys.argv[1:]))", *values)
        run(runtime, what)
        assert runtime.tail(what.key, 10_000).decode().strip() == ascii(values)

    def test_environment_and_folder_are_those_of_the_order(self, runtime: Runtime, tmp_path: Path) -> None:
        what = self.python(
            "import os; print(os.environ['A'], os.getcwd(), os.environ['HOME'])",
            env={"A": "b=c $d"},
            workdir=str(tmp_path),
        )
        run(runtime, what)
        assert runtime.tail(what.key, 10_000).decode().split(" ")[:3] == ["b=c", "$d", str(tmp_path)]

    def test_both_outputs_are_read_in_order_and_from_any_byte(self, runtime: Runtime) -> None:
        what = self.order("sh", "-c", "echo one; echo two >&2; echo three")
        run(runtime, what)
        assert runtime.output(what.key, 0) == b"one\ntwo\nthree\n"
        assert runtime.output(what.key, 4) == b"two\nthree\n"
        assert runtime.output(what.key, 14) == b""
        assert runtime.tail(what.key, 6) == b"three\n"

    def test_output_is_read_while_it_runs(self, runtime: Runtime) -> None:
        what = self.python("import time; print('loss=1'); time.sleep(1000)")
        runtime.launch(what)
        printed(runtime, what.key, b"loss=1\n")
        assert runtime.observe()[what.key].phase is not Phase.ENDED
        runtime.kill(what.key)
        ended(runtime, what.key)

    def test_a_program_that_is_not_there(self, runtime: Runtime) -> None:
        execution = run(runtime, self.order("no-such-program", "--lr=1"))
        assert execution.exit is not None
        assert execution.exit.fault is Fault.COMMAND
        assert "trial.command" in execution.exit.error
        assert "'no-such-program'" in execution.exit.error
        assert execution.exit.code is None

    def test_a_folder_that_is_not_there(self, runtime: Runtime) -> None:
        execution = run(runtime, self.order("true", workdir="/no/such/folder"))
        assert execution.exit is not None
        assert execution.exit.fault is Fault.COMMAND
        assert "trial.workdir = '/no/such/folder'" in execution.exit.error

    def test_asked_to_end_it_may_say_how(self, runtime: Runtime) -> None:
        what = self.order("sh", "-c", "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done")
        runtime.launch(what)
        printed(runtime, what.key, b"ready")
        runtime.terminate(what.key, Why.TIMEOUT)
        [execution] = ended(runtime, what.key)
        assert execution.exit is not None
        assert execution.exit.code == 7
        assert execution.ending is not None
        assert execution.ending.why is Why.TIMEOUT

    def test_what_does_not_listen_is_killed(self, runtime: Runtime) -> None:
        what = self.python(
            "import signal, time; signal.signal(15, lambda *_: print('no', flush=True)); print('ready', flush=True)\n"
            "while True: time.sleep(1000)"
        )
        runtime.launch(what)
        printed(runtime, what.key, b"ready")
        runtime.terminate(what.key, Why.STOP)
        printed(runtime, what.key, b"no")
        assert runtime.observe()[what.key].phase is Phase.RUNNING
        runtime.kill(what.key)
        [execution] = ended(runtime, what.key)
        assert execution.exit is not None
        assert execution.exit.code == -9
        assert execution.killed

    def test_the_first_reason_to_end_stands(self, runtime: Runtime) -> None:
        what = self.order("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.01; done")
        runtime.launch(what)
        printed(runtime, what.key, b"ready")
        runtime.terminate(what.key, Why.STOP)
        first = runtime.observe()[what.key].ending
        runtime.terminate(what.key, Why.SHUTDOWN)
        assert runtime.observe()[what.key].ending == first
        runtime.kill(what.key)
        ended(runtime, what.key)

    @pytest.mark.parametrize("verb", ["terminate", "kill"])
    def test_what_is_only_starting_can_be_ended(self, runtime: Runtime, verb: str) -> None:
        what = self.order("sleep", "1000")
        runtime.launch(what)
        if verb == "kill":
            runtime.kill(what.key)
        else:
            runtime.terminate(what.key, Why.SHUTDOWN)
        [execution] = ended(runtime, what.key)
        assert execution.exit is not None
        assert execution.exit.fault is None
        # None where it was ended before it had begun.
        assert execution.exit.code in (-9, -15, None)

    def test_launching_twice_runs_once(self, runtime: Runtime, tmp_path: Path) -> None:
        what = self.order("sh", "-c", f"echo x >> {tmp_path}/seen")
        runtime.launch(what)
        runtime.launch(what)
        ended(runtime, what.key)
        runtime.launch(what)
        assert (tmp_path / "seen").read_text() == "x\n"

    def test_two_attempts_of_a_trial_are_two_executions(self, runtime: Runtime) -> None:
        first, second = self.order("false", attempt=1), self.order("true", attempt=2)
        assert [e.exit.code for e in (run(runtime, first), run(runtime, second)) if e.exit] == [1, 0]

    def test_unknown_ones_are_left_alone(self, runtime: Runtime) -> None:
        key = Key("5c1d", 99, 1)
        runtime.terminate(key, Why.STOP)
        runtime.kill(key)
        runtime.forget(key)
        assert runtime.observe() == {}
        assert (runtime.output(key, 0), runtime.tail(key, 10), runtime.spool(key)) == (b"", b"", b"")

    def test_what_is_forgotten_is_no_longer_observed_and_its_output_stays(self, runtime: Runtime) -> None:
        what = self.order("echo", "hello")
        run(runtime, what)
        runtime.forget(what.key)
        runtime.forget(what.key)
        assert runtime.observe() == {}
        assert runtime.tail(what.key, 100) == b"hello\n"

    def test_what_runs_is_not_forgotten(self, runtime: Runtime) -> None:
        what = self.order("sleep", "1000")
        runtime.launch(what)
        runtime.forget(what.key)
        assert what.key in runtime.observe()
        runtime.kill(what.key)
        ended(runtime, what.key)

    def test_after_a_restart_all_that_was_not_forgotten_is_there(self, open_runtime: Open) -> None:
        first = open_runtime()
        done, running, known = (
            self.order("sh", "-c", "exit 5"),
            self.order("sleep", "1000", trial=2),
            self.order("true", trial=3),
        )
        for what in (done, running, known):
            first.launch(what)
        ended(first, done.key, known.key)
        until(first, running.key, lambda e: e.phase is Phase.RUNNING)
        first.forget(known.key)
        before = first.observe()
        first.close()
        second = open_runtime()
        assert second.observe() == before
        assert second.identity == first.identity
        second.kill(running.key)
        [execution] = ended(second, running.key)
        assert execution.exit is not None
        assert execution.exit.code == -9

    def test_what_ends_while_nobody_looks_keeps_its_exit_code(self, open_runtime: Open, tmp_path: Path) -> None:
        first = open_runtime()
        what = self.order("sh", "-c", f"while [ ! -e {tmp_path}/go ]; do sleep 0.01; done; exit 6")
        first.launch(what)
        until(first, what.key, lambda e: e.phase is Phase.RUNNING)
        first.close()
        (tmp_path / "go").touch()
        [execution] = ended(open_runtime(), what.key)
        assert execution.exit is not None
        assert execution.exit.code == 6

    def test_why_it_was_told_to_end_is_known_after_a_restart(self, open_runtime: Open) -> None:
        first = open_runtime()
        what = self.order("sleep", "1000")
        first.launch(what)
        until(first, what.key, lambda e: e.phase is Phase.RUNNING)
        first.terminate(what.key, Why.TIMEOUT)
        ending = first.observe()[what.key].ending
        first.close()
        [execution] = ended(open_runtime(), what.key)
        assert execution.ending == ending

    def test_waiting_ends_when_woken(self, runtime: Runtime) -> None:
        runtime.wake()
        runtime.wait(None)

    def test_waiting_ends_in_time(self, runtime: Runtime) -> None:
        runtime.wait(0.0)

    def test_many_at_once(self, runtime: Runtime) -> None:
        orders: Sequence[Order] = [self.order("sh", "-c", f"exit {i}", trial=i + 1) for i in range(100)]
        for what in orders:
            runtime.launch(what)
        executions = ended(runtime, *(what.key for what in orders))
        assert [e.exit.code for e in executions if e.exit] == list(range(100))
