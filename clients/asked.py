"""A trial that was asked for, as the code that evaluates it sees it: also names parameters, in a growing space."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, SupportsFloat, SupportsIndex, TypeVar

from ..domain.choices import restored, stored
from ..domain.errors import FailedPrecondition, InvalidArgument, nearest
from ..domain.growing import described, fitted, hull
from ..domain.parameters import Value, same
from ..domain.space import Categorical, Discrete, Double, Integer, Kind, Parameter, Scale
from ..domain.study import Study
from ..domain.trial import Origin
from ..domain.trial import Trial as Record
from .client import Client
from .python_words import suggest_words
from .reporter import Reporter
from .trial import Reported, Trial

V = TypeVar("V")

PRUNE_PATIENCE = 1.0
"""Seconds for which `should_prune` waits for the answer to a report: scripts for Optuna ask at every step."""

MOST_RANGES = 64
"""Different ranges of a parameter, or lists of its choices, that a process tells the service of."""

logger = logging.getLogger(__name__)


class Definitions:
    """What is known of a study's parameters, so that naming a known one needs no call."""

    def __init__(self, study: Study) -> None:
        self.growing = study.growing
        self.objectives = [o.metric for o in study.spec.objectives]
        self.stops_early = study.spec.stopping is not None or "max" in study.spec.algorithm.settings
        """Whether a rule or the algorithm may end trials early."""
        self.told_of_stopping = self.stops_early
        """Whether the warning that there is none was given, or is not needed."""
        self.by_name: dict[str, Parameter] = dict(study.spec.space.by_name) if study.spec.space else {}

        self._ranges: dict[str, set[Kind]] = {}
        self._constrained = study.spec.space is not None and bool(study.spec.space.constraints)

    def covers(self, asked: Parameter) -> bool:
        """Whether there is nothing to tell: the space is known to have all values of this definition, and if ranges
        differ the service has heard of this one. It hears of the first MOST_RANGES of each process."""
        known = self.by_name.get(asked.name)
        if known is None or _joined(known, asked) != known.kind:
            return False
        heard = self._ranges.get(asked.name, set())
        differs = known.kind != asked.kind or self._constrained or bool(heard)
        return not differs or asked.kind in heard or len(heard) >= MOST_RANGES

    def learn(self, asked: Parameter) -> None:
        """The service has heard of it, and the space has its values now."""
        self._ranges.setdefault(asked.name, set()).add(asked.kind)
        known = self.by_name.get(asked.name)
        kind = asked.kind if known is None else _joined(known, asked)
        if kind is not None:
            self.by_name[asked.name] = Parameter(asked.name, kind)


class AskedTrial(Trial):
    """Made by `Study.ask`; end it with `Study.tell`."""

    def __init__(self, record: Record, client: Client, definitions: Definitions) -> None:
        assert record.attempt is not None
        reporter = Reporter(record.name, record.attempt.number, lambda: client, beat=None)
        super().__init__(
            record.name, record.attempt.number, record.parameters, reporter, objectives=definitions.objectives
        )
        self._attributes.update(record.metadata)

        self.record = record
        self.reporter = reporter
        self.reported = False
        """Whether it has metrics of its own."""
        self.called_infeasible = ""
        """Why the code called the parameters infeasible."""
        self.heard_stop = False
        """Whether `should_stop` has told the code to end."""
        self.told = False
        """Whether it has been ended; set under `lock`."""
        self.lock = threading.Lock()

        self._waits_to_prune = True
        """Whether `should_prune` waits for reports to arrive."""
        self._client = client
        self._definitions = definitions
        self._asked: dict[str, Any] = {}
        """What the code was given, by name, in the order in which it asked."""

    def report(
        self,
        metrics: Reported | None = None,
        value: SupportsFloat | None = None,
        step: SupportsIndex | None = None,
    ) -> int:
        """As `Trial.report`. Raises FailedPrecondition once the trial has been told."""
        self._check_open()
        following = super().report(metrics, value, step)
        self.reported = True
        return following

    @property
    def datetime_start(self) -> datetime | None:
        """When it was first handed out, in UTC."""
        begin = self.record.start_time
        return None if begin is None else datetime.fromtimestamp(begin, UTC)

    def should_stop(self) -> bool:
        """As `Trial.should_stop`. What the trial is then told with is what it is worth where it stands."""
        self.heard_stop = super().should_stop()
        return self.heard_stop

    def should_prune(self) -> bool:
        """As `should_stop`, by an answer that knows the last report: it waits for that, for PRUNE_PATIENCE at most, and
        not again in this trial if no answer came. Says once if there is no rule by which it could be true."""
        if not self._definitions.told_of_stopping:
            self._definitions.told_of_stopping = True
            logger.warning(
                "%s has no stopping rule, so no trial of it is pruned: create it with pruner= or stopping=, for "
                'instance "median"',
                self.record.study.short,
                extra={"action": "never_pruned"},
            )
        if self._definitions.stops_early and self._waits_to_prune:
            self._waits_to_prune = self.flush(PRUNE_PATIENCE)
        return self.should_stop()

    def infeasible(self, reason: str) -> None:
        """As `Trial.infeasible`. Raises FailedPrecondition once the trial has been told."""
        self._check_open()
        super().infeasible(reason)
        self.called_infeasible = self.called_infeasible or reason

    @property
    def params(self) -> Mapping[str, Any]:
        """In a growing space what the code has asked for so far, in that order; otherwise as `Trial.params`."""
        return MappingProxyType(self._asked) if self._definitions.growing else super().params

    @property
    def asked(self) -> tuple[str, ...] | None:
        """The parameters that the code has asked for, in that order; None in a declared space, in which a trial has
        all."""
        return tuple(self._asked) if self._definitions.growing else None

    def suggest_float(
        self,
        name: str,
        low: SupportsFloat,
        high: SupportsFloat,
        *,
        log: bool = False,
        step: SupportsFloat | None = None,
    ) -> float:
        """A real number in [low, high]; `log`: every factor of ten has the same room; `step`: low plus multiples of it.

        In a study with a declared space this is the trial's value, and another range than the declared one is refused.
        In a growing one the space takes the parameter on, and the range may differ from trial to trial: the value that
        is proposed is used if it lies in this range, otherwise another one is drawn. Asked for again in the same trial,
        a name has the same value. Raises InvalidArgument on a range that makes no sense, or that cannot be joined with
        that of other trials.
        """
        if self._known(name):
            return float(self._asked[name])
        bottom, top = _real(name, "low", low), _real(name, "high", high)
        if bottom == top:
            return float(self._suggest(name, Discrete((bottom,))))
        scale = Scale.LOG if log else Scale.LINEAR
        return float(
            self._suggest(name, Double(bottom, top, scale, None if step is None else _real(name, "step", step)))
        )

    def suggest_int(
        self, name: str, low: SupportsFloat, high: SupportsFloat, *, log: bool = False, step: SupportsFloat = 1
    ) -> int:
        """A whole number in [low, high], else as `suggest_float`. Bounds may be whole floats."""
        if self._known(name):
            return int(self._asked[name])
        bottom, top = _whole(name, "low", low), _whole(name, "high", high)
        if bottom == top:
            return int(self._suggest(name, Discrete((bottom,))))
        return int(
            self._suggest(name, Integer(bottom, top, Scale.LOG if log else Scale.LINEAR, _whole(name, "step", step)))
        )

    def suggest_categorical(self, name: str, choices: Sequence[V]) -> V:
        """One of `choices`, which have no order: texts, booleans, numbers, None, and tuples, lists and
        dictionaries of these. It is the very object of the list. Else as `suggest_float`."""
        if self._known(name):
            again: V = self._asked[name]
            return again
        chosen: V = self._suggest(name, Categorical(_stored(name, choices)), choices)
        return chosen

    def _known(self, name: str) -> bool:
        """Whether the trial has a value for the name, whatever it is asked for now. In a declared space each range is
        compared with the declared one."""
        if not isinstance(name, str):
            raise InvalidArgument("name", name, "must be text", f'For instance "{name}"')
        return self._definitions.growing and name in self._asked

    def suggest_uniform(self, name: str, low: SupportsFloat, high: SupportsFloat) -> float:
        """`suggest_float`, under a name that Optuna has deprecated; so are the next two."""
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: SupportsFloat, high: SupportsFloat) -> float:
        """`suggest_float` with `log=True`."""
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: SupportsFloat, high: SupportsFloat, q: SupportsFloat) -> float:
        """`suggest_float` with the step `q`."""
        return self.suggest_float(name, low, high, step=q)

    def _suggest(self, name: str, kind: Kind, choices: Sequence[Any] | None = None) -> Any:
        with suggest_words(name):
            asked = Parameter(name, kind)
        value = self._grown(asked) if self._definitions.growing else self._declared(asked)
        if choices is not None:
            value = next(choice for choice in choices if same(stored(choice), value))
        self._asked[name] = value
        return value

    def _declared(self, asked: Parameter) -> Value:
        name, kind = asked.name, asked.kind
        known = self._definitions.by_name.get(name)
        if known is None:
            hint = nearest(name, self._definitions.by_name)
            raise InvalidArgument(f"parameters.{name}", described(kind), "the study's space does not have it", hint)
        if not _agree(known.kind, kind):
            raise InvalidArgument(
                f"parameters.{name}",
                described(kind),
                f"the study knows it as {described(known.kind)}",
                "A parameter has one definition for the whole study: use that one, or give this one its own name",
            )
        if name not in self._values:
            needs = " and ".join(map(str, known.when))
            raise InvalidArgument(
                f"parameters.{name}",
                described(kind),
                f"is not active in this trial: it needs {needs}",
                "Ask for it only then",
            )
        return self._values[name]

    def _grown(self, asked: Parameter) -> Value:
        name, proposed = asked.name, self._values.get(asked.name)
        value = fitted(asked.kind, proposed)
        if value is not None and self._definitions.covers(asked):
            return value

        self._check_open()
        if value is None and proposed is not None and self.record.origin is Origin.ENQUEUED:
            words = f"the enqueued value {restored(proposed)!r} of {name!r} is not among {described(asked.kind)}"
            warnings.warn(f"{words}; another is drawn", UserWarning, stacklevel=4)
        record = self._client.add_parameter(self.record.name, self.attempt, asked, asked=self._asked)
        self._definitions.learn(asked)
        self._values.update(record.parameters)
        return self._values[name]

    def _check_open(self) -> None:
        if self.told:
            raise FailedPrecondition(f"{self.record.name.short} has been told; nothing more can be said about it")


def _agree(declared: Kind, asked: Kind) -> bool:
    """Whether both mean the same values. A declared list of numbers agrees with the same list of choices."""
    if isinstance(declared, Discrete) and isinstance(asked, Categorical):
        return len(declared.values) == len(asked.values) and all(
            any(same(value, choice) for choice in asked.values) for value in declared.values
        )
    return declared == asked and (not isinstance(asked, Categorical) or _same_values(declared, asked))


def _same_values(declared: Kind, asked: Categorical) -> bool:
    """1, 1.0 and True are equal in Python and three values here."""
    return isinstance(declared, Categorical) and all(map(same, declared.values, asked.values))


def _joined(known: Parameter, asked: Parameter) -> Kind | None:
    try:
        return hull(known.kind, asked.kind)
    except ValueError:
        return None  # the service says why not


def enqueued(params: Mapping[str, Any]) -> dict[str, Value]:
    """Values that a person gives, as they are stored. Raises InvalidArgument."""
    return {name: _stored(name, [value])[0] for name, value in params.items()}


def _stored(name: str, choices: Sequence[Any]) -> tuple[Value, ...]:
    values = []
    for choice in choices:
        try:
            values.append(stored(choice))
        except ValueError as error:
            rule = f"a choice {error}"
            raise InvalidArgument(
                f"parameters.{name}", choice, rule, "Give names, and look up what they mean"
            ) from None
    return tuple(values)


def _number(name: str, what: str, number: Any) -> int | float:
    """A number of Python's or NumPy's types as Python's."""
    plain = stored(number) if hasattr(number, "dtype") else number
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise InvalidArgument(f"parameters.{name}.{what}", number, "must be a number")
    return plain


def _real(name: str, what: str, number: Any) -> float:
    return float(_number(name, what, number))


def _whole(name: str, what: str, number: Any) -> int:
    plain = _number(name, what, number)
    if isinstance(plain, float) and not plain.is_integer():
        raise InvalidArgument(
            f"parameters.{name}.{what}", number, "must be a whole number", "For real numbers use suggest_float"
        )
    return int(plain)
