"""How long audit records are kept, and how they are gathered."""

from __future__ import annotations

from dataclasses import dataclass

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Times in seconds."""

    keep: float = 90 * DAY
    """Older records are dropped. A quarter of a year: as long as it takes to be asked what happened."""

    keep_at_most: int = 1_000_000
    """And those beyond so many: about 250 MB."""

    interval: float = 0.5
    """Between two batches: what a crash may take from the table, of records that do not go with their change."""

    reports: float = 3_600.0
    """Like heartbeats, reports and metadata of one training within that time are one record after the first."""

    refusals: float = 60.0
    """The same for like calls that were denied or refused, or failed."""

    kinds: int = 100
    """Different calls of one caller that are told apart among those that were not done, within `refusals`. Calls beyond
    them are one record, without a name. The same for the addresses of strangers."""

    waiting: int = 50_000
    """Records that may wait for a store that is away, in memory."""

    patience: float = 5.0
    """For the last records, when the server ends and the store does not answer."""

    tidy_interval: float = 600.0
    """Between two looks for records that are not to be kept any longer."""
