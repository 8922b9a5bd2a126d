"""Like calls become one record; no call is lost, and what is kept stays small."""

from __future__ import annotations

from wazir.domain.audit import AuditRecord
from wazir.service.auditing.folding import Folding

from ..contract.audit import new_record


class World:
    def __init__(self, window: float = 60.0, capacity: int = 100) -> None:
        self.records: list[AuditRecord] = []
        self.folding = Folding(window, capacity, self.records.append)

    def call(self, key: str, now: float) -> None:
        if not self.folding.count(key, now):
            self.folding.begin(key, new_record(0, time=now, last_time=now, count=1, method=key))

    @property
    def told(self) -> list[tuple[str, int, float, float]]:
        return [(r.method, r.count, r.time, r.last_time) for r in self.records]


def test_the_first_is_told_at_once_and_the_rest_when_the_window_ends() -> None:
    world = World()
    for now in (100.0, 101.0, 130.0, 159.0):
        world.call("a", now)
    assert world.told == [("a", 1, 100.0, 100.0)]
    world.folding.turn(159.5)
    assert len(world.told) == 1
    world.folding.turn(160.0)
    assert world.told[1:] == [("a", 3, 101.0, 159.0)]


def test_calls_that_go_on_have_one_record_a_window_and_those_that_ended_are_forgotten() -> None:
    world = World()
    for now in (100.0, 110.0, 170.0, 180.0):
        world.folding.turn(now)
        world.call("a", now)
    world.folding.turn(230.0)
    assert world.told == [("a", 1, 100.0, 100.0), ("a", 1, 110.0, 110.0), ("a", 2, 170.0, 180.0)]
    world.folding.turn(290.0)
    assert "a" not in world.folding
    assert len(world.told) == 3


def test_beyond_its_capacity_the_oldest_is_told_early() -> None:
    world = World(capacity=2)
    for key in ("a", "a", "b", "c"):
        world.call(key, 100.0)
    assert [(key, count) for key, count, _, _ in world.told] == [("a", 1), ("b", 1), ("a", 1), ("c", 1)]


def test_the_end_tells_everything_and_ids_differ() -> None:
    world = World()
    for key in ("a", "b", "a", "b", "b"):
        world.call(key, 100.0)
    world.folding.close(101.0)
    assert [(key, count) for key, count, _, _ in world.told][2:] == [("a", 1), ("b", 2)]
    assert len({record.id for record in world.records[2:]}) == 2


def test_a_clock_that_is_set_back_ends_the_window() -> None:
    world = World()
    world.call("a", 1000.0)
    world.call("a", 1001.0)
    world.folding.turn(500.0)
    assert len(world.told) == 2
