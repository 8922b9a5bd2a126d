"""The store in memory keeps every promise but durability."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from wazir.storage.memory import MemoryStore
from wazir.storage.store import Store

from ..contract.store import StoreContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Iterator[Store]:
        store = MemoryStore()
        yield store
        store.close()
