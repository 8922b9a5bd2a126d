"""The database is restarted under a service that is at work: the log says so in two lines."""

from __future__ import annotations

import asyncio
import logging

import pytest

from wazir.domain.errors import Unavailable
from wazir.service.server import Server
from wazir.service.settings import ServiceSettings
from wazir.storage.limits import Limits
from wazir.storage.postgres import open_postgres

from ..contract.store import NAME, insert, new_study
from ..postgres import running


def test_a_restart_of_postgresql_is_told_in_two_lines(caplog: pytest.LogCaptureFixture) -> None:
    with running() as database:
        url = database.ready()
        store = open_postgres(url, limits=Limits(retry=0.2))
        insert(store, new_study())

        async def once_back(service_is: bool, server: Server) -> None:
            """Calls until the service answers, or does not."""
            async with asyncio.timeout(60.0):
                while True:
                    try:
                        await server.service.pause_study(NAME)
                        await server.service.resume_study(NAME)
                        answered = True
                    except Unavailable:
                        answered = False
                    if answered is service_is:
                        return
                    await asyncio.sleep(0.05)

        async def serve() -> None:
            server = Server(store, ["127.0.0.1:0"], ServiceSettings(duty_interval=0.05))
            await server.start()
            try:
                await once_back(True, server)
                caplog.clear()
                await asyncio.to_thread(database.stop)
                await once_back(False, server)
                await asyncio.to_thread(database.start)
                await once_back(True, server)
            finally:
                await server.stop(0.0)

        asyncio.run(serve())
        store.close()
        told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        assert len(told) == 2, told
        assert told[0].startswith(f"{url} is away: ")
        assert f"{url} is back after " in told[1]
        assert not any(record.exc_info for record in caplog.records)
