"""Reports: measurements of a live attempt, and the stopping rule's word on them.

Measurements are stored first and acknowledged only then; the rule sees what is stored. What it decides is written in a
transaction of its own, and once written stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..domain.names import TrialName
from ..domain.size import MEASUREMENT
from ..domain.totals import without_end
from ..domain.trial import Instruction, Measurement, StopGoal, Trial, TrialState
from ..storage.store import Transaction, Usage
from ..suggestion.stopping.rule import Stop
from .attempts import check_measurements, current, instruction
from .feed import Change
from .live import LiveStudy
from .quotas import UNLIMITED, Quotas
from .unit import Unit


def report(
    tx: Transaction,
    name: TrialName,
    number: int,
    measurements: Sequence[Measurement],
    quotas: Quotas = UNLIMITED,
) -> Trial:
    """Stores measurements of the trial's live attempt. Raises NotFound, StaleAttempt, InvalidArgument, and
    ResourceExhausted
    where the owner has no room for them: training code keeps them until there is.

    Takes no lock on the study and no revision.
    """
    check_measurements(measurements)
    trial = tx.trial(name)
    current(trial, number)
    if measurements:
        added = Usage(name.owner, bytes=MEASUREMENT * sum(len(m.metrics) for m in measurements))
        quotas.admit(tx, name.owner, size=added.bytes)
        quotas.note(added)
        tx.add_measurements(trial, number, measurements)
    return trial


def call_infeasible(
    tx: Transaction, name: TrialName, number: int, reason: str, now: float
) -> tuple[Trial, Change | None]:
    """Notes the training code's own word that its parameters cannot be evaluated, and tells the attempt to end."""
    unit = Unit.lock(tx, name.parent, now)
    trial = unit.trial(name.id)
    attempt = replace(current(trial, number), infeasible=without_end(reason))
    marked = unit.put(trial, replace(trial, attempts=(*trial.attempts[:-1], attempt)))
    if trial.state is TrialState.ACTIVE:
        marked = unit.move(marked, TrialState.STOPPING, without_end(f"infeasible: {reason}"), StopGoal.STOP)
    return marked, unit.finish()


def judge(live: LiveStudy, name: TrialName, number: int, measurements: Sequence[Measurement]) -> Stop | None:
    """Tells the curves of the new values one by one, and asks the study's rule about each; its first word to stop."""
    stop: Stop | None = None
    for m in measurements:
        news = False
        for objective, curves in zip(live.study.spec.objectives, live.curves, strict=True):
            if objective.metric in m.metrics:
                curves.report(name.id, number, m.step, m.metrics[objective.metric])
                news = True
        if not news:
            continue
        live.note_pace(name.id, number, m.step, m.time)
        if live.rule is not None:
            stop = stop or live.rule.decide(name.id, m.step, live.curves)
    return stop


def stop_early(
    tx: Transaction, name: TrialName, number: int, reason: str, goal: StopGoal, now: float
) -> tuple[Instruction, Change | None]:
    """Writes a decision about a running trial. One that was told to end by somebody else meanwhile keeps that word."""
    unit = Unit.lock(tx, name.parent, now)
    trial = unit.trial(name.id)
    current(trial, number)
    if trial.state is TrialState.ACTIVE:
        trial = unit.move(trial, TrialState.STOPPING, reason, goal)
    return instruction(trial), unit.finish()
