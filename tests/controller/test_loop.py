"""The controller with a real service and real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wazir.clients.client import Client
from wazir.controller.asking import Asking
from wazir.controller.attempts import Attempts
from wazir.controller.errands import Errands
from wazir.controller.local.runtime import LocalRuntime
from wazir.controller.loop import Controller, Finish
from wazir.controller.settings import Settings
from wazir.controller.studies import Studies
from wazir.domain.attempt import Cause, RetryPolicy
from wazir.domain.errors import InvalidArgument, NotFound
from wazir.domain.metric import Goal, Objective
from wazir.domain.names import StudyName
from wazir.domain.pod import PodOptions, Retention
from wazir.domain.space import Double, Parameter, Space
from wazir.domain.study import Algorithm, Budget, Stopping, Study, StudySpec, StudyState
from wazir.domain.template import MetricsFrom, MetricsSource, Resources, TrialTemplate
from wazir.domain.trial import Trial, TrialState
from wazir.service.server import Server
from wazir.storage.memory import MemoryStore

from ..waiting import eventually

NAME = StudyName("default", "s")


class Service:
    """A service on a Unix socket that can go away and come back with what it knew."""

    def __init__(self, folder: Path) -> None:
        self.address = f"unix:{folder}/service"
        self._folder = folder
        self._store = MemoryStore()
        self.start()

    def start(self) -> None:
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)))
        self._thread.start()
        started.wait()

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        (self._folder / "service").unlink(missing_ok=True)
        server = Server(self._store, [self.address])
        await server.start()
        started.set()
        await self._stopping.wait()
        await server.stop(0)


class Run:
    """A controller at work in a thread."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller
        self._result: Finish | BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self.controller.run()
        except BaseException as error:  # noqa: BLE001 - raised again where the test waits
            self._result = error

    def result(self) -> Finish:
        self._thread.join()
        if isinstance(self._result, BaseException):
            raise self._result
        assert self._result is not None
        return self._result


class World:
    def __init__(self, folder: Path, socket: Path, *, runs: Path | None = None) -> None:
        self.folder = folder
        self.service = Service(socket)
        self.client = Client(self.service.address)
        self.runtime = LocalRuntime(runs or folder / "runs")
        self.runs: list[Run] = []

    def create(
        self,
        code: str,
        *,
        metrics: MetricsFrom = MetricsFrom.STDOUT,
        trials: int = 1,
        parallel: int = 2,
        stopping: Stopping | None = None,
        **changes: Any,
    ) -> Study:
        template = TrialTemplate(
            command=("python", "-c", code, "${x}", str(self.folder)), metrics=MetricsSource(metrics), **changes
        )
        spec = StudySpec(
            objectives=(Objective("loss", Goal.MINIMIZE),),
            space=Space((Parameter("x", Double(0.0, 1.0)),)),
            algorithm=Algorithm("random", seed=1),
            budget=Budget(trials=trials, parallel=parallel, failed=0),
            stopping=stopping,
            trial=template,
        )
        return self.client.create_study(NAME, spec)

    def start(self, **settings: Any) -> Run:
        fast = Settings(self.service.address, **{"retry_after": 0.05, "collect_every": 0.05, **settings})
        # Little patience, so that the controller's own is seen.
        run = Run(Controller(self.client.patient(0.1), self.runtime, [NAME], fast))
        self.runs.append(run)
        return run

    def until(self, done: Callable[[Trial], bool]) -> Trial:
        """The first trial, as the service tells of it, that is as wanted."""
        for changes in self.client.watch_trials(NAME):
            for trial in changes.trials:
                if done(trial):
                    return trial
        raise AssertionError("the study is gone")

    def trials(self) -> list[Trial]:
        return list(self.client.list_trials(NAME))

    def close(self) -> None:
        for run in self.runs:
            run.controller.stop()
            run.controller.stop()
            run._thread.join()
        for key in self.runtime.observe():
            self.runtime.kill(key)
        self.runtime.close()
        self.client.close()
        self.service.stop()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    # A socket's path has 107 characters at most.
    with tempfile.TemporaryDirectory() as socket:
        made = World(tmp_path, Path(socket))
        yield made
        made.close()


def running(trial: Trial) -> bool:
    return trial.attempt is not None and trial.attempt.run_time is not None


def ended(trial: Trial) -> bool:
    return trial.end_time is not None


WAIT = "import sys, os, time\nwhile not os.path.exists(sys.argv[2] + '/go'): time.sleep(0.01)\n"
STUBBORN = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('loss=1', flush=True)\ntime.sleep(1000)"


def test_a_study_runs_from_its_start_to_its_end(world: World) -> None:
    world.create("import sys; print('epoch 1 loss=9'); print('epoch 2 loss=' + sys.argv[1])", trials=5)
    assert world.start().result() is Finish.DONE
    trials = world.trials()
    assert [t.state for t in trials] == [TrialState.SUCCEEDED] * 5
    for trial in trials:
        assert trial.final == {"loss": trial.parameters["x"]}
        assert [m.step for m in world.client.measurements(trial.name)] == [1, 2]
        attempt = trial.attempt
        assert attempt is not None
        assert attempt.exit_code == 0
        assert Path(attempt.log_path).read_text().startswith("epoch 1 loss=9\n")
        assert attempt.node
    assert world.client.get_study(NAME).state is StudyState.COMPLETED
    assert world.runtime.observe() == {}


def test_metrics_come_while_it_runs(world: World) -> None:
    world.create("print('step=7 loss=0.5', flush=True)\n" + WAIT)
    run = world.start()
    trial = world.until(running)
    eventually(lambda: world.client.measurements(trial.name))
    assert world.client.get_trial(trial.name).state is TrialState.ACTIVE
    (world.folder / "go").touch()
    assert run.result() is Finish.DONE
    assert [(m.step, m.metrics["loss"]) for m in world.client.measurements(trial.name)] == [(7, 0.5)]


@pytest.mark.parametrize(
    ("code", "cause", "words"),
    [
        ("raise ValueError('bad lr')", Cause.CODE_FAILED, "exit code 1: ValueError: bad lr"),
        ("raise SystemExit(3)", Cause.CODE_FAILED, "exit code 3"),
        ("import os; os.kill(os.getpid(), 11)", Cause.CODE_FAILED, "killed by SIGSEGV"),
        (
            "print('accuracy=1')",
            Cause.SUCCEEDED,
            "looked for 'loss' in what it printed; the last lines were: accuracy=1; it printed values of 'accuracy'",
        ),
        ("pass", Cause.SUCCEEDED, "looked for 'loss' in what it printed; it printed nothing"),
    ],
)
def test_a_trial_that_fails_says_why(world: World, code: str, cause: Cause, words: str) -> None:
    world.create(code)
    assert world.start().result() is Finish.DONE
    [trial] = world.trials()
    assert trial.state is TrialState.FAILED
    assert trial.reason == words
    assert trial.attempt is not None
    assert trial.attempt.cause is cause
    assert world.client.get_study(NAME).state is StudyState.FAILED


def test_a_failed_trial_is_tried_again_as_often_as_it_may(world: World) -> None:
    world.create(
        "import sys, os\nif not os.path.exists(sys.argv[2] + '/x'): open(sys.argv[2] + '/x', 'w'); sys.exit(1)\n"
        "print('loss=1')",
        retries=RetryPolicy(failed=1),
    )
    assert world.start().result() is Finish.DONE
    [trial] = world.trials()
    assert trial.state is TrialState.SUCCEEDED
    assert [a.cause for a in trial.attempts] == [Cause.CODE_FAILED, Cause.SUCCEEDED]


def test_a_trial_over_its_time_is_ended_and_killed_if_need_be(world: World) -> None:
    world.create(STUBBORN, timeout=0.5, grace=0.1)
    world.start().result()
    [trial] = world.trials()
    assert trial.state is TrialState.FAILED
    assert "longer than trial.timeout = 0.5 s" in trial.reason
    assert trial.attempt is not None
    assert trial.attempt.exit_code == -9


def test_a_trial_told_to_stop_stops(world: World) -> None:
    world.create("import time; print('loss=3', flush=True); time.sleep(1000)")
    run = world.start()
    trial = world.until(running)
    eventually(lambda: world.client.measurements(trial.name))
    world.client.stop_trial(trial.name, "enough")
    assert run.result() is Finish.DONE
    [trial] = world.trials()
    assert trial.state is TrialState.STOPPED
    assert trial.final == {"loss": 3.0}
    assert trial.reason == "enough"


DEAF = """
import signal, sys, threading
import wazir
signal.signal(15, signal.SIG_IGN)
trial = wazir.current_trial()
for step in (1, 2):
    trial.report({"loss": trial.id}, step=step)
trial.flush()
if trial.id > 1:
    threading.Event().wait()
"""
"""The first trial ends, and is the best; the others listen to nothing."""


def test_a_trial_that_does_not_hear_the_rule_is_ended_after_its_grace(world: World) -> None:
    world.create(DEAF, metrics=MetricsFrom.PUSH, trials=2, grace=0.2, parallel=1, stopping=Stopping("asha", {"max": 9}))
    assert world.start().result() is Finish.DONE
    best, stopped = world.trials()
    assert best.state is TrialState.SUCCEEDED
    assert (stopped.state, stopped.final) == (TrialState.STOPPED, {"loss": 2.0})
    assert stopped.reason == "step 1: rank 2 of 2, eta 3"
    assert stopped.attempt is not None
    assert (stopped.attempt.cause, stopped.attempt.exit_code) == (Cause.STOPPED, -9)


def test_a_program_that_is_not_there_fails_the_trial_at_once(world: World) -> None:
    study = world.create("")
    assert study.spec.trial is not None
    broken = replace(study.spec, trial=replace(study.spec.trial, command=("no-such-program", "${x}")))
    world.client.update_study(NAME, broken, ["trial"])
    world.start().result()
    [trial] = world.trials()
    assert trial.state is TrialState.FAILED
    assert "no such program 'no-such-program'" in trial.reason


def test_reports_that_were_spooled_are_delivered_before_the_end(world: World) -> None:
    world.create(
        "import os\nopen(os.environ['WAZIR_SPOOL'], 'w').write("
        '\'{"step": 3, "metrics": {"loss": 0.25}, "time": 1.5}\\n\')',
        metrics=MetricsFrom.PUSH,
    )
    assert world.start().result() is Finish.DONE
    [trial] = world.trials()
    assert trial.state is TrialState.SUCCEEDED
    assert trial.final == {"loss": 0.25}


def test_a_spooled_word_of_infeasibility_counts(world: World) -> None:
    world.create(
        "import os, sys\nopen(os.environ['WAZIR_SPOOL'], 'w').write('{\"infeasible\": \"diverged\"}\\n'); sys.exit(1)",
        metrics=MetricsFrom.PUSH,
    )
    world.start().result()
    [trial] = world.trials()
    assert trial.state is TrialState.INFEASIBLE
    assert "diverged" in trial.reason


def test_draining_lets_end_what_runs_and_starts_nothing(world: World) -> None:
    world.create(WAIT + "print('loss=1')", trials=10)
    run = world.start(parallel=1)
    world.until(running)
    run.controller.stop()
    (world.folder / "go").touch()
    assert run.result() is Finish.DRAINED
    assert [t.state for t in world.trials()] == [TrialState.SUCCEEDED]


def test_stopping_ends_what_runs_and_the_next_controller_goes_on(world: World) -> None:
    world.create(WAIT + "print('loss=1')")
    run = world.start()
    world.until(running)
    run.controller.stop()
    run.controller.stop()
    assert run.result() is Finish.STOPPED
    [trial] = world.trials()
    assert trial.state is TrialState.REQUESTED
    assert trial.attempts[0].cause is Cause.PREEMPTED
    assert world.runtime.observe() == {}
    (world.folder / "go").touch()
    assert world.start().result() is Finish.DONE
    assert [t.state for t in world.trials()] == [TrialState.SUCCEEDED]


def test_training_goes_on_while_the_service_is_away_and_its_end_is_told_later(world: World) -> None:
    world.create(WAIT + "print('loss=1')")
    run = world.start()
    world.until(running)
    world.service.stop()
    (world.folder / "go").touch()
    eventually(lambda: list((world.folder / "runs").rglob("exit.json")))
    eventually(lambda: run.controller.trouble)
    world.service.start()
    assert run.result() is Finish.DONE
    assert run.controller.trouble == "", "what kept it waiting is over"
    [trial] = world.trials()
    assert trial.state is TrialState.SUCCEEDED
    assert len(trial.attempts) == 1


def test_a_controller_that_stops_while_the_service_is_away_does_not_wait_for_ever(world: World) -> None:
    world.create("import time; time.sleep(1000)")
    run = world.start(farewell=0.2)
    world.until(running)
    world.service.stop()
    run.controller.stop()
    run.controller.stop()
    assert run.result() is Finish.STOPPED
    # The last words are kept, and the next controller says them: the trial is free to be tried again.
    [execution] = world.runtime.observe().values()
    assert execution.exit is not None
    world.service.start()
    run = world.start()
    assert world.until(lambda t: len(t.attempts) == 2).attempts[0].cause is Cause.PREEMPTED


def test_the_processes_of_a_deleted_study_end(world: World) -> None:
    world.create("import time; time.sleep(1000)")
    run = world.start()
    world.until(running)
    world.client.delete_study(NAME, force=True)
    assert run.result() is Finish.DONE
    assert world.runtime.observe() == {}


def test_a_study_that_is_deleted_while_it_is_asked_is_waited_for_no_longer(world: World) -> None:
    study = world.create("pass")
    errands = Errands(1, world.runtime.wake)
    studies = Studies(world.client, errands, "me", 0.05)
    attempts = Attempts(errands, time.time, 0.05, tokens=False)
    refused: list[object] = []
    asking = Asking(
        world.client,
        errands,
        studies,
        attempts,
        "me",
        Settings(world.service.address),
        time.time,
        lambda name, error: refused.append(error),
    )
    studies.follow(study, [])
    world.client.delete_study(NAME, force=True)
    asking.begin(NAME, 1)

    def answered() -> bool:
        errands.take_in()
        return not studies[NAME].asking

    eventually(answered)
    assert studies[NAME].gone
    assert refused == []
    errands.close()
    studies.close()


def test_news_that_a_study_was_deleted_do_not_end_the_one_made_anew_under_its_name(world: World) -> None:
    errands = Errands(1, world.runtime.wake)
    studies = Studies(world.client, errands, "me", 0.05)
    studies.follow(world.create("pass"), [])
    old = studies[NAME]
    world.client.delete_study(NAME, force=True)
    studies.follow(world.create("pass"), [])
    studies.gone(old)
    assert not studies[NAME].gone
    assert old.watch.left, "nobody tells of the old one any more"
    errands.close()
    studies.close()


def test_a_killed_controller_is_followed_by_one_that_loses_and_repeats_nothing(world: World) -> None:
    world.create(
        "import sys, os\nopen(sys.argv[2] + '/runs-' + os.environ['WAZIR_TRIAL'].split('/')[-1], 'a').write('x')\n"
        + WAIT
        + "print('loss=1')",
        trials=3,
    )
    world.runtime.close()
    program = f"""
from pathlib import Path
from wazir.clients.client import Client
from wazir.controller.local.runtime import LocalRuntime
from wazir.controller.loop import Controller
from wazir.controller.settings import Settings
from wazir.domain.names import StudyName
client = Client({world.service.address!r})
runtime = LocalRuntime(Path({str(world.folder / "runs")!r}))
Controller(client, runtime, [StudyName("default", "s")], Settings({world.service.address!r})).run()
"""
    first = subprocess.Popen([sys.executable, "-c", program])
    world.until(lambda t: running(t) and t.id == 2)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    # It goes on, and ends while nobody looks.
    (world.folder / "go").touch()
    world.runtime = LocalRuntime(world.folder / "runs")
    assert world.start().result() is Finish.DONE
    trials = world.trials()
    assert [t.state for t in trials] == [TrialState.SUCCEEDED] * 3
    assert [len(t.attempts) for t in trials] == [1, 1, 1]
    assert [(world.folder / f"runs-{i}").read_text() for i in (1, 2, 3)] == ["x"] * 3


SAVE = """
import wazir
trial = wazir.current_trial()
with trial.checkpoint.save(step=1) as folder:
    (folder / "w").write_text("weights")
trial.report({"loss": trial.params["x"]}, step=1)
"""


def checkpoints(world: World) -> set[int]:
    """Trials that have a checkpoint."""
    return {int(found.parent.name) for found in (world.folder / "runs").glob("*/*/checkpoints")}


@pytest.mark.parametrize("keep", Retention)
def test_checkpoints_stay_as_the_study_says(world: World, keep: Retention) -> None:
    world.create(SAVE, metrics=MetricsFrom.PUSH, trials=4, pod=PodOptions(keep_checkpoints=keep))
    assert world.start().result() is Finish.DONE
    (best,) = world.client.best_trials(NAME)
    assert (
        checkpoints(world)
        == {
            Retention.LATEST: {1, 2, 3, 4},
            Retention.BEST: {best.id},
            Retention.NONE: set(),
        }[keep]
    )


def test_checkpoints_that_a_killed_controller_left_are_collected_by_the_next(world: World) -> None:
    study = world.create(SAVE, metrics=MetricsFrom.PUSH, pod=PodOptions(keep_checkpoints=Retention.NONE))
    assert world.start().result() is Finish.DONE
    left = world.folder / "runs" / study.uid / "1" / "checkpoints" / "step-000000000001"
    left.mkdir(parents=True)
    assert world.start().result() is Finish.DONE
    assert checkpoints(world) == set()


def test_a_trial_that_failed_keeps_its_checkpoint_for_its_retry(world: World) -> None:
    fails = SAVE + "import os, sys\nif trial.attempt == 1: sys.exit(1)\n"
    world.create(fails, metrics=MetricsFrom.PUSH, pod=PodOptions(keep_checkpoints=Retention.NONE))
    assert world.start().result() is Finish.DONE
    assert checkpoints(world) == {1}
    world.client.retry_trial(NAME.trial(1))
    assert world.start().result() is Finish.DONE
    assert [t.state for t in world.trials()] == [TrialState.SUCCEEDED]
    assert checkpoints(world) == set()


TWICE = """
import json, os, shutil, sys
from pathlib import Path
import wazir
trial = wazir.current_trial()
begun = trial.resume_step()
if trial.attempt == 1:
    for step in (1, 2):
        with trial.checkpoint.save(step=step) as folder:
            (folder / "w").write_text("weights")
    latest = trial.checkpoint.latest()
    DAMAGE
    sys.exit(1)
for step in range(begun, 3):
    trial.report({"loss": 1.0 + begun}, step=step + 1)
"""


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("pass", None),
        ("shutil.rmtree(latest)", ""),
        ("(latest / 'w').write_text('w')", "is passed over: w is cut short"),
        ("(latest / 'wazir.json').write_text('{')", "is passed over: its wazir.json cannot be read"),
        (
            "path = latest / 'wazir.json'; path.write_text(json.dumps(json.loads(path.read_text()) | {'trial': 'x'}))",
            "is passed over: it is of x",
        ),
        ("shutil.rmtree(latest.parent); latest.parent.write_text('no folder')", "checkpoints cannot be looked for"),
    ],
    ids=["whole", "missing", "truncated", "no manifest", "another trial's", "no folder"],
)
def test_a_checkpoint_that_is_no_good_costs_steps_and_no_trial(world: World, damage: str, words: str | None) -> None:
    """`words`: what the next attempt's log says; None where it goes on from the checkpoint."""
    code = TWICE.replace("DAMAGE", damage)
    world.create(code, metrics=MetricsFrom.PUSH, retries=RetryPolicy(failed=1))
    assert world.start().result() is Finish.DONE
    (trial,) = world.trials()
    assert (trial.state, trial.final) == (TrialState.SUCCEEDED, {"loss": 3.0 if words is None else 1.0})
    assert trial.attempt is not None
    assert (words or "") in Path(trial.attempt.log_path).read_text()


def test_the_checkpoints_of_a_deleted_study_go_with_it(world: World) -> None:
    world.create(SAVE + WAIT, metrics=MetricsFrom.PUSH)
    run = world.start()
    eventually(lambda: checkpoints(world))
    world.client.delete_study(NAME, force=True)
    assert run.result() is Finish.DONE
    assert checkpoints(world) == set()


def test_an_unknown_study_is_an_error(world: World) -> None:
    with pytest.raises(NotFound, match="s does not exist"):
        world.start().result()


def test_a_study_that_does_not_say_what_to_run_is_an_error(world: World) -> None:
    spec = StudySpec((Objective("loss", Goal.MINIMIZE),), Space((Parameter("x", Double(0.0, 1.0)),)))
    world.client.create_study(NAME, spec)
    with pytest.raises(InvalidArgument, match="does not say what to run"):
        world.start().result()


def test_more_gpus_than_there_are_is_an_error_at_the_start(world: World) -> None:
    world.create("pass", resources=Resources(gpu=1))
    with pytest.raises(InvalidArgument, match=r"trial\.resources\.gpu = 1\.?0?: this machine has no GPUs to give"):
        world.start().result()
