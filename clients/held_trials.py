"""The trials that this process has been given to evaluate, from the question for one to its end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping

from ..domain.attempt import Cause
from ..domain.errors import DeadlineExceeded, FailedPrecondition, WazirError
from ..domain.study import Shortage, Study
from ..domain.trial import Trial
from .asked import AskedTrial, Definitions
from .client import Client
from .heartbeats import Heartbeats
from .optimize_run import StudyEnded
from .orphans import holder
from .pauses import pauses
from .python_words import in_python

EXIT_PATIENCE = 5.0
"""Seconds to tell the service of trials that an interrupt ends."""

PATIENCE = 10.0
"""Seconds of waiting for a trial after which a log record says what is waited for."""

_WAITING = {
    Shortage.PARALLEL: "as many run as `parallel` allows",
    Shortage.BUDGET: "all trials of the budget are handed out",
    Shortage.PAUSED: "the study is paused",
    Shortage.ALGORITHM: "the algorithm waits for results",
}

logger = logging.getLogger(__name__)


class HeldTrials:
    """Asks for trials of one study, says by heartbeats that this process still has them, and ends them. Every thread
    may use it."""

    def __init__(self, client: Client, study: Study, definitions: Definitions, *, lease: float) -> None:
        self._client = client
        self._name = study.name
        self._definitions = definitions
        self._lease = lease
        self._heartbeats = Heartbeats(client, lease)
        self._by_id: dict[int, AskedTrial] = {}
        self._holder = holder()

    def get(self, trial_id: int) -> AskedTrial | None:
        """The trial, if this process has it."""
        return self._by_id.get(trial_id)

    def close(self) -> None:
        """Ends the heartbeats, so that the trials are given to others after a lease."""
        self._heartbeats.close()
        for asked in list(self._by_id.values()):
            asked.reporter.close()

    def ask(self, until: float | None, interrupted: threading.Event) -> AskedTrial:
        """The next trial, as `Study.ask` has it. `until`: a time of `time.monotonic`. Raises StudyEnded also when
        `interrupted` is set."""
        name, begun, warned = self._name.short, time.monotonic(), False
        for pause in pauses():
            answer = self._client.suggest(self._name, client_id=self._holder, start=True, lease=self._lease)
            if answer.trials:
                return self._hold(answer.trials[0])

            why = self._why_none(answer.shortage)
            rest = None if until is None else until - time.monotonic()
            if rest is not None and rest <= 0:
                raise DeadlineExceeded(f"{name} has no trial for now: {why}; ask again later")
            if not warned and time.monotonic() - begun > PATIENCE:
                warned = True
                logger.warning("waiting for a trial of %s: %s", name, why, extra={"action": "ask_waits"})
            if interrupted.wait(pause if rest is None else min(pause, rest)):
                raise StudyEnded(f"asking for a trial of {name} was given up")
        raise AssertionError("pauses never end")

    def _why_none(self, shortage: Shortage | None) -> str:
        """Why there is no trial for now. Raises StudyEnded or FailedPrecondition if waiting will not bring one."""
        if shortage is Shortage.ENDED:
            study = self._client.get_study(self._name)
            why = in_python(study.reason) or f"it is {study.state.value}"
            raise StudyEnded(f"{self._name.short} has nothing more to evaluate: {why}")
        if shortage is Shortage.PAUSED and (study := self._client.get_study(self._name)).needs_a_person:
            name = self._name.short
            raise FailedPrecondition(
                f"{name} is paused: {study.reason}. See to it, and go on with: wazir resume {name}"
            )
        return "no trial is available" if shortage is None else _WAITING.get(shortage, "no trial is available")

    def _hold(self, record: Trial) -> AskedTrial:
        asked = AskedTrial(record, self._client, self._definitions)
        self._by_id[record.id] = asked
        self._heartbeats.hold(record.name, asked.attempt, asked.reporter.tell)
        return asked

    def end(
        self,
        asked: AskedTrial,
        cause: Cause,
        *,
        final: Mapping[str, float] | None = None,
        message: str = "",
        log: str = "",
    ) -> Trial:
        """Ends the attempt, once: what was reported arrives first, and no heartbeat comes after it."""
        with asked.lock:
            # Reports that could not be delivered yet would otherwise be refused after the end.
            asked.reporter.flush(self._client.retry_for)
            record = self._client.end_attempt(
                asked.record.name,
                asked.attempt,
                Cause.INFEASIBLE if asked.called_infeasible else cause,
                final=final,
                message=asked.called_infeasible or message,
                log_tail=log,
                asked=asked.asked,
            )
            self.let_go(asked)
        return record

    def let_go(self, asked: AskedTrial) -> None:
        """Forgets a trial without a word to the service, which has heard its end or will notice by the lease."""
        asked.told = True
        self._heartbeats.release(asked.record.name, asked.attempt)
        self._by_id.pop(asked.id, None)
        asked.reporter.close()

    def give_back(self, asked: AskedTrial) -> None:
        """Ends a trial so that it is evaluated again. If the service cannot be reached, the lease does it."""
        asked.reporter.tell("interrupted")
        if not asked.lock.acquire(blocking=False):
            return  # another thread is ending it
        try:
            if asked.told:
                return
            self.let_go(asked)
            client = self._client.patient(EXIT_PATIENCE, EXIT_PATIENCE)
            client.end_attempt(asked.record.name, asked.attempt, Cause.PREEMPTED, message="interrupted")
        except WazirError as error:
            logger.warning(
                "%s could not be given back: %s", asked.record.name.short, error, extra={"action": "give_back_failed"}
            )
        finally:
            asked.lock.release()


def given_up(asked: AskedTrial) -> Cause:
    """How a trial ended that its code gave up without a value. If it has reported nothing either, and was not told to
    stop, the code refuses its parameters; an algorithm that did not learn this would propose them again."""
    return Cause.STOPPED if asked.reported or asked.heard_stop else Cause.INFEASIBLE
