"""What is between training code and the service: a buffer, and a thread that delivers from it.

    report ──append──> buffer ──thread──> service            each call's answer says whether to stop
                                 └──away──> spool ──back──> service

The caller's thread appends and goes on; it never waits for a network, a disk or an import. The thread delivers at once
when it is idle, and what came meanwhile together when it is busy. While the service is away, reports go to the spool
file (to memory if there is none, or its disk is full) and the thread tries again for as long as the process lives, both
to deliver and to spool. At exit it has a few seconds more; what is then undelivered stays in the spool.

While there is something that neither the service nor the spool has, a sign says so (`unsaved.py`). It is there however
the process ends, so that whoever started it knows that reports are lost.

Delivery is exactly once in effect: measurements are keyed by attempt, step and metric, so a repeat replaces itself.

grpc is imported by the thread, so that `import wazir` and processes that never report stay cheap.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ..domain.errors import InvalidArgument, NotFound, StaleAttempt, WazirError
from ..domain.names import TrialName
from ..domain.trial import Instruction, Measurement
from .pauses import pauses
from .spool import TO_LOG, Item, LogSpool, spool_at, tell_unsent
from .unsaved import Sign, sign_of

if TYPE_CHECKING:
    from .client import Client

BEAT_INTERVAL = 15.0
"""Seconds without a call after which the service is asked whether to stop; its answers to reports say so too."""

PACE = 0.02
"""Seconds between two deliveries of a trial that reports without pause: fifty calls a second are live enough."""

CALL_TIMEOUT = 10.0
"""Seconds for one call; a service that takes longer counts as away."""

UNMENTIONED = 2.0
"""Seconds of absence of the service that go without a warning."""

EXIT_TIMEOUT = 3.0
"""Seconds that the end of a process may wait for the last deliveries."""

SPOOL_EVERY = 1.0
"""Seconds after which a spool that could not be written to is tried again."""

MOST_KEPT = 100_000
"""Reports that are kept in memory if they can be neither delivered nor spooled; of more, the oldest are lost."""

SPOOLED_AT_ONCE = 1_000
"""Reports in one write to the spool: a disk that is nearly full takes some of them."""

MAX_VALUES = 5_000
"""Metric values in one call, where one step has no more; the service takes 10,000."""

logger = logging.getLogger(__name__)


class _Away(Exception):
    """A call failed that may succeed later."""


class _Over(Exception):
    """The attempt no longer holds the trial: nothing more is to be delivered."""


class _Marker:
    """A place in the buffer; `delivered` says whether all before it has arrived."""

    def __init__(self) -> None:
        self.settled = threading.Event()
        self.delivered = False

    def settle(self, delivered: bool) -> None:
        self.delivered = delivered
        self.settled.set()


class Reporter:
    """Delivers the reports of one attempt.

    `put`, `set_metadata`, `tell` and `start` are for every thread and return at once; `flush` and `close` wait.

    In a forked child it starts empty: the parent delivers what was reported before the fork, and what the child reports
    goes by a thread and a connection of its own.
    """

    def __init__(
        self,
        trial: TrialName,
        attempt: int,
        connect: Callable[[], Client],
        *,
        spool: Path | None = None,
        beat: float | None = BEAT_INTERVAL,
    ) -> None:
        """`connect` is called once, on the thread, and may import what it needs. `beat`: seconds, None if somebody
        else asks the service whether to stop."""
        self.stop = False
        """Whether the trial was told to end."""
        self.stop_reason = ""
        self._trial = trial
        self._attempt = attempt
        self._connect = connect
        self._beat = beat
        self._path = spool
        self._over = False
        self._reset()
        _reporters.add(self)

    def _reset(self) -> None:
        self._spool = None if self._path is None else spool_at(self._path)
        self._shows = self._path is not None and str(self._path) != TO_LOG
        self._sign: Sign | None = None
        self._sign_lock = threading.Lock()
        self._buffer: deque[Item | dict[str, str] | _Marker] = deque()
        self._wake = threading.Event()
        self._urgent = threading.Event()  # somebody waits for deliveries
        self._ended = threading.Event()  # the thread has delivered or kept all it ever will
        self._start_lock = threading.Lock()
        self.running = False
        self._deadline: float | None = None  # monotonic time at which a closing reporter gives up
        # The rest is the thread's.
        self._client: Client | None = None
        self._backlog: deque[Item] = deque()
        self._metadata: dict[str, str] = {}
        self._markers: list[_Marker] = []
        self._lost = self._lost_said = 0
        self._told_unsent = False
        self._away = False
        self._away_since = 0.0
        self._complained = False
        self._spool_next = 0.0
        """When a spool that could not be written to is tried again."""
        self._unwritable = False
        self._next_try = 0.0
        self._waits = pauses()
        self._last_call = 0.0

    # For callers

    def put(self, item: Item) -> None:
        """Takes over a measurement, or the reason for infeasibility."""
        if self._over:
            return
        self._buffer.append(item)
        # After the item is there and before the thread is woken: it clears the sign only if it then finds nothing.
        self._show_unsaved()
        if not self._wake.is_set():
            self._wake.set()
        if not self.running:
            self.start()

    @property
    def beats(self) -> bool:
        """Whether the running thread asks the service, now and then, whether to stop."""
        return self._beat is not None

    def set_metadata(self, metadata: Mapping[str, str]) -> None:
        """Metadata to set on the trial. It is not spooled: lost if the service stays away to the end."""
        self._buffer.append(dict(metadata))
        self._wake.set()
        self.start()

    def tell(self, reason: str) -> None:
        """Notes that the trial is to end. The first reason stands."""
        if not self.stop:
            self.stop_reason = reason
            self.stop = True

    def start(self) -> None:
        """Starts the thread if it does not run. If it cannot run any more, spools what there is."""
        with self._start_lock:
            if self.running:
                return
            if self._ended.is_set():
                self._keep_rest()
                return
            thread = threading.Thread(target=self._run, name=f"wazir-reports-{self._trial.id}", daemon=True)
            self.running = True
            try:
                thread.start()
            except RuntimeError:
                # The interpreter is shutting down and starts no threads any more.
                self.running = False
                self._keep_rest()
                return
        _close_with_multiprocessing()

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until all that was reported before has arrived. False if it has not within `timeout` seconds, or
        never will, because the attempt no longer holds the trial."""
        if self._over:
            return False
        if not self.running and not self._buffer:
            return not self._ended.is_set()
        marker = _Marker()
        self._buffer.append(marker)
        self._urgent.set()
        self._wake.set()
        self.start()
        marker.settled.wait(timeout)
        return marker.delivered

    def close(self, timeout: float = EXIT_TIMEOUT) -> None:
        """Delivers what it can within `timeout` seconds; what is left stays in the spool. Harmless to repeat."""
        self.begin_close(time.monotonic() + timeout)
        self.finish_close()

    def begin_close(self, deadline: float) -> None:
        """Tells the thread to end by `deadline` (monotonic), and does not wait for it."""
        self._deadline = deadline
        self._next_try = 0.0
        self._urgent.set()
        self._wake.set()

    def finish_close(self) -> None:
        """Waits until the thread has ended, or until a moment after its deadline."""
        if self.running and self._deadline is not None:
            self._ended.wait(max(0.0, self._deadline - time.monotonic()) + 0.5)
        # Nothing is left, unless the thread hangs in a call, failed, or somebody reported after its end.
        self._keep_rest()
        self._ended.set()
        if isinstance(self._spool, LogSpool) and not self._told_unsent and (self._lost or len(self._spool)):
            self._told_unsent = True
            tell_unsent(self._lost + len(self._spool))

    def leave_behind(self) -> None:
        """In a forked child: forgets what is the parent's to deliver."""
        _inherited.append(self._client)
        self._reset()

    # On the thread

    def _run(self) -> None:
        try:
            # No fork while modules are half imported: the child could never import them.
            with _importing:
                self._client = self._connect()
            self._work()
        except _Over:
            self._over = True
        finally:
            self._keep_rest()
            self._ended.set()
            self.running = False

    def _work(self) -> None:
        self._last_call = time.monotonic() - PACE
        while True:
            self._wake.wait(self._rest())
            self._wake.clear()
            self._urgent.wait(max(0.0, self._last_call + PACE - time.monotonic()))
            self._take()
            if not self._away or time.monotonic() >= self._next_try:
                try:
                    self._deliver()
                except _Away as away:
                    self._go_away(away)
                else:
                    self._be_back()
            if self._away:
                self._spool_backlog()
            self._show_saved()
            if self._deadline is not None and (not self._owes() or time.monotonic() >= self._deadline):
                return

    def _rest(self) -> float | None:
        """Seconds to sleep where nobody wakes the thread; None is forever."""
        times = []
        if self._away:
            times.append(self._next_try)
        elif self._beat is not None:
            times.append(self._last_call + self._beat)
        if self._deadline is not None:
            times.append(self._deadline)
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _owes(self) -> bool:
        return bool(self._buffer or self._backlog or self._metadata or (self._spool and self._spool.pending))

    def _take(self) -> None:
        """Takes what callers have put into the buffer."""
        while self._buffer:
            item = self._buffer.popleft()
            if isinstance(item, _Marker):
                self._markers.append(item)
            elif isinstance(item, dict):
                self._metadata.update(item)
            else:
                self._backlog.append(item)

    def _deliver(self) -> None:
        """Delivers all that was taken, oldest first. Raises _Away and _Over."""
        before = self._last_call
        if self._spool is not None and self._spool.pending:
            try:
                self._spool.deliver(self._send)
            except OSError as error:
                self._spool.pending = False
                logger.error(
                    "the reports in %s cannot be read: %s", self._path, error, extra=self._extra("spool_unreadable")
                )
        while batch := _first(self._backlog):
            self._send(batch)
            for _ in batch:
                if self._backlog:  # `finish_close` may have taken them
                    self._backlog.popleft()
        if self._metadata:
            metadata = self._metadata
            self._call(lambda client: client.update_metadata(self._trial, metadata))
            self._metadata = {}
        silent = self._last_call == before
        if silent and (self._away or (self._beat is not None and time.monotonic() >= before + self._beat)):
            self._call(lambda client: client.heartbeat(self._trial, self._attempt))

    def _send(self, items: list[Item]) -> None:
        rest = deque(items)
        while batch := _first(rest):
            steps: dict[int, Measurement] = {}
            infeasible = ""
            for item in batch:
                rest.popleft()
                if isinstance(item, str):
                    infeasible = item
                else:
                    known = steps.get(item.step)
                    metrics = item.metrics if known is None else {**known.metrics, **item.metrics}
                    steps[item.step] = Measurement(item.step, metrics, item.time)
            measurements, reason = list(steps.values()), infeasible
            self._call(lambda client: client.report(self._trial, self._attempt, measurements, reason))  # noqa: B023 - called at once

    def _call(self, what: Callable[[Client], object]) -> None:
        assert self._client is not None
        timeout = CALL_TIMEOUT
        if self._deadline is not None:
            timeout = min(timeout, max(0.1, self._deadline - time.monotonic()))
        try:
            answer = what(self._client.patient(0.0, timeout))
        except (StaleAttempt, NotFound) as error:
            self.tell(str(error))
            logger.warning("stopped reporting: %s", error, extra=self._extra("attempt_stale"))
            raise _Over from error
        except InvalidArgument as error:
            # Said once; to send it again would not help, and to keep it would keep all that comes after it.
            logger.error("the service refused a report: %s", error, extra=self._extra("report_refused"))
            answer = None
        except WazirError as error:
            raise _Away(str(error)) from error
        self._last_call = time.monotonic()
        if isinstance(answer, Instruction) and answer.stop is not None:
            self.tell(answer.reason or f"the service asks to {answer.stop.value}")

    def _go_away(self, why: _Away) -> None:
        now = time.monotonic()
        if not self._away:
            self._away, self._waits, self._away_since = True, pauses(), now
        # A hiccup that is over at the second try is not worth a line among the training's.
        if not self._complained and now >= self._away_since + UNMENTIONED:
            self._complained = True
            logger.warning(
                "reports of %s are kept in %s until the service takes them: %s",
                self._trial.short,
                self._path or "memory",
                why,
                extra=self._extra("service_away"),
            )
        self._next_try = now + next(self._waits)

    def _be_back(self) -> None:
        self._away = False
        if self._complained:
            self._complained = False
            logger.info("the service takes reports of %s again", self._trial.short, extra=self._extra("service_back"))
        # Before somebody who waited for it ends the process.
        self._show_saved()
        self._settle(True)
        if self._deadline is None:
            self._urgent.clear()

    def _settle(self, delivered: bool) -> None:
        markers, self._markers = self._markers, []
        for marker in markers:
            marker.settle(delivered)

    def _spool_backlog(self, *, at_once: bool = False) -> None:
        """Moves to the spool what it takes. One that was full is tried again after a while, or `at_once`."""
        if self._spool is None or not self._backlog or (time.monotonic() < self._spool_next and not at_once):
            return
        try:
            while self._backlog:
                part = [*islice(self._backlog, SPOOLED_AT_ONCE)]
                self._spool.append(part)
                for _ in part:
                    self._backlog.popleft()
        except OSError as error:
            self._spool_next = time.monotonic() + SPOOL_EVERY
            self._forget_oldest()
            if not self._unwritable:
                self._unwritable = True
                logger.error(
                    "cannot keep reports in %s: %s. They are kept in memory, and lost if the process ends before the "
                    "disk or the service takes them",
                    self._path,
                    error,
                    extra=self._extra("spool_unwritable"),
                )
        else:
            self._unwritable = False

    def _forget_oldest(self) -> None:
        while len(self._backlog) > MOST_KEPT:
            self._backlog.popleft()
            self._lost += 1

    def _keep_rest(self) -> None:
        """Spools what is left, or says how much is lost. On whichever thread is the last to see it."""
        self._take()
        if self._over:
            self._backlog.clear()
            self._metadata.clear()
        self._spool_backlog(at_once=True)
        self._lost += len(self._backlog)
        if self._lost > self._lost_said or self._metadata:
            self._lost_said = self._lost
            logger.error(
                "%d reports and %d metadata of %s could not be delivered and are lost",
                self._lost,
                len(self._metadata),
                self._trial.short,
                extra=self._extra("reports_lost"),
            )
            self._backlog.clear()
            self._metadata.clear()
        self._show_saved()
        self._settle(False)

    def _show_unsaved(self) -> None:
        if not self._shows:
            return
        if self._sign is None:
            assert self._path is not None
            with self._sign_lock:
                self._sign = self._sign or Sign(sign_of(self._path))
        self._sign.set(True)

    def _show_saved(self) -> None:
        """If the service or the spool has all that was reported."""
        if self._sign is None or self._backlog or self._lost:
            return
        self._sign.set(False)
        if self._buffer:
            self._sign.set(True)  # somebody reported meanwhile

    def _extra(self, action: str) -> dict[str, object]:
        return {"action": action, "trial": str(self._trial), "attempt": self._attempt}


def _first(items: deque[Item]) -> list[Item]:
    """The items at the front that fit into one call; at least one, where there is any."""
    batch: list[Item] = []
    values = 0
    for item in items:
        values += 1 if isinstance(item, str) else len(item.metrics)
        if batch and values > MAX_VALUES:
            break
        batch.append(item)
    return batch


_reporters: weakref.WeakSet[Reporter] = weakref.WeakSet()

_inherited: list[object] = []
"""Clients of the parent, kept so that a forked child never runs their destructors: the threads they need are gone."""

_importing = threading.Lock()
"""Held while a thread imports, and taken before each fork."""

_finalized_in = 0
"""The process whose end by multiprocessing has been seen to."""


def close_all() -> None:
    """Delivers what is left, at the end of the process. Harmless to repeat."""
    deadline = time.monotonic() + EXIT_TIMEOUT
    reporters = list(_reporters)
    for reporter in reporters:
        reporter.begin_close(deadline)
    for reporter in reporters:
        reporter.finish_close()


# Registered before grpc is imported, so it runs after whatever that registers, and after the last non-daemon thread.
atexit.register(close_all)


def _close_with_multiprocessing() -> None:
    """Processes of `multiprocessing` end without `atexit`; their own finalizers run."""
    global _finalized_in
    util = sys.modules.get("multiprocessing.util")
    process = sys.modules.get("multiprocessing.process")
    if util is None or process is None or process.parent_process() is None or _finalized_in == os.getpid():
        return
    _finalized_in = os.getpid()
    util.Finalize(None, close_all, exitpriority=10)


def _before_fork() -> None:
    _importing.acquire()


def _after_fork_in_parent() -> None:
    # A fork that began before this module was imported has not acquired it.
    if _importing.locked():
        _importing.release()


def _after_fork_in_child() -> None:
    global _importing
    _importing = threading.Lock()
    for reporter in list(_reporters):
        reporter.leave_behind()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
