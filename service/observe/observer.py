"""Who wants to know what happens in a service, told as it happens."""

from __future__ import annotations

from typing import Protocol


class Observer(Protocol):
    """Must be quick, and must not raise."""

    def suggested(self, algorithm: str, seconds: float) -> None:
        """A round of new points was computed."""

    def stood_in(self, algorithm: str, cause: str, points: int) -> None:
        """So many trials got points that did not come from their study's algorithm; `cause` as in `Round`."""

    def lease_lost(self) -> None:
        """An attempt was ended for its holder's silence."""
