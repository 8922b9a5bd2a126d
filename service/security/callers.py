"""Who calls."""

from __future__ import annotations

from dataclasses import dataclass

from ...domain.access import EVERY_OWNER, Role
from ...domain.names import TrialName


@dataclass(frozen=True, slots=True)
class OwnAttempt:
    """The one attempt that a caller may speak for."""

    study_uid: str
    trial: TrialName
    number: int


@dataclass(frozen=True, slots=True)
class Caller:
    id: str
    """For logs and limits; no secret."""
    owner: str
    """Whose studies it may touch; EVERY_OWNER for all."""
    role: Role
    attempt: OwnAttempt | None = None
    """Where this is set the caller is a trial's own code, and owner and role say nothing."""
    limited: bool = True
    """Whether the limits apply."""
    revocable: bool = True
    """Whether it may be called off while a stream of its goes on."""


LOCAL = Caller("local", EVERY_OWNER, Role.ADMIN, limited=False, revocable=False)
"""Over a Unix socket: the permissions of its file have let nobody in but the user that the service runs as."""


ANONYMOUS = "host:"
"""What the ids of callers begin with of whom nothing but the host is known."""


def anonymous(host: str, certificate: str = "") -> Caller:
    """A caller of a service that asks for no token: known by its certificate, or only by the host it calls from."""
    known = f"certificate:{certificate}" if certificate else f"{ANONYMOUS}{host}"
    return Caller(known, EVERY_OWNER, Role.ADMIN, revocable=False)
