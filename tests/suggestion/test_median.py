"""The median stopping rule: decisions by table, and against a straightforward reading of the paper's sentence."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.metric import Goal, Objective
from wazir.domain.study import Stopping
from wazir.suggestion.registry import make_rule
from wazir.suggestion.stopping.curves import CurveIndex
from wazir.suggestion.stopping.rule import StoppingRule

MINIMIZE, MAXIMIZE = Objective("loss", Goal.MINIMIZE), Objective("accuracy", Goal.MAXIMIZE)
NAN, INF = math.nan, math.inf


def index(objective: Objective, completed: Sequence[Sequence[float]], running: Sequence[float]) -> CurveIndex:
    """Trials 1, 2, ... that completed and trial 99 that runs, each with one report a step from 1; None is no report."""
    curves = CurveIndex(objective)
    for trial, values in [*enumerate(completed, 1), (99, running)]:
        for step, value in enumerate(values, 1):
            if value is not None:
                curves.report(trial, 1, step, value)
        if trial != 99:
            curves.end(trial, counts=True)
    return curves


def rule(objective: Objective = MINIMIZE, **settings: int) -> StoppingRule:
    return make_rule(Stopping("median", {"min_trials": 1, **settings}), (objective,))


@pytest.mark.parametrize(
    ("objective", "completed", "running", "stops", "reason"),
    [
        (MINIMIZE, [[1], [2], [3]], [2.5], True, "worse than the median, 2"),
        (MINIMIZE, [[1], [2], [3]], [2], False, "as good as the median is not strictly worse"),
        (MINIMIZE, [[1], [2], [3]], [1.5], False, "better"),
        (MAXIMIZE, [[1], [2], [3]], [1.5], True, "the same where more is better"),
        (MAXIMIZE, [[1], [2], [3]], [2.5], False, "the same where more is better"),
        (MINIMIZE, [[9, 1], [9, 1], [9, 1]], [9, 4], False, "running averages are 5, though the last values are 1"),
        (MINIMIZE, [[1, 1], [1, 1]], [0.5, 7], False, "its best counts, not its last"),
        (MINIMIZE, [[1], [2], [4], [9]], [2.5], False, "of four, the median is the mean of the middle two, 3"),
        (MINIMIZE, [[1], [2], [4], [9]], [3.5], True, "of four, the median is the mean of the middle two, 3"),
        (MINIMIZE, [[1, 1, 9], [1, 1, 9]], [2, 2], True, "what came after the step is not looked at"),
        (MINIMIZE, [[1], [1]], [None, 2], True, "a trial that ended earlier counts with what it has"),
        (MINIMIZE, [[None, 1], [5]], [3], False, "a trial without a report by the step does not count"),
        (MINIMIZE, [[None, 4, None, 8]], [None, None, None, 6.5], True, "missing steps are left out: 6"),
        (MINIMIZE, [], [3], False, "nobody has completed"),
        (MINIMIZE, [[1]], [], False, "it has reported nothing"),
        (MINIMIZE, [[1], [2]], [NAN], True, "nothing but NaN is worse than all"),
        (MINIMIZE, [[1], [2]], [NAN, 1], False, "NaN is no best value"),
        (MINIMIZE, [[NAN, 1], [NAN, 1], [1, 1]], [5, 5], False, "averages with NaN are the worst: the median is, too"),
        (MINIMIZE, [[NAN, 1], [1, 1], [1, 1]], [5, 5], True, "one diverged curve does not decide"),
        (MINIMIZE, [[INF], [INF]], [NAN], False, "nothing is worse than the worst"),
        (MINIMIZE, [[1], [2]], [INF], True, "infinitely bad"),
        (MAXIMIZE, [[1], [2]], [-INF], True, "infinitely bad"),
        (MAXIMIZE, [[1], [2]], [NAN], True, "nothing but NaN is worse than all"),
        (MINIMIZE, [[-INF], [INF]], [0], False, "the median of both infinities is no number"),
    ],
)
def test_decisions(
    objective: Objective,
    completed: Sequence[Sequence[float]],
    running: Sequence[float],
    stops: bool,
    reason: str,
) -> None:
    decision = rule(objective).decide(99, max(len(running), 1), [index(objective, completed, running)])
    assert (decision is not None) == stops, reason


def test_the_reason_gives_the_numbers() -> None:
    curves = index(MAXIMIZE, [[0.3], [0.35], [0.6]], [0.1])
    decision = rule(MAXIMIZE).decide(99, 1, [curves])
    assert decision is not None
    assert decision.reason == "step 1: best 0.1 is worse than the median 0.35 of 3 completed trials' running averages"


def test_the_reason_tells_close_numbers_apart() -> None:
    decision = rule().decide(99, 1, [index(MINIMIZE, [[0.3]], [0.3000001])])
    assert decision is not None
    assert "best 0.3000001 is worse than the median 0.3 " in decision.reason


@pytest.mark.parametrize(
    ("loss", "accuracy", "stops", "why"),
    [
        ([3], [0.1], True, "worse than both medians, 2 and 0.5"),
        ([3], [0.6], False, "better in one"),
        ([1], [0.1], False, "better in the other"),
        ([2], [0.1], False, "as good as the median in one"),
        ([3], [], False, "an objective that is not there yet is waited for"),
        ([NAN], [0.1], True, "no number in one, worse in the other"),
    ],
)
def test_with_several_objectives_it_must_be_worse_in_each(
    loss: Sequence[float], accuracy: Sequence[float], stops: bool, why: str
) -> None:
    curves = index(MINIMIZE, [[1], [2], [3]], loss), index(MAXIMIZE, [[0.4], [0.5], [0.6]], accuracy)
    several = make_rule(Stopping("median", {"min_trials": 3}), (MINIMIZE, MAXIMIZE))
    decision = several.decide(99, 1, curves)
    assert (decision is not None) == stops, why
    if decision is not None and loss == [3]:
        assert decision.reason == (
            "step 1: best loss 3 is worse than the median 2 of 3 completed trials' running averages, "
            "best accuracy 0.1 is worse than the median 0.5 of 3 completed trials' running averages"
        )


@pytest.mark.parametrize(
    ("settings", "step", "stops", "reason"),
    [
        ({"min": 3}, 2, False, "before min"),
        ({"min": 3}, 3, True, "min is reached at equality"),
        ({"min_trials": 3}, 3, True, "as many as min_trials"),
        ({"min_trials": 4}, 3, False, "one too few"),
        ({"min_trials": 3}, 4, True, "counted at the step"),
    ],
)
def test_settings(settings: dict[str, int], step: int, stops: bool, reason: str) -> None:
    curves = index(MINIMIZE, [[1, 1, 1], [1, 1, 1], [1, 1, 1]], [5, 5, 5, 5])
    assert (rule(MINIMIZE, **settings).decide(99, step, [curves]) is not None) == stops, reason


def test_by_default_five_completed_trials_are_needed() -> None:
    by_default = make_rule(Stopping("median"), (MINIMIZE,))
    four, five = (index(MINIMIZE, [[1]] * n, [5]) for n in (4, 5))
    assert by_default.decide(99, 1, [four]) is None
    assert by_default.decide(99, 1, [five]) is not None


@dataclass(frozen=True)
class Report:
    trial: int
    attempt: int
    step: int
    value: float


@dataclass(frozen=True)
class End:
    trial: int
    counts: bool


@dataclass(frozen=True)
class Forget:
    trial: int


@dataclass(frozen=True)
class Decide:
    trial: int
    step: int


trials, steps = st.integers(1, 6), st.integers(0, 5)
# Quarters, so that sums are exact and ties occur.
values = st.integers(-8, 8).map(lambda n: n / 4) | st.sampled_from([NAN, INF, -INF])
events = st.lists(
    st.one_of(
        st.builds(Report, trials, st.integers(1, 3), steps, values),
        st.builds(Report, trials, st.just(1), steps, values),
        st.builds(End, trials, st.booleans()),
        st.builds(End, trials, st.just(True)),
        st.builds(Forget, trials),
        st.builds(Decide, trials, steps),
        st.builds(Decide, trials, steps),
    ),
    max_size=60,
)


class Straightforward:
    """The sentence of the paper, computed anew each time from all that was reported."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.reports: dict[int, dict[int, tuple[int, float]]] = {}
        self.completed: set[int] = set()

    def hear(self, event: object) -> None:
        match event:
            case Report(trial, attempt, step, value):
                at = self.reports.setdefault(trial, {})
                if step not in at or attempt >= at[step][0]:
                    at[step] = attempt, value
            case End(trial, counts):
                (self.completed.add if counts else self.completed.discard)(trial)
            case Forget(trial):
                self.reports.pop(trial, None)
                self.completed.discard(trial)

    def losses(self, trial: int, step: int) -> list[float]:
        sign = 1 if self.objective.goal is Goal.MINIMIZE else -1
        return [sign * value for s, (_, value) in self.reports.get(trial, {}).items() if s <= step]

    def stops(self, trial: int, step: int, least: int) -> bool:
        own = self.losses(trial, step)
        curves = [c for other in self.completed if (c := self.losses(other, step))]
        if not own or len(curves) < least:
            return False
        averages = [sum(c) / len(c) for c in curves]
        median = statistics.median([INF if math.isnan(a) else a for a in averages])
        return min([x for x in own if not math.isnan(x)], default=INF) > median


@given(st.sampled_from([MINIMIZE, MAXIMIZE]), st.integers(1, 3), events)
def test_it_decides_as_a_straightforward_reading_does(objective: Objective, least: int, said: list[object]) -> None:
    """Whatever is reported, in any order, with other attempts, after the end, and asked about in between."""
    curves, plain = CurveIndex(objective), Straightforward(objective)
    for event in said:
        plain.hear(event)
        match event:
            case Report(trial, attempt, step, value):
                curves.report(trial, attempt, step, value)
            case End(trial, counts):
                curves.end(trial, counts)
            case Forget(trial):
                curves.forget(trial)
            case Decide(trial, step):
                decision = rule(objective, min=0, min_trials=least).decide(trial, step, [curves])
                assert (decision is not None) == plain.stops(trial, step, least)


def test_what_is_kept_is_bounded_and_the_answers_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wazir.suggestion.stopping.curves.MAX_KEPT", 100)
    curves = CurveIndex(MINIMIZE)
    for trial in range(30):
        curves.report(trial, 1, 0, trial)
        curves.end(trial, counts=True)
    for step in [*range(20), *range(20)]:
        assert curves.median_average(step) == (14.5, 30)
        assert sum(len(kept.averages) for kept in curves._kept.values()) <= 100


def test_nothing_is_computed_twice_where_trials_report_at_the_same_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many they are: else each report of a large study would cost as much as all its trials."""
    monkeypatch.setattr("wazir.suggestion.stopping.curves.MAX_KEPT", 100)
    curves = CurveIndex(MINIMIZE)
    for trial in range(30):
        for step in range(20):
            curves.report(trial, 1, step, trial + step)
        curves.end(trial, counts=True)
    for step in range(20):
        assert curves.median_average(step) == (14.5 + step / 2, 30)
    assert set(curves._kept) == set(range(20))
    for trial in range(30):
        curves.forget(trial)
    assert curves._reports == 0
