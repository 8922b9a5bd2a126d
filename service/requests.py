"""Repeating the same call is harmless: the first answer to a `request_id` is kept and given again."""

from __future__ import annotations

import json
from dataclasses import dataclass

from ..domain.errors import InvalidArgument, RequestIdReused
from ..storage.store import Answer, Transaction

MAX_LENGTH = 128


@dataclass(frozen=True, slots=True)
class Request:
    """A call's identity. `payload` is a digest of all that was asked; an empty `id` is never remembered."""

    owner: str
    method: str
    id: str = ""
    payload: str = ""

    def __post_init__(self) -> None:
        if len(self.id) > MAX_LENGTH:
            raise InvalidArgument("request_id", self.id[:20] + "...", f"may have at most {MAX_LENGTH} characters")
        if not self.id.isprintable():
            raise InvalidArgument("request_id", self.id, "may have printable characters only", "For instance a UUID")


def recall(tx: Transaction, request: Request) -> list[int] | None:
    """Numbers that the first answer was about, or None. Raises RequestIdReused for another method or payload."""
    if not request.id:
        return None
    answer = tx.answer(request.owner, request.id)
    if answer is None:
        return None
    if (answer.method, answer.payload) != (request.method, request.payload):
        raise RequestIdReused(request.id)
    numbers: list[int] = json.loads(answer.result)
    return numbers


def remember(tx: Transaction, request: Request, numbers: list[int], now: float) -> None:
    if request.id:
        answer = Answer(request.method, request.payload, json.dumps(numbers), now)
        tx.keep_answer(request.owner, request.id, answer)
