"""One controller of a name at a time: leader election by a Lease (coordination.k8s.io/v1).

Who holds the lease renews it; who stands by takes it over once it has seen the record unchanged for as long as the
record itself says. Only durations are compared, each on one machine's own clock, so clocks need not agree. A holder
that cannot renew stops earlier than any other can take over.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from .api import Api, ApiError, Unreachable, leases_path

log = logging.getLogger(__name__)

DURATION = 15.0
RENEW_EVERY = 4.0
GIVE_UP = 10.0
"""Seconds after the last renewal at which the holder takes itself to have lost the lease; less than DURATION."""


class Lease:
    """`identity`: who we are, as others see it; no two processes may have the same."""

    def __init__(self, api: Api, namespace: str, name: str, identity: str) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seen: tuple[object, float] = (None, 0.0)
        """The record as last seen to change, and when that was."""
        self._until = 0.0
        self._ended = threading.Event()
        self._keeper: threading.Thread | None = None
        self.holder = ""
        """Who held it when last looked."""

    @property
    def held(self) -> bool:
        """Whether nobody else can hold it now. Cheap; from any thread."""
        return time.monotonic() < self._until

    def acquire(self, ended: threading.Event, waiting: Callable[[], None] = lambda: None) -> bool:
        """Waits until it is ours; False where `ended` is set before. Raises ApiError where we have no right to it.

        `waiting` is called again and again meanwhile."""
        told = ""
        while not ended.is_set():
            waiting()
            try:
                if self._take():
                    log.info("leading as %s", self._identity, extra={"action": "leading"})
                    return True
                words = f"standing by: {self.holder} leads"
            except Unreachable as error:
                words = str(error)
            except ApiError as error:
                if not error.passing:
                    raise
                words = str(error)
            if words != told:
                log.info("%s", words, extra={"action": "stand_by"})
                told = words
            ended.wait(RENEW_EVERY / 2)
        return False

    def keep(self, lost: Callable[[], None]) -> None:
        """Renews it from a thread of its own; `lost` is called once if that no longer succeeds."""
        self._ended.clear()
        self._keeper = threading.Thread(target=self._renew, args=(lost,), name="wazir-lease", daemon=True)
        self._keeper.start()

    def release(self) -> None:
        """Lets the next one have it at once."""
        self._ended.set()
        if self._keeper is not None:
            self._keeper.join()
        if not self.held:
            return
        self._until = 0.0
        try:
            found = self._api.get(leases_path(self._namespace, self._name))
            if found["spec"].get("holderIdentity") == self._identity:
                found["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
                self._api.replace(leases_path(self._namespace, self._name), found)
        except (ApiError, Unreachable) as error:
            log.info("the lease is left to run out: %s", error, extra={"action": "lease_left"})

    def _renew(self, lost: Callable[[], None]) -> None:
        pause = RENEW_EVERY
        while not self._ended.wait(pause):
            try:
                pause = RENEW_EVERY if self._take() else 1.0
                words = f"{self.holder} has the lease"
            except (ApiError, Unreachable) as error:
                pause = 1.0
                words = str(error)
            except Exception as error:
                # Without us nobody would notice that the lease has run out.
                log.exception("the lease cannot be renewed", extra={"action": "lease_defect"})
                pause = 1.0
                words = repr(error)
            if not self.held or self.holder != self._identity:
                log.error("no longer leading: %s", words, extra={"action": "lease_lost"})
                self._until = 0.0
                lost()
                return

    def _take(self) -> bool:
        """Takes or renews it, where nobody else holds it."""
        asked = time.monotonic()
        path = leases_path(self._namespace, self._name)
        try:
            found = self._api.get(path)
        except ApiError as error:
            if error.status != 404:
                raise
            body = {"metadata": {"name": self._name}, "spec": self._spec({})}
            return self._wrote(lambda: self._api.create(leases_path(self._namespace), body), asked)
        spec: dict[str, Any] = found.get("spec") or {}
        self.holder = spec.get("holderIdentity") or ""
        record = (self.holder, spec.get("renewTime"), spec.get("leaseTransitions"))
        if record != self._seen[0]:
            self._seen = (record, asked)
        expired = asked >= self._seen[1] + float(spec.get("leaseDurationSeconds") or 0)
        if self.holder and self.holder != self._identity and not expired:
            return False
        found["spec"] = self._spec(spec)
        return self._wrote(lambda: self._api.replace(path, found), asked)

    def _wrote(self, write: Callable[[], object], asked: float) -> bool:
        try:
            write()
        except ApiError as error:
            if error.status == 409:  # somebody was quicker
                return False
            raise
        self.holder = self._identity
        self._until = asked + GIVE_UP
        return True

    def _spec(self, before: dict[str, Any]) -> dict[str, Any]:
        now = _now()
        ours = before.get("holderIdentity") == self._identity
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(DURATION),
            "acquireTime": before.get("acquireTime", now) if ours else now,
            "renewTime": now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (not ours),
        }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
