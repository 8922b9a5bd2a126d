"""Tokens of attempts: what training code calls with, good for its own trial and nothing else.

    wza_{what}_{code}     what: study uid, owner, study, trial, attempt, as base64;  code: its HMAC-SHA256, hexadecimal

A token follows from the attempt and the servers' key, so none is kept, every server gives the same one, and a call that
is repeated gets it again. It ends with its attempt: reports of a stale attempt are refused as ever, and calls that
carry no attempt are looked up.
"""

from __future__ import annotations

import binascii
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode

from ...domain.errors import Unauthenticated
from ...domain.names import TrialName
from ...domain.trial import Trial
from ...storage.store import Store
from .callers import OwnAttempt

PREFIX = "wza_"
SECRET = "attempt-tokens"
"""The name of the key in the store."""
SHORTEST_KEY = 32
"""Bytes: as many as the code has."""
_LONGEST = 1_000


class AttemptTokens:
    def __init__(self, key: bytes) -> None:
        """`key`: what all servers of a database share and nobody else knows, SHORTEST_KEY bytes or more."""
        assert len(key) >= SHORTEST_KEY
        self._key = key

    def token(self, study_uid: str, trial: Trial) -> str:
        """Of the trial's live attempt; empty where it has none."""
        attempt = trial.attempt
        if attempt is None or not attempt.live:
            return ""
        name = trial.name
        what = "/".join((study_uid, name.owner, name.study, str(name.id), str(attempt.number))).encode()
        return self._text(what)

    def attempt(self, token: str) -> OwnAttempt:
        """Raises Unauthenticated where it is none that these servers gave out."""
        what = token.removeprefix(PREFIX).rpartition("_")[0]
        try:
            told = urlsafe_b64decode(what) if token.isascii() and len(token) <= _LONGEST else b""
        except binascii.Error:
            told = b""
        # Of the whole text: base64 has several spellings of the same bytes.
        if not hmac.compare_digest(self._text(told).encode(), token.encode(errors="replace")):
            raise Unauthenticated("the token is not one of this service")
        # What bears the code was written by `token`.
        uid, owner, study, trial, number = told.decode().split("/")
        return OwnAttempt(uid, TrialName(owner, study, int(trial)), int(number))

    def _text(self, what: bytes) -> str:
        return f"{PREFIX}{urlsafe_b64encode(what).decode()}_{hmac.digest(self._key, what, 'sha256').hex()}"


def shared_key(store: Store) -> bytes:
    """The key that the servers on this database share; made by the first of them. Blocks."""
    key = store.read(lambda view: view.secret(SECRET))
    if key is None:
        key = store.write(lambda tx: tx.keep_secret(SECRET, secrets.token_hex(SHORTEST_KEY)))
    return key.encode()
