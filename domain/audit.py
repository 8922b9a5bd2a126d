"""Who did what: the record that is kept of each call that changes something, and of each that was denied."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from .names import StudyName


class Outcome(enum.Enum):
    DONE = "done"
    DENIED = "denied"
    """The caller is not known, or has not the right."""
    REFUSED = "refused"
    """The caller has the right, and what was asked for is not possible: a bad value, a wrong state, a limit."""
    FAILED = "failed"
    """By a fault that is not the caller's. It may have been done all the same, for instance if the database broke off
    during the commit."""


@dataclass(slots=True, kw_only=True)
class AuditRecord:
    """One call; or several alike, one after the other, which differ in their times only.

    Nobody changes one. It is not frozen, because every call that runs a trial makes one, and a frozen one takes four
    times as long to make.
    """

    id: str
    """Later records have greater ids, as far as the clocks of the servers agree."""
    time: float
    """Of the (first) call, Unix seconds."""
    last_time: float
    count: int = 1
    caller: str
    """`token:{id}`, `attempt:{study uid}/{trial}/{attempt}`, `local:{user id}` over a Unix socket or on the database
    itself, `certificate:{name}`, `anonymous` where the service asks for nothing, `stranger` where it was shown nothing
    that it knows."""
    caller_owner: str
    """Whose studies the caller may touch; EVERY_OWNER for all, empty for a stranger."""
    role: str
    """A role's value, or `attempt`; empty for a stranger."""
    address: str
    """The host that the call came from, `unix` for a Unix socket; `machine:{host name}` for a command that worked on
    the database itself."""
    method: str
    owner: str
    """To whom belongs what the call was about; EVERY_OWNER if that is all of the database, empty if it is not known."""
    name: str
    """What the call was about: owners/..., tokens/{id} or `database`; empty if it is not known."""
    outcome: Outcome
    reason: str = ""
    """An error's `reason`; empty for what was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Records that meet all of it; an empty part asks nothing."""

    owner: str = ""
    study: StudyName | None = None
    """About that study or one of its trials."""
    caller: str = ""
    method: str = ""
    outcomes: frozenset[Outcome] = frozenset()
    since: float | None = None
    """Kept at or after, Unix seconds."""


def id_at(time: float) -> str:
    """Ids of records that were made at `time` or later are not less. With a random part behind it, it is an id."""
    return f"{max(0, round(time * 1e6)):014x}"
