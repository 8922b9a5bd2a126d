"""A started service on every kind of store, and the few words that tests about it share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from wazir.domain.attempt import Cause
from wazir.domain.metric import Goal, Objective
from wazir.domain.names import StudyName
from wazir.domain.space import Categorical, Double, Parameter, Space
from wazir.domain.study import Algorithm, Study, StudySpec
from wazir.domain.trial import Trial
from wazir.service.attempts import End
from wazir.service.handing_out import Ask, Asked
from wazir.service.requests import Request
from wazir.service.service import Service
from wazir.service.settings import ServiceSettings
from wazir.service.unit import Lease
from wazir.storage.memory import MemoryStore
from wazir.storage.postgres import open_postgres
from wazir.storage.sqlite import open_sqlite
from wazir.storage.store import Store

NAME = StudyName("default", "s")
SPACE = Space((Parameter("x", Double(0.0, 1.0)), Parameter("kind", Categorical(("a", "b")))))
Scenario = Callable[["World"], Awaitable[None]]


class Clock:
    """Unix seconds that move only when told to."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.25

    def __call__(self) -> float:
        return self.now


class World:
    """A service with a study in it, and short names for what tests do all the time."""

    def __init__(self, service: Service, clock: Clock, store: Store) -> None:
        self.service = service
        self.clock = clock
        self.store = store

    async def create(self, name: StudyName = NAME, **changes: object) -> Study:
        settings: dict[str, object] = {
            "objectives": (Objective("loss", Goal.MINIMIZE),),
            "space": SPACE,
            "algorithm": Algorithm("random", seed=1),
        }
        spec = StudySpec(**{**settings, **changes})  # type: ignore[arg-type]
        return await self.service.create_study(name, spec, {}, Request(name.owner, "CreateStudy"))

    async def ask(
        self,
        count: int = 1,
        *,
        name: StudyName = NAME,
        client: str = "w",
        start: bool = True,
        reattach: bool = False,
        request_id: str = "",
        payload: str = "",
        lease: Lease | None = None,
        leased: bool = True,
        deadline: float = 30.0,
        fallback: bool = True,
    ) -> Asked:
        request = Request(name.owner, "SuggestTrials", request_id, payload)
        ask = Ask(name, count, client, start, reattach, lease or Lease(60.0, leased), request, fallback)
        return await self.service.suggest(ask, deadline)

    async def one(self, **how: object) -> Trial:
        (trial,) = (await self.ask(1, **how)).trials  # type: ignore[arg-type]
        return trial

    async def end(self, trial: Trial, value: float | None = None, cause: Cause = Cause.SUCCEEDED) -> Trial:
        final = {} if value is None else {"loss": value}
        return await self.service.end_attempt(trial.name, len(trial.attempts), End(cause, final))

    async def study(self, name: StudyName = NAME) -> Study:
        return await self.service.study(name)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Scenario], None]:
    """Runs a scenario against a service of its own."""

    def open_it() -> Store:
        match request.param:
            case "memory":
                return MemoryStore()
            case "sqlite":
                return open_sqlite(tmp_path / "wazir.db")
        return open_postgres(request.getfixturevalue("postgres").ready())

    def run(scenario: Scenario, settings: ServiceSettings | None = None) -> None:
        store = open_it()
        clock = Clock()

        async def main() -> None:
            service = Service(store, settings, clock)
            await service.start()
            try:
                await scenario(World(service, clock, store))
            finally:
                await service.close()

        try:
            asyncio.run(main())
        finally:
            store.close()

    return run
