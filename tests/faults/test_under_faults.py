"""The history that clients see is possible, whatever breaks: processes, networks, PostgreSQL, disks, clocks, loops.

`make test` kills and restarts, and breaks a few more things, chosen and timed by a seed. It is printed at
the start and if a test fails, and this repeats it:

    WAZIR_FAULT_SEED=1234 .venv/bin/pytest -n0 tests/faults/test_under_faults.py -k file

`make soak` breaks each thing on its own, and then everything in turn for WAZIR_FAULT_MINUTES (5).
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from .breaking import KILL, ON_FILE, ON_POSTGRESQL, POSTGRESQL, RESTART, Fault
from .stage import Stage, on_file, on_postgres
from .workload import Workload

SEED = int(os.environ["WAZIR_FAULT_SEED"])
"""conftest.py draws one if there is none."""
MINUTES = float(os.environ.get("WAZIR_FAULT_MINUTES", "5"))
FEW = 2
"""Faults of a test that `make test` has time for."""
PATIENCE = 270.0
"""Seconds for a history; less than pytest's own limit, which says nothing of what was seen."""
MANY = 4
"""Faults of each history of `make soak`."""


def history(stage: Stage, faults: Sequence[Fault], seed: int, at_once: int = 1) -> list[str]:
    """What cannot be of a history with these faults in it, so many at a time."""
    workload = Workload(stage.addresses, seed, trials=None, pause=0.3, undisturbed=stage.servers[0].address)
    ill: list[str] = []

    async def trouble() -> None:
        await stage.a_while(0.5, 1.0)
        for start in range(0, len(faults), at_once):
            some = faults[start : start + at_once]
            stage.told.append(" and ".join(fault.name for fault in some))
            await asyncio.gather(*(fault.strike(stage) for fault in some))
        if any(fault.severs for fault in faults):
            workload.history.kept.clear()
        ill.extend(await stage.recovered())

    async def run() -> list[str]:
        async with stage.supervised():
            return await workload.run(trouble)

    workload.patience = PATIENCE
    found = asyncio.run(run())
    assert len(workload.history.calls) > 10 * len(faults)
    return [*found, *ill, *stage.audit(workload.history)]


def check(stage: Stage, faults: Sequence[Fault], seed: int) -> None:
    found = history(stage, faults, seed)
    logs = "\n".join(f"---- {server.address}\n{server.log()[-3000:]}" for server in stage.servers)
    assert not found, f"WAZIR_FAULT_SEED={seed} repeats it. Broken in turn: {stage.told}\n{found[:20]}\n{logs}"


def pairs(stage: Stage, faults: Sequence[Fault]) -> list[Fault]:
    """Each two beside each other may strike together: a stranger's session does not survive what ends all sessions."""
    first = stage.chance.sample(faults, MANY // 2)
    others = [fault for fault in faults if fault not in POSTGRESQL and fault not in first]
    second = stage.chance.sample(others, MANY // 2)
    return [fault for pair in zip(first, second, strict=True) for fault in pair]


def a_few(stage: Stage, faults: Sequence[Fault]) -> list[Fault]:
    return stage.chance.sample([fault for fault in faults if fault.quick], FEW)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_few_faults_of_a_server_on_a_file(tmp_path: Path) -> None:
    with on_file(tmp_path, SEED) as stage:
        check(stage, [KILL, *a_few(stage, ON_FILE)], SEED)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_few_faults_of_two_servers_on_postgresql(tmp_path: Path) -> None:
    with on_postgres(tmp_path, SEED) as stage:
        check(stage, [KILL, RESTART, *a_few(stage, ON_POSTGRESQL)], SEED)


@pytest.mark.soak
@pytest.mark.parametrize("fault", ON_FILE, ids=lambda fault: fault.name)
def test_a_fault_of_a_server_on_a_file(tmp_path: Path, fault: Fault) -> None:
    with on_file(tmp_path, SEED) as stage:
        check(stage, [fault], SEED)


@pytest.mark.soak
@pytest.mark.parametrize("fault", ON_POSTGRESQL, ids=lambda fault: fault.name)
def test_a_fault_of_two_servers_on_postgresql(tmp_path: Path, fault: Fault) -> None:
    with on_postgres(tmp_path, SEED) as stage:
        check(stage, [fault], SEED)


@pytest.mark.soak
def test_everything_in_turn(tmp_path: Path) -> None:
    """Violations are gathered, so that one does not hide the next."""
    began, seed, found = time.monotonic(), SEED, []
    while time.monotonic() - began < MINUTES * 60:
        for where, faults in ((on_file, ON_FILE), (on_postgres, ON_POSTGRESQL)):
            folder = tmp_path / f"{where.__name__}-{seed}"
            folder.mkdir()
            with where(folder, seed) as stage:
                try:
                    together = stage.chance.random() < 0.5
                    chosen = pairs(stage, faults) if together else stage.chance.sample(faults, MANY)
                    wrong = history(stage, chosen, seed, at_once=2 if together else 1)
                except Exception as error:  # noqa: BLE001 - one more thing that is wrong, and not the end of the soak
                    wrong = [repr(error)]
                print(f"seed {seed} {where.__name__} {stage.told}: {wrong or 'nothing wrong'}", flush=True)
                if wrong:
                    found.append((seed, where.__name__, stage.told, wrong))
                    for server in stage.servers:
                        print(f"---- {server.address}\n{server.log()[-5000:]}", flush=True)
        seed += 1
    assert not found
