"""Estimates of when trials and a study will be done. All durations are in seconds; None is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from .progress import Pace


def time_to_go(pace: Pace, target: int, now: float, *, began: float | None = None) -> float | None:
    """How long an attempt takes to do `target` steps, by its own pace between its first and its last report.

    What it took to start is not part of that pace. With one report only, the pace is that of all steps since `began`,
    the time at which it began with step 0, and so an upper bound. A step that takes longer than the average slows the
    pace down while it is waited for. None without a pace, or if the attempt is beyond `target`.
    """
    if pace.last_step >= target:
        return 0.0 if pace.last_step == target else None
    steps, since = pace.last_step - pace.first_step, pace.first_time
    if steps == 0:
        if began is None:
            return None
        steps, since = pace.last_step, began
    if steps <= 0 or pace.last_time <= since:
        return None

    per_step = (pace.last_time - since) / steps
    waited = max(0.0, now - pace.last_time)
    if waited > per_step:
        per_step = (now - since) / (steps + 1)
    return max(0.0, (target - pace.last_step) * per_step - min(waited, per_step))


def typical_duration(durations: Sequence[float]) -> float | None:
    """The median."""
    return median(durations) if durations else None


def time_left(elapsed: float, typical: float | None) -> float | None:
    """Of a trial without steps: what is left of a typical duration. None for one that takes longer than that."""
    return typical - elapsed if typical is not None and elapsed <= typical else None


def study_time_to_go(
    waiting: int, running: Iterable[float | None], typical: float | None, parallel: int | None
) -> float | None:
    """How long a study takes: `waiting` trials of a typical duration that have not started, and the times to go of
    those that run (None is taken for half a typical duration), `parallel` at a time, or as many as run now.

    It is never less than the longest time to go.
    """
    times = list(running)
    if typical is None:
        # Nothing is known of trials to come, so all must run.
        known = [time for time in times if time is not None]
        return max(known) if not waiting and times and len(known) == len(times) else None

    to_go = [typical / 2 if time is None else time for time in times]
    slots = max(1, parallel or len(times))
    return max([(sum(to_go) + waiting * typical) / slots, *to_go])
