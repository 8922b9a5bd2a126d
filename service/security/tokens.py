"""Bearer tokens: how they are made, and whose a token is.

    wzr_{id}_{secret}     id: 10 letters and digits, to name it by;  secret: 256 random bits, hexadecimal

Kept is the SHA-256 of the whole token. A plain digest is enough here, and salt and a slow function would protect
nothing: they are for secrets that people choose, which can be guessed; nobody guesses 256 random bits. It also keeps
the check at a microsecond, for every call.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from ...domain.access import EVERY_OWNER, Role, Token
from ...domain.errors import InvalidArgument, NotFound, Unauthenticated
from ...domain.names import check_id
from ...storage.store import Transaction
from ..reads import Reads
from .callers import Caller
from .recent import Recent

PREFIX = "wzr_"
MAX_LABEL = 200
_ID_LETTERS = string.ascii_lowercase + string.digits
_ID_LENGTH = 10
_LENGTH = len(PREFIX) + _ID_LENGTH + 1 + 64
_KEPT = 10_000
"""Tokens in memory."""


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make(owner: str, role: Role, label: str, now: float, expires_in: float | None = None) -> tuple[Token, str]:
    """A new token, and its text, which is told once and kept nowhere.

    `owner` may be EVERY_OWNER. `expires_in`: seconds from `now` (Unix seconds). Raises InvalidArgument.
    """
    if owner != EVERY_OWNER:
        check_id("owner", owner)
    if len(label) > MAX_LABEL or not label.isprintable():
        raise InvalidArgument("label", label, f"must be at most {MAX_LABEL} printable characters")
    if expires_in is not None and not 0 < expires_in < 1e10:
        raise InvalidArgument("expires", expires_in, "must be a time to come, within 300 years")
    token_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
    text = f"{PREFIX}{token_id}_{secrets.token_hex(32)}"
    expire_time = None if expires_in is None else now + expires_in
    return Token(token_id, digest(text), owner, role, label, now, expire_time), text


def revoke(tx: Transaction, token_id: str, now: float) -> Token:
    """Raises NotFound. Harmless to repeat: the first time stands."""
    token = tx.token(token_id)
    if token is None:
        raise NotFound(f"token {token_id}", "`wazir token list` shows those there are")
    if token.revoke_time is None:
        token = replace(token, revoke_time=now)
        tx.update_token(token)
    return token


@dataclass(frozen=True, slots=True)
class _Known:
    token: Token
    caller: Caller


class Tokens:
    """Finds out whose a token is. What it knows of one is at most `max_age` seconds old, which is how long a revoked
    one goes on working, on every server of the database. For one event loop."""

    def __init__(self, reads: Reads, max_age: float, clock: Callable[[], float]) -> None:
        self._reads = reads
        self._clock = clock
        self._known: Recent[str, _Known | None] = Recent(self._read, max_age, _KEPT)

    def knows(self, text: str) -> bool:
        """Whether the token was good when it was last looked at."""
        known = self._known.last(text[len(PREFIX) : len(PREFIX) + _ID_LENGTH])
        return (
            known is not None
            and hmac.compare_digest(known.token.digest, digest(text))
            and known.token.revoke_time is None
        )

    async def caller(self, text: str, stranger: Callable[[], None] = lambda: None) -> Caller:
        """`stranger` is called before a token is looked up that is not known to be good, and may refuse that.

        Raises Unauthenticated, in words that repeat nothing of the token. Only who has the whole token hears that it
        has expired or was revoked."""
        known = None
        if len(text) == _LENGTH and text.startswith(PREFIX) and text.isascii():
            token_id = text[len(PREFIX) : len(PREFIX) + _ID_LENGTH]
            if self._known.last(token_id) is None:
                stranger()
            known = await self._known.get(token_id)
        if known is None or not hmac.compare_digest(known.token.digest, digest(text)):
            raise Unauthenticated(
                "the token is not one of this service. `wazir token create` with its database makes one"
            )
        token = known.token
        if token.revoke_time is not None:
            raise Unauthenticated(
                f"token {token.id} was revoked at {when(token.revoke_time)}; ask for another",
                details=_told(token),
            )
        if token.expired(self._clock()):
            assert token.expire_time is not None
            raise Unauthenticated(
                f"token {token.id} expired at {when(token.expire_time)}; ask for another", details=_told(token)
            )
        return known.caller

    async def _read(self, token_id: str) -> _Known | None:
        token = await self._reads.read(lambda view: view.token(token_id))
        return None if token is None else _Known(token, Caller(f"token:{token.id}", token.owner, token.role))


def _told(token: Token) -> dict[str, str]:
    """To whoever has shown the whole token."""
    return {"token": token.id, "owner": token.owner}


def when(time: float) -> str:
    """A time for people, in UTC."""
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
