"""Who may call: roles, and the record that is kept of a token."""

from __future__ import annotations

import enum
from dataclasses import dataclass

EVERY_OWNER = "*"
"""In place of an owner: the token is good for the studies of all of them."""


class Role(enum.Enum):
    """What a token is for. What each may do stands in one table, `service/security/authorize.py`."""

    VIEWER = "viewer"
    """Reads."""
    EDITOR = "editor"
    """Creates studies, changes them and runs their trials as well. For people, workers and controllers."""
    ADMIN = "admin"
    """Deletes as well."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is kept of a bearer token: never its secret, from whose `digest` nobody can find it."""

    id: str
    """The part of the token that is no secret; it names the token in lists, in logs and where it is revoked."""
    digest: str
    """SHA-256 of the whole token, hexadecimal."""
    owner: str
    """Whose studies it is good for; EVERY_OWNER for all."""
    role: Role
    label: str
    """For people: whose it is, where it is used."""
    create_time: float
    """Unix seconds, as all times here."""
    expire_time: float | None = None
    """None: never."""
    revoke_time: float | None = None
    """Set once it was revoked, for good."""

    def expired(self, now: float) -> bool:
        return self.expire_time is not None and now >= self.expire_time
