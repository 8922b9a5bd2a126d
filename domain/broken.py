"""Failures that other parameters would not change, so that further trials would be wasted. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from .attempt import Cause
from .failures import Case, alike, described
from .study import Counts
from .trial import EVALUATED, NOT_EVALUATED, TrialState

FIRST = 3
"""If the first trials to end, this many, all fail alike, their study pauses."""

_HOW_TO_FIX = {
    Cause.CODE_FAILED: "Fix the script",
    Cause.OUT_OF_MEMORY: "Reduce the memory that it needs, or give it more",
    Cause.TIMED_OUT: "Raise trial.timeout, or make it faster",
    Cause.TOO_LARGE: "Reduce what it requests",
    Cause.SUCCEEDED: "If its name is wrong, delete the study and start over; otherwise make the script report it",
    Cause.CONFIG_BROKEN: "Fix that, or section `trial` of the study file (`wazir create FILE --resume` applies it)",
}


def none_evaluated(counts: Counts) -> bool:
    """Whether no trial has a result so far. One that paused has."""
    return not any(counts[state] for state in EVALUATED | {TrialState.PAUSED})


def first_ended(counts: Counts) -> bool:
    """Whether exactly as many trials have ended as `failed_alike` looks at, and none of them was evaluated."""
    return none_evaluated(counts) and sum(counts[state] for state in NOT_EVALUATED) == FIRST


def failed_alike(first: Sequence[Case]) -> str:
    """Why a study pauses whose first trials to end are these; empty if they did not all fail alike. Trials that their
    own code called infeasible, or whose value is not finite, did not fail."""
    kinds = {alike(case.cause, case.words) for case in first if case.cause not in (None, Cause.INFEASIBLE)}
    if len(first) < FIRST or len(kinds) != 1 or any(case.cause in (None, Cause.INFEASIBLE) for case in first):
        return ""
    return f"the first three trials failed in the same way: {described(first[-1].cause, first[-1].words)}"


def broken(case: Case, earlier: Sequence[Case], counts: Counts) -> str:
    """Why a study pauses at the first trial that fails like this, because no parameter can be to blame: what it was to
    run could not be started, or it ended well without a metric that no other trial has reported either. Empty if it is
    not such a failure, or not the first one. `earlier`: failed trials before it."""
    if case.cause is Cause.SUCCEEDED and not none_evaluated(counts):
        return ""
    if case.cause not in (Cause.SUCCEEDED, Cause.CONFIG_BROKEN):
        return ""
    kind = alike(case.cause, case.words)
    if any(other.cause is not None and alike(other.cause, other.words) == kind for other in earlier):
        return ""
    what = "has no value" if case.cause is Cause.SUCCEEDED else "could not be started"
    return f"trial {case.id} {what}: {described(case.cause, case.words)}"


def how_to_fix(cause: Cause | None) -> str:
    """What a person can do about it, in the imperative."""
    return _HOW_TO_FIX.get(cause or Cause.CODE_FAILED, "Fix the cause")
