"""A watch of an owner's studies reads what has changed, however many studies there are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from wazir.domain.names import StudyName
from wazir.domain.study import Study
from wazir.service import watching
from wazir.storage.store import Store, Transaction, View

from .conftest import NAME, Scenario, World

Play = Callable[[Scenario], None]
OTHERS = [StudyName("default", f"other-{number}") for number in range(20)]


@pytest.fixture
def read_names(monkeypatch: pytest.MonkeyPatch) -> list[StudyName]:
    """The studies that watches have read one by one."""
    found: list[StudyName] = []
    read = watching._named

    def named(view: View, names: list[StudyName]) -> object:
        found.extend(names)
        return read(view, names)

    monkeypatch.setattr(watching, "_named", named)
    return found


def write_unheard(store: Store, study: Study) -> None:
    """As a server does of which nothing is heard."""

    def work(tx: Transaction) -> None:
        locked = tx.lock(study.name)
        tx.update_study(replace(locked, revision=locked.revision + 1, reason="changed unheard"))

    store.write(work)


def test_only_studies_that_changed_are_read(play: Play, read_names: list[StudyName]) -> None:
    async def scenario(w: World) -> None:
        for name in (NAME, *OTHERS):
            await w.create(name)
        watch = w.service.watch_studies("default")
        first, _ = await anext(watch)
        assert len(first) == 21
        await w.one()
        changed, gone = await anext(watch)
        assert ([s.name for s in changed], gone) == ([NAME], [])
        assert set(read_names) == {NAME}
        await w.service.delete_study(OTHERS[3], force=True)
        assert await anext(watch) == ([], [OTHERS[3]])

    play(scenario)


def test_what_was_not_heard_of_is_found_by_comparing(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "QUIET", 0.05)

    async def scenario(w: World) -> None:
        study = await w.create()
        watch = w.service.watch_studies("default")
        await anext(watch)
        await asyncio.to_thread(write_unheard, w.store, study)
        changed, _ = await anext(watch)
        assert [s.reason for s in changed] == ["changed unheard"]
        await asyncio.to_thread(w.store.write, lambda tx: tx.delete_study(tx.lock(NAME)))
        assert await anext(watch) == ([], [NAME])

    play(scenario)
