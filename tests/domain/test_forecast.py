"""Times to go, by table."""

import pytest

from wazir.domain.forecast import study_time_to_go, time_left, time_to_go, typical_duration
from wazir.domain.progress import Pace


@pytest.mark.parametrize(
    ("pace", "target", "now", "began", "expected", "reason"),
    [
        (Pace(1, 1, 100.0, 6, 150.0), 10, 150.0, None, 40.0, "ten seconds a step, four steps left"),
        (Pace(1, 1, 100.0, 6, 150.0), 10, 154.0, None, 36.0, "four seconds of the next step are over"),
        (Pace(1, 1, 1000.0, 6, 1050.0), 10, 1050.0, 0.0, 40.0, "what it took to start does not count"),
        (Pace(2, 6, 100.0, 8, 120.0), 9, 120.0, None, 10.0, "an attempt that goes on has its own first step"),
        (Pace(1, 0, 100.0, 4, 140.0), 10, 140.0, None, 60.0, "steps may count from 0"),
        (Pace(1, 10, 100.0, 20, 200.0), 100, 200.0, None, 800.0, "reports may be rare"),
        (Pace(1, 1, 100.0, 6, 150.0), 10, 220.0, None, 60.0, "a step takes 70 s: as if it ended now, 20 s each"),
        (Pace(1, 1, 100.0, 9, 180.0), 10, 189.0, None, 1.0, "almost done"),
        (Pace(1, 1, 100.0, 9, 180.0), 10, 190.0, None, 0.0, "due"),
        (Pace(1, 1, 100.0, 10, 190.0), 10, 195.0, None, 0.0, "all steps are done"),
        (Pace(1, 1, 100.0, 11, 200.0), 10, 200.0, None, None, "beyond what a whole trial does: nobody knows"),
        (Pace(1, 1, 130.0, 1, 130.0), 10, 130.0, 100.0, 270.0, "one report: all since it began"),
        (Pace(1, 2, 130.0, 2, 130.0), 10, 130.0, 100.0, 120.0, "one report of two steps"),
        (Pace(1, 1, 130.0, 1, 130.0), 10, 130.0, None, None, "one report, and nobody knows where it began"),
        (Pace(1, 0, 130.0, 0, 130.0), 10, 130.0, 100.0, None, "no step is done"),
        (Pace(1, 1, 100.0, 6, 100.0), 10, 100.0, None, None, "all at once: no pace"),
        (Pace(1, 1, 100.0, 6, 90.0), 10, 100.0, None, None, "a clock that was set back"),
        (Pace(1, 1, 100.0, 6, 150.0), 10, 140.0, None, 40.0, "a clock that is behind"),
    ],
)
def test_time_to_go(
    pace: Pace, target: int, now: float, began: float | None, expected: float | None, reason: str
) -> None:
    found = time_to_go(pace, target, now, began=began)
    assert found == (None if expected is None else pytest.approx(expected)), reason


@pytest.mark.parametrize(
    ("durations", "expected"), [([], None), ([3.0], 3.0), ([1.0, 2.0, 600.0], 2.0), ([1.0, 3.0], 2.0)]
)
def test_the_typical_duration_is_the_median(durations: list[float], expected: float | None) -> None:
    assert typical_duration(durations) == expected


@pytest.mark.parametrize(
    ("elapsed", "typical", "expected"),
    [(10.0, 60.0, 50.0), (60.0, 60.0, 0.0), (61.0, 60.0, None), (10.0, None, None)],
)
def test_a_trial_without_steps_takes_a_typical_duration(
    elapsed: float, typical: float | None, expected: float | None
) -> None:
    assert time_left(elapsed, typical) == expected


@pytest.mark.parametrize(
    ("waiting", "running", "typical", "parallel", "expected", "reason"),
    [
        (8, [30.0, 30.0], 60.0, 2, 270.0, "8 minutes of trials to come and one of those that run, by two"),
        (0, [30.0, 50.0], 60.0, 2, 50.0, "the longest of those that run"),
        (0, [None, 10.0], 60.0, 2, 30.0, "one without a forecast is taken for half done"),
        (4, [], 60.0, None, 240.0, "one at a time where nothing runs and nothing is said"),
        (4, [0.0, 0.0], 60.0, None, 120.0, "as many at a time as run now"),
        (4, [30.0], None, 2, None, "no trial has ended yet, and some are to come"),
        (0, [30.0, 50.0], None, 2, 50.0, "those that run are the last"),
        (0, [30.0, None], None, 2, None, "one of the last is unknown"),
        (0, [], None, 2, None, "nothing to tell"),
    ],
)
def test_study_time_to_go(
    waiting: int,
    running: list[float | None],
    typical: float | None,
    parallel: int | None,
    expected: float | None,
    reason: str,
) -> None:
    assert study_time_to_go(waiting, running, typical, parallel) == expected, reason
