"""The token of an attempt is worth nothing from the moment at which its study is deleted, on every server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest

from wazir.clients.client import Client
from wazir.domain.access import Role
from wazir.domain.errors import NotFound
from wazir.storage.postgres import open_postgres

from ..postgres import Postgres
from .serving import SETTINGS, SPEC, Served, serving

FORGETFUL = replace(SETTINGS, token_max_age=3600.0)
"""What the gate has looked up it would believe for an hour, were it not told better."""


def started(boss: Client) -> str:
    """A new study with a trial that runs; the token of its attempt."""
    boss.create_study("vision/s", SPEC)
    return boss.suggest("vision/s", client_id="c", start=True).tokens[1]


def test_it_is_refused_at_once_on_the_server_that_deleted_the_study() -> None:
    with serving(FORGETFUL) as served, Client(served.address, token=served.token("vision", Role.ADMIN)) as boss:
        token = started(boss)
        with Client(served.address, token=token, retry_for=0) as code:
            code.heartbeat("vision/s/1", 1)

            boss.delete_study("vision/s", force=True)
            with pytest.raises(NotFound, match="was deleted"):
                code.heartbeat("vision/s/1", 1)

            # The new study has a trial and an attempt of the same numbers.
            successor = started(boss)
            with pytest.raises(NotFound, match="was deleted"):
                code.heartbeat("vision/s/1", 1)
        with Client(served.address, token=successor, retry_for=0) as code:
            code.heartbeat("vision/s/1", 1)


@pytest.fixture
def two(postgres: Postgres) -> Iterator[tuple[Served, Served]]:
    """Two servers on one database."""
    url = postgres.ready()
    with (
        closing(open_postgres(url)) as here,
        closing(open_postgres(url)) as there,
        serving(FORGETFUL, here) as one,
        serving(FORGETFUL, there) as other,
    ):
        yield one, other
    postgres.drop(url)


def test_another_server_refuses_it_when_the_news_has_come(two: tuple[Served, Served]) -> None:
    one, other = two
    boss_token = one.token("vision", Role.ADMIN)
    with Client(one.address, token=boss_token) as boss:
        token = started(boss)
        # The other server knows the study by a heartbeat that changed nothing, and by no change of its own.
        with Client(other.address, token=token, retry_for=0) as code:
            code.heartbeat("vision/s/1", 1)
            boss.delete_study("vision/s", force=True)
            started(boss)

            until = time.monotonic() + 30
            while time.monotonic() < until:
                try:
                    code.heartbeat("vision/s/1", 1)
                except NotFound:
                    break
            else:
                pytest.fail("the other server went on taking the token of a deleted study")
