"""A trial that was asked for, as the code that evaluates it sees it: also names parameters, in a growing space."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, SupportsFloat, SupportsIndex, TypeVar

from ..domain.errors import FailedPrecondition, InvalidArgument, nearest
from ..domain.parameters import same
from ..domain.space import Categorical, Discrete, Double, Integer, Kind, Parameter, Scale
from ..domain.study import Study
from ..domain.trial import Trial as Record
from .client import Client
from .reporter import Reporter
from .trial import Trial

V = TypeVar("V")


class Definitions:
    """What is known of a study's parameters, so that naming a known one needs no call."""

    def __init__(self, study: Study) -> None:
        self.growing = study.growing
        self.by_name: dict[str, Parameter] = dict(study.spec.space.by_name) if study.spec.space else {}


class AskedTrial(Trial):
    """Made by `Study.ask`; end it with `Study.tell`."""

    def __init__(self, record: Record, client: Client, definitions: Definitions) -> None:
        assert record.attempt is not None
        reporter = Reporter(record.name, record.attempt.number, lambda: client, beat=None)
        super().__init__(record.name, record.attempt.number, record.parameters, reporter)
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
        self._client = client
        self._definitions = definitions

    def report(
        self,
        metrics: Mapping[str, SupportsFloat] | str,
        value: SupportsFloat | None = None,
        *,
        step: SupportsIndex | None = None,
    ) -> int:
        """As `Trial.report`. Raises FailedPrecondition once the trial has been told."""
        self._check_open()
        following = super().report(metrics, value, step=step)
        self.reported = True
        return following

    def should_stop(self) -> bool:
        """As `Trial.should_stop`. What the trial is then told with is what it is worth where it stands."""
        self.heard_stop = super().should_stop()
        return self.heard_stop

    def infeasible(self, reason: str) -> None:
        """As `Trial.infeasible`. Raises FailedPrecondition once the trial has been told."""
        self._check_open()
        super().infeasible(reason)
        self.called_infeasible = self.called_infeasible or reason

    def suggest_float(
        self, name: str, low: float, high: float, *, log: bool = False, step: float | None = None
    ) -> float:
        """A real number in [low, high]; `log`: every factor of ten has the same room; `step`: low plus multiples of it.

        In a study with a declared space this is the trial's value, and another range than the declared one is refused;
        in a growing one the space takes the parameter on. Raises InvalidArgument on a range that makes no sense or
        differs from what the study knows under that name.
        """
        low, high = _real(name, "low", low), _real(name, "high", high)
        if low == high:
            return float(self._suggest(name, Discrete((low,))))
        kind = Double(
            low, high, Scale.LOG if log else Scale.LINEAR, None if step is None else _real(name, "step", step)
        )
        return float(self._suggest(name, kind))

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False, step: int = 1) -> int:
        """A whole number in [low, high], else as `suggest_float`."""
        if low == high:
            return int(self._suggest(name, Discrete((low,))))
        return int(self._suggest(name, Integer(low, high, Scale.LOG if log else Scale.LINEAR, step)))

    def suggest_categorical(self, name: str, choices: Sequence[V]) -> V:
        """One of `choices`: texts, booleans or numbers, between which there is no order. Else as `suggest_float`."""
        values: tuple[Any, ...] = tuple(choices)
        value = self._suggest(name, Categorical(values))
        chosen: V = next(choice for choice in values if same(choice, value))
        return chosen

    def _suggest(self, name: str, kind: Kind) -> bool | int | float | str:
        asked = Parameter(name, kind)
        known = self._definitions.by_name.get(name)
        if known is not None and not _agree(known.kind, kind):
            raise InvalidArgument(
                f"parameters.{name}",
                str(kind),
                f"the study knows it as {known.kind}",
                "A parameter has one definition for the whole study: use that one, or give this one its own name",
            )
        if name in self._values and known is not None:
            return self._values[name]
        if not self._definitions.growing:
            if known is None:
                hint = nearest(name, self._definitions.by_name)
                raise InvalidArgument(f"parameters.{name}", str(kind), "the study's space does not have it", hint)
            needs = " and ".join(map(str, known.when))
            raise InvalidArgument(
                f"parameters.{name}",
                str(kind),
                f"is not active in this trial: it needs {needs}",
                "Ask for it only then",
            )
        self._check_open()
        record = self._client.add_parameter(self.record.name, self.attempt, asked if known is None else known)
        self._definitions.by_name.setdefault(name, asked)
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


def _real(name: str, what: str, number: object) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InvalidArgument(f"parameters.{name}.{what}", number, "must be a number")
    return float(number)
