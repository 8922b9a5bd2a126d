"""A controller survives what goes wrong with one study or attempt, and says whether its loop turns."""

from __future__ import annotations

import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from wazir.controller.errands import Defect, Errands
from wazir.controller.execution import Key, Order
from wazir.controller.health import Health
from wazir.controller.local.runtime import LocalRuntime
from wazir.controller.loop import Controller, Finish
from wazir.controller.settings import Settings
from wazir.domain.errors import FailedPrecondition, InvalidArgument
from wazir.domain.names import StudyName
from wazir.domain.pulse import Pulse
from wazir.domain.study import StudyState
from wazir.domain.trial import TrialState

from ..waiting import eventually
from .test_loop import NAME, Run, World

OTHER = StudyName("default", "other")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with tempfile.TemporaryDirectory() as socket:
        made = World(tmp_path, Path(socket))
        yield made
        made.close()


class Troubled(LocalRuntime):
    """Everything that it is asked about one study goes wrong, until it is mended."""

    uid = ""

    def _check(self, key: Key) -> None:
        if key.uid == self.uid:
            raise ZeroDivisionError("of one study")

    def launch(self, order: Order) -> None:
        self._check(order.key)
        super().launch(order)

    def output(self, key: Key, offset: int) -> bytes:
        self._check(key)
        return super().output(key, offset)


def begin(world: World, runtime: LocalRuntime) -> Run:
    settings = Settings(world.service.address, retry_after=0.05, collect_every=0.05)
    run = Run(Controller(world.client.patient(0.1), runtime, [NAME, OTHER], settings))
    world.runs.append(run)
    return run


def test_one_study_that_cannot_be_run_keeps_no_other_from_its_end(world: World, tmp_path: Path) -> None:
    study = world.create("print('loss=1')", trials=2)
    world.client.create_study(OTHER, study.spec)
    runtime = Troubled(tmp_path / "troubled")
    runtime.uid = study.uid
    run = begin(world, runtime)

    eventually(lambda: world.client.get_study(OTHER).state is StudyState.COMPLETED)
    assert world.client.get_study(NAME).state is StudyState.ACTIVE
    # A call that the service takes clears it until the next try fails.
    eventually(lambda: "of one study" in run.controller.trouble)

    runtime.uid = ""
    assert run.result() is Finish.DONE
    assert [t.state for t in world.trials()] == [TrialState.SUCCEEDED] * 2
    runtime.close()


def test_news_that_cannot_be_taken_in_keep_no_others_from_being_heard(world: World) -> None:
    errands = Errands(1, world.runtime.wake)
    heard: list[str] = []
    errands.tell(lambda: heard.append("first"))
    errands.tell(lambda: 1 // 0)  # type: ignore[arg-type]
    errands.tell(lambda: heard.append("last"))
    errands.take_in()
    assert heard == ["first", "last"]
    assert "ZeroDivisionError" in errands.trouble
    errands.close()


def test_an_errand_that_ends_by_an_exception_ends_the_loop(world: World) -> None:
    """Nobody would do it any more, and nobody would know."""
    errands = Errands(1, world.runtime.wake)
    errands.watch(lambda: 1 // 0, "wazir-test")  # type: ignore[arg-type]

    def ended() -> bool:
        try:
            errands.take_in()
        except Defect:
            return True
        return False

    eventually(ended)
    errands.close()


def test_a_loop_with_nothing_to_do_has_a_pulse(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wazir.controller.loop.LONGEST_WAIT", 0.01)
    beats: list[float] = []

    class Counted(Pulse):
        def beat(self) -> None:
            beats.append(time.monotonic())
            super().beat()

    settings = Settings(world.service.address, until_done=False)
    controller = Controller(world.client, world.runtime, [], settings, pulse=Counted("controller", 60.0))
    run = Run(controller)
    eventually(lambda: len(beats) > 3)
    controller.leave()
    assert run.result() is Finish.LEFT


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}") as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_a_probe_hears_whether_the_loop_turns() -> None:
    now = 0.0
    pulse = Pulse("controller", 60.0, lambda: now)
    health = Health("127.0.0.1:0", pulse, lambda: {"wazir_controller_executions": 3.0})
    assert get(health.port, "/healthz") == (200, "ok\n")

    now = 75.0
    assert get(health.port, "/healthz") == (503, "the controller has not turned for 75 s\n")
    status, text = get(health.port, "/metrics")
    assert status == 200
    assert "wazir_controller_pulse_age_seconds 75.0\n" in text
    assert "wazir_controller_executions 3.0\n" in text
    assert get(health.port, "/")[0] == 404

    pulse.beat()
    assert get(health.port, "/healthz")[0] == 200
    with pytest.raises(FailedPrecondition, match="cannot listen"):
        Health(f"127.0.0.1:{health.port}", pulse)
    health.close()


@pytest.mark.parametrize("address", ["x", "127.0.0.1:", "127.0.0.1:99999", ":y"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(InvalidArgument, match="--health"):
        Health(address, Pulse("controller", 1.0))
