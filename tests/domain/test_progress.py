"""The pace of an attempt: first and last report, in whatever order they come."""

from itertools import permutations

import pytest

from wazir.domain.progress import Pace

REPORTS = ((2, 20.0), (3, 30.0), (5, 50.0), (7, 70.0))


@pytest.mark.parametrize("order", list(permutations(REPORTS)))
def test_the_order_of_reports_does_not_matter(order: tuple[tuple[int, float], ...]) -> None:
    (step, time), *rest = order
    pace = Pace(1, step, time, step, time)
    for step, time in rest:
        pace = pace.report(1, step, time)
    assert pace == Pace(1, 2, 20.0, 7, 70.0)


def test_only_the_latest_attempt_counts() -> None:
    pace = Pace(1, 1, 10.0, 9, 90.0).report(2, 4, 400.0)
    assert pace == Pace(2, 4, 400.0, 4, 400.0)
    assert pace.report(1, 10, 100.0) == pace


def test_a_repeated_last_step_has_the_time_of_its_repeat() -> None:
    assert Pace(1, 1, 10.0, 3, 30.0).report(1, 3, 35.0) == Pace(1, 1, 10.0, 3, 35.0)
