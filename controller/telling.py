"""What the service is told of an attempt: that it is there, what it has measured, how it has ended.

Each of these waits for the service, on the threads that do, and raises what the client raises. One attempt is spoken
of by one thread at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from ..domain.attempt import AttemptState, Cause
from ..domain.errors import FailedPrecondition, InvalidArgument, StaleAttempt
from ..domain.study import Study
from ..domain.trial import Measurement, Trial
from .attempts import Remembered, Unfinished
from .classify import Outcome, with_lost, with_output
from .collecting import MAX_TAIL, Collector, batches, last_words
from .execution import Execution, Key, Phase
from .plan import Told
from .runtime import OutputLost, Runtime
from .service import StudyService
from .spool import Spooled, parse

log = logging.getLogger(__name__)


class Telling:
    """`clock`: Unix seconds."""

    def __init__(self, service: StudyService, runtime: Runtime, clock: Callable[[], float]) -> None:
        self._service = service
        self._runtime = runtime
        self._clock = clock

    def fetch_token(self, trial: Trial, attempt: Remembered) -> None:
        """Learns what its code calls with."""
        attempt.token = self._service.attempt_token(trial.name)

    def announce(self, trial: Trial, key: Key, execution: Execution, attempt: Remembered) -> None:
        """That it waits, or runs, and where."""
        try:
            self._service.heartbeat(
                trial.name,
                key.attempt,
                state=AttemptState.QUEUED if execution.phase is Phase.STARTING else AttemptState.RUNNING,
                message=execution.waiting,
                node=execution.node,
                devices=execution.devices,
                gpus=execution.gpus,
                log_path=execution.log_path,
                run_time=None if execution.phase is Phase.STARTING else execution.start_time,
            )
        except (FailedPrecondition, InvalidArgument) as error:
            # For people only: the attempt goes on without it.
            log.warning("%s: %s", key, error, extra={"action": "announce_refused", "attempt": str(key)})
        attempt.announced = Told(execution.phase, execution.waiting, self._clock())

    def collect(self, study: Study, trial: Trial, key: Key, attempt: Remembered) -> None:
        """What it has printed since."""
        collector = self._collector(study, key, attempt)
        collector.read(self._clock())
        self._report(trial, key, collector)
        attempt.collected = self._clock()

    def _report(self, trial: Trial, key: Key, collector: Collector) -> None:
        refused = self._send(trial, key, [*batches(collector.unsent)])
        collector.lost = collector.lost or refused
        collector.unsent.clear()

    def _send(self, trial: Trial, key: Key, reports: Sequence[Sequence[Measurement]]) -> str:
        """Sends all that the service takes. Why it does not take the rest: to send that again would not help."""
        refused = ""
        for measurements in reports:
            try:
                self._service.report(trial.name, key.attempt, measurements)
            except InvalidArgument as error:
                log.error("%s: %s", key, error, extra={"action": "report_refused", "attempt": str(key)})
                refused = f"the service does not take some of them: {error}"
        return refused

    def end(
        self, study: Study, trial: Trial, key: Key, outcome: Outcome, execution: Execution | None, attempt: Remembered
    ) -> Trial:
        """What is left of it, and that it has ended. What became of its trial. May be done again after failures.

        Raises Unfinished if there is so much left that others are to have their turn first."""
        now = self._clock()
        last: Sequence[Measurement] = ()
        tail = ""

        if execution is not None:
            running = attempt.announced is not None and attempt.announced.phase is Phase.RUNNING
            if not running and execution.exit is not None and execution.exit.code is not None:
                self.announce(trial, key, execution, attempt)

            collector = self._collector(study, key, attempt)
            if not collector.finish(now):
                self._report(trial, key, collector)
                raise Unfinished
            spooled, lost = self._spooled(key)
            if spooled.infeasible:
                self._service.report(trial.name, key.attempt, (), infeasible=spooled.infeasible)

            *rest, last = [*batches([*collector.unsent, *spooled.measurements])] or [()]
            if refused := self._send(trial, key, rest):
                lost.append(refused)

            tail = last_words(self._runtime.tail(key, MAX_TAIL))
            outcome = with_output(outcome, tail)
            if outcome.cause is Cause.SUCCEEDED:
                outcome = replace(outcome, message=collector.remarks(tail))
            if collector.lost:
                lost.append(f"what it printed cannot be read to its end: {collector.lost}")
            outcome = with_lost(outcome, "; ".join(lost))

        exit_time = execution.exit.time if execution is not None and execution.exit is not None else now
        tell = partial(self._service.end_attempt, trial.name, key.attempt, log_tail=tail, end_time=exit_time)
        try:
            try:
                ended = tell(outcome.cause, measurements=last, message=outcome.message, exit_code=outcome.exit_code)
            except InvalidArgument as error:
                if not last:
                    raise
                outcome = with_lost(outcome, f"the service does not take the last of them: {error}")
                ended = tell(outcome.cause, message=outcome.message, exit_code=outcome.exit_code)
        except FailedPrecondition as error:
            # It has ended otherwise: a person released it, or an answer was lost and the code had its own word.
            log.info("%s: %s", key, error, extra={"action": "ended_otherwise", "attempt": str(key)})
            raise StaleAttempt(trial.name.short, key.attempt, key.attempt, True) from error

        words = outcome.message or ended.reason
        log_trial("ended", ended, f"{outcome.cause.value}, now {ended.state.value}{words and f': {words}'}")
        return ended

    def _spooled(self, key: Key) -> tuple[Spooled, list[str]]:
        """What it could not deliver itself, and in words what nobody can deliver any more."""
        lost = []
        try:
            spooled = parse(self._runtime.spool(key))
        except OutputLost as error:
            spooled = Spooled()
            lost.append(str(error))
        if spooled.rejected:
            log.warning("%s spooled %d unreadable lines", key, spooled.rejected, extra={"action": "spool"})
            lost.append(f"{spooled.rejected} of the reports that it left behind cannot be read")
        if words := self._runtime.reports_lost(key):
            lost.append(words)
        return spooled, lost

    def _collector(self, study: Study, key: Key, attempt: Remembered) -> Collector:
        if attempt.collector is None:
            attempt.collector = Collector(self._runtime, key, study.spec)
        return attempt.collector


def log_trial(action: str, trial: Trial, words: str) -> None:
    extra = {"action": action, "study": str(trial.study), "trial": str(trial.name)}
    log.info("%s %s", trial.name.short, words, extra=extra)
