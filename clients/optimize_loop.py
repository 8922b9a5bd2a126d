"""The loop of `optimize`: asks for a trial, evaluates it, ends it, on one thread or on several."""

from __future__ import annotations

import gc
import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, SupportsFloat

from ..domain.attempt import Cause
from ..domain.errors import DeadlineExceeded, InvalidArgument, StaleAttempt, WazirError
from ..domain.trial import Trial, TrialState
from .arguments import Caught
from .asked import AskedTrial
from .held_trials import HeldTrials, given_up
from .optimize_run import Run, StudyEnded
from .results import Result
from .trial import is_pruning

if TYPE_CHECKING:
    from .study import Study

Outcome = SupportsFloat | Sequence[SupportsFloat] | Mapping[str, SupportsFloat] | None
"""What a trial ends with: the objective, all objectives in order, or metrics by name; None if its reports count."""

Function = Callable[[AskedTrial], Outcome]

logger = logging.getLogger(__name__)


class Loop:
    """Evaluates `function` on trial after trial of `run`. Exceptions in `catch` only fail their trial."""

    def __init__(
        self,
        study: Study,
        held: HeldTrials,
        function: Function,
        *,
        run: Run,
        catch: Caught,
        result_of: Callable[[Trial], Result],
    ) -> None:
        self._study = study
        self._held = held
        self._function = function
        self._result_of = result_of
        self._run = run
        self._catch = catch

    def evaluate(self, parallel: int, timeout: float | None) -> None:
        """Returns when `run` has its trials, after `timeout` seconds, or when the study ends."""
        until = None if timeout is None else time.monotonic() + timeout
        if parallel == 1:
            self._work(until)
            return

        wanted = self._run.wanted
        threads = [
            threading.Thread(target=self._work_on_thread, args=(until,), daemon=True)
            for _ in range(parallel if wanted is None else min(parallel, wanted))
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException:
            # The threads cannot be interrupted: what they evaluate is given back, and what they find is ignored.
            self._run.halted.set()
            for asked in self._run.active():
                self._held.give_back(asked)
            raise

        if self._run.errors:
            raise self._run.errors[0]

    def _work_on_thread(self, until: float | None) -> None:
        try:
            self._work(until)
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            self._run.errors.append(error)
            self._run.halted.set()

    def _work(self, until: float | None) -> None:
        run = self._run
        while run.take() and not run.over(until):
            try:
                asked = self._held.ask(until, run.halted)
            except StudyEnded as ended:
                logger.info("%s", ended, extra={"action": "study_ended", "study": self._study.name})
                if not run.halted.is_set():
                    run.cut_short = ended
                return
            except DeadlineExceeded as late:
                if until is None or time.monotonic() < until:
                    raise
                run.cut_short = late
                return

            with run.evaluating(asked):
                ended_as = self._evaluate(asked)
            if run.collect:
                gc.collect()
            if ended_as is not None:
                for callback in run.callbacks:
                    callback(self._study, ended_as)

    def _evaluate(self, asked: AskedTrial) -> Result | None:
        """The trial as it ended; None if it is no longer this process's. Raises what the function raises, unless it is
        in `catch`."""
        begun = time.monotonic()
        failure: Exception | None = None
        try:
            try:
                ended = self._end_with(asked, self._function(asked))
            except Exception as error:
                if isinstance(error, WazirError) and not isinstance(error, InvalidArgument):
                    raise
                if is_pruning(error):
                    ended = self._end_pruned(asked, error)
                else:
                    failure = error
                    ended = self._fail(asked, error)
        except StaleAttempt as error:
            # Somebody else evaluates it by now.
            self._held.let_go(asked)
            logger.warning("%s", error, extra={"action": "attempt_stale", "trial": asked.name})
            return None
        except WazirError:
            # The service has not heard of the end: without heartbeats it will notice by the lease.
            self._held.let_go(asked)
            raise
        except Exception:
            raise
        except BaseException:
            self._held.give_back(asked)
            raise

        if ended is not None:
            self._run.lines.ended(ended, time.monotonic() - begun)
        if failure is not None:
            self._raise_or_log(asked, failure)
        return ended

    def _raise_or_log(self, asked: AskedTrial, failure: Exception) -> None:
        if not isinstance(failure, self._catch):
            raise failure
        # With lines, the trial's own says it.
        level = logging.WARNING if self._run.lines.quiet else logging.INFO
        words = f"{type(failure).__name__}: {failure}"
        extra = {"action": "trial_failed", "trial": asked.name}
        logger.log(level, "%s failed: %s", asked.record.name.short, words, extra=extra)

    def _end_with(self, asked: AskedTrial, value: Outcome) -> Result | None:
        """Ends a trial with what the function returned."""
        if asked.told:
            return None  # given back by an interrupt, or ended by the function itself
        state = TrialState.STOPPED if value is None and asked.should_stop() and asked.reported else None
        return self._study.tell(asked, value, state)

    def _end_pruned(self, asked: AskedTrial, error: Exception) -> Result | None:
        """Ends a trial whose code said that it is to end early."""
        if asked.told:
            return None
        cause = given_up(asked)
        when = "" if cause is Cause.STOPPED else " before it reported anything"
        # If a rule has stopped it, the rule's reason stays.
        message = "" if asked.heard_stop else str(error) or f"pruned by its code{when}"
        return self._result_of(self._held.end(asked, cause, message=message))

    def _fail(self, asked: AskedTrial, error: Exception) -> Result | None:
        """Ends a trial whose evaluation raised."""
        if asked.told:
            return None
        words, log = f"{type(error).__name__}: {error}", "".join(traceback.format_exception(error))
        return self._result_of(self._held.end(asked, Cause.CODE_FAILED, message=words, log=log))
