"""Leases and budgets go on whatever happens, and what is wrong with one study is no concern of the others."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from wazir.domain.attempt import Attempt, AttemptState, Cause
from wazir.domain.errors import Unavailable
from wazir.domain.names import StudyName
from wazir.domain.study import Budget, EndReason
from wazir.domain.trial import Trial, TrialState
from wazir.service import studies
from wazir.service.feed import Change, Feed
from wazir.service.leases import LeaseKeeper
from wazir.service.presence import INTERVAL, Presence
from wazir.service.service import Service
from wazir.service.settings import ServiceSettings
from wazir.service.study_tasks import StudyTasks
from wazir.service.trouble import Trouble
from wazir.service.unit import Lease
from wazir.storage.limits import Limits
from wazir.storage.postgres import open_postgres

from ..postgres import Postgres
from ..waiting import until
from .conftest import NAME, Clock, Scenario, World

OTHER = StudyName("default", "t")
SETTINGS = ServiceSettings(duty_interval=0.05)
Play = Callable[..., None]


async def lost(w: World, trial: Trial) -> bool:
    return (await w.service.trial(trial.name)).attempts[0].cause is Cause.LEASE_LOST


# Against a database that somebody tampers with


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    url = postgres.ready()
    yield url
    postgres.drop(url)


def serve(url: str, scenario: Scenario) -> None:
    store, clock = open_postgres(url, limits=Limits(lock=1.0)), Clock()

    async def main() -> None:
        service = Service(store, SETTINGS, clock)
        await service.start()
        try:
            await scenario(World(service, clock, store))
        finally:
            await service.close()

    try:
        asyncio.run(main())
    finally:
        store.close()


@contextmanager
def locked(url: str, study: str) -> Iterator[None]:
    """While a session that is not ours holds the study's row."""
    with psycopg.connect(url) as session:
        session.execute("SELECT 1 FROM studies WHERE id = %s FOR UPDATE", (study,))
        yield


def tamper(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        for statement in statements:
            session.execute(statement)


def test_the_duties_survive_a_table_that_is_missing_for_a_while(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(w: World) -> None:
        await w.create()
        trial = await w.one(lease=Lease(0.5))
        tamper(database, "ALTER TABLE trials RENAME TO away")
        await until(lambda: _said(caplog))
        tamper(database, "ALTER TABLE away RENAME TO trials")
        await until(lambda: lost(w, trial))

    serve(database, scenario)
    said = [r.getMessage() for r in caplog.records if r.name.startswith("wazir.service")]
    for what in ("background duties", "ending silent attempts of s"):
        about = [text for text in said if text.startswith(what)]
        # Whichever of them met it says once that it fails, and once that it is over.
        assert len(about) in (0, 2), said
        assert all("back after" in text for text in about[1:])


async def _said(caplog: pytest.LogCaptureFixture) -> bool:
    actions = {getattr(record, "action", "") for record in caplog.records}
    return bool(actions & {"duties_failed", "expiry_failed"})


def test_a_study_whose_row_is_locked_holds_up_no_other(database: str) -> None:
    async def scenario(w: World) -> None:
        await w.create(NAME, budget=Budget(duration=100.0))
        await w.create(OTHER, budget=Budget(duration=200.0))
        held = await w.one(name=NAME, lease=Lease(0.3))
        free = await w.one(name=OTHER, lease=Lease(0.3))
        with locked(database, NAME.study):
            await until(lambda: lost(w, free))
            assert not await lost(w, held)
            w.clock.now += 200.0

            async def over() -> bool:
                return (await w.study(OTHER)).ending is EndReason.DURATION

            await until(over)
        await until(lambda: lost(w, held))

    serve(database, scenario)


def test_a_study_that_cannot_be_read_holds_up_no_other(database: str, caplog: pytest.LogCaptureFixture) -> None:
    async def before(w: World) -> None:
        for name in (NAME, OTHER):
            await w.create(name, budget=Budget(duration=100.0))
            await w.one(name=name, lease=Lease(0.3))

    async def after(w: World) -> None:
        trial = await w.service.trial(OTHER.trial(1))
        await until(lambda: lost(w, trial))
        w.clock.now += 100.0

        async def over() -> bool:
            return (await w.study(OTHER)).ending is EndReason.DURATION

        await until(over)

    serve(database, before)
    tamper(database, f"UPDATE studies SET spec = '{{', revision = revision + 1 WHERE id = '{NAME.study}'")
    serve(database, after)
    (said,) = (r.getMessage() for r in caplog.records if getattr(r, "action", "") == "study_unreadable")
    assert said.startswith("the study s cannot be read")


# On every store


def test_a_study_that_was_deleted_unheard_holds_up_no_other_budget(play: Play) -> None:
    async def scenario(w: World) -> None:
        await w.create(NAME, budget=Budget(duration=100.0))
        await w.create(OTHER, budget=Budget(duration=200.0))
        w.store.write(lambda tx: studies.delete(tx, NAME, True))
        w.clock.now += 200.0

        async def over() -> bool:
            return (await w.study(OTHER)).ending is EndReason.DURATION

        await until(over)
        assert NAME not in w.service.open_studies

    play(scenario, SETTINGS)


def test_a_listener_that_fails_keeps_a_change_from_nobody(caplog: pytest.LogCaptureFixture, play: Play) -> None:
    async def scenario(w: World) -> None:
        heard: list[Change] = []

        def broken(change: Change) -> None:
            raise RuntimeError("a defect")

        w.service.feed.listen(broken)
        w.service.feed.listen(heard.append)
        study = await w.create()
        assert [change.study for change in heard] == [study]

    play(scenario, SETTINGS)
    assert "change_not_heard" in {getattr(r, "action", "") for r in caplog.records}


# Errands


def test_tasks_of_other_studies_go_on_while_one_waits_or_fails() -> None:
    async def main() -> None:
        never, done = asyncio.Event(), asyncio.Event()
        tasks = StudyTasks("looking at", "looked", most=2)

        async def failing() -> None:
            raise ValueError("broken")

        async def other() -> None:
            done.set()

        tasks.send(NAME, never.wait)
        for number in range(5):
            tasks.send(StudyName("default", f"f{number}"), failing)
        tasks.send(OTHER, other)
        await asyncio.wait_for(done.wait(), 30.0)
        await tasks.close()

    asyncio.run(main())


def test_a_task_that_failed_is_not_repeated_at_once_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> int:
        tasks, times = StudyTasks("looking at", "looked", most=2), 0

        async def failing() -> None:
            nonlocal times
            times += 1
            raise ValueError("broken")

        for _ in range(20):
            tasks.send(NAME, failing)
            await asyncio.sleep(0)
        return times

    assert asyncio.run(main()) == 1
    (said,) = caplog.records
    assert (said.levelno, said.exc_info is not None) == (logging.ERROR, True)
    assert said.getMessage() == "looking at s failed, and will be tried again: ValueError: broken"


def test_trouble_is_said_once_for_each_kind_of_error_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    trouble = Trouble(logging.getLogger("test"), "reading", {}, clock)
    trouble.over()
    for error in (Unavailable("gone"), Unavailable("still gone"), KeyError("x"), KeyError("y")):
        trouble.met(error)
        clock.now += 1.0
    trouble.over()
    assert [(r.levelno, r.getMessage(), bool(r.exc_info)) for r in caplog.records] == [
        (logging.WARNING, "reading failed, and will be tried again: gone", False),
        (logging.ERROR, "reading failed, and will be tried again: KeyError: 'x'", True),
        (logging.WARNING, "reading: back after 4.0 s (failed 4 times)", False),
    ]


# Who was away


class Two:
    """A monotonic clock and one that goes on while the machine sleeps."""

    def __init__(self) -> None:
        self.monotonic = self.boottime = 100.0

    def presence(self) -> Presence:
        return Presence((lambda: self.monotonic, lambda: self.boottime))


def is_here(presence: Presence) -> bool:
    return presence.here


@pytest.mark.parametrize("slept", [False, True], ids=["stopped", "machine asleep"])
def test_who_was_away_says_so_and_is_not_taken_to_be_here_before_the_sockets_are_read(slept: bool) -> None:
    clocks, absences = Two(), list[float]()
    presence = clocks.presence()
    presence.tell(absences.append)
    for _ in range(3):
        clocks.monotonic += INTERVAL
        clocks.boottime += INTERVAL
        presence.look()
    assert is_here(presence)
    assert absences == []

    clocks.boottime += 30.0
    clocks.monotonic += 0.0 if slept else 30.0
    if not slept:
        assert not is_here(presence), "nobody has looked since"
    presence.look()
    assert absences == [pytest.approx(30.0 - INTERVAL)]
    assert not is_here(presence)
    for _ in range(3):
        clocks.monotonic += INTERVAL
        clocks.boottime += INTERVAL
        presence.look()
    assert is_here(presence)
    assert len(absences) == 1


def test_who_is_always_late_is_here_all_the_same() -> None:
    clocks, absences = Two(), list[float]()
    presence = clocks.presence()
    presence.tell(absences.append)
    for _ in range(5):
        clocks.monotonic += INTERVAL + 0.75
        clocks.boottime += INTERVAL + 0.75
        presence.look()
        assert is_here(presence)
    assert absences == [pytest.approx(0.75)] * 5


def _held(clock: Clock, lease: float) -> tuple[LeaseKeeper, Trial]:
    attempt = Attempt(1, AttemptState.RUNNING, 0.0, lease_seconds=lease)
    trial = Trial(NAME.trial(1), TrialState.ACTIVE, {}, 0.0, attempts=(attempt,))
    keeper = LeaseKeeper(Feed(), clock)
    keeper.watch("uid", trial)
    return keeper, trial


def test_a_long_absence_begins_a_lease_anew() -> None:
    clock = Clock()
    keeper, _ = _held(clock, 10.0)
    clock.now += 9.0 + 30.0
    keeper.skip(30.0)
    assert keeper.overdue() == []
    clock.now += 9.9
    assert keeper.overdue() == []
    clock.now += 0.2
    assert len(keeper.overdue()) == 1


def test_short_absences_are_not_counted_and_do_not_keep_the_dead_alive() -> None:
    """A server that is held up again and again would otherwise never end anything."""
    clock = Clock()
    keeper, _ = _held(clock, 60.0)
    for _ in range(59):
        clock.now += 2.0
        keeper.skip(1.0)
    assert keeper.overdue() == []
    clock.now += 2.0
    keeper.skip(1.0)
    clock.now += 0.1
    assert len(keeper.overdue()) == 1


def test_what_a_silent_server_may_have_heard_is_waited_for() -> None:
    clock = Clock()
    keeper, trial = _held(clock, 10.0)
    words = {"other": clock.now + 5.0, "third": clock.now + 60.0}

    def last_word(server: str | None) -> float:
        return min(words.values()) if server is None else words.get(server, math.inf)

    clock.now += 11.0
    assert keeper.overdue(last_word) == [], "nobody knows who may have heard it, and one has been silent since"
    keeper.beat("uid", trial.name, 1, "other")
    words["other"] = clock.now
    clock.now += 30.0
    assert not keeper.is_overdue("uid", trial.name, 1, last_word), "nothing is heard of that server"
    keeper.skip(30.0, heard_by="third")
    words["other"] = clock.now
    assert keeper.is_overdue("uid", trial.name, 1, last_word)
    keeper.skip(30.0, heard_by="other")
    assert keeper.overdue(last_word) == [], "it is back, and a whole lease is waited for"
    clock.now += 10.1
    words["other"] = clock.now
    assert len(keeper.overdue(last_word)) == 1
    keeper.beat("uid", trial.name, 1)
    clock.now += 10.1
    assert len(keeper.overdue(last_word)) == 1, "this server hears it itself since"
