"""How long a client waits before it makes a call again."""

from __future__ import annotations

import pytest

from wazir.clients.endpoint import wait_after
from wazir.domain.errors import NotFound, RateLimited, Unavailable, WazirError


@pytest.mark.parametrize(
    ("error", "pause", "rest", "wait", "why"),
    [
        (Unavailable("away"), 0.1, 30.0, 0.1, "its own pause, if the service names none"),
        (Unavailable("away", retry_after=2.0), 0.1, 30.0, 2.0, "no sooner than the service says"),
        (Unavailable("away", retry_after=0.1), 4.0, 30.0, 4.0, "no sooner than its own pause"),
        (Unavailable("away", retry_after=5.0), 0.1, 3.0, 3.0, "a last time when its patience ends"),
        (RateLimited("slow down", 2.0), 0.1, 30.0, 2.0, "no sooner than the service says"),
        (RateLimited("slow down", 5.0), 0.1, 3.0, None, "sooner than told would be refused again"),
        (Unavailable("away"), 0.1, 0.0, None, "its patience has ended"),
        (NotFound("s"), 0.1, 30.0, None, "waiting would not help"),
    ],
)
def test_the_wait_before_the_next_try(
    error: WazirError, pause: float, rest: float, wait: float | None, why: str
) -> None:
    assert wait_after(error, pause, rest) == wait, why
