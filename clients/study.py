"""Ask and tell: a study whose trials are evaluated by the code that asks for them.

    study = wazir.create_study("branin", metric="value", direction="minimize", trials=100)

    def objective(trial):
        x = trial.suggest_float("x", -5, 10)
        y = trial.suggest_float("y", 0, 15)
        return branin(x, y)

    study.optimize(objective, parallel=4)
    print(study.best_value, study.best_params)

Several processes may ask for trials of one study at the same time; `load_study` is their way in. A process that goes
away loses its trials after a lease, and somebody else gets them.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, SupportsFloat

from ..domain import document
from ..domain import study as domain
from ..domain.attempt import Cause
from ..domain.choices import restored
from ..domain.errors import (
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    StaleAttempt,
    WazirError,
    nearest,
)
from ..domain.space import Space
from ..domain.study import Shortage
from ..domain.trial import Trial as Record
from ..domain.trial import TrialState
from .asked import AskedTrial, Definitions, enqueued
from .client import Client
from .heartbeats import Heartbeats
from .opening import Serve, Storage, open_client
from .pauses import pauses
from .trial import check_metrics

if TYPE_CHECKING:
    import pandas

LEASE = 60.0
"""Seconds for which a process may be silent before its trials are given to others."""

EXIT_PATIENCE = 5.0
"""Seconds to tell the service of trials that an interrupt ends."""

PATIENCE = 10.0
"""Seconds of waiting for a trial after which a log record says what is waited for."""

Outcome = SupportsFloat | Sequence[SupportsFloat] | Mapping[str, SupportsFloat] | None
"""What a trial ends with: the objective, all objectives in order, or metrics by name; None where its reports count."""

Caught = type[Exception] | tuple[type[Exception], ...]

Function = Callable[[AskedTrial], Outcome]

ENDS = {
    TrialState.SUCCEEDED: Cause.SUCCEEDED,
    TrialState.STOPPED: Cause.STOPPED,
    TrialState.INFEASIBLE: Cause.INFEASIBLE,
    TrialState.FAILED: Cause.CODE_FAILED,
}
"""States that `Study.tell` takes, and how the attempt then ended."""

logger = logging.getLogger(__name__)


class StudyEnded(FailedPrecondition):
    """There is nothing more to evaluate: the study has ended, or ends when its running trials have."""

    reason = "STUDY_ENDED"


def create_study(
    name: str | None = None,
    *,
    parameters: Mapping[str, object] | Space | None = None,
    constraints: Sequence[str] = (),
    metric: str | None = None,
    direction: str | None = None,
    objective: Mapping[str, object] | None = None,
    objectives: Sequence[Mapping[str, object]] | None = None,
    algorithm: str | Mapping[str, object] = "auto",
    seed: int | None = None,
    stopping: str | Mapping[str, object] | None = None,
    trials: int | None = None,
    parallel: int | None = None,
    failed: int | None = None,
    duration: float | str | None = None,
    gpu_hours: float | None = None,
    labels: Mapping[str, str] | None = None,
    load_if_exists: bool = False,
    address: str | None = None,
    database: str | os.PathLike[str] | None = None,
    storage: Storage | None = None,
    lease: float = LEASE,
    serve: Serve | None = None,
) -> Study:
    """Makes a study to ask and tell.

    `name`: a DNS label; one is made up where there is none. `parameters`: the space in the study file's words,
    `{"lr": {"min": 1e-5, "max": 0.1, "scale": "log"}}` (bounds that are all integers make an integer: for what lies
    between 0 and 1 write `{"min": 0.0, "max": 1.0}`), or a Space; without it the space grows as the code names
    parameters with `trial.suggest_*`. What is optimised: `metric` (default "value") and `direction` ("minimize", the
    default, or "maximize"); or `objective`, `objectives` in the study file's words. `algorithm` and `stopping`: a name,
    or a mapping with the name and settings. `trials` to `gpu_hours`: the budget; None is no limit.

    `load_if_exists` goes on with a study of that name, with the budget and stopping given now. Where studies are kept:
    `address`, a service's `host:port`; or `database`, a file or `postgresql://USER@HOST/DATABASE`; or `storage`, either
    of them as Optuna writes it (`sqlite:///studies.db`). Without them WAZIR_ADDRESS, else WAZIR_DB or the file
    `.wazir/wazir.db`. A database that no service serves is served by a process that ends with this one. `lease`:
    seconds for which this process may be silent before its trials are given to others.

    Raises InvalidArgument, AlreadyExists, SpecChanged if the existing study has another space or metric, Unavailable
    if no service answers, and FailedPrecondition if one would have to be started and a library of it is missing.
    """
    settings: dict[str, object] = dict(algorithm) if isinstance(algorithm, Mapping) else {"name": algorithm}
    if seed is not None:
        settings["seed"] = seed
    budget = {
        "trials": trials,
        "parallel": parallel,
        "failed": failed,
        "duration": duration,
        "gpu_hours": gpu_hours,
    }
    description: dict[str, object] = {
        **_objectives(metric, direction, objective, objectives),
        "algorithm": settings,
        "budget": {key: limit for key, limit in budget.items() if limit is not None},
    }
    if stopping is not None:
        description["stopping"] = dict(stopping) if isinstance(stopping, Mapping) else {"name": stopping}
    if labels:
        description["labels"] = dict(labels)
    if parameters is not None and not isinstance(parameters, Space):
        description["parameters"] = parameters
    if constraints:
        description["constraints"] = list(constraints)
    spec = document.from_document(description)
    for doubt in document.doubts(description):
        # The level of whoever called `wazir.create_study`.
        warnings.warn(str(doubt), UserWarning, stacklevel=3)
    if isinstance(parameters, Space):
        spec = replace(spec, space=Space(parameters.parameters, (*parameters.constraints, *constraints)))
    client = open_client(address, database=database, storage=storage, serve=serve)
    made = client.create_study(name or f"study-{secrets.token_hex(4)}", spec, resume=load_if_exists)
    return Study(client, made, lease=lease)


def load_study(
    name: str,
    *,
    address: str | None = None,
    database: str | os.PathLike[str] | None = None,
    storage: Storage | None = None,
    lease: float = LEASE,
    serve: Serve | None = None,
) -> Study:
    """A study that exists, whoever made it. Arguments as in `create_study`. Raises NotFound."""
    client = open_client(address, database=database, storage=storage, serve=serve)
    return Study(client, client.get_study(name), lease=lease)


class Study:
    """A study to ask and tell. Every thread may use it. Made by `create_study` and `load_study`.

    `close` it, or use it as a context manager, where a process goes on for long after its last trial.
    """

    def __init__(self, client: Client, study: domain.Study, *, lease: float = LEASE) -> None:
        self._client = client
        self._name = study.name
        self._spec = study.spec
        self._definitions = Definitions(study)
        self._lease = lease
        self._heartbeats = Heartbeats(client, lease)
        self._held: dict[int, AskedTrial] = {}
        self._holder = f"{socket.gethostname()}/{os.getpid()}"

    @property
    def name(self) -> str:
        """As people write it: without the owner where that is the default one."""
        return self._name.short

    @property
    def client(self) -> Client:
        """For everything that is not asking and telling."""
        return self._client

    def details(self) -> domain.Study:
        """The study as it is now: specification, state and its reason, counts."""
        return self._client.get_study(self._name)

    def close(self) -> None:
        """Lets the connection go. Trials that were asked for and not told are given to others after a lease."""
        self._heartbeats.close()
        for trial in list(self._held.values()):
            trial.reporter.close()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Study {self.name} at {self._client.address}>"

    # Ask and tell

    def ask(self, timeout: float | None = None) -> AskedTrial:
        """The next trial to evaluate. It is this process's until it is told; heartbeats say that it lives.

        Waits while there is none for now: all that `parallel` allows are running, the budget is handed out, the study
        is paused, or the algorithm waits for results. Raises StudyEnded when there is nothing more to evaluate, and
        DeadlineExceeded after `timeout` seconds (0: one try; None: no limit).
        """
        until = None if timeout is None else time.monotonic() + timeout
        return self._ask(until, threading.Event())

    def tell(self, trial: AskedTrial | int, value: Outcome = None, state: TrialState | str | None = None) -> Record:
        """Ends a trial; returns it as the service then has it.

        `value`: the objective; all objectives in order; or metrics by name, also further ones. Without it the trial's
        reports count. A value that is NaN or infinite makes the trial INFEASIBLE. `state`: SUCCEEDED unless told
        otherwise; STOPPED (ended early; its reports count), INFEASIBLE (these parameters cannot be evaluated) or FAILED
        (says nothing about the parameters). A trial whose `should_stop` has answered true has ended early: it becomes
        STOPPED, or PAUSED where the algorithm may let it go on, with that value.

        Raises InvalidArgument on a value that is none, StaleAttempt where the trial is somebody else's by now, and
        FailedPrecondition where it has ended with another outcome.
        """
        final = self._final(value)
        asked = self._held.get(trial) if isinstance(trial, int) else trial
        if state is not None:
            cause = ENDS[_state(state)]
        else:
            early = asked is not None and asked.heard_stop and (final or asked.reported)
            cause = Cause.STOPPED if early else Cause.SUCCEEDED
        if asked is None:
            return self._tell_unheld(int(str(trial)), cause, final)
        if cause is Cause.SUCCEEDED and not asked.called_infeasible and not asked.reported:
            missing = [o.metric for o in self._spec.objectives if o.metric not in final]
            if missing:
                raise InvalidArgument(
                    "value", value, f"lacks the objective {missing[0]!r}, and the trial has reported nothing", "Give it"
                )
        return self._end(asked, cause, final)

    def optimize(
        self,
        function: Function,
        trials: int | None = None,
        *,
        parallel: int = 1,
        catch: Caught = (),
        timeout: float | None = None,
    ) -> None:
        """Evaluates `function(trial)` on trial after trial: `trials` of them, for `timeout` seconds (a trial that runs
        then is finished), or until the study ends.

        The function returns what `tell` takes. Where it raises, its trial is FAILED; exceptions in `catch` are logged
        and the next trial follows, others are raised when the trials beside it are done. `parallel` trials run at a
        time, each on a thread. An interrupt (Ctrl-C) gives running trials back, to be evaluated again.

        If the study ends before `trials` of them were evaluated, it warns with the reason. If none was evaluated, it
        raises: StudyEnded with the reason, or DeadlineExceeded after `timeout`.
        """
        for what, number in (("trials", trials), ("parallel", parallel)):
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
                raise InvalidArgument(what, number, "must be a whole number of 1 or more")
        until = None if timeout is None else time.monotonic() + timeout
        run = _Run(trials)
        if parallel == 1:
            self._work(function, run, catch, until)
            run.check_enough()
            return
        threads = [
            threading.Thread(target=self._work_on_thread, args=(function, run, catch, until), daemon=True)
            for _ in range(parallel if trials is None else min(parallel, trials))
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException:
            # The threads cannot be interrupted: what they evaluate is given back, and what they find is not told.
            run.halted.set()
            for asked in run.active():
                self._give_back(asked)
            raise
        if run.errors:
            raise run.errors[0]
        run.check_enough()

    def enqueue_trial(self, params: Mapping[str, Any], *, labels: Mapping[str, str] | None = None) -> Record:
        """A trial with these parameters, to be handed out before new points; defaults of the space fill gaps.

        In a growing space the values wait until the code asks for them, and need not be all of a trial. One that does
        not lie in the range asked for is replaced by another, with a warning.
        """
        return self._client.create_trial(self._name, enqueued(params), labels=labels)

    def stop(self, reason: str = "") -> None:
        """Ends the study, for everybody: waiting trials are cancelled, running ones told to stop."""
        self._client.stop_study(self._name, reason)

    # What came of it

    @property
    def trials(self) -> list[Record]:
        """All trials by id."""
        return list(self._client.list_trials(self._name))

    @property
    def best_trials(self) -> list[Record]:
        """With one objective the best trial, with several those that no other dominates; empty before the first."""
        return self._client.best_trials(self._name)

    @property
    def best_trial(self) -> Record:
        """Raises FailedPrecondition with several objectives, and before a trial has ended with a value."""
        self._one_objective("best_trial")
        found = self._client.best_trials(self._name, 1)
        if not found:
            raise FailedPrecondition(f"no trial of {self.name} has ended with a value yet")
        return found[0]

    @property
    def best_value(self) -> float:
        """Of the objective. Raises as `best_trial`."""
        return (self.best_trial.final or {})[self._spec.objectives[0].metric]

    @property
    def best_params(self) -> dict[str, Any]:
        """What the code of the best trial asked for: in a growing space nothing else. Raises as `best_trial`."""
        return {name: restored(value) for name, value in self.best_trial.parameters.items()}

    def trials_dataframe(self) -> pandas.DataFrame:
        """A row for each trial: id, state, `metric_*`, `params_*`, times (UTC), duration in seconds, `labels_*`. Needs
        pandas."""
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise FailedPrecondition(
                "trials_dataframe needs pandas, which is not installed: pip install pandas"
            ) from error
        return pandas.DataFrame(list(map(row, self.trials)))

    # How it is done

    def _ask(self, until: float | None, interrupted: threading.Event) -> AskedTrial:
        begun, told = time.monotonic(), False
        for pause in pauses():
            answer = self._client.suggest(self._name, client_id=self._holder, start=True, lease=self._lease)
            if answer.trials:
                return self._hold(answer.trials[0])
            if answer.shortage is Shortage.ENDED:
                study = self.details()
                raise StudyEnded(f"{self.name} has nothing more to evaluate: {study.reason or study.state.value}")
            if answer.shortage is Shortage.PAUSED and (study := self.details()).needs_a_person:
                raise FailedPrecondition(
                    f"{self.name} is paused: {study.reason}. See to it, and go on with: wazir resume {self.name}"
                )
            why = _WAITING.get(answer.shortage, "no trial is to be had") if answer.shortage else "no trial is to be had"
            rest = None if until is None else until - time.monotonic()
            if rest is not None and rest <= 0:
                raise DeadlineExceeded(f"{self.name} has no trial for now: {why}; ask again later")
            if not told and time.monotonic() - begun > PATIENCE:
                told = True
                logger.warning("waiting for a trial of %s: %s", self.name, why, extra={"action": "ask_waits"})
            if interrupted.wait(pause if rest is None else min(pause, rest)):
                raise StudyEnded(f"asking for a trial of {self.name} was given up")
        raise AssertionError("pauses never end")

    def _hold(self, record: Record) -> AskedTrial:
        asked = AskedTrial(record, self._client, self._definitions)
        self._held[record.id] = asked
        self._heartbeats.hold(record.name, asked.attempt, asked.reporter.tell)
        return asked

    def _end(
        self,
        asked: AskedTrial,
        cause: Cause,
        final: Mapping[str, float] | None = None,
        message: str = "",
        log: str = "",
    ) -> Record:
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
            self._let_go(asked)
        return record

    def _let_go(self, asked: AskedTrial) -> None:
        asked.told = True
        self._heartbeats.release(asked.record.name, asked.attempt)
        self._held.pop(asked.id, None)
        asked.reporter.close()

    def _give_back(self, asked: AskedTrial) -> None:
        """Ends a trial so that it is evaluated again. Where the service cannot be told, the lease does it."""
        asked.reporter.tell("interrupted")
        if not asked.lock.acquire(blocking=False):
            return  # it is being told
        try:
            if asked.told:
                return
            self._let_go(asked)
            client = self._client.patient(EXIT_PATIENCE, EXIT_PATIENCE)
            client.end_attempt(asked.record.name, asked.attempt, Cause.PREEMPTED, message="interrupted")
        except WazirError as error:
            logger.warning(
                "%s could not be given back: %s", asked.record.name.short, error, extra={"action": "give_back_failed"}
            )
        finally:
            asked.lock.release()

    def _tell_unheld(self, trial_id: int, cause: Cause, final: Mapping[str, float]) -> Record:
        """A trial that another process, or this one in an earlier life, has asked for."""
        record = self._client.get_trial(self._name.trial(trial_id))
        if record.attempt is None or not record.attempt.live:
            raise FailedPrecondition(
                f"{record.name.short} is {record.state.name} and not being evaluated; ask for it first",
                details={"name": str(record.name), "state": record.state.name},
            )
        return self._client.end_attempt(record.name, record.attempt.number, cause, final=final)

    def _final(self, value: Outcome) -> dict[str, float]:
        """The metrics that `value` means. Raises InvalidArgument."""
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return check_metrics(value)
        names = [o.metric for o in self._spec.objectives]
        # A NumPy scalar or a tensor may look like a sequence; a float it is all the same.
        several = isinstance(value, list | tuple)
        values: list[Any] = list(value) if isinstance(value, list | tuple) else [value]
        if len(values) != len(names):
            rule = f"the study has {len(names)} objectives: {', '.join(names)}" if several or len(names) > 1 else ""
            raise InvalidArgument("value", value, rule, "Give one number for each, in this order, or a mapping")
        return check_metrics(dict(zip(names, values, strict=True)))

    def _one_objective(self, what: str) -> None:
        if len(self._spec.objectives) > 1:
            raise FailedPrecondition(
                f"{self.name} has {len(self._spec.objectives)} objectives, so no single trial is best: {what} is for "
                "one; best_trials has those that no other dominates"
            )

    # The loop of `optimize`

    def _work(self, function: Function, run: _Run, catch: Caught, until: float | None) -> None:
        while run.take() and not run.over(until):
            try:
                asked = self._ask(until, run.halted)
            except StudyEnded as ended:
                logger.info("%s", ended, extra={"action": "study_ended", "study": str(self._name)})
                run.cut_short = ended
                return
            except DeadlineExceeded as late:
                if until is None or time.monotonic() < until:
                    raise
                run.cut_short = late
                return
            with run.evaluating(asked):
                self._evaluate(function, asked, catch)

    def _work_on_thread(self, function: Function, run: _Run, catch: Caught, until: float | None) -> None:
        try:
            self._work(function, run, catch, until)
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            run.errors.append(error)
            run.halted.set()

    def _evaluate(self, function: Function, asked: AskedTrial, catch: Caught) -> None:
        try:
            try:
                outcome = function(asked)
            except Exception as error:  # noqa: BLE001 - raised again below unless the caller wants it caught
                self._fail(asked, error, catch)
                return
            try:
                self._tell_outcome(asked, outcome)
            except InvalidArgument as error:
                self._fail(asked, error, catch)
        except StaleAttempt as error:
            # Somebody else evaluates it by now.
            self._let_go(asked)
            logger.warning("%s", error, extra={"action": "attempt_stale", "trial": asked.name})
        except WazirError:
            # The service was not told: without heartbeats the lease tells it.
            self._let_go(asked)
            raise
        except Exception:
            raise
        except BaseException:
            self._give_back(asked)
            raise

    def _fail(self, asked: AskedTrial, error: Exception, catch: Caught) -> None:
        """Ends a trial whose evaluation raised; raises that again unless it is to be caught."""
        words = f"{type(error).__name__}: {error}"
        if not asked.told:
            try:
                self._end(asked, Cause.CODE_FAILED, message=words, log="".join(traceback.format_exception(error)))
            except StaleAttempt as stale:
                self._let_go(asked)
                logger.warning("%s", stale, extra={"action": "attempt_stale", "trial": asked.name})
        if not isinstance(error, catch):
            raise error
        logger.warning(
            "%s failed: %s", asked.record.name.short, words, extra={"action": "trial_failed", "trial": asked.name}
        )

    def _tell_outcome(self, asked: AskedTrial, value: Outcome) -> None:
        if asked.told:
            return  # given back by an interrupt
        state = TrialState.STOPPED if value is None and asked.should_stop() and asked.reported else None
        self.tell(asked, value, state)


class _Run:
    """What the threads of one `optimize` share."""

    def __init__(self, trials: int | None) -> None:
        self.halted = threading.Event()
        self.errors: list[BaseException] = []
        self.cut_short: StudyEnded | DeadlineExceeded | None = None
        """Why there was no trial to evaluate when one was wanted."""
        self._lock = threading.Lock()
        self._wanted = trials
        self._left = trials
        self._evaluated = 0
        self._active: list[AskedTrial] = []

    def take(self) -> bool:
        """Whether one more trial is to be evaluated."""
        with self._lock:
            if self.halted.is_set() or self._left == 0:
                return False
            if self._left is not None:
                self._left -= 1
            return True

    def active(self) -> list[AskedTrial]:
        with self._lock:
            return list(self._active)

    def over(self, until: float | None) -> bool:
        """Whether the time is up. One trial is tried for however short it is."""
        return until is not None and self._evaluated > 0 and time.monotonic() >= until

    def check_enough(self) -> None:
        """Warns if fewer trials were evaluated than were wanted, and raises if none was. Time that is up is what the
        caller wanted, and needs no warning."""
        if self.cut_short is None:
            return
        if not self._evaluated:
            raise self.cut_short
        if self._wanted is not None and isinstance(self.cut_short, StudyEnded):
            # The level of whoever called `optimize`.
            warnings.warn(
                f"{self._evaluated} of {self._wanted} trials were evaluated: {self.cut_short}",
                UserWarning,
                stacklevel=3,
            )

    @contextmanager
    def evaluating(self, asked: AskedTrial) -> Iterator[None]:
        with self._lock:
            self._evaluated += 1
            self._active.append(asked)
        try:
            yield
        finally:
            with self._lock:
                self._active.remove(asked)


_WAITING = {
    Shortage.PARALLEL: "as many run as budget.parallel allows",
    Shortage.BUDGET: "all trials of the budget are handed out",
    Shortage.PAUSED: "the study is paused",
    Shortage.ALGORITHM: "the algorithm waits for results",
}


def row(trial: Record) -> dict[str, object]:
    """A trial as a flat row: one column for each metric, parameter and label."""
    begin, end = trial.start_time, trial.end_time
    return {
        "id": trial.id,
        "state": trial.state.name,
        **{f"metric_{name}": value for name, value in (trial.final or {}).items()},
        **{f"params_{name}": value for name, value in trial.parameters.items()},
        "create_time": datetime.fromtimestamp(trial.create_time, UTC),
        "start_time": None if begin is None else datetime.fromtimestamp(begin, UTC),
        "end_time": None if end is None else datetime.fromtimestamp(end, UTC),
        "duration": None if begin is None or end is None else end - begin,
        **{f"labels_{name}": text for name, text in trial.labels.items()},
    }


def _objectives(
    metric: str | None,
    direction: str | None,
    objective: Mapping[str, object] | None,
    objectives: Sequence[Mapping[str, object]] | None,
) -> dict[str, object]:
    """The part of a study file that says what is optimised."""
    short = metric is not None or direction is not None
    if short + (objective is not None) + (objectives is not None) > 1:
        raise InvalidArgument(
            "objective", objective, "is given twice", "Give metric and direction, or objective, or objectives"
        )
    if objectives is not None:
        return {"objectives": list(objectives)}
    if objective is not None:
        return {"objective": objective}
    if direction not in (None, "minimize", "maximize"):
        raise InvalidArgument("direction", direction, 'must be "minimize" or "maximize"', _meant(direction))
    return {"objective": {"metric": metric or "value", "goal": direction or "minimize"}}


def _meant(direction: object) -> str:
    hint = nearest(str(direction), ("minimize", "maximize"))
    return hint if hint.startswith("Did") else ""


def _state(state: TrialState | str) -> TrialState:
    for known in ENDS:
        if state is known or (isinstance(state, str) and state.lower() == known.value):
            return known
    shown = state.value if isinstance(state, TrialState) else state
    names = ", ".join(known.name for known in ENDS)
    raise InvalidArgument("state", shown, f"a trial can be told to be {names}")
