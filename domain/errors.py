"""Every error that Wazir reports to a caller, in one hierarchy.

    WazirError
    ├── InvalidArgument        a field's value breaks a rule; nothing was written
    ├── NotFound               no such study, trial or attempt
    ├── AlreadyExists          the name is taken
    ├── FailedPrecondition     right in itself, not in the present state
    │   ├── IllegalMove        a state may not follow another
    │   ├── RequestIdReused    the same request id with another payload
    │   └── SpecChanged        a study of that name has another space or metric
    ├── Aborted                somebody was faster; read again
    │   └── StaleAttempt       the attempt is no longer the trial's current one
    ├── RevisionCompacted      changes since that revision are gone; list again
    ├── ResourceExhausted      over a limit
    │   └── RateLimited        too much at once; the same later, after `retry_after` seconds
    ├── DeadlineExceeded       not done in time
    ├── Unavailable            away for the moment; try again, after `retry_after` seconds if it says so
    ├── Unauthenticated        nobody we know
    ├── PermissionDenied       somebody we know, without the right
    ├── Unimplemented          the server does not know this call
    └── Internal               a defect of Wazir

A class stands for what a caller would handle differently. `reason` is stable and for machines, the message is for
people: it names the value, the rule it broke and the way out. The mapping to gRPC status codes is in `wire/errors.py`.
"""

from __future__ import annotations

import difflib
import enum
import json
from collections.abc import Iterable
from typing import ClassVar, Self


class WazirError(Exception):
    """Root of all errors that Wazir raises on purpose.

    `field` is the path of the offending field in the study file's words (`parameters.lr.min`), or empty.
    `details` are further facts for machines, for instance `{"state": "SUCCEEDED"}`.
    """

    reason: ClassVar[str] = "WAZIR"

    def __init__(self, message: str, *, field: str = "", details: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.details = dict(details or {})

    @classmethod
    def restore(cls, message: str, field: str, details: dict[str, str]) -> Self:
        """The error as it was on the other side of a wire, without building its message again."""
        error = cls.__new__(cls)
        WazirError.__init__(error, message, field=field, details=details)
        return error


class InvalidArgument(WazirError):
    """A value breaks a rule: `field` and `value` say which, `rule` what is asked for, `hint` the way out."""

    reason = "INVALID_ARGUMENT"
    rule: str = ""
    """Empty where the error comes from the other side of a wire, which carries the message."""
    hint: str = ""

    def __init__(self, field: str, value: object, rule: str, hint: str = "") -> None:
        shown = "" if value is MISSING else f" = {_shown(value)}"
        message = f"{field}{shown}: {rule}" if field else rule
        super().__init__(f"{message}. {hint}" if hint else message, field=field)
        self.rule = rule
        self.hint = hint


class NotFound(WazirError):
    reason = "NOT_FOUND"

    def __init__(self, name: str, hint: str = "") -> None:
        message = f"{name} does not exist"
        super().__init__(f"{message}. {hint}" if hint else message, details={"name": name})


class AlreadyExists(WazirError):
    reason = "ALREADY_EXISTS"

    def __init__(self, name: str, hint: str = "") -> None:
        message = f"{name} exists already"
        super().__init__(f"{message}. {hint}" if hint else message, details={"name": name})


class FailedPrecondition(WazirError):
    reason = "FAILED_PRECONDITION"


class IllegalMove(FailedPrecondition):
    reason = "ILLEGAL_MOVE"

    def __init__(self, name: str, state: str, target: str, allowed: Iterable[str] = ()) -> None:
        states = ", ".join(allowed)
        super().__init__(
            f"{name} is {state} and cannot become {target}"
            + (f"; it may become {states}" if states else ": it has ended"),
            details={"name": name, "state": state, "target": target},
        )


class RequestIdReused(FailedPrecondition):
    reason = "REQUEST_ID_REUSED"

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"request_id {request_id!r} was used for another request within the last 24 hours; use a fresh one",
            field="request_id",
        )


class SpecChanged(FailedPrecondition):
    reason = "SPEC_CHANGED"

    def __init__(self, name: str, fields: Iterable[str]) -> None:
        changed = ", ".join(fields)
        super().__init__(
            f"{name} exists with another {changed}; a study keeps its search space and metrics for life. "
            "Give the changed file another `study:` name, or delete the old study first",
            field=changed.split(",")[0],
            details={"name": name, "fields": changed},
        )


class Aborted(WazirError):
    reason = "ABORTED"


class StaleAttempt(Aborted):
    reason = "STALE_ATTEMPT"

    def __init__(self, trial: str, attempt: int, current: int, ended: bool) -> None:
        now = f"attempt {current} is its latest" if current != attempt else "that attempt has ended"
        super().__init__(
            f"attempt {attempt} of {trial} no longer holds the trial: {now}; stop working on it",
            details={"name": trial, "attempt": str(attempt), "current": str(current), "ended": str(ended).lower()},
        )


class RevisionCompacted(WazirError):
    reason = "REVISION_COMPACTED"

    def __init__(self, name: str, since: int, oldest: int) -> None:
        super().__init__(
            f"changes of {name} since revision {since} are no longer kept (the oldest is {oldest}); list again",
            field="since",
            details={"name": name, "oldest": str(oldest)},
        )


class ResourceExhausted(WazirError):
    reason = "RESOURCE_EXHAUSTED"


class RateLimited(ResourceExhausted):
    """Nothing was done. `why`: "more than 100 calls a second"."""

    reason = "RATE_LIMITED"

    def __init__(self, why: str, retry_after: float) -> None:
        wait = max(retry_after, 0.001)
        super().__init__(f"{why}; try again in {wait:.3g} s", details={"retry_after": f"{wait:.3f}"})

    @property
    def retry_after(self) -> float:
        """Seconds to wait before trying again; 0 where the service did not say."""
        return _retry_after(self)


class DeadlineExceeded(WazirError):
    reason = "DEADLINE_EXCEEDED"


class Unavailable(WazirError):
    """`retry_after`: seconds to wait before trying again, where that is known."""

    reason = "UNAVAILABLE"

    def __init__(
        self, message: str, *, field: str = "", details: dict[str, str] | None = None, retry_after: float | None = None
    ) -> None:
        hint = {} if retry_after is None else {"retry_after": f"{max(retry_after, 0.001):.3f}"}
        super().__init__(message, field=field, details=(details or {}) | hint)

    @property
    def retry_after(self) -> float:
        """Seconds to wait before trying again; 0 if the service did not say."""
        return _retry_after(self)


AWAY = {"away": "database"}
"""Among the details of an Unavailable whose cause is that the service cannot reach its database."""


class Unauthenticated(WazirError):
    reason = "UNAUTHENTICATED"


class PermissionDenied(WazirError):
    reason = "PERMISSION_DENIED"


class Unimplemented(WazirError):
    reason = "UNIMPLEMENTED"


class Internal(WazirError):
    reason = "INTERNAL"


def _retry_after(error: WazirError) -> float:
    try:
        wait = float(error.details.get("retry_after", ""))
    except ValueError:
        return 0.0
    return min(max(0.0, wait), 3_600.0)  # in this order, NaN is 0


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING = _Missing()
"""Stands for a value that is not there, where None would be a value."""


MAX_SHOWN = 20
MAX_LIKENED = 300
"""Characters of a word that others are compared with: that takes time in proportion to its square."""


def similar(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """A sentence `Did you mean "x"?` for a misspelt word, empty if none is near. Capitals make no other word.

    `cutoff`, from 0 to 1: how alike words have to be, as `difflib` measures it.
    """
    if len(word) > MAX_LIKENED:
        return ""
    words = {w.lower(): w for w in sorted(known)}
    match = difflib.get_close_matches(word.lower(), words, n=1, cutoff=cutoff)
    return f'Did you mean "{words[match[0]]}"?' if match else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """The sentence of `similar`, with the (first) known words where none is near."""
    words = sorted(known)
    shown = ", ".join(words[:MAX_SHOWN]) + (f", ... ({len(words)} in all)" if len(words) > MAX_SHOWN else "")
    return similar(word, words) or (f"Known are: {shown}" if words else "")


def _shown(value: object) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = _described(value)
    return text if len(text) <= 120 else text[:117] + "..."


def _described(value: object) -> str:
    """A value without JSON. One of our own classes is shown as its text, never as its constructor call."""
    if isinstance(value, enum.Enum):
        return str(value.value)
    if type(value).__module__.partition(".")[0] != __name__.partition(".")[0]:
        # An address in memory helps nobody.
        return type(value).__name__ if " at 0x" in repr(value) else repr(value)
    said = type(value).__str__ is not object.__str__
    return str(value) if said else type(value).__name__
