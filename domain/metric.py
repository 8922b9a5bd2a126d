"""What a study optimises and what it must keep to."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass

from .errors import InvalidArgument

MAX_NAME_LENGTH = 256

Metrics = Mapping[str, float]
"""Values by metric name. They may be infinite or NaN: what a training reported is kept as it is."""


class Goal(enum.Enum):
    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


class Pick(enum.Enum):
    """Which of its reports is a trial's value, where the trial does not end with one: its last, or its best."""

    LAST = "last"
    BEST = "best"


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric with a direction. A study ends once a trial reaches `target`."""

    metric: str
    goal: Goal
    target: float | None = None
    pick: Pick = Pick.LAST

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is strictly better than `b`. NaN is better than nothing and worse than all."""
        if math.isnan(a):
            return False
        return math.isnan(b) or (a < b if self.goal is Goal.MINIMIZE else a > b)

    def reached(self, value: float) -> bool:
        return self.target is not None and (value == self.target or self.better(value, self.target))

    def loss(self, value: float) -> float:
        """`value` turned so that less is better."""
        return value if self.goal is Goal.MINIMIZE else -value


@dataclass(frozen=True, slots=True)
class SafetyMetric:
    """A metric that must stay at or above `at_least`, or at or below `at_most`; a trial outside is no best trial."""

    metric: str
    at_least: float | None = None
    at_most: float | None = None

    def safe(self, value: float) -> bool:
        if math.isnan(value):
            return False
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)


def check_metric_name(where: str, name: object) -> None:
    if not isinstance(name, str) or not 1 <= len(name) <= MAX_NAME_LENGTH or not name.isprintable():
        raise InvalidArgument(where, name, f"a metric's name has 1 to {MAX_NAME_LENGTH} printable characters")


def dominates(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    """Whether losses `a` are nowhere worse than losses `b` and somewhere better (Pareto dominance)."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b
