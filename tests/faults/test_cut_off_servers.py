"""A server that no longer hears the other one ends nothing that only the other one can know to be alive."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from wazir.clients.aio import AsyncClient
from wazir.domain.trial import Trial

from .stage import RECOVERY, Stage, on_postgres
from .workload import BEAT_EVERY, KEPT_LEASE, STUDY, spec

SILENT_FOR = KEPT_LEASE + 3.0


@pytest.mark.soak
def test_no_live_attempt_ends_while_a_server_is_cut_off(tmp_path: Path) -> None:
    """One of the two has the duties, so each of them is cut off once."""
    with on_postgres(tmp_path, 1) as stage:
        asyncio.run(each_is_cut_off_once(stage))


async def each_is_cut_off_once(stage: Stage) -> None:
    async with AsyncClient(stage.servers[0].address, retry_for=RECOVERY) as client:
        await client.create_study(STUDY, spec(100))
    for cut_off, hearing in ((0, 1), (1, 0)):
        async with AsyncClient(stage.servers[hearing].address, retry_for=RECOVERY) as client:
            (trial,) = (await client.suggest(STUDY, client_id=f"c{cut_off}", start=True, lease=KEPT_LEASE)).trials
            stage.wires[cut_off].silence()
            await beat(client, trial, SILENT_FOR)
            stage.wires[cut_off].heal()
            await beat(client, trial, SILENT_FOR)
            attempts = (await client.get_trial(trial.name)).attempts
            assert [attempt.live for attempt in attempts] == [True], stage.servers[cut_off].log()


async def beat(client: AsyncClient, trial: Trial, seconds: float) -> None:
    """Raises StaleAttempt if the attempt was ended."""
    assert trial.attempt is not None
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        await client.heartbeat(trial.name, trial.attempt.number)
        await asyncio.sleep(BEAT_EVERY)
