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

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from html import escape
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from ..domain import study as domain
from ..domain.attempt import Cause
from ..domain.errors import (
    MISSING,
    FailedPrecondition,
    InvalidArgument,
    WazirError,
)
from ..domain.metric import Goal
from ..domain.names import TrialName
from ..domain.trial import ENDED, Measurement, TrialState
from ..domain.trial import Trial as Record
from . import verbosity
from .aliases import refuse_both
from .arguments import (
    Caught,
    check_callbacks,
    check_catch,
    check_count,
    check_parallel,
    check_state,
    check_timeout,
)
from .asked import AskedTrial, Definitions, enqueued
from .client import Client
from .frames import framed
from .held_trials import HeldTrials, given_up
from .notebook import SHOWN, study_html
from .optimize_lines import Lines, make_bar
from .optimize_loop import Function, Loop, Outcome
from .optimize_run import Callback, Run
from .python_words import python_words
from .results import Result
from .trial import check_metrics
from .user_attributes import from_metadata, to_metadata

if TYPE_CHECKING:
    import pandas

LEASE = 60.0
"""Seconds for which a process may be silent before its trials are given to others."""

HTML_PATIENCE = 3.0
"""Seconds in which a notebook's cell gets its table."""

ENDS = {
    TrialState.SUCCEEDED: Cause.SUCCEEDED,
    TrialState.STOPPED: Cause.STOPPED,
    TrialState.INFEASIBLE: Cause.INFEASIBLE,
    TrialState.FAILED: Cause.CODE_FAILED,
}
"""States that `Study.tell` takes, and how the attempt then ended."""


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
        self._held = HeldTrials(client, study, self._definitions, lease=lease)
        self._runs: list[Run] = []
        """Of `optimize`, those that go on now."""

    @property
    def name(self) -> str:
        """As people write it: without the owner if that is the default one."""
        return self._name.short

    @property
    def study_name(self) -> str:
        """Optuna's word for `name`."""
        return self.name

    @property
    def client(self) -> Client:
        """For everything that is not asking and telling."""
        return self._client

    def details(self) -> domain.Study:
        """The study as it is now: specification, state and its reason, counts."""
        return self._client.get_study(self._name)

    def close(self) -> None:
        """Lets the connection go. Trials that were asked for and not told are given to others after a lease."""
        self._held.close()
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        goals = ", ".join(f"{o.goal.value} {o.metric}" for o in self._spec.objectives)
        return f"Study({self.name!r}, {goals}, at {self._client.address})"

    def __reduce__(self) -> tuple[Callable[..., Study], tuple[str, str, float]]:
        """Pickled, it is a way to the same study, for workers that are given it; its trials stay here."""
        from .studies import reopened

        return reopened, (str(self._name), self._client.address, self._lease)

    def _repr_html_(self) -> str:
        """For notebooks. A service that is away is not waited for."""
        client = self._client.patient(HTML_PATIENCE, HTML_PATIENCE)
        try:
            study = client.get_study(self._name)
            best = client.best_trials(self._name)
            last = list(islice(client.list_trials(self._name, descending=True), SHOWN))
        except WazirError as error:
            return f"<div>{escape(repr(self))}<br>{escape(str(error))}</div>"
        return study_html(study, [self._result(t) for t in best], [self._result(t) for t in last])

    # Ask and tell

    def ask(self, timeout: float | None = None, *, fixed_distributions: object = None) -> AskedTrial:
        """The next trial to evaluate. It is this process's until it is told; heartbeats say that it lives.

        Waits while there is none for now: all that `parallel` allows are running, the budget is handed out, the study
        is paused, or the algorithm waits for results. Raises StudyEnded when there is nothing more to evaluate, and
        DeadlineExceeded after `timeout` seconds (0: one try; None: no limit). `fixed_distributions` is refused.
        """
        if fixed_distributions is not None or isinstance(timeout, Mapping):
            raise InvalidArgument(
                "fixed_distributions",
                MISSING,
                "is not known here",
                "Call suggest_* of the trial that `ask` returns, or give the space to create_study as parameters=",
            )
        check_timeout(timeout)
        until = None if timeout is None else time.monotonic() + timeout
        return self._held.ask(until, threading.Event())

    def tell(
        self,
        trial: AskedTrial | int,
        value: Outcome = None,
        state: TrialState | str | None = None,
        skip_if_finished: bool = False,
        *,
        values: Outcome = None,
    ) -> Result:
        """Ends a trial; returns it as the service then has it. `trial`: what `ask` returned, or its id.

        `value`, or `values`: the objective; all objectives in order; or metrics by name, also further ones. Without it
        the trial's reports count. A value that is NaN or infinite makes the trial INFEASIBLE. `state`: SUCCEEDED unless
        given otherwise; STOPPED (ended early; its reports count, and without any it is INFEASIBLE), INFEASIBLE (these
        parameters cannot be evaluated) or FAILED (evidence of how likely success is). A trial whose `should_stop` has
        answered true has ended early: it becomes STOPPED, or PAUSED if the algorithm may let it go on, with that
        value. `skip_if_finished`: a trial that has ended already is returned as it is.

        Raises InvalidArgument if the value is not one, StaleAttempt if another process has the trial by now, and
        FailedPrecondition if it has ended with another outcome.
        """
        refuse_both("value", value, "values", values)
        value = values if value is None else value
        if not isinstance(trial, AskedTrial | int) or isinstance(trial, bool):
            raise InvalidArgument("trial", type(trial).__name__, "must be what `ask` returned, or its id")
        if isinstance(trial, int) and trial < 1:
            raise InvalidArgument("trial", trial, "ids count from 1", "Give the trial itself, or trial.id")
        if skip_if_finished and (known := self._finished(trial)) is not None:
            return known

        final = self._final(value)
        asked = self._held.get(trial) if isinstance(trial, int) else trial

        if state is not None:
            cause = ENDS[_state(state)]
            if cause is Cause.STOPPED and asked is not None and not final:
                cause = given_up(asked)
        else:
            early = asked is not None and asked.heard_stop and (final or asked.reported)
            cause = Cause.STOPPED if early else Cause.SUCCEEDED

        if asked is None:
            assert isinstance(trial, int)
            return self._tell_unheld(trial, cause, final)

        if cause is Cause.SUCCEEDED and not asked.called_infeasible and not asked.reported:
            missing = [o.metric for o in self._spec.objectives if o.metric not in final]
            if missing:
                raise InvalidArgument(
                    "value",
                    MISSING if value is None else value,
                    f"lacks the objective {missing[0]!r}, and the trial has reported nothing",
                    "Give it",
                )
        return self._result(self._held.end(asked, cause, final=final))

    def optimize(
        self,
        function: Function,
        trials: int | None = None,
        timeout: float | None = None,
        *,
        parallel: int | None = None,
        catch: Caught | Iterable[type[Exception]] = (),
        callbacks: Iterable[Callback] = (),
        progress: bool | None = None,
        n_trials: int | None = None,
        n_jobs: int | None = None,
        show_progress_bar: bool | None = None,
        gc_after_trial: bool = False,
    ) -> None:
        """Evaluates `function(trial)` on trial after trial: `trials` of them, for `timeout` seconds (a trial that runs
        then is finished), or until the study ends.

        The function returns what `tell` takes. If it raises TrialPruned, its trial is STOPPED. If it raises something
        else, its trial is FAILED; exceptions in `catch` are logged and the next trial follows, others are raised when
        the trials beside it are done. `parallel` trials run at a time, each on a thread (-1: one for each core). An
        interrupt (Ctrl-C) gives running trials back, to be evaluated again. `stop()`, called by the function or a
        callback, lets running trials end and starts no more.

        `callbacks`: each is called as `callback(study, trial)` after every trial, with the trial as it ended. What it
        raises ends `optimize`. `progress`: a line on standard error for each trial, and a bar in a notebook with
        ipywidgets or on a terminal with rich; False: neither. Without it, as `wazir.logging.set_verbosity` says.
        `n_trials` and `n_jobs` are Optuna's names of `trials` and `parallel`. `show_progress_bar` is for the bar alone.
        `gc_after_trial`: collects garbage after every trial.

        If the study ends before `trials` of them were evaluated, it warns with the reason. If none was evaluated, it
        raises: StudyEnded with the reason, or DeadlineExceeded after `timeout`.
        """
        if not callable(function):
            raise InvalidArgument("function", function, "must be callable", "Give it without parentheses")
        refuse_both("trials", trials, "n_trials", n_trials)
        refuse_both("parallel", parallel, "n_jobs", n_jobs)
        trials = check_count("trials", trials) or check_count("n_trials", n_trials)
        parallel = check_parallel("parallel", parallel) or check_parallel("n_jobs", n_jobs) or 1
        check_timeout(timeout)
        catch = check_catch(catch)
        called_back = check_callbacks(callbacks)

        with self._lines(trials, progress, show_progress_bar) as lines:
            run = Run(trials, lines, called_back, collect=gc_after_trial)
            self._runs.append(run)
            try:
                loop = Loop(self, self._held, function, run=run, catch=catch, result_of=self._result)
                loop.evaluate(parallel, timeout)
            finally:
                self._runs.remove(run)
        run.check_enough(stacklevel=3)  # that of the caller

    def _lines(self, trials: int | None, progress: bool | None, bar: bool | None) -> Lines:
        quiet = progress is False or (progress is None and not verbosity.shows_results())
        shown = make_bar(trials or self._spec.budget.trials, progress if bar is None else bar)

        best = None
        if len(self._spec.objectives) == 1 and (shown is not None or not quiet):
            best = next(iter(self._client.best_trials(self._name, 1)), None)
        return Lines(self._spec, best, shown, quiet=quiet)

    def enqueue_trial(
        self,
        params: Mapping[str, Any],
        user_attrs: Mapping[str, object] | None = None,
        skip_if_exists: bool = False,
        *,
        labels: Mapping[str, str] | None = None,
    ) -> Result:
        """A trial with these parameters, to be handed out before new points; defaults of the space fill gaps.

        In a growing space the values wait until the code asks for them, and need not be all of a trial. One that does
        not lie in the range asked for is replaced by another, with a warning.

        `user_attrs`: JSON values to store with it. `skip_if_exists`: if the study has a trial with exactly these
        parameters, returns that one.
        """
        if not isinstance(params, Mapping):
            raise InvalidArgument("params", params, "must be a mapping of names to values", 'For instance {"lr": 0.1}')
        attributes: dict[str, str] = {}
        for key, value in (user_attrs or {}).items():
            attributes.update(to_metadata(key, value))
        values = enqueued(params)
        if skip_if_exists:
            for trial in self._client.list_trials(self._name):
                if dict(trial.parameters) == dict(values):
                    return self._result(trial)

        with python_words():
            made = self._client.create_trial(self._name, values, labels=labels, metadata=attributes)
        return self._result(made)

    def set_user_attr(self, key: str, value: object) -> None:
        """Stores a JSON value with the study. Raises InvalidArgument."""
        self._client.update_metadata(self._name, to_metadata(key, value))

    def stop(self, reason: str = "", *, everybody: bool | None = None) -> None:
        """While this object's `optimize` runs: lets its running trials end, and starts no more; the study goes on for
        others, and with the next `optimize`. Else, and with `everybody`: ends the study for everybody; waiting trials
        are cancelled, running ones told to stop."""
        if everybody is None:
            everybody = not self._runs
        for run in list(self._runs):
            run.stop()
        if everybody:
            self._client.stop_study(self._name, reason)

    # What came of it

    @property
    def user_attrs(self) -> dict[str, object]:
        """What `set_user_attr` has stored, by anybody."""
        return from_metadata(self.details().metadata)

    @property
    def direction(self) -> Goal:
        """Raises FailedPrecondition with several objectives."""
        self._one_objective("direction")
        return self.directions[0]

    @property
    def directions(self) -> list[Goal]:
        """Of the objectives, in order."""
        return [o.goal for o in self._spec.objectives]

    @property
    def metric_names(self) -> list[str]:
        """Of the objectives, in order."""
        return [o.metric for o in self._spec.objectives]

    @property
    def trials(self) -> list[Result]:
        """All trials by id."""
        return self.get_trials()

    def get_trials(self, deepcopy: bool = True, states: Iterable[TrialState] | None = None) -> list[Result]:
        """Trials by id, of certain states or all. They are read from the service, so there is nothing to copy."""
        chosen = frozenset(map(check_state, states or ()))
        if states is not None and not chosen:
            return []
        return [self._result(t) for t in self._client.list_trials(self._name, states=chosen)]

    @property
    def best_trials(self) -> list[Result]:
        """With one objective the best trial, with several those that no other dominates; empty before the first."""
        return [self._result(t) for t in self._client.best_trials(self._name)]

    @property
    def best_trial(self) -> Result:
        """Raises FailedPrecondition with several objectives, and before a trial has ended with a value."""
        self._one_objective("best_trial")
        found = self._client.best_trials(self._name, 1)
        if not found:
            raise FailedPrecondition(f"no trial of {self.name} has ended with a value yet")
        return self._result(found[0])

    @property
    def best_value(self) -> float:
        """Of the objective. Raises as `best_trial`."""
        return (self.best_trial.final or {})[self._spec.objectives[0].metric]

    @property
    def best_params(self) -> dict[str, Any]:
        """What the code of the best trial asked for: in a growing space nothing else. Raises as `best_trial`."""
        return self.best_trial.params

    def trials_dataframe(self, attrs: Sequence[str] | None = None, multi_index: bool = False) -> pandas.DataFrame:
        """A row for each trial: id, number, state, `metric_*`, `params_*`, times (UTC), duration in seconds,
        `user_attrs_*`, `labels_*`; and value, if there is one objective. `attrs`: only these, without `_*`. Needs
        pandas."""
        if multi_index:
            raise InvalidArgument("multi_index", True, "columns have one level here", "Leave it out")
        try:
            import pandas
        except ModuleNotFoundError:
            raise FailedPrecondition(
                "trials_dataframe needs pandas, which is not installed: pip install pandas"
            ) from None
        return pandas.DataFrame([framed(trial, attrs) for trial in self.trials])

    # How it is done

    def _tell_unheld(self, trial_id: int, cause: Cause, final: Mapping[str, float]) -> Result:
        """A trial that another process, or this one in an earlier life, has asked for."""
        record = self._client.get_trial(self._name.trial(trial_id))
        if record.attempt is None or not record.attempt.live:
            raise FailedPrecondition(
                f"{record.name.short} is {record.state.name} and not being evaluated; ask for it first",
                details={"name": str(record.name), "state": record.state.name},
            )
        return self._result(self._client.end_attempt(record.name, record.attempt.number, cause, final=final))

    def _finished(self, trial: AskedTrial | int) -> Result | None:
        """The trial, if it has ended."""
        record = self._client.get_trial(self._name.trial(trial if isinstance(trial, int) else trial.id))
        return self._result(record) if record.state in ENDED else None

    def _result(self, record: Record) -> Result:
        return Result.of(record, [o.metric for o in self._spec.objectives], partial(self._measured, record.name))

    def _measured(self, name: TrialName) -> list[Measurement]:
        return self._client.measurements(name)

    def _final(self, value: Outcome) -> dict[str, float]:
        """The metrics that `value` means. Raises InvalidArgument."""
        if value is None:
            return {}
        if isinstance(value, Mapping):
            return check_metrics(value)
        names = [o.metric for o in self._spec.objectives]
        # A NumPy scalar or a tensor may look like a sequence; a float it is all the same.
        values: list[Any] = list(value) if isinstance(value, list | tuple) else [value]
        if len(values) != len(names):
            objectives = "one objective" if len(names) == 1 else f"{len(names)} objectives"
            rule = f"the study has {objectives}: {', '.join(names)}"
            raise InvalidArgument("value", value, rule, "Give one number for each, in this order, or a mapping")
        return check_metrics(dict(zip(names, values, strict=True)))

    def _one_objective(self, what: str) -> None:
        if len(self._spec.objectives) > 1:
            raise FailedPrecondition(
                f"{self.name} has {len(self._spec.objectives)} objectives, so no single trial is best: {what} is for "
                "one; best_trials has those that no other dominates"
            )


def _state(state: TrialState | str) -> TrialState:
    found = TrialState.__members__.get(state.upper()) if isinstance(state, str) else state
    if found in ENDS:
        return found
    shown = state.name if isinstance(state, TrialState) else state
    names = ", ".join(known.name for known in ENDS)
    raise InvalidArgument("state", shown, f"must be one of {names}")
