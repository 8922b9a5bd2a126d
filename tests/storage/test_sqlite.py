"""The store on SQLite keeps every promise."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Store

from ..contract.store import StoreContract


class TestSqliteStore(StoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        store = open_sqlite(tmp_path / "wazir.db")
        yield store
        store.close()
