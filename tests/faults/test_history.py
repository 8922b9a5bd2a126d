"""The checker of histories, tried on services with planted bugs: it has to find each of them.

test_under_faults.py uses it on sound services in bad conditions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from wazir.domain.trial import ENDED, Measurement, Trial, TrialState
from wazir.service import attempts, handing_out, reporting, trials, watching
from wazir.service.duties import Duties
from wazir.service.leases import LeaseKeeper
from wazir.service.server import Server
from wazir.service.settings import ServiceSettings
from wazir.service.unit import Unit
from wazir.storage import memory
from wazir.storage.memory import MemoryStore
from wazir.storage.store import View

from .workload import Workload


def in_process(folder: Path, *, seed: int = 7, seconds: float = 0.0, **settings: Any) -> list[str]:
    """What the checker finds in a history of a server in this process, whose bugs are the test's. With `seconds`
    clients go on for so long while a worker beats, and in the end the background duties are looked at."""

    async def main() -> list[str]:
        store = MemoryStore()
        server = Server(store, [f"unix:{folder}/s"], ServiceSettings(duty_interval=0.05))
        await server.start()
        try:
            trials = None if seconds else 30
            workload = Workload([f"unix:{folder}/s"], seed, trials=trials, kept_lease=1.5, **settings)
            return await workload.run((lambda: asyncio.sleep(seconds)) if seconds else None)
        finally:
            await server.stop(0)
            store.close()

    return asyncio.run(main())


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 1.0], ids=["thirty trials", "some time"])
def test_a_sound_service_is_found_sound(seconds: float, tmp_path: Path) -> None:
    assert in_process(tmp_path, seconds=seconds) == []


Plant = Callable[[pytest.MonkeyPatch], None]


def forgets_measurements(patch: pytest.MonkeyPatch) -> None:
    add = memory._MemoryTransaction.add_measurements
    count = iter(range(10**9))

    def forgetful(self: Any, trial: Trial, attempt: int, measurements: list[Measurement]) -> None:
        if next(count) % 10 != 9:
            add(self, trial, attempt, measurements)

    patch.setattr(memory._MemoryTransaction, "add_measurements", forgetful)


def answers_before_it_has_stored(patch: pytest.MonkeyPatch) -> None:
    submit = MemoryStore.submit
    count = iter(range(10**9))

    def hasty(self: MemoryStore, work: Callable[[Any], Any]) -> Future[Any]:
        if next(count) % 25 != 24:
            return submit(self, work)
        result: list[Any] = []

        def undone(tx: Any) -> None:
            result.append(work(tx))
            raise KeyError("the power fails")

        future = submit(self, undone)
        if isinstance(future.exception(), KeyError):
            future = Future()
            future.set_result(result[0])
        return future

    patch.setattr(MemoryStore, "submit", hasty)


def ignores_request_ids(patch: pytest.MonkeyPatch) -> None:
    for module in (handing_out, trials):
        patch.setattr(module, "recall", lambda tx, request: None)
        patch.setattr(module, "remember", lambda tx, request, numbers, now: None)


def hears_stale_attempts(patch: pytest.MonkeyPatch) -> None:
    for module in (attempts, reporting):
        patch.setattr(module, "current", lambda trial, number: trial.attempts[number - 1])


def starts_more_than_may_run(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(handing_out, "full", lambda study: False)
    patch.setattr(handing_out, "_room", lambda study, asked, waiting, start: max(0, asked - waiting))


def shows_watchers_all_but_some(patch: pytest.MonkeyPatch) -> None:
    since = watching._since

    def gaps(view: View, name: Any, since_revision: int = 0, **more: Any) -> Any:
        changes = since(view, name, more.get("since", since_revision))
        return replace(changes, trials=[t for t in changes.trials if t.id % 7])

    patch.setattr(watching, "_since", gaps)


def revives_the_dead(patch: pytest.MonkeyPatch) -> None:
    stop = trials.stop

    def reviving(tx: Any, name: Any, reason: str, now: float) -> Any:
        unit = Unit.lock(tx, name.parent, now)
        trial = unit.trial(name.id)
        if trial.state not in ENDED:
            return stop(tx, name, reason, now)
        trial = unit.put(trial, replace(trial, state=TrialState.STOPPED, reason="stopped after its end"))
        return trial, unit.finish()

    patch.setattr(trials, "stop", reviving)


BUGS: list[tuple[Plant, str]] = [
    # What is planted; what the checker says of it.
    (forgets_measurements, "was acknowledged, and it is not there"),
    (answers_before_it_has_stored, "was acknowledged"),
    (ignores_request_ids, "was answered with trials"),
    (hears_stale_attempts, "was taken after the next began"),
    (starts_more_than_may_run, "were live at once, and 4 may be"),
    (shows_watchers_all_but_some, "never saw trial 7"),
    (revives_the_dead, "to stopped"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("plant", "words"), BUGS, ids=[plant.__name__ for plant, _ in BUGS])
def test_the_checker_finds_a_planted_bug(
    plant: Plant, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    # A bug shows when clients happen to meet it, and nobody's clock decides that: a few histories are looked at.
    found: list[str] = []
    for seed in range(7, 13):
        found = in_process(tmp_path, patience=10.0, seed=seed)  # with a bug it may go on for ever
        if any(words in sentence for sentence in found):
            return
    pytest.fail(f"six histories, and nothing was found but {found[:10]}")


@pytest.mark.slow
def test_the_checker_finds_an_attempt_that_ended_although_its_holder_beat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LeaseKeeper, "beat", lambda *about: None)
    assert any("although its holder was never silent" in words for words in in_process(tmp_path, seconds=4.0))


@pytest.mark.slow
def test_the_checker_finds_that_nobody_has_the_duties(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def idle(self: Duties) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(Duties, "_turn", idle)
    found = in_process(tmp_path, seconds=0.5, patience=6.0, duties_limit=3.0)
    assert "nobody has noticed that a worker died" in found
    assert "time has not ended a study whose time was up" in found
