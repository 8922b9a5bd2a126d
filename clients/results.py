"""A trial as `Study` returns it: the service's record, and what Optuna's users expect of a FrozenTrial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from ..domain.choices import restored
from ..domain.errors import FailedPrecondition
from ..domain.trial import Measurement, Trial
from . import user_attributes


@dataclass(frozen=True, repr=False)
class Result(Trial):
    """`objectives` are the names of the metrics that the study optimises."""

    objectives: Sequence[str] = field(default=(), kw_only=True)
    measurements: Callable[[], list[Measurement]] | None = field(default=None, kw_only=True, compare=False)
    """Asks the service for what the trial has reported; None in a copy, which has no service."""

    @classmethod
    def of(
        cls, trial: Trial, objectives: Sequence[str], measurements: Callable[[], list[Measurement]] | None
    ) -> Result:
        record = {f.name: getattr(trial, f.name) for f in fields(Trial)}
        return cls(**record, objectives=tuple(objectives), measurements=measurements)

    @property
    def number(self) -> int:
        """Counts from 0, as with Optuna; `id` counts from 1."""
        return self.id - 1

    @property
    def params(self) -> dict[str, Any]:
        """The parameters by name, choices as the code gave them."""
        return {name: restored(value) for name, value in self.parameters.items()}

    @property
    def value(self) -> float | None:
        """Of the objective; None before there is one. Raises FailedPrecondition with several objectives."""
        if len(self.objectives) > 1:
            raise FailedPrecondition(f"{self.name.short} has {len(self.objectives)} objectives: use `values`")
        values = self.values
        return None if values is None else values[0]

    @property
    def values(self) -> list[float] | None:
        """Of all objectives, in the study's order; None if one is missing."""
        found = [value for name in self.objectives if (value := (self.final or {}).get(name)) is not None]
        return found if len(found) == len(self.objectives) else None

    @property
    def user_attrs(self) -> dict[str, object]:
        """What `set_user_attr` has stored."""
        return user_attributes.from_metadata(self.metadata)

    @property
    def intermediate_values(self) -> dict[int, float]:
        """The reports of the first objective by step. Each use asks the service."""
        if self.measurements is None:
            raise FailedPrecondition(f"this is a copy of {self.name.short}: load the study for what it has reported")
        objective = self.objectives[0]
        return {m.step: m.metrics[objective] for m in self.measurements() if objective in m.metrics}

    @property
    def last_step(self) -> int | None:
        """The last step of its reports."""
        return max(self.intermediate_values, default=None)

    @property
    def datetime_start(self) -> datetime | None:
        """When it was first evaluated, in UTC."""
        return None if self.start_time is None else datetime.fromtimestamp(self.start_time, UTC)

    @property
    def datetime_complete(self) -> datetime | None:
        """When it ended, in UTC."""
        return None if self.end_time is None else datetime.fromtimestamp(self.end_time, UTC)

    @property
    def duration(self) -> timedelta | None:
        """From its first start to its end; None before."""
        begin, end = self.datetime_start, self.datetime_complete
        return None if begin is None or end is None else end - begin

    def __repr__(self) -> str:
        values = "" if self.final is None else "".join(f", {name}={value:.6g}" for name, value in self.final.items())
        return f"Trial(number={self.number}, {self.state.name}{values}, params={self.params})"

    def _repr_html_(self) -> str:
        from .notebook import trial_html

        return trial_html(self)

    def __getstate__(self) -> dict[str, Any]:
        """A copy holds no connection."""
        return {**self.__dict__, "measurements": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
