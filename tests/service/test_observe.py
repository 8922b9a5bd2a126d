"""What an operator reads of a server: figures over HTTP, and log lines that say what they are about."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from wazir.app.logs import JsonFormatter
from wazir.clients.aio import AsyncClient
from wazir.domain.attempt import Cause
from wazir.domain.errors import FailedPrecondition, NotFound
from wazir.service.server import Server
from wazir.service.settings import ServiceSettings
from wazir.storage.sqlite import open_sqlite

from ..clients.served import spec
from .scripted import Script, installed


def figures(port: int) -> dict[tuple[str, ...], float]:
    """Each sample by its name and the values of its labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as page:
        text = page.read().decode()
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_created"))
    }


def test_figures_tell_calls_trials_leases_and_commits(tmp_path: Path) -> None:
    async def main() -> dict[tuple[str, ...], float]:
        store = open_sqlite(tmp_path / "wazir.db")
        server = Server(store, [f"unix:{tmp_path}/s"], ServiceSettings(metrics="127.0.0.1:0"))
        await server.start()
        assert server.metrics_port is not None
        async with AsyncClient(f"unix:{tmp_path}/s") as client:
            await client.create_study("s", spec())
            trials = (await client.suggest("s", 3, client_id="w", start=True)).trials
            await client.end_attempt(trials[0].name, 1, Cause.SUCCEEDED, final={"loss": 1.0})
            with pytest.raises(NotFound):
                await client.get_study("nobody")
            found = await asyncio.to_thread(figures, server.metrics_port)
        await server.stop()
        store.close()
        return found

    found = asyncio.run(main())
    assert found["wazir_calls_total", "OK", "CreateStudy"] == 1
    assert found["wazir_calls_total", "NOT_FOUND", "GetStudy"] == 1
    assert found["wazir_call_seconds_count", "SuggestTrials"] == 1
    assert found["wazir_calls_in_flight",] == 0
    assert found["wazir_suggestion_seconds_count", "random"] >= 1
    assert found["wazir_studies", "active"] == 1
    assert (found["wazir_trials", "active"], found["wazir_trials", "succeeded"]) == (2, 1)
    assert found["wazir_leases",] == 2
    assert found["wazir_pulse_age_seconds", "event loop"] < 60
    assert found["wazir_pulse_age_seconds", "writer"] < 60
    assert found["wazir_waiting_askers",] == 0
    assert found["wazir_leases_lost_total",] == 0
    assert found["wazir_units_total",] >= found["wazir_commits_total",] >= 3
    assert found["wazir_commit_seconds_total",] > 0


def test_a_port_that_is_taken_is_refused_by_name(tmp_path: Path) -> None:
    async def main() -> None:
        store = open_sqlite(tmp_path / "wazir.db")
        first = Server(store, [f"unix:{tmp_path}/a"], ServiceSettings(metrics="127.0.0.1:0"))
        await first.start()
        taken = f"127.0.0.1:{first.metrics_port}"
        with pytest.raises(FailedPrecondition, match=f"cannot listen on {taken}"):
            await Server(store, [f"unix:{tmp_path}/b"], ServiceSettings(metrics=taken)).start()
        await first.stop()
        store.close()

    asyncio.run(main())


def test_json_lines_carry_what_a_record_is_about() -> None:
    text = io.StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("wazir.test")
    logger.addHandler(handler)
    trial = "owners/a/studies/s/trials/1"
    logger.warning(
        "attempt %d lost its lease", 2, extra={"action": "lease_lost", "trial": "owners/a/studies/s/trials/1"}
    )
    try:
        raise ValueError("odd\nlines")
    except ValueError:
        logger.exception("failed")
    lost, failed = (json.loads(line) for line in text.getvalue().splitlines())
    assert lost.pop("time").endswith("+00:00")
    assert lost == {
        "level": "WARNING",
        "logger": "wazir.test",
        "message": "attempt 2 lost its lease",
        "action": "lease_lost",
        "trial": trial,
    }
    assert "ValueError: odd\nlines" in failed["exception"]


def test_figures_tell_how_many_points_were_stand_ins_and_why(tmp_path: Path) -> None:
    async def main(script: Script) -> dict[tuple[str, ...], float]:
        store = open_sqlite(tmp_path / "wazir.db")
        server = Server(store, [f"unix:{tmp_path}/s"], ServiceSettings(metrics="127.0.0.1:0", compute_workers=1))
        await server.start()
        assert server.metrics_port is not None
        async with AsyncClient(f"unix:{tmp_path}/s") as client:
            await client.create_study("s", spec(algorithm=script.algorithm()))
            script.say("raise")
            await client.suggest("s", 3, client_id="w", start=True)
            script.say("wait")
            await client.suggest("s", 2, client_id="w", start=True, timeout=0.3)
            found = await asyncio.to_thread(figures, server.metrics_port)
        await server.stop()
        store.close()
        return found

    with installed(tmp_path) as script:
        found = asyncio.run(main(script))
    assert found["wazir_stand_ins_total", "scripted", "failed"] == 3
    assert found["wazir_stand_ins_total", "scripted", "late"] == 2
