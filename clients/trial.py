"""The trial as training code sees it: its parameters, and two calls that cost it nothing.

    trial = wazir.current_trial()
    for epoch in range(trial.resume_step(), 50):
        trial.report({"val/loss": train_epoch(trial.params["lr"])}, step=epoch + 1)
        if trial.should_stop():
            break

The process that starts a trial describes it in the environment:

    WAZIR_ADDRESS      where the service is: host:port or unix:/path
    WAZIR_TRIAL        owners/{owner}/studies/{study}/trials/{id}
    WAZIR_ATTEMPT      the number of this execution
    WAZIR_PARAMETERS   the parameters, a JSON object
    WAZIR_SPOOL        a file for reports that could not be delivered; may be missing
    WAZIR_UNTIL        the step at which it is to pause; may be missing
    WAZIR_OBJECTIVES   the metrics that it reports there before it does, a JSON list; may be missing
    WAZIR_CHECKPOINTS  the folder of the trial's checkpoints; may be missing
    WAZIR_PARENT_CHECKPOINTS  that of the trial whose checkpoint it begins from; may be missing
    WAZIR_SPENT_CHECKPOINTS   ids of trials whose checkpoints are to be removed, beside its own; may be missing
"""

from __future__ import annotations

import json
import logging
import operator
import os
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, SupportsFloat, SupportsIndex

from ..domain.errors import MISSING, InvalidArgument, nearest
from ..domain.metric import check_metric_name
from ..domain.names import TrialName, parse_trial
from ..domain.parameters import Value
from ..domain.trial import Measurement, at_rung
from .checkpoint import Checkpoints, discard
from .reporter import Reporter
from .user_attributes import from_metadata, to_metadata

if TYPE_CHECKING:
    from .client import Client

Reported = Mapping[str, SupportsFloat] | str | SupportsFloat
"""What may be reported: metrics by name, the name of one, or the value of the only objective."""

MAX_METRICS = 10_000
"""Metrics of one step, as the service takes them in one call."""

logger = logging.getLogger(__name__)


class TrialPruned(Exception):
    """Raised by an objective to end its trial early: it becomes STOPPED, and what it has reported counts; or
    INFEASIBLE, if it has reported nothing: its code refuses the parameters."""


def is_pruning(error: BaseException) -> bool:
    """Whether it is a TrialPruned, ours or Optuna's, which callbacks of other libraries raise."""
    return any(kind.__name__ == "TrialPruned" for kind in type(error).__mro__)


class Trial:
    """One set of parameters to try, for the code that tries it. Every thread may use it.

    In data-parallel training one process (rank 0) reports and asks; it tells the others whether to stop.
    """

    def __init__(
        self,
        name: TrialName | None,
        attempt: int,
        parameters: Mapping[str, Value],
        reporter: Reporter | None,
        checkpoint: Checkpoints | None = None,
        until: int | None = None,
        objectives: Sequence[str] = (),
    ) -> None:
        """For `current_trial` and `Study.ask`. Without a name it is a stand-in: there is no study around it."""
        self._checkpoint = checkpoint or Checkpoints(None, "")
        self._until = until
        self._objectives = objectives
        self._at_rung: list[Measurement] = []
        """What was reported from `until` on, while something is lacking."""
        self._name = name
        self._attempt = attempt
        self._values = _Parameters(parameters)
        self._params: Mapping[str, Value] = MappingProxyType(self._values)
        self._reporter = reporter
        self._steps = threading.Lock()
        self._resume_step = self._checkpoint.step()
        self._next_step = self._resume_step + 1
        self._stop = False
        self._stop_reason = ""
        self._attributes: dict[str, str] = {}
        """Metadata as far as it is known here."""

    @property
    def params(self) -> Mapping[str, Value]:
        """The active parameters by name; types are kept: 1 is an int, 1.0 a float. Empty outside a study, so
        `params.get("lr", 1e-3)` runs in both."""
        return self._params

    @property
    def id(self) -> int:
        """Counts from 1 within the study; 0 outside a study."""
        return 0 if self._name is None else self._name.id

    @property
    def number(self) -> int:
        """Counts from 0 within the study, as with Optuna: `id` - 1; 0 outside a study."""
        return max(0, self.id - 1)

    @property
    def name(self) -> str:
        """owners/{owner}/studies/{study}/trials/{id}; empty outside a study."""
        return "" if self._name is None else str(self._name)

    @property
    def attempt(self) -> int:
        """Counts executions of this trial from 1; 0 outside a study."""
        return self._attempt

    @property
    def stop_reason(self) -> str:
        """Why `should_stop` is true, in a sentence; empty while it is not."""
        return self._stop_reason or (self._reporter.stop_reason if self._reporter is not None else "")

    def report(
        self,
        metrics: Reported | None = None,
        value: SupportsFloat | None = None,
        step: SupportsIndex | None = None,
    ) -> int:
        """Reports metrics: `report({"loss": 0.3, "accuracy": 0.9}, step=4)`, or one: `report("loss", 0.3, step=4)`; or
        the objective, if there is only one, as with Optuna: `report(0.3, 4)`.

        `step` says how many units of work are done, 0 or more; without it, it is one more than in the report before.
        Returns the next step. Values are numbers, also NumPy scalars and tensors of one element; NaN and infinities
        are stored as they are. A report at the same step replaces the one before.

        Returns at once: delivery is somebody else's work, and a service that is away changes nothing here. Raises
        InvalidArgument where the metrics or the step are none.
        """
        named, step = self._named(metrics, value, step)
        numbers = check_metrics(named)
        number = None if step is None else check_step(step)
        with self._steps:
            done = self._next_step if number is None else number
            self._next_step = done + 1
        measurement = Measurement(done, numbers, time.time())
        if self._reporter is not None:
            self._reporter.put(measurement)
        if self._until is not None and done >= self._until and not self._stop:
            self._at_rung.append(measurement)
            if at_rung(self._until, self._objectives, self._at_rung):
                # The service will say so; a trial that is quick would do more meanwhile.
                self._stop_reason = f"step {done}: it was to go to step {self._until} and wait there"
                self._stop = True
        return done + 1

    def _named(
        self, metrics: Reported | None, value: SupportsFloat | None, step: SupportsIndex | None
    ) -> tuple[Mapping[str, SupportsFloat], SupportsIndex | None]:
        """The metrics by name, and the step. Raises InvalidArgument."""
        if isinstance(metrics, Mapping | list | tuple):
            if value is not None:
                hint = 'Write report({"name": value}, step=step), or report("name", value)'
                raise InvalidArgument("value", value, "needs the name of one metric", hint)
            return metrics, step
        if isinstance(metrics, str):
            if value is None:
                raise InvalidArgument(metrics, MISSING, "has no value", f'Write report("{metrics}", value)')
            return {metrics: value}, step

        # Optuna's order: the value, then the step.
        if metrics is not None and value is not None:
            if step is not None:
                raise InvalidArgument("step", step, "is given twice", "Write report(value, step)")
            metrics, value, step = None, metrics, check_step(value)  # type: ignore[arg-type]
        objective = metrics if value is None else value
        if self._name is None:
            # Outside a study nothing is known of objectives, and reports go nowhere.
            return {"value": objective}, step  # type: ignore[dict-item]
        if len(self._objectives) != 1:
            hint = f"The study has {', '.join(self._objectives)}" if self._objectives else 'For instance "loss"'
            raise InvalidArgument(
                "metrics", MISSING, "a number alone does not say which metric it is", f"Name it. {hint}"
            )
        if objective is None:
            raise InvalidArgument("value", MISSING, "is missing", "Write report(value, step)")
        return {self._objectives[0]: objective}, step

    def should_prune(self) -> bool:
        """`should_stop`, under Optuna's name."""
        return self.should_stop()

    def should_stop(self) -> bool:
        """Whether the trial is to end now; its measurements so far count. True once, true forever."""
        reporter = self._reporter
        if reporter is None:
            return self._stop
        if not reporter.running and reporter.beats:
            # So that the word arrives though nothing is reported.
            reporter.start()
        return reporter.stop or self._stop

    def resume_step(self) -> int:
        """How many steps are done already and need not be done again: those of the latest checkpoint when this attempt
        began. 0 without one."""
        return self._resume_step

    @property
    def checkpoint(self) -> Checkpoints:
        """Saves and finds checkpoints, so that an attempt can go on where an earlier one stopped."""
        return self._checkpoint

    def infeasible(self, reason: str) -> None:
        """Says that these parameters cannot be evaluated: the trial becomes INFEASIBLE, however it then ends, and the
        algorithm learns from it. `should_stop` is true from now on."""
        if not isinstance(reason, str) or not reason.strip():
            raise InvalidArgument("reason", reason, "must say why, in words")
        self._stop_reason = self._stop_reason or f"infeasible: {reason}"
        self._stop = True
        if self._reporter is not None:
            self._reporter.put(reason)

    def set_metadata(self, metadata: Mapping[str, str]) -> None:
        """Sets metadata of the trial: text by key, for tools and people. Delivered like reports."""
        for key, text in metadata.items():
            if not isinstance(key, str) or not key or not isinstance(text, str):
                raise InvalidArgument(f"metadata.{key}", text, "must be text, under a key that is not empty")
        if self._reporter is not None and metadata:
            self._reporter.set_metadata(metadata)

    @property
    def user_attrs(self) -> dict[str, object]:
        """The attributes that this trial had when it was handed out, and those that were set since."""
        return from_metadata(self._attributes)

    def set_user_attr(self, key: str, value: object) -> None:
        """Stores a JSON value with the trial, for people and tools. Delivered like reports. Raises InvalidArgument."""
        metadata = to_metadata(key, value)
        self.set_metadata(metadata)
        self._attributes.update(metadata)

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until everything reported has arrived, at most `timeout` seconds (None: forever); returns whether it
        has. Not needed at the end of a process."""
        return self._reporter is None or self._reporter.flush(timeout)

    def __repr__(self) -> str:
        if self._name is None:
            return "<Trial outside a study>"
        return f"<Trial {self._name.short}, attempt {self._attempt}: {dict(self.params)}>"

    def _repr_html_(self) -> str:
        """For notebooks."""
        from .notebook import running_html

        return running_html(self)


class _Parameters(dict[str, Value]):
    def __missing__(self, name: str) -> Value:
        if not self:
            raise KeyError(
                f"{name!r}: outside a study a trial has no parameters; params.get({name!r}, ...) has a default"
            )
        raise KeyError(f"{name!r} is not an active parameter of this trial. {nearest(str(name), self)}")


def check_metrics(metrics: Mapping[str, SupportsFloat]) -> dict[str, float]:
    """The metrics as floats. Raises InvalidArgument if a value is not a number or a name is invalid."""
    if not isinstance(metrics, Mapping):
        raise InvalidArgument("metrics", metrics, "must be a mapping of names to numbers", 'For instance {"loss": 0.3}')
    if not 1 <= len(metrics) <= MAX_METRICS:
        raise InvalidArgument("metrics", len(metrics), f"1 to {MAX_METRICS} metrics are possible at one step")
    numbers: dict[str, float] = {}
    for name, value in metrics.items():
        check_metric_name("metrics", name)
        if isinstance(value, str | bytes):
            raise InvalidArgument(f"metrics.{name}", value, "must be a number, not text")
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidArgument(
                f"metrics.{name}", value, f"must be one number: {error}", "Reduce it first, for instance by its mean"
            ) from None
    return numbers


def check_step(step: SupportsIndex) -> int:
    """The step as an int. Raises InvalidArgument if it is not a whole number, negative, or beyond 64 bits."""
    try:
        number = -1 if isinstance(step, bool) else operator.index(step)
    except TypeError:
        number = -1
    if not 0 <= number < 2**63:
        raise InvalidArgument("step", step, "must be a whole number of 0 or more: it counts finished work")
    return number


def current_trial() -> Trial:
    """The trial that this process was started for; the same object at every call.

    Outside a study it is a stand-in, so that the same script runs by itself: no parameters, reports are checked and go
    nowhere, and it is never stopped. Raises InvalidArgument if the environment describes half a trial.
    """
    global _current
    with _current_lock:
        if _current is None:
            _current = _from_environment(os.environ)
        return _current


_current: Trial | None = None
_current_lock = threading.Lock()


def _from_environment(environment: Mapping[str, str]) -> Trial:
    if not environment.get("WAZIR_TRIAL"):
        logger.warning(
            "no study has started this process: the trial has no parameters, and its reports go nowhere",
            extra={"action": "stand_in"},
        )
        return Trial(None, 0, {}, None)

    name = parse_trial(environment["WAZIR_TRIAL"], "WAZIR_TRIAL")
    attempt, address = _required(environment, "WAZIR_ATTEMPT"), _required(environment, "WAZIR_ADDRESS")
    if not (attempt.isascii() and attempt.isdigit() and 1 <= int(attempt) < 2**31):
        raise InvalidArgument("WAZIR_ATTEMPT", attempt, "must be the number of an attempt, 1 or more")

    spool = environment.get("WAZIR_SPOOL")
    reporter = Reporter(name, int(attempt), lambda: _connect(address), spool=Path(spool) if spool else None)
    folder, parent = environment.get("WAZIR_CHECKPOINTS"), environment.get("WAZIR_PARENT_CHECKPOINTS")
    checkpoint = Checkpoints(
        Path(folder) if folder else None, str(name), int(attempt), Path(parent) if parent else None
    )
    if folder and (spent := environment.get("WAZIR_SPENT_CHECKPOINTS")):
        discard(Path(folder).parent, spent.split())

    until = environment.get("WAZIR_UNTIL", "")
    if until and not (until.isascii() and until.isdigit()):
        raise InvalidArgument("WAZIR_UNTIL", until, "must be a number of steps")
    parameters = _parameters(_required(environment, "WAZIR_PARAMETERS"))
    objectives = _texts("WAZIR_OBJECTIVES", environment.get("WAZIR_OBJECTIVES") or "[]")
    return Trial(name, int(attempt), parameters, reporter, checkpoint, int(until) if until else None, objectives)


def _required(environment: Mapping[str, str], variable: str) -> str:
    value = environment.get(variable)
    if not value:
        raise InvalidArgument(
            variable, value, "is missing beside WAZIR_TRIAL", "Set it too, or unset WAZIR_TRIAL to run outside a study"
        )
    return value


def _texts(variable: str, text: str) -> list[str]:
    found = _json(variable, text)
    if not isinstance(found, list) or not all(isinstance(entry, str) for entry in found):
        raise InvalidArgument(variable, text, "must be a JSON list of texts")
    return found


def _json(variable: str, text: str) -> object:
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidArgument(variable, text, f"is not valid JSON: {error}") from None


def _parameters(text: str) -> dict[str, Value]:
    parameters = _json("WAZIR_PARAMETERS", text)
    if not isinstance(parameters, dict) or not all(
        isinstance(v, bool | int | float | str) for v in parameters.values()
    ):
        raise InvalidArgument("WAZIR_PARAMETERS", text, "must be a JSON object of numbers, texts and booleans")
    return parameters


def _connect(address: str) -> Client:
    """Here and not above, because it imports grpc."""
    from .client import Client

    return Client(address)


def _after_fork_in_child() -> None:
    global _current_lock
    _current_lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
