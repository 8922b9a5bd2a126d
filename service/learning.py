"""What trials of a growing space show: which of the proposed values they used, and when a parameter is asked for.

Until it has ended a trial holds what is proposed for it. What its code asked for is known when its attempt ends; the
rest is then dropped, so that the trial shows, counts and teaches what was tried and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ..domain.learning import Asked, contradicted, learned
from ..domain.parameters import Parameters
from ..domain.ranges import Narrowed, contradicted_rules, related
from ..domain.space import Space
from ..domain.trial import ENDED, Origin, Trial, TrialState
from .unit import Unit

WHOLE = frozenset({TrialState.SUCCEEDED, TrialState.STOPPED, TrialState.PAUSED})
"""States of trials whose code ran to its end, so that what it did not ask for is not part of them."""

LEARNS_ALWAYS = 64
"""Trials up to which each contradiction is learned from. Beyond, one is that only drops a value may wait: learning
reads all trials, and a condition that cannot be expressed is contradicted again and again."""


def dropped(trial: Trial, asked: Collection[str]) -> tuple[Parameters, Parameters]:
    """The trial's parameters that were asked for, in that order, and the others."""
    kept = {n: trial.parameters[n] for n in asked if n in trial.parameters}
    return kept, {n: value for n, value in trial.parameters.items() if n not in kept}


def learn(unit: Unit, trial: Trial) -> None:
    """Learns from a trial that has ended, or is paused, and holds what its code asked for."""
    space, evidence = unit.study.spec.space, _evidence(trial)
    if space is None or evidence is None:
        return
    broken = {rule.text for rule in space.rules if not rule.holds(evidence.parameters)}
    if broken:
        space = Space(space.parameters, tuple(text for text in space.constraints if text not in broken))
        keep(unit, space)

    names = contradicted(space, evidence)
    if trial.id <= LEARNS_ALWAYS:
        # Trials that ended while this one ran could not be compared with it.
        names += [n for n in evidence.parameters if n in space.by_name and not space.by_name[n].when and n not in names]

    # A parameter that is asked for though its condition does not hold is never proposed where it is wanted.
    if any(n in evidence.parameters for n in names) or (names and _due(trial.id)):
        keep(unit, relearned(unit, space, names, trial.id, evidence))


def keep(unit: Unit, space: Space) -> None:
    """Makes it the study's, if it is another one."""
    if space != unit.study.spec.space:
        spec = replace(unit.study.spec, space=space)
        unit.study = replace(unit.study, spec=spec, spec_version=unit.study.spec_version + 1)


def relearned(unit: Unit, space: Space, names: Collection[str], trial_id: int, evidence: Asked) -> Space:
    """The space with new conditions for these names, from all ended and paused trials and this one."""
    others = unit.with_states(ENDED | {TrialState.PAUSED})
    earlier = (_evidence(trial) for trial in others if trial.id != trial_id)
    return learned(space, names, [*(asked for asked in earlier if asked is not None), evidence])


def relate(unit: Unit, trial: Trial, name: str, asked: Parameters, *, needed: bool) -> None:
    """Learns from a trial that has just asked for a parameter with a range of its own, after what it `asked` for.
    `needed`: what was proposed did not lie in it."""
    space = unit.study.spec.space
    assert space is not None
    assert trial.attempt is not None

    latest = Narrowed(asked, trial.attempt.ranges)
    broken = contradicted_rules(space, name, latest)
    if broken:
        keep(unit, Space(space.parameters, tuple(text for text in space.constraints if text not in broken)))
    if broken or not needed or not _due(trial.id):
        return

    ended = [t for t in unit.with_states(ENDED | {TrialState.PAUSED}) if t.id != trial.id]
    narrowed = [Narrowed(t.parameters, t.attempt.ranges) for t in ended if t.attempt and t.attempt.ranges]
    trials = [asked_for for t in ended if (asked_for := _evidence(t)) is not None]
    new = related(space, name, [*narrowed, latest], trials)
    if new:
        keep(unit, Space(space.parameters, (*space.constraints, *new)))


def _due(trial_id: int) -> bool:
    """Whether to learn from this trial, so that on average one costs reading LEARNS_ALWAYS / 2 others."""
    return trial_id % max(1, 2 * trial_id // LEARNS_ALWAYS) == 0 or trial_id <= LEARNS_ALWAYS


def _evidence(trial: Trial) -> Asked | None:
    """What its code asked for; None if nobody said."""
    attempt = trial.attempt
    if attempt is None or attempt.unasked is None or trial.origin is Origin.IMPORTED:
        return None
    return Asked(trial.parameters, trial.state in WHOLE)
