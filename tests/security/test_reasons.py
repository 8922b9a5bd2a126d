"""A reason that no database can keep is refused in words, and not by a fault of the service."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wazir.clients.client import Client
from wazir.domain.errors import InvalidArgument

from .serving import SPEC, serving


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.stop_study("s", "a\0b"),
        lambda client: client.stop_trial("s/1", "a\0b"),
        lambda client: client.cancel_trial("s/1", "a\0b"),
    ],
    ids=["StopStudy", "StopTrial", "CancelTrial"],
)
def test_a_reason_with_a_nul_is_refused(call: Callable[[Client], object]) -> None:
    with serving() as served, Client(served.address, token=served.token(), retry_for=0) as client:
        client.create_study("s", SPEC)
        client.create_trial("s", {"x": 0.5})
        with pytest.raises(InvalidArgument, match="NUL") as refused:
            call(client)
        assert refused.value.field == "reason"
