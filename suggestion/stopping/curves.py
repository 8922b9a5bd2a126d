"""The curves of a study's trials on one objective, by step, as stopping rules read them."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import accumulate, islice
from typing import Final

from ...domain.metric import Objective

MAX_KEPT: Final = 1_000_000
"""Running averages kept over all steps, 8 MB, or as many as the study has reports, a fifth of what those take. Those of
steps that nobody asked about for longest are dropped first."""

_OVERHEAD: Final = 32
"""What one step costs beside its averages, counted in averages."""


class Curve:
    """One trial's reports by step, as losses: less is better."""

    __slots__ = ("_attempts", "_bests", "_losses", "_steps", "_totals")

    def __init__(self) -> None:
        self._steps = array("q")
        self._attempts = array("q")
        self._losses = array("d")
        # Least loss, and sum of losses, up to each place; shorter than `_steps` until asked for.
        self._bests = array("d")
        self._totals = array("d")

    def __len__(self) -> int:
        return len(self._steps)

    def put(self, attempt: int, step: int, loss: float) -> None:
        """A repeat replaces, unless it is of an earlier attempt than what is there."""
        place = bisect_left(self._steps, step)
        if place == len(self._steps) or self._steps[place] != step:
            self._steps.insert(place, step)
            self._attempts.insert(place, attempt)
            self._losses.insert(place, loss)
        elif attempt < self._attempts[place]:
            return
        else:
            self._attempts[place], self._losses[place] = attempt, loss
        del self._bests[place:], self._totals[place:]

    def best(self, step: int) -> float | None:
        """The least loss at `step` or before, NaN not counted: infinite where all are NaN. None without a report."""
        count = bisect_right(self._steps, step)
        if not count:
            return None
        if new := self._losses[len(self._bests) :]:
            before = self._bests[-1] if self._bests else math.inf
            # What is not less than what was there, NaN included, changes nothing.
            self._bests.extend(islice(accumulate(new, min, initial=before), 1, None))
        return self._bests[count - 1]

    def average(self, step: int) -> float | None:
        """The mean of the losses at `step` or before: infinite where it is not a number. None without a report."""
        count = bisect_right(self._steps, step)
        if not count:
            return None
        if new := self._losses[len(self._totals) :]:
            before = self._totals[-1] if self._totals else 0.0
            self._totals.extend(islice(accumulate(new, initial=before), 1, None))
        mean = self._totals[count - 1] / count
        return math.inf if math.isnan(mean) else mean

    def last(self, step: int) -> tuple[int, float] | None:
        """The last report at `step` or before: its step and loss. None without one."""
        count = bisect_right(self._steps, step)
        return (self._steps[count - 1], self._losses[count - 1]) if count else None

    def thinned(self, step: int, most: int) -> list[tuple[int, float]]:
        """Steps and losses up to `step`: every report, or every second, fourth and so on, so that there are at most
        `most`; always with the last one. Which others are taken changes only when their distance doubles."""
        last = bisect_right(self._steps, step) - 1
        stride = 1
        while len(range(0, last, stride)) > most - 1 and stride < last:
            stride *= 2
        places = range(0, last, stride) if most > 1 else range(0)
        return [(self._steps[place], self._losses[place]) for place in (*places, last) if place >= 0]

    def points(self) -> Iterable[tuple[int, float]]:
        """Steps and losses, by step."""
        return zip(self._steps, self._losses, strict=True)

    def first(self, step: int, before: int) -> tuple[int, float] | None:
        """The first report at `step` or after it, but before `before`: its step and loss. None without one."""
        place = bisect_left(self._steps, step)
        if place == len(self._steps) or self._steps[place] >= before:
            return None
        return self._steps[place], self._losses[place]


@dataclass(slots=True)
class _AtStep:
    """What completed trials had done by one step, as losses."""

    averages: array[float] = field(default_factory=lambda: array("d"))
    """The running averages of the first `seen` that completed, ascending."""
    seen: int = 0
    bests: array[float] = field(default_factory=lambda: array("d"))
    """The best losses of the first whole trials, in the order of their ends. NaN without a report."""

    @property
    def cost(self) -> int:
        return len(self.averages) + len(self.bests) + _OVERHEAD


class Rung:
    """What the trials of a study were worth when they first reported within [start, end) steps, ended or not."""

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self.losses: dict[int, float] = {}
        """By trial; NaN counts as infinite."""
        self._sorted = array("d")

    def see(self, trial_id: int, curve: Curve | None) -> None:
        """The trial's curve has changed; None: it is gone."""
        found = curve.first(self.start, self.end) if curve is not None else None
        old = self.losses.pop(trial_id, None)
        if old is not None:
            del self._sorted[bisect_left(self._sorted, old)]
        if found is not None:
            self.losses[trial_id] = loss = math.inf if math.isnan(found[1]) else found[1]
            insort(self._sorted, loss)

    def better(self, trial_id: int) -> int:
        """How many trials were worth more than this one, which must be there. O(log n)."""
        return bisect_left(self._sorted, self.losses[trial_id])


class CurveIndex:
    """All curves of one study. For one thread.

    `report`, `end` and `forget` may come in any order and any number of times; what counts is the last word about a
    trial and, at a step, the latest attempt's last report.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._curves: dict[int, Curve] = {}
        self._reports = 0
        """Over all curves."""
        # Trials in the order in which they completed; as a set too.
        self._order: list[int] = []
        self._completed: set[int] = set()
        # Those of them that were not stopped, in that order, and the best of each.
        self._whole: list[int] = []
        self._finals = array("d")
        self.whole_changes = 0
        """Rises whenever `whole` may answer otherwise."""
        self._rungs: dict[tuple[int, int], Rung] = {}
        self.changed: set[int] = set()
        """Trials with news, for whoever follows the curves and empties it."""
        # By step, least recently used first.
        self._kept: OrderedDict[int, _AtStep] = OrderedDict()
        self._cost = 0

    def report(self, trial_id: int, attempt: int, step: int, value: float) -> None:
        """One measurement. NaN and infinities are fine."""
        curve = self._curves.get(trial_id)
        if curve is None:
            curve = self._curves[trial_id] = Curve()
        self._reports -= len(curve)
        curve.put(attempt, step, self._objective.loss(value))
        self._reports += len(curve)
        self.changed.add(trial_id)
        for rung in self._rungs.values():
            if rung.start <= step < rung.end:
                rung.see(trial_id, curve)
        if trial_id in self._completed:
            # Late news of a completed trial: rare, but for the start, when nothing is kept yet.
            self._drop_kept()

    def end(self, trial_id: int, counts: bool, whole: bool = False) -> None:
        """The trial has ended. `counts`: whether it is a completed one, whose curve others are compared with; `whole`:
        whether nobody stopped it, so that its last reports are what it comes to."""
        if counts and trial_id not in self._completed:
            self._completed.add(trial_id)
            self._order.append(trial_id)
            if whole:
                self._whole.append(trial_id)
                self.whole_changes += 1
        elif not counts:
            self._uncomplete(trial_id)

    def forget(self, trial_id: int) -> None:
        """The trial was deleted."""
        self._uncomplete(trial_id)
        self._reports -= len(self._curves.pop(trial_id, ()))
        for rung in self._rungs.values():
            rung.see(trial_id, None)

    def first(self, trial_id: int, start: int, end: int) -> int | None:
        """The step of the trial's first report within [start, end) steps; None without one."""
        curve = self._curves.get(trial_id)
        found = curve.first(start, end) if curve is not None else None
        return None if found is None else found[0]

    def points(self, trial_id: int) -> tuple[tuple[int, float], ...]:
        """The trial's values by step."""
        curve = self._curves.get(trial_id)
        return () if curve is None else tuple((step, self._objective.loss(loss)) for step, loss in curve.points())

    def last(self, trial_id: int, step: int) -> tuple[int, float] | None:
        """The trial's last report at `step` or before: its step and value; None without one."""
        curve = self._curves.get(trial_id)
        found = curve.last(step) if curve is not None else None
        return None if found is None else (found[0], self._objective.loss(found[1]))

    def thinned(self, trial_id: int, step: int, most: int) -> tuple[tuple[int, float], ...]:
        """At most `most` of the trial's steps and values up to `step`, the last one among them."""
        curve = self._curves.get(trial_id)
        return () if curve is None else tuple((at, self._objective.loss(x)) for at, x in curve.thinned(step, most))

    def field(self, step: int) -> array[float]:
        """What every trial was worth by `step`, ended or not: the losses of their last reports at `step` or before,
        ascending, NaN counting as infinite. O(n log n) with n trials."""
        found = (curve.last(step) for curve in self._curves.values())
        return array("d", sorted(math.inf if math.isnan(last[1]) else last[1] for last in found if last is not None))

    def last_steps(self, most: int) -> list[int]:
        """The last steps of the `most` latest trials that nobody stopped, of those that reported any."""
        curves = (self._curves.get(trial_id) for trial_id in self._whole[-most:])
        return [found[0] for curve in curves if curve is not None and (found := curve.last(2**63 - 1)) is not None]

    def rung(self, start: int, end: int) -> Rung:
        """All trials' first values within [start, end) steps. Kept up to date from then on: O(log n) a report."""
        found = self._rungs.get((start, end))
        if found is None:
            found = self._rungs[start, end] = Rung(start, end)
            for trial_id, curve in self._curves.items():
                found.see(trial_id, curve)
        return found

    def best(self, trial_id: int, step: int) -> float | None:
        """The trial's best value at `step` or before, NaN counting as the worst infinity; None without a report."""
        curve = self._curves.get(trial_id)
        loss = curve.best(step) if curve is not None else None
        return None if loss is None else self._objective.loss(loss)

    def median_average(self, step: int) -> tuple[float, int]:
        """The median over completed trials of their running averages up to `step`, and how many trials that is.

        A trial without a report by then is left out; (NaN, 0) where none is left. A running average that is not a
        number counts as the worst. O(log n) with n completed trials, and O(n log n) when first asked about a step.
        """
        averages = self._averages(step)
        n = len(averages)
        if n == 0:
            return math.nan, 0
        low, high = averages[(n - 1) // 2], averages[n // 2]
        # Halved first, so that the sum stays within the doubles.
        return self._objective.loss(low if low == high else low / 2 + high / 2), n

    def whole(self, step: int) -> tuple[array[float], array[float]]:
        """Of the trials that nobody stopped, in the order of their ends: the best loss at `step` or before, and the
        best of all. NaN without a report, infinite where all are NaN. To be read before the next change, and not
        written.

        O(news), and O(n log m) with n such trials of m reports when first asked about a step.
        """
        with self._at(step) as kept:
            kept.bests.extend(self._best_or_nan(trial, step) for trial in self._whole[len(kept.bests) :])
        last = 2**63 - 1
        self._finals.extend(self._best_or_nan(trial, last) for trial in self._whole[len(self._finals) :])
        return kept.bests, self._finals

    def _best_or_nan(self, trial_id: int, step: int) -> float:
        curve = self._curves.get(trial_id)
        best = curve.best(step) if curve is not None else None
        return math.nan if best is None else best

    def _averages(self, step: int) -> array[float]:
        with self._at(step) as kept:
            self._bring(kept, step)
        return kept.averages

    @contextmanager
    def _at(self, step: int) -> Iterator[_AtStep]:
        """What is kept of this step, to be brought up to date. What is used least makes room."""
        kept = self._kept.get(step)
        if kept is None:
            kept = self._kept[step] = _AtStep()
            self._cost += kept.cost
        self._kept.move_to_end(step)
        before = kept.cost
        yield kept
        self._cost += kept.cost - before
        most = max(MAX_KEPT, self._reports + _OVERHEAD * len(self._kept))
        while self._cost > most and len(self._kept) > 1:
            _, dropped = self._kept.popitem(last=False)
            self._cost -= dropped.cost

    def _bring(self, kept: _AtStep, step: int) -> None:
        news = []
        for trial_id in self._order[kept.seen :]:
            curve = self._curves.get(trial_id)
            average = curve.average(step) if curve is not None else None
            if average is not None:
                news.append(average)
        kept.seen = len(self._order)
        if len(news) > 8:
            kept.averages = array("d", sorted([*kept.averages, *news]))
        else:
            for average in news:
                insort(kept.averages, average)

    def _uncomplete(self, trial_id: int) -> None:
        if trial_id in self._completed:
            self._completed.remove(trial_id)
            self._order.remove(trial_id)
            if trial_id in self._whole:
                self._whole.remove(trial_id)
            self._drop_kept()

    def _drop_kept(self) -> None:
        self.whole_changes += 1
        self._kept.clear()
        self._cost = 0
        del self._finals[:]
