"""From records to the log and the table, a moment later and many at a time, so that no call waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

from ...domain.audit import AuditRecord, Outcome, id_at
from ...domain.errors import WazirError
from ...domain.pulse import Pulse
from ...storage.critical import CriticalTask
from ...storage.store import Store
from ..trouble import Trouble
from ..writer import Writer
from .settings import AuditSettings

logger = logging.getLogger("wazir.audit")

BATCH = 500
"""Records in one unit of the store."""
FORGOTTEN = 1_000
"""Records that one unit drops."""


class Recorder:
    """For one event loop. `clock`: Unix seconds."""

    def __init__(self, store: Store, settings: AuditSettings, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._writer = Writer(store)
        self._settings = settings
        self._clock = clock
        self._new: list[tuple[AuditRecord, bool]] = []
        """With whether the table has it already."""
        self._unwritten: deque[AuditRecord] = deque()
        self._lost = 0
        self._trouble = Trouble(logger, "keeping audit records", {"action": "audit_failed"})
        self._task: CriticalTask | None = None
        self._tidied = 0.0
        self.turns: list[Callable[[float], None]] = []
        """Called with the time before each batch."""
        self.pulse = Pulse("audit", limit=60.0)

    def start(self) -> None:
        self._task = CriticalTask(self._run(), "audit")

    async def close(self) -> None:
        """Writes what there is, if that is possible soon."""
        if self._task is not None:
            await self._task.end()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.patience):
                    await self._write()
        if self._unwritten:
            logger.error(
                "audit records that could not be written, and that only this log has: %d",
                len(self._unwritten),
                extra={"action": "audit_lost"},
            )

    def add(self, record: AuditRecord, *, written: bool = False) -> None:
        """`written`: the table has it already, and the log is what is missing."""
        if len(self._new) < self._settings.waiting:
            self._new.append((record, written))
        else:
            self._lost += 1

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._settings.interval)
            try:
                now = self._clock()
                for turn in self.turns:
                    turn(now)
                await self._write()
                if not 0 <= now - self._tidied < self._settings.tidy_interval:
                    self._tidied = now
                    await self._tidy(now)
                self._trouble.over()
            except Exception as error:  # noqa: BLE001 - the loop goes on, whatever it is
                self._trouble.met(error)
            self.pulse.beat()

    async def _write(self) -> None:
        new, self._new = self._new, []
        if new:
            self._unwritten.extend(record for record, written in new if not written)
            # Off the event loop: whoever reads the log may be slow.
            await asyncio.to_thread(_log, [record for record, _ in new])
        while len(self._unwritten) > self._settings.waiting:
            self._unwritten.popleft()
            self._lost += 1
        if self._lost:
            logger.error(
                "audit records that are lost, because too many wait: %d", self._lost, extra={"action": "audit_lost"}
            )
            self._lost = 0

        while self._unwritten:
            batch = [self._unwritten[i] for i in range(min(BATCH, len(self._unwritten)))]
            try:
                await self._writer.submit(lambda tx, batch=batch: tx.add_audit_records(batch))  # type: ignore[misc]
            except WazirError as error:
                # They stay, and are written when the store is back; those that it has already are left out then.
                logger.debug("audit records wait: %s", error, extra={"action": "audit_waits"})
                return
            for _ in batch:
                self._unwritten.popleft()

    async def _tidy(self, now: float) -> None:
        """Drops what is too old or too much, in small units, so that nobody waits long for one."""
        before = id_at(now - self._settings.keep)
        beyond = await asyncio.to_thread(self._store.read, lambda view: view.audit_id(self._settings.keep_at_most))
        if beyond is not None:
            before = max(before, beyond + "~")
        while await self._writer.submit(lambda tx: tx.forget_audit_records(before, FORGOTTEN)):
            pass  # units of calls come between


def _log(records: Sequence[AuditRecord]) -> None:
    for record in records:
        level = logging.WARNING if record.outcome is Outcome.DENIED else logging.INFO
        if logger.isEnabledFor(level):
            # Not by `logger.log`, which looks for who called it, and costs twice as much.
            line = logging.LogRecord(logger.name, level, __file__, 0, sentence(record), None, None)
            vars(line).update(fields(record))
            logger.handle(line)


def sentence(record: AuditRecord) -> str:
    """A record for people."""
    times = f"{record.count} times " if record.count > 1 else ""
    reason = f" ({record.reason})" if record.reason else ""
    what = f"{record.method} {record.name}".strip()
    return f"{record.caller} at {record.address}: {times}{what}: {record.outcome.value}{reason}"


def fields(record: AuditRecord) -> dict[str, object]:
    """A record for machines. `name` and `time` mean something else in a log."""
    return {
        "action": "audit",
        "record": record.id,
        "called": record.time,
        "called_last": record.last_time,
        "count": record.count,
        "caller": record.caller,
        "caller_owner": record.caller_owner,
        "role": record.role,
        "address": record.address,
        "method": record.method,
        "owner": record.owner,
        "resource": record.name,
        "outcome": record.outcome.value,
        "reason": record.reason,
    }
