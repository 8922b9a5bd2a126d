"""How long to wait before trying again."""

from __future__ import annotations

import random
from collections.abc import Iterator

FIRST = 0.05
LONGEST = 2.0


def pauses() -> Iterator[float]:
    """Seconds to wait before each further try, without end: from FIRST they double up to LONGEST. Each is drawn from
    the upper half of its range, so that many callers spread."""
    pause = FIRST
    while True:
        yield pause * random.uniform(0.5, 1.0)
        pause = min(2 * pause, LONGEST)
