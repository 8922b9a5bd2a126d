"""The learning-curve rule: by table, against scipy's own regression, and on odd histories."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from wazir.domain.errors import InvalidArgument
from wazir.domain.metric import Goal, Objective
from wazir.domain.study import Stopping
from wazir.suggestion.registry import make_rule
from wazir.suggestion.stopping.curves import CurveIndex
from wazir.suggestion.stopping.rule import Stop, StoppingRule

LOSS, ACCURACY = Objective("loss", Goal.MINIMIZE), Objective("acc", Goal.MAXIMIZE)
NAN, INF = math.nan, math.inf
RUNNING = 1000


def rule(*objectives: Objective, **settings: float) -> StoppingRule:
    return make_rule(Stopping("curve", settings), objectives)


def index(whole: Sequence[Sequence[float]], running: Sequence[float], objective: Objective = LOSS) -> CurveIndex:
    """Whole trials' values at steps 1, 2, ..., and those of the trial RUNNING."""
    curves = CurveIndex(objective)
    for trial, values in [*enumerate(whole, 1), (RUNNING, running)]:
        for step, value in enumerate(values, 1):
            curves.report(trial, 1, step, value)
        if trial != RUNNING:
            curves.end(trial, counts=True, whole=True)
    return curves


def fan(n: int, noise: float = 0.01, seed: int = 0) -> list[list[float]]:
    """n curves that fall from between 1 and 2 to a half of that, give or take."""
    draw = random.Random(seed)
    starts = [1.0 + k / n for k in range(n)]
    return [[start, start * 0.75, start / 2 + draw.gauss(0.0, noise)] for start in starts]


def decide(curves: CurveIndex, step: int, **settings: float) -> Stop | None:
    return rule(LOSS, **settings).decide(RUNNING, step, [curves])


@pytest.mark.parametrize(
    ("whole", "running", "settings", "stops", "why"),
    [
        (fan(12), [1.9], {}, True, "a start at 1.9 ends near 0.95, and the best is near 0.5"),
        (fan(12), [1.02], {}, False, "that one may become the best"),
        (fan(12), [0.2], {}, False, "it is the best already"),
        (fan(12), [1.9], {"min": 2}, False, "before min"),
        (fan(12), [1.9, 1.5], {"min": 2}, True, "min is reached at equality"),
        (fan(7), [1.9], {}, False, "fewer than 8 whole trials"),
        (fan(7), [1.9], {"min_trials": 7}, True, "as many as were asked for"),
        (fan(12, noise=0.4), [1.9], {}, False, "the whole trials say little about how it goes on"),
        (fan(12), [1.9], {"probability": 1e-9}, True, "far from what such a start has come to"),
        (fan(12, noise=0.1), [1.5], {"probability": 0.5}, True, "less than an even chance"),
        (fan(12, noise=0.1), [1.5], {"probability": 1e-4}, False, "but some chance"),
        (fan(12), [NAN], {}, True, "the others had numbers by then"),
        ([[NAN, *c] for c in fan(12)], [NAN], {}, False, "nobody had a number by then"),
        ([[NAN, *c] for c in fan(12)], [NAN, 1.9], {}, True, "what was NaN before does not count"),
        ([[1.0, 0.5]] * 12, [1.0], {}, False, "all the same"),
        ([[1.0, 0.5]] * 12, [2.0], {}, False, "a start that nobody had"),
        ([*fan(12), [1e9, 2e8, 1e7]], [1.9], {}, True, "one that diverged does not hide the others"),
        ([*fan(12), [1e9, 1e9, 0.9]], [1.02], {}, False, "nor make a good one look bad"),
        (fan(12), [1e300], {}, True, "worse than all that was seen"),
        ([[v * 1e300 for v in c] for c in fan(12)], [1.9e300], {}, True, "huge values"),
        ([[v * 1e-300 for v in c] for c in fan(12)], [1.9e-300], {}, True, "tiny values"),
    ],
)
def test_decisions(
    whole: list[list[float]], running: list[float], settings: dict[str, float], stops: bool, why: str
) -> None:
    assert (decide(index(whole, running), len(running), **settings) is not None) == stops, why


def test_the_goal_may_be_to_maximise() -> None:
    curves = index([[-v for v in c] for c in fan(12)], [-1.9], ACCURACY)
    stop = rule(ACCURACY).decide(RUNNING, 1, [curves])
    assert stop is not None
    assert stop.reason.startswith("step 1: ")
    assert stop.reason.endswith("-0.9477 ± 0.0098 expected for acc")
    assert rule(ACCURACY).decide(RUNNING, 1, [index([[-v for v in c] for c in fan(12)], [-1.0], ACCURACY)]) is None


def test_trials_that_were_stopped_do_not_say_how_trials_end() -> None:
    curves = index(fan(12), [1.9])
    for trial in range(1, 6):
        curves.end(trial, counts=False)
        curves.end(trial, counts=True, whole=False)
    assert decide(curves, 1) is None
    assert decide(curves, 1, min_trials=7) is not None


def test_trials_may_end_at_different_steps_and_report_with_gaps() -> None:
    curves = CurveIndex(LOSS)
    for trial, (start, middle, end) in enumerate(fan(12), 1):
        for step, value in [(9 + trial % 3, middle), (2, start), (40 + trial, end)]:
            curves.report(trial, 1, step, value)
        curves.end(trial, counts=True, whole=True)
    curves.report(RUNNING, 1, 5, 1.9)
    assert decide(curves, 5) is not None
    curves.report(RUNNING, 1, 1, 0.4)
    assert decide(curves, 5) is None, "an earlier step, reported later"


values = st.floats(0.1, 10.0).map(lambda x: round(x, 3))


@given(st.lists(st.tuples(values, st.floats(0.0, 1.0)), min_size=8, max_size=30), values, st.floats(1e-6, 0.5))
def test_the_probability_is_that_of_a_linear_regression(
    pairs: list[tuple[float, float]], own: float, probability: float
) -> None:
    x, y = [p[0] for p in pairs], [p[0] * p[1] for p in pairs]
    if len(set(x)) < 3 or max(x) > 3 * min(x):
        return
    fit, n = stats.linregress(x, y), len(x)
    errors = [b - fit.intercept - fit.slope * a for a, b in pairs_of(x, y)]
    spread = sum((a - sum(x) / n) ** 2 for a in x)
    scale = math.sqrt(sum(e * e for e in errors) / (n - 2) * (1 + 1 / n + (own - sum(x) / n) ** 2 / spread))
    if scale < 1e-6 or own > max(x) or own <= min(y):
        return
    chance = stats.t.cdf((min(y) - fit.intercept - fit.slope * own) / scale, n - 2)
    if abs(chance - probability) < 1e-9:
        return
    stop = decide(index([list(p) for p in pairs_of(x, y)], [own]), 1, probability=probability)
    assert (stop is not None) == (chance < probability)


def pairs_of(x: list[float], y: list[float]) -> list[tuple[float, float]]:
    return list(zip(x, y, strict=True))


class TestSeveralObjectives:
    def stops(self, loss: float, accuracy: float) -> bool:
        whole = fan(12)
        losses = index(whole, [loss])
        accuracies = index([[-v for v in c] for c in reversed(whole)], [accuracy], ACCURACY)
        return rule(LOSS, ACCURACY).decide(RUNNING, 1, [losses, accuracies]) is not None

    @pytest.mark.parametrize(
        ("loss", "accuracy", "stops", "why"),
        [
            (1.9, -1.9, True, "bad in both: there is a trial that is better in both"),
            (1.05, -1.9, False, "good in one"),
            (1.9, -1.05, False, "good in the other"),
            (1.45, -1.4, False, "on the front"),
            (NAN, -1.9, True, "no number in one, bad in the other"),
            (NAN, -1.0, False, "no number in one, good in the other"),
        ],
    )
    def test_a_trial_goes_on_while_it_may_join_the_front(
        self, loss: float, accuracy: float, stops: bool, why: str
    ) -> None:
        assert self.stops(loss, accuracy) == stops, why

    def test_an_objective_that_it_has_not_reported_yet_is_waited_for(self) -> None:
        losses, accuracies = index(fan(12), [1.9]), index([[-v for v in c] for c in fan(12)], [], ACCURACY)
        assert rule(LOSS, ACCURACY).decide(RUNNING, 1, [losses, accuracies]) is None


def test_the_reason_has_the_numbers() -> None:
    stop = decide(index(fan(12), [1.9]), 1)
    assert stop is not None
    assert stop.reason == ("step 1: its chance of being the best is below 1e-06: 0.9477 ± 0.0098 expected for loss")


odd = values | st.sampled_from([NAN, INF, -INF, 1e300, -1e300, 0.0])


@example([[1.0], [0.5], [0.75], [-INF]], [-1e300])
@given(st.lists(st.lists(odd, min_size=1, max_size=4), max_size=14), st.lists(odd, min_size=1, max_size=4))
def test_odd_values_never_break_it(whole: list[list[float]], running: list[float]) -> None:
    curves = index(whole, running)
    for step in range(1, 6):
        stop = decide(curves, step, min_trials=3)
        if stop is not None:
            assert "nan" not in stop.reason.lower()
            best = min((v for v in running[:step] if not math.isnan(v)), default=INF)
            finals = [min((v for v in c if not math.isnan(v)), default=INF) for c in whole]
            assert best > min(finals), "what is the best already is never stopped"


events = st.lists(
    st.one_of(
        st.tuples(st.just("report"), st.integers(1, 6), st.integers(1, 5), values),
        st.tuples(st.just("end"), st.integers(1, 6), st.booleans(), st.booleans()),
        st.tuples(st.just("forget"), st.integers(1, 6)),
        st.tuples(st.just("ask"), st.integers(1, 5)),
    ),
    max_size=50,
)


@given(events)
def test_what_whole_trials_came_to_is_kept_rightly_whatever_happens(said: list[tuple[str, int, int, float]]) -> None:
    curves = CurveIndex(LOSS)
    reports: dict[int, dict[int, float]] = {}
    whole: list[int] = []
    completed: set[int] = set()
    for what, *about in said:
        trial = int(about[0])
        match what:
            case "report":
                curves.report(trial, 1, int(about[1]), about[2])
                reports.setdefault(trial, {})[int(about[1])] = about[2]
            case "end":
                counts, is_whole = bool(about[1]), bool(about[2])
                curves.end(trial, counts, is_whole)
                if counts and trial not in completed:
                    completed.add(trial)
                    whole += [trial] * is_whole
                elif not counts:
                    completed.discard(trial)
                    whole = [t for t in whole if t != trial]
            case "forget":
                curves.forget(trial)
                reports.pop(trial, None)
                completed.discard(trial)
                whole = [t for t in whole if t != trial]
            case _:
                step = trial
                bests, finals = (list(losses) for losses in curves.whole(step))
                told = [[v for s, v in reports.get(t, {}).items() if s <= step] for t in whole]
                assert [repr(b) for b in bests] == [repr(min(v, default=NAN)) for v in told]
                assert [repr(f) for f in finals] == [repr(min(reports.get(t, {}).values(), default=NAN)) for t in whole]


def test_most_of_the_epochs_are_saved_and_the_best_is_still_found() -> None:
    """Curves that cross early on: noise shrinks towards the end."""
    draw = random.Random(1)
    epochs, trials = 30, 60
    curves, judge = CurveIndex(LOSS), rule(LOSS)
    used, best_kept, best_of_all = 0, INF, INF
    for trial in range(1, trials + 1):
        level = draw.lognormvariate(0.0, 0.5)
        raw = [level + 2.0 / e + draw.gauss(0.0, 0.3 / e) for e in range(1, epochs + 1)]
        best_of_all = min(best_of_all, min(accumulate(raw, min)))
        stop = None
        for step, value in enumerate(raw, 1):
            used += 1
            best_kept = min(best_kept, value)
            curves.report(trial, 1, step, value)
            stop = judge.decide(trial, step, [curves]) if step < epochs else None
            if stop:
                break
        curves.end(trial, counts=True, whole=stop is None)
    assert best_kept == best_of_all
    assert used < 0.6 * trials * epochs


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"min_trials": 2}, "stopping.min_trials = 2: must be 3 or more"),
        ({"probability": 0.6}, "stopping.probability = 0.6: must be at most 0.5"),
        ({"probability": 0.0}, "stopping.probability = 0.0: must be 1e-09 or more"),
        ({"minimum": 3}, "stopping.minimum"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, float], words: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        rule(LOSS, **settings)
    assert words in str(error.value)
