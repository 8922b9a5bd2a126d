"""A value for each parameter that the code of a trial names, and a space that grows by them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ..domain.errors import FailedPrecondition, InvalidArgument
from ..domain.growing import described, fitted, hull
from ..domain.learning import Asked
from ..domain.names import TrialName
from ..domain.parameters import Parameters, Value
from ..domain.space import Discrete, Double, Integer, Parameter, Space
from ..domain.trial import Trial
from ..storage.store import Transaction
from ..suggestion.space.sampling import sample
from .attempts import current
from .feed import Change
from .learning import keep, relate, relearned
from .unit import Unit


def add_parameter(
    tx: Transaction, name: TrialName, number: int, parameter: Parameter, asked: Sequence[str], now: float
) -> tuple[Trial, Change | None]:
    """Gives the trial a value for a parameter that its code names, and adds it to the growing space.

    `asked`: what the code has asked for before. A proposed value is kept if it lies in the range given; otherwise one
    is drawn there, always the same for this trial and name. Raises FailedPrecondition if the space is declared,
    InvalidArgument if the definition cannot be joined with that of other trials.
    """
    unit = Unit.lock(tx, name.parent, now)
    trial = unit.trial(name.id)
    current(trial, number)
    where = f"parameters.{parameter.name}"
    if not unit.study.growing:
        raise FailedPrecondition(
            f"{name.parent.short} has a declared space; add {parameter.name!r} to the study file of a new study",
            field=where,
        )
    if parameter.when:
        raise InvalidArgument(f"{where}.when", None, "a growing space learns its conditions", "Declare the space")

    proposed = trial.parameters.get(parameter.name)
    value = fitted(parameter.kind, proposed)
    drawn = value is None and proposed is not None
    if value is None:
        value = _drawn(unit.study.seed, trial, parameter)
    parameters = {**trial.parameters, parameter.name: value}
    trial = unit.put(trial, _with(trial, parameters, _own_range(parameter)))

    so_far = {n: parameters[n] for n in (*asked, parameter.name) if n in parameters}
    before = unit.study.spec.space
    grown = _grown(before, parameter)
    if grown is not before:
        if before is None or parameter.name not in before.by_name:
            grown = relearned(unit, grown, {parameter.name}, trial.id, Asked(so_far, whole=False))
        keep(unit, grown)
    if trial.attempt is not None and parameter.name in trial.attempt.ranges:
        relate(unit, trial, parameter.name, so_far, needed=drawn)
    return trial, unit.finish()


def _with(trial: Trial, parameters: Parameters, ranges: Mapping[str, tuple[float, float]]) -> Trial:
    attempt = trial.attempt
    assert attempt is not None
    noted = replace(attempt, ranges={**attempt.ranges, **ranges}) if ranges else attempt
    return replace(trial, parameters=parameters, attempts=(*trial.attempts[:-1], noted))


def _own_range(parameter: Parameter) -> dict[str, tuple[float, float]]:
    """Of numbers: the least and the greatest."""
    match parameter.kind:
        case Integer(low, high) | Double(low, high):
            return {parameter.name: (low, high)}
        case Discrete(values):
            return {parameter.name: (values[0], values[-1])}
    return {}


def _grown(space: Space | None, parameter: Parameter) -> Space:
    """The space with the parameter's values in it; the same object if they are."""
    if space is None:
        return Space((parameter,))
    known = space.by_name.get(parameter.name)
    if known is None:
        return Space((*space.parameters, parameter), space.constraints)
    try:
        kind = hull(known.kind, parameter.kind)
    except ValueError as error:
        raise InvalidArgument(
            f"parameters.{parameter.name}",
            described(parameter.kind),
            f"the study knows it as {described(known.kind)}: {error}",
            "Give each definition its own name",
        ) from None
    if kind == known.kind:
        return space
    changed = replace(known, kind=kind)
    return Space(tuple(changed if p is known else p for p in space.parameters), space.constraints)


def _drawn(seed: int, trial: Trial, parameter: Parameter) -> Value:
    """Uniform on the parameter's scale; a function of the study's seed, the trial and the name."""
    text = f"{seed}/{trial.id}/{parameter.name}"
    number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 11
    return sample(Space((parameter,)), np.array([number / 2**53]))[parameter.name]
