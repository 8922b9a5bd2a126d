"""When failed trials say that their parameters are not to blame."""

from __future__ import annotations

import pytest

from wazir.domain.attempt import Cause
from wazir.domain.broken import broken, failed_alike, first_ended, how_to_fix
from wazir.domain.failures import Case
from wazir.domain.study import Counts
from wazir.domain.trial import TrialState as T

KEY = "exit code 1: KeyError: 'val_loss'"
METRIC = "looked for 'val_loss' in what it printed; the last lines were: loss=0.5"


def case(number: int, words: str = KEY, cause: Cause | None = Cause.CODE_FAILED) -> Case:
    return Case(number, {}, cause, words)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        ([case(1), case(2), case(3)], f"the first three trials failed in the same way: {KEY}"),
        ([case(1, "exit code 1: 3 GiB"), case(2, "exit code 1: 4 GiB"), case(3, "exit code 1: 5 GiB")], "5 GiB"),
        ([case(n, cause=Cause.OUT_OF_MEMORY) for n in (1, 2, 3)], KEY),
        ([case(n, "", Cause.TIMED_OUT) for n in (1, 2, 3)], "failed in the same way: timed out"),
        ([case(1), case(2), case(3, "exit code 1: ValueError")], ""),
        ([case(1), case(2), case(3, cause=Cause.TIMED_OUT)], ""),
        ([case(1), case(2)], ""),
        ([case(1), case(2), case(3, cause=None)], ""),
        ([case(n, cause=Cause.INFEASIBLE) for n in (1, 2, 3)], ""),
    ],
)
def test_the_first_three(first: list[Case], words: str) -> None:
    reason = failed_alike(first)
    assert words in reason
    assert bool(reason) is bool(words)


@pytest.mark.parametrize(
    ("counts", "look"),
    [
        ({T.FAILED: 3}, True),
        ({T.FAILED: 1, T.INFEASIBLE: 2, T.ACTIVE: 5, T.CANCELLED: 4}, True),
        ({T.FAILED: 2}, False),
        ({T.FAILED: 4}, False),
        ({T.FAILED: 3, T.SUCCEEDED: 1}, False),
        ({T.FAILED: 3, T.PAUSED: 1}, False),
    ],
)
def test_when_the_first_three_are_looked_at(counts: dict[T, int], look: bool) -> None:
    assert first_ended(Counts(counts)) is look


@pytest.mark.parametrize(
    ("failed", "earlier", "counts", "words"),
    [
        (case(1, METRIC, Cause.SUCCEEDED), [], {T.FAILED: 1}, "trial 1 has no value: looked for 'val_"),
        (case(2, METRIC, Cause.SUCCEEDED), [case(1, METRIC + "1", Cause.SUCCEEDED)], {T.FAILED: 2}, ""),
        (case(9, METRIC, Cause.SUCCEEDED), [], {T.FAILED: 1, T.SUCCEEDED: 8}, ""),
        (case(9, "no such image", Cause.CONFIG_BROKEN), [], {T.SUCCEEDED: 8}, "trial 9 could not be started: no such"),
        (case(2, "no image", Cause.CONFIG_BROKEN), [case(1, "no image", Cause.CONFIG_BROKEN)], {T.FAILED: 2}, ""),
        (case(1), [], {T.FAILED: 1}, ""),
        (case(1, cause=Cause.NODE_LOST), [], {T.FAILED: 1}, ""),
    ],
)
def test_what_no_parameter_can_change(failed: Case, earlier: list[Case], counts: dict[T, int], words: str) -> None:
    reason = broken(failed, earlier, Counts(counts))
    assert words in reason
    assert bool(reason) is bool(words)


def test_every_cause_has_a_way_out() -> None:
    assert all(how_to_fix(cause) for cause in [*Cause, None])
