"""What the end of a trial says of its parameters: whether it failed by its own fault, and so uses up its point."""

from __future__ import annotations

from .attempt import OWN_FAULT, Attempt
from .trial import UNCOUNTED, Trial, TrialState


def failed_by_itself(trial: Trial) -> bool:
    """Whether the trial FAILED, its retries used up, by a cause in OWN_FAULT: evidence about its parameters.

    A lost node, a missing image and a metric that nobody printed say nothing about them. An INFEASIBLE trial is
    evidence too, and its state alone says so.
    """
    return _failed_by_itself(trial.state, trial.attempt)


def uses_point(state: TrialState, latest: Attempt | None) -> bool:
    """Whether a trial in that state, with that latest attempt, uses up one of its point's `repeats`: all do but those
    CANCELLED, and those FAILED by the fault of others."""
    return state not in UNCOUNTED or _failed_by_itself(state, latest)


def _failed_by_itself(state: TrialState, latest: Attempt | None) -> bool:
    return state is TrialState.FAILED and latest is not None and latest.cause in OWN_FAULT
