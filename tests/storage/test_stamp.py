"""A PostgreSQL that is restored or upgraded under a running server: no commit mixes the two states."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from wazir.domain.errors import FailedPrecondition, Unavailable
from wazir.storage.exchange import News, Topic
from wazir.storage.postgres import open_postgres
from wazir.storage.postgres_alone import alone
from wazir.storage.postgres_stamp import WRITE_LOCK
from wazir.storage.store import Store, Transaction

from ..contract.store import NAME, add, insert, new_study, new_trial

BY_WAZIR = "UPDATE secrets SET value = 'another' WHERE name = 'store'"
MADE_ANEW = """
CREATE TABLE fresh (LIKE studies INCLUDING ALL);
INSERT INTO fresh SELECT * FROM studies;
DROP TABLE studies CASCADE;
ALTER TABLE fresh RENAME TO studies
"""
EMPTIED = """
CREATE TABLE kept AS SELECT * FROM studies;
TRUNCATE studies CASCADE;
INSERT INTO studies SELECT * FROM kept
"""


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = open_postgres(url)
    insert(store, new_study())
    yield store
    store.close()


def execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as person:
        person.execute(statement)


def trials(url: str) -> int:
    with psycopg.connect(url) as person:
        row = person.execute("SELECT count(*) FROM trials").fetchone()
    assert row is not None
    return int(row[0])


def test_an_older_server_writes_nothing_to_a_newer_schema(url: str, store: Store) -> None:
    execute(url, "UPDATE wazir_schema SET version_num = 'v9000'")

    with pytest.raises(Unavailable, match=r"schema v9000 by a newer Wazir.*Install that version"):
        add(store, new_trial(1))

    assert trials(url) == 0
    assert "v9000" in store.lost
    with pytest.raises(Unavailable, match="v9000"):
        store.read(lambda view: view.study(NAME))


def test_a_schema_is_not_changed_within_a_group(url: str, store: Store) -> None:
    """`wazir db upgrade` has the lock alone: it waits for the groups in flight, and those that come are refused."""

    def try_to_lock(_: Transaction) -> bool:
        with psycopg.connect(url, autocommit=True) as upgrade:
            row = upgrade.execute("SELECT pg_try_advisory_lock(%s)", (WRITE_LOCK,)).fetchone()
        assert row is not None
        return bool(row[0])

    assert not store.write(try_to_lock)
    with psycopg.connect(url, autocommit=True) as upgrade:
        upgrade.execute("SELECT pg_advisory_lock(%s)", (WRITE_LOCK,))
        with pytest.raises(Unavailable, match="is being upgraded or restored"):
            add(store, new_trial(1))
        upgrade.execute("SELECT pg_advisory_unlock(%s)", (WRITE_LOCK,))
    add(store, new_trial(1))


@pytest.mark.parametrize("restore", [BY_WAZIR, MADE_ANEW, EMPTIED], ids=["by Wazir", "tables made anew", "emptied"])
def test_what_a_server_remembers_is_not_written_over_a_restored_backup(url: str, store: Store, restore: str) -> None:
    heard: list[News] = []
    store.exchange.listen(heard.append)
    store.write(lambda tx: tx.lock(NAME))
    execute(url, f"{restore}; UPDATE studies SET reason = 'as the backup had it'")

    with pytest.raises(Unavailable, match="restored from a backup"):
        add(store, new_trial(1))

    assert News(Topic.RESTORED) in heard
    assert store.write(lambda tx: tx.lock(NAME)).reason == "as the backup had it"
    assert not store.lost


def test_nothing_is_restored_while_a_server_is_connected(url: str, store: Store) -> None:
    with pytest.raises(FailedPrecondition, match=r"is in use: .*End all servers"), alone(url, leave_seconds=0.1):
        pass
    add(store, new_trial(1))
