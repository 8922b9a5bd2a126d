"""Owners get the same computing time, whatever they ask for and however many studies they have."""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from wazir.service.compute.pool import Pool, Ticket
from wazir.service.compute.shares import Shares
from wazir.service.fair import FairTurns


def turns(shares: Shares, seconds: dict[str, float], number: int) -> list[str]:
    """Who computes, one after the other, where all of these always wait."""
    served = []
    for _ in range(number):
        owner = min(seconds, key=shares.rank)
        shares.begin(owner)
        shares.end(owner, seconds[owner])
        served.append(owner)
    return served


def test_owners_take_turns() -> None:
    assert turns(Shares(), {"a": 1.0, "b": 1.0}, 6) == ["a", "b", "a", "b", "a", "b"]


def test_whoever_computes_for_longer_comes_less_often() -> None:
    assert Counter(turns(Shares(), {"slow": 9.0, "quick": 1.0}, 100)) == {"slow": 10, "quick": 90}


def test_whoever_was_away_has_saved_nothing_up() -> None:
    shares = Shares()
    turns(shares, {"a": 1.0}, 1_000)
    assert Counter(turns(shares, {"a": 1.0, "late": 1.0}, 10)) == {"a": 5, "late": 5}


def test_whoever_holds_a_worker_comes_after_those_who_hold_none() -> None:
    shares = Shares()
    turns(shares, {"b": 100.0}, 1)
    shares.begin("a")
    assert shares.rank("b") < shares.rank("a")


@given(st.lists(st.floats(0.01, 100.0), min_size=2, max_size=5))
def test_nobody_is_more_than_a_turn_ahead(seconds: list[float]) -> None:
    costs = {str(i): cost for i, cost in enumerate(seconds)}
    had = dict.fromkeys(costs, 0.0)
    for owner in turns(Shares(), costs, 200):
        had[owner] += costs[owner]
    assert max(had.values()) - min(had.values()) <= 2 * max(seconds) + 1e-6


def test_an_owner_with_many_studies_does_not_keep_another_waiting() -> None:
    """A hundred of its studies wait already, with earlier deadlines; the other's only one is second."""

    async def scenario() -> list[str]:
        pool = Pool(1)
        order: list[str] = []

        async def compute(owner: str, study: int, deadline: float) -> None:
            async with pool.seat(Ticket(f"{owner}{study}", deadline, owner)):
                order.append(owner)
                await asyncio.sleep(0.001)

        tasks = [asyncio.create_task(compute("large", n, float(n))) for n in range(100)]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(compute("small", 0, 1_000.0)))
        await asyncio.gather(*tasks)
        await pool.close()
        return order

    order = asyncio.run(scenario())
    assert order.index("small") == 1
    assert len(order) == 101


def test_a_lock_goes_round_the_owners_and_survives_those_who_give_up() -> None:
    async def scenario() -> list[str]:
        turns, order = FairTurns(), list[str]()

        async def work(owner: str) -> None:
            async with turns.turn(owner):
                order.append(owner)
                await asyncio.sleep(0.001)

        tasks = [asyncio.create_task(work("large")) for _ in range(20)]
        await asyncio.sleep(0)
        tasks.append(asyncio.create_task(work("small")))
        await asyncio.sleep(0)
        for given_up in tasks[5:10]:
            given_up.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        async with asyncio.timeout(30):
            await work("after all")
        return order

    order = asyncio.run(scenario())
    assert order.index("small") == 1
    assert Counter(order) == {"large": 15, "small": 1, "after all": 1}
