"""What screens read of curves: thinned ones, and what trials are worth by a step."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.metric import Goal, Objective
from wazir.suggestion.stopping.curves import CurveIndex


@given(
    steps=st.sets(st.integers(0, 300), max_size=200),
    most=st.integers(1, 60),
    until=st.integers(0, 300),
    goal=st.sampled_from(Goal),
)
def test_a_thinned_curve_has_evenly_spaced_reports_and_the_last_one(
    steps: set[int], most: int, until: int, goal: Goal
) -> None:
    curves = CurveIndex(Objective("m", goal))
    for step in steps:
        curves.report(1, 1, step, float(step))
    there = sorted(step for step in steps if step <= until)
    thinned = curves.thinned(1, until, most)
    assert len(thinned) <= most
    assert all(value == step for step, value in thinned)
    if len(there) <= most:
        assert [step for step, _ in thinned] == there
    if there:
        assert thinned[-1][0] == there[-1]
        places = [there.index(step) for step, _ in thinned[:-1]]
        assert len({b - a for a, b in pairwise(places)}) <= 1
        assert most < 3 or 2 * len(thinned) >= min(most, len(there))


def test_the_points_taken_stay_while_a_curve_grows_until_their_distance_doubles() -> None:
    curves = CurveIndex(Objective("m", Goal.MINIMIZE))
    kept: list[int] = []
    for step in range(500):
        curves.report(1, 1, step, 0.0)
        now = [step for step, _ in curves.thinned(1, step, 20)[:-1]]
        if len(now) >= len(kept):
            assert now[: len(kept)] == kept
        kept = now


def test_a_field_has_each_trial_once_as_a_loss() -> None:
    curves = CurveIndex(Objective("m", Goal.MAXIMIZE))
    for trial, values in enumerate(([1.0, 5.0], [4.0], [math.nan], []), 1):
        for step, value in enumerate(values, 1):
            curves.report(trial, 1, step, value)
    assert list(curves.field(0)) == []
    assert list(curves.field(1)) == [-4.0, -1.0, math.inf]
    assert list(curves.field(9)) == [-5.0, -4.0, math.inf]
