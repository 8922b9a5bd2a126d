"""Whether failures lie beyond a slanted wall."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest

from wazir.domain.slanted import beyond

Point = Mapping[str, Any]


def near_the_wall(rng: random.Random) -> Point:
    """As an algorithm tries points that has learned the wall `batch * width = 2 ** 16`: on both sides, close to it."""
    exponent = rng.uniform(4, 12)
    return {
        "batch": round(2**exponent),
        "width": round(2 ** (16 + rng.uniform(-0.7, 0.7) - exponent)),
        "opt": rng.choice(("adam", "sgd")),
        "momentum": None if rng.random() < 0.5 else rng.random(),
    }


def fails(point: Point) -> bool:
    return bool(point["batch"] * point["width"] > 2**16)


def split(points: list[Point]) -> tuple[list[Point], list[Point]]:
    return [p for p in points if fails(p)], [p for p in points if not fails(p)]


@pytest.mark.parametrize("seed", range(5))
def test_failures_close_to_a_slanted_wall_lie_beyond_it(seed: int) -> None:
    rng = random.Random(seed)
    failed, evaluated = split([near_the_wall(rng) for _ in range(50)])
    assert len(beyond(failed, evaluated)) > 0.7 * len(failed)


def test_failures_of_one_category_lie_beyond_it() -> None:
    rng = random.Random(1)
    points = [near_the_wall(rng) for _ in range(40)]
    failed = [p for p in points if p["opt"] == "sgd"]
    assert beyond(failed, [p for p in points if p["opt"] == "adam"]) == frozenset(range(len(failed)))


def test_failures_by_chance_seldom_lie_beyond_anything() -> None:
    found = 0
    for seed in range(100):
        rng = random.Random(seed)
        points = [near_the_wall(rng) for _ in range(40)]
        found += bool(beyond(points[:11], points[11:]))
    assert found <= 10, "of 100 deals five are expected"


def test_a_few_points_say_nothing() -> None:
    rng = random.Random(2)
    failed, evaluated = split([near_the_wall(rng) for _ in range(12)])
    assert not beyond(failed, evaluated)
    assert not beyond([{"x": 0.9 + i / 100} for i in range(5)], [{"x": i / 100} for i in range(20)])
    assert not beyond(failed, [])
    assert not beyond([], evaluated)
    assert not beyond([{}] * 20, [{}] * 20)


def test_the_same_points_give_the_same_answer() -> None:
    rng = random.Random(3)
    failed, evaluated = split([near_the_wall(rng) for _ in range(50)])
    assert beyond(failed, evaluated) == beyond(failed, evaluated)
