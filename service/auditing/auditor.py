"""What is recorded of a call, and when.

    what it does                                    its record
    create, change, annotate, delete                in the unit of the change: none is there without the other
    run: hand out, start and end trials             one each, half a second later at most
    heartbeat, report, name a parameter; annotate   the first, then one an hour for all that are like it
    by the trial's own code
    get, list                                       none
    anything that is denied                         the first, then one a minute for all that are like it
    what changes something and is refused or fails  the same

Calls that were not done are told apart up to a number for each caller, so that whoever may do nothing cannot fill the
disk with it. Of strangers no name is kept, because they could make up any.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import cache, lru_cache
from typing import Any
from urllib.parse import unquote

from google.protobuf.descriptor import Descriptor

from ...domain.audit import AuditRecord, Outcome
from ...domain.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unauthenticated,
    Unavailable,
    WazirError,
)
from ...domain.visible import on_one_line
from ..security.authorize import RULES, Name, Verb
from ..security.callers import ANONYMOUS, LOCAL, Caller
from .folding import Folding
from .ids import new_id
from .recorder import Recorder
from .settings import AuditSettings
from .within import recorded

SERVICE = "/wazir.v1.StudyService/"
READS = frozenset({Verb.GET, Verb.LIST, Verb.AUDIT})
WITH_CHANGE = frozenset({Verb.CREATE, Verb.CHANGE, Verb.ANNOTATE, Verb.DELETE})
OF_TRAINING = frozenset(SERVICE + name for name in ("AddParameter", "Heartbeat", "ReportMeasurements"))
"""What is called all the time while a trial runs, by its code and by whoever watches over it."""
FOLLOWED = 20_000
"""Trainings whose reports are counted at a time."""
LONGEST_NAME = 200

Call = Callable[[Any, Any], Awaitable[Any]]


class Auditor:
    """For one event loop. `clock`: Unix seconds."""

    def __init__(self, recorder: Recorder, settings: AuditSettings, clock: Callable[[], float] = time.time) -> None:
        self._recorder = recorder
        self._settings = settings
        self._clock = clock
        self._reports = Folding(settings.reports, FOLLOWED, recorder.add)
        self._refusals = Folding(settings.refusals, FOLLOWED, recorder.add)
        self._kinds: Counter[str] = Counter()
        """How many kinds of refused calls of each caller were told apart since `_kinds_since`."""
        self._kinds_since = clock()
        recorder.turns.append(self._turn)

    def close(self) -> None:
        """Before the recorder is: nothing is counted any longer."""
        for folding in (self._reports, self._refusals):
            folding.close(self._clock())

    async def make(self, call: Call, method: str, caller: Caller, request: Any, context: Any) -> Any:
        """What the call answers, which is recorded. `method`: with its service."""
        rule = RULES.get(method.removeprefix(SERVICE))
        verb = None if rule is None else rule.verb_of(request)
        if verb is None or verb in READS or getattr(request, "validate_only", False):
            return await call(request, context)

        began = self._clock()
        of_training = method in OF_TRAINING or (verb is Verb.ANNOTATE and caller.attempt is not None)
        try:
            if verb in WITH_CHANGE and not of_training:
                return await self._with_change(call, method, caller, request, context)
            answer = await call(request, context)
        except (Exception, asyncio.CancelledError) as error:
            self._not_done(method, caller, request, context.peer(), outcome_of(error), error)
            raise

        if not of_training:
            self._recorder.add(self._record(began, method, caller, request, context.peer()))
        elif not self._reports.count(key := (caller.id, method, request.name), began):
            self._reports.begin(key, self._record(began, method, caller, request, context.peer()))
        return answer

    async def _with_change(self, call: Call, method: str, caller: Caller, request: Any, context: Any) -> Any:
        record = self._record(self._clock(), method, caller, request, context.peer())
        with recorded(record) as within:
            answer = await call(request, context)
        self._recorder.add(record, written=within.written)
        return answer

    def turned_away(self, method: str, caller: Caller | None, request: Any, peer: str, error: Exception) -> None:
        """Records, if that is called for, a call that the gate did not let pass. Without `caller`: of a stranger."""
        outcome = at_the_gate(error)
        if outcome is not Outcome.DENIED:
            rule = RULES.get(method.removeprefix(SERVICE))
            if rule is None or rule.verb in READS:
                return
        self._not_done(method, caller, request, peer, outcome, error)

    def _not_done(
        self, method: str, caller: Caller | None, request: Any, peer: str, outcome: Outcome, error: BaseException
    ) -> None:
        now = self._clock()
        reason = reason_of(error)
        record = self._record(now, method, caller, request, peer, outcome=outcome, reason=reason)
        if caller is None and isinstance(error, Unauthenticated) and (token := error.details.get("token")):
            # Whoever is told that a token was revoked has shown the whole of it.
            owner = error.details.get("owner", "")
            record = replace(record, caller=f"token:{token}", caller_owner=owner, owner=owner)

        key = (record.caller, record.address, method, record.name, outcome, reason)
        if self._refusals.count(key, now):
            return
        counted = record.caller if caller is not None else "stranger"
        self._kinds[counted] += 1
        if self._kinds[counted] > self._settings.kinds:
            record = replace(record, owner="", name="", address=record.address if caller is not None else "")
            key = (record.caller, record.address, method, "", outcome, reason)
            if self._refusals.count(key, now):
                return
        self._refusals.begin(key, record)

    def _record(
        self,
        now: float,
        method: str,
        caller: Caller | None,
        request: Any,
        peer: str,
        *,
        outcome: Outcome = Outcome.DONE,
        reason: str = "",
    ) -> AuditRecord:
        short = method.removeprefix(SERVICE)
        owner, name = ("", "") if caller is None else _about(short, request, admitted=outcome is Outcome.DONE)
        who, caller_owner, role = _who(caller)
        return AuditRecord(
            id=new_id(now),
            time=now,
            last_time=now,
            caller=who,
            caller_owner=caller_owner,
            role=role,
            address=address_of(peer),
            method=short,
            owner=owner,
            name=name,
            outcome=outcome,
            reason=reason,
        )

    def _turn(self, now: float) -> None:
        self._reports.turn(now)
        self._refusals.turn(now)
        if not 0 <= now - self._kinds_since < self._settings.refusals:
            self._kinds_since = now
            self._kinds.clear()


def outcome_of(error: BaseException) -> Outcome:
    """Of a call that the gate has let pass."""
    if isinstance(error, (Unauthenticated, PermissionDenied)):
        return Outcome.DENIED
    if isinstance(error, WazirError) and not isinstance(error, (Unavailable, DeadlineExceeded, Internal)):
        return Outcome.REFUSED
    return Outcome.FAILED


def at_the_gate(error: Exception) -> Outcome:
    """There an unknown study is one that the token of an attempt is no longer good for."""
    return Outcome.DENIED if isinstance(error, NotFound) else outcome_of(error)


def reason_of(error: BaseException) -> str:
    if isinstance(error, WazirError):
        return error.reason
    return "CANCELLED" if isinstance(error, asyncio.CancelledError) else Internal.reason


@lru_cache(maxsize=4_096)
def address_of(peer: str) -> str:
    """The host of a gRPC peer, for people: `10.1.2.3`, `::1` or `unix`."""
    kind, _, rest = peer.partition(":")
    return unquote(rest.rpartition(":")[0]).strip("[]") if kind in ("ipv4", "ipv6") else kind


def _who(caller: Caller | None) -> tuple[str, str, str]:
    """Caller, its owner and its role."""
    if caller is None:
        return "stranger", "", ""
    if caller is LOCAL:
        return f"local:{os.geteuid()}", caller.owner, caller.role.value
    if caller.attempt is not None:
        return caller.id, caller.owner, "attempt"
    known = "anonymous" if caller.id.startswith(ANONYMOUS) else caller.id
    return known, caller.owner, caller.role.value


def _about(method: str, request: Any, *, admitted: bool) -> tuple[str, str]:
    """To whom belongs what the call is about, and its name. As it was written if it is no name."""
    rule = RULES.get(method)
    if rule is None:
        return "", ""
    written = _written(request)
    if admitted and written.startswith("owners/"):
        # The gate has read it. To read it once more would cost as much as all the rest of a record.
        return written.split("/", 2)[1], _with_study(written, request)
    try:
        name: Name = rule.name(request)
    except InvalidArgument:
        return "", on_one_line(written)[:LONGEST_NAME]
    if not isinstance(name, str):
        return name.owner, str(name)
    return name, on_one_line(_with_study(f"owners/{name}", request))[:LONGEST_NAME]


def _with_study(name: str, request: Any) -> str:
    """The name of what CreateStudy makes, which is given beside its owner's."""
    return f"{name}/studies/{request.study_id}" if "study_id" in _fields(request.DESCRIPTOR) else name


def _written(request: Any) -> str:
    """The name in the request, as it came."""
    fields = _fields(request.DESCRIPTOR)
    written: str = request.name if "name" in fields else request.parent if "parent" in fields else ""
    return written


@cache
def _fields(descriptor: Descriptor) -> frozenset[str]:
    return frozenset(descriptor.fields_by_name)
