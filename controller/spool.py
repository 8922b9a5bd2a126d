"""Reports that training code could not deliver, one JSON object a line:

    {"step": 12, "metrics": {"val/loss": 0.31}, "time": 1753000000.25}
    {"infeasible": "the loss is not a number"}

A line that was cut off by a sudden end, or that somebody else wrote, is left out and counted.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

from ..domain.errors import InvalidArgument
from ..domain.metric import check_metric_name
from ..domain.totals import MAX_METRICS
from ..domain.trial import Measurement

MAX_LINE = 4 * 1024 * 1024
"""Bytes of one report."""
MAX_REASON = 4_000
"""Characters of what is said of infeasible parameters."""


@dataclass(frozen=True, slots=True)
class Spooled:
    """What a spool holds, in order. `rejected` counts the lines that say nothing."""

    measurements: tuple[Measurement, ...] = ()
    infeasible: str = ""
    rejected: int = 0


def parse(data: bytes) -> Spooled:
    """What the lines of a spool say."""
    measurements: list[Measurement] = []
    infeasible = ""
    rejected = 0
    for line in data.split(b"\n"):
        if not line.strip():
            continue
        try:
            item = json.loads(line) if len(line) <= MAX_LINE else None
            if isinstance(item, dict) and isinstance(item.get("infeasible"), str):
                infeasible = item["infeasible"][:MAX_REASON]
            else:
                measurements.append(_measurement(item))
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError, InvalidArgument):
            rejected += 1
    return Spooled(tuple(measurements), infeasible, rejected)


def _measurement(item: Any) -> Measurement:
    step, metrics, time = item["step"], item["metrics"], item["time"]
    if isinstance(step, bool) or not isinstance(step, int) or not 0 <= step < 2**63:
        raise ValueError("no step")
    if not isinstance(metrics, dict) or not 1 <= len(metrics) <= MAX_METRICS:
        raise ValueError("no metrics, or too many")
    if isinstance(time, bool) or not isinstance(time, int | float) or not math.isfinite(time):
        raise ValueError("no time")
    for name, value in metrics.items():
        check_metric_name("metrics", name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("no number")
    return Measurement(step, {name: float(value) for name, value in metrics.items()}, float(time))
