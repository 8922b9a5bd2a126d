"""The stopping form of ASHA: reports in and decisions out, by table, and against the algorithm written down plainly."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.domain.errors import InvalidArgument
from wazir.domain.metric import Goal, Objective
from wazir.domain.study import Stopping
from wazir.suggestion.registry import make_rule
from wazir.suggestion.stopping.curves import CurveIndex

LOSS, ACCURACY, SIZE = (
    Objective("loss", Goal.MINIMIZE),
    Objective("acc", Goal.MAXIMIZE),
    Objective("size", Goal.MINIMIZE),
)
NAN, INF = math.nan, math.inf

Report = tuple[int, int, float]
"""Trial, step, value."""


def play(
    reports: Sequence[Report], settings: Mapping[str, float] | None = None, objective: Objective = LOSS
) -> list[str | None]:
    """The rule's word on each report, in their order. A trial that was told to stop goes on reporting here."""
    curves, rule = CurveIndex(objective), make_rule(Stopping("asha", settings or {}), (objective,))
    words = []
    for trial, step, value in reports:
        curves.report(trial, 1, step, value)
        stop = rule.decide(trial, step, [curves])
        words.append(stop.reason if stop else None)
    return words


GO = None


@pytest.mark.parametrize(
    ("reports", "settings", "words", "reason"),
    [
        ([(1, 1, 9.0)], {}, [GO], "the first at a rung is the best there"),
        ([(1, 1, 1.0), (2, 1, 2.0)], {}, [GO, "step 1: rank 2 of 2, eta 3"], "of two, the best goes on"),
        ([(1, 1, 2.0), (2, 1, 1.0)], {}, [GO, GO], "whoever is better than all before goes on"),
        ([(1, 1, 1.0), (2, 1, 1.0)], {}, [GO, GO], "as good as the best"),
        (
            [(t, 1, float(t)) for t in range(1, 7)],
            {"eta": 3},
            [GO, *[f"step 1: rank {t} of {t}, eta 3" for t in range(2, 7)]],
            "each worse than all before",
        ),
        (
            [(1, 1, 1.0), *[(t, 1, 9.0) for t in range(2, 6)], (6, 1, 2.0)],
            {"eta": 3},
            [GO, *[f"step 1: rank 2 of {n}, eta 3" for n in range(2, 6)], GO],
            "of six, the best two go on",
        ),
        ([(1, 2, 1.0), (2, 2, 9.0)], {"min": 3}, [GO, GO], "before the first rung"),
        ([(1, 3, 1.0), (2, 3, 9.0)], {"min": 3}, [GO, "step 3: rank 2 of 2, eta 3"], "the rung is reached at equality"),
        ([(1, 1, 1.0), (2, 2, 9.0)], {}, [GO, "step 2: rank 2 of 2, eta 3"], "the first report from there on counts"),
        ([(1, 1, 1.0), (2, 5, 9.0)], {}, [GO, GO], "rungs are 1, 3, 9: it jumped over the first and is alone at 3"),
        ([(1, 1, 1.0), (2, 1, 0.5), (2, 2, 9.0)], {}, [GO, GO, GO], "between two rungs nobody is judged"),
        ([(1, 9, 1.0), (2, 9, 2.0)], {"max": 9}, [GO, GO], "at max a trial has done all its steps"),
        ([(1, 3, 1.0), (2, 3, 2.0)], {"eta": 1.5}, [GO, "step 3: rank 2 of 2, eta 1.5"], "its rungs are 1, 2, 3, 5, 7"),
        ([(1, 1, 1.0), (2, 1, NAN)], {}, [GO, "step 1: rank 2 of 2, eta 3"], "NaN is worse than everything"),
        ([(1, 1, NAN), (2, 1, NAN)], {}, [GO, GO], "and as good as NaN"),
        ([(1, 1, 5.0), (2, 1, 6.0), (1, 1, 7.0)], {}, [GO, "step 1: rank 2 of 2, eta 3", "step 1: rank 2 of 2, eta 3"],
         "a report that is corrected is judged again"),
    ],
)  # fmt: skip
def test_decisions(
    reports: Sequence[Report], settings: dict[str, float], words: Sequence[str | None], reason: str
) -> None:
    assert play(reports, settings) == words, reason


def test_where_more_is_better() -> None:
    assert play([(1, 1, 0.1), (2, 1, 0.9), (3, 1, 0.5)], None, ACCURACY) == [GO, GO, "step 1: rank 2 of 3, eta 3"]


def test_several_objectives_are_ranked_by_domination() -> None:
    curves, rule = (CurveIndex(LOSS), CurveIndex(SIZE)), make_rule(Stopping("asha"), (LOSS, SIZE))
    words = []
    for trial, values in enumerate([(1.0, 5.0), (5.0, 1.0), (6.0, 6.0), (1.0, 5.0)], 1):
        for index, value in zip(curves, values, strict=True):
            index.report(trial, 1, 1, value)
        stop = rule.decide(trial, 1, curves)
        words.append(stop.reason if stop else None)
    assert words == [GO, GO, "step 1: rank 3 of 3, eta 3", GO]


def test_with_several_objectives_a_trial_is_judged_when_it_has_them_all() -> None:
    curves, rule = (CurveIndex(LOSS), CurveIndex(SIZE)), make_rule(Stopping("asha"), (LOSS, SIZE))
    for index in curves:
        index.report(1, 1, 1, 1.0)
    curves[0].report(2, 1, 1, 2.0)
    assert rule.decide(2, 1, curves) is None
    curves[1].report(2, 1, 1, 2.0)
    assert rule.decide(2, 1, curves) is not None


def test_objectives_may_come_at_different_steps_of_a_rung() -> None:
    curves, rule = (CurveIndex(LOSS), CurveIndex(SIZE)), make_rule(Stopping("asha", {"min": 1, "eta": 4}), (LOSS, SIZE))
    words = []
    for trial in (1, 2):
        for index, step in ((curves[0], 1), (curves[1], 2), (curves[0], 3)):
            index.report(trial, 1, step, float(trial))
            words.append(rule.decide(trial, step, curves) is not None)
    assert words == [False, False, False, False, True, False], "judged once, by the report that completes them"


def test_with_several_objectives_one_that_has_diverged_in_one_has_in_all() -> None:
    curves, rule = (CurveIndex(LOSS), CurveIndex(SIZE)), make_rule(Stopping("asha"), (LOSS, SIZE))
    for trial, values in ((1, (1.0, 9.0)), (2, (NAN, 1.0))):
        for index, value in zip(curves, values, strict=True):
            index.report(trial, 1, 1, value)
    assert rule.decide(2, 1, curves) is not None


class Plain:
    """Algorithm 2 of the paper in its stopping form, from all that was reported, computed anew each time."""

    def __init__(self, least: int, eta: int, last: int) -> None:
        self.least, self.eta, self.last = least, eta, last
        self.reports: dict[int, dict[int, float]] = {}

    def stops(self, trial: int, step: int, loss: float) -> bool:
        self.reports.setdefault(trial, {})[step] = INF if math.isnan(loss) else loss
        rungs = [self.least * self.eta**k for k in range(10)]
        for start, end in pairwise(rungs):
            if start <= step < min(end, self.last):
                reached = {t: min(s for s in at if start <= s < end) for t, at in self.reports.items()
                           if any(start <= s < end for s in at)}  # fmt: skip
                if reached[trial] != step:
                    return False
                losses = {t: self.reports[t][s] for t, s in reached.items()}
                rank = 1 + sum(other < losses[trial] for other in losses.values())
                return rank > max(1, len(losses) // self.eta)
        return False


values = st.integers(-4, 4).map(float) | st.sampled_from([NAN, INF, -INF])


@given(st.integers(1, 3), st.integers(2, 4), st.lists(st.tuples(st.integers(1, 9), st.integers(0, 30), values)))
def test_it_decides_as_the_plain_algorithm_does(least: int, eta: int, reports: list[Report]) -> None:
    """Whatever is reported, in whatever order."""
    plain = Plain(least, eta, 25)
    wanted = [plain.stops(*report) for report in reports]
    assert [word is not None for word in play(reports, {"min": least, "eta": eta, "max": 25})] == wanted


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"eta": 1}, "stopping.eta = 1.0: must be 1.1 or more"),
        ({"eta": 0.5}, "stopping.eta = 0.5: must be 1.1 or more"),
        ({"min": 9, "max": 9}, "stopping.min = 9: must be less than stopping.max = 9"),
        ({"min": 10, "max": 9}, "stopping.min = 10: must be less than stopping.max = 9"),
        ({"min": 0}, "stopping.min = 0: must be 1 or more"),
        ({"etta": 3}, "stopping.etta = 3: no such setting. Did you mean"),
    ],
)
def test_settings_that_are_refused(settings: dict[str, float], words: str) -> None:
    with pytest.raises(InvalidArgument) as error:
        make_rule(Stopping("asha", settings), (LOSS,))
    assert words in str(error.value)


def test_deleted_trials_are_not_compared_with() -> None:
    curves, rule = CurveIndex(LOSS), make_rule(Stopping("asha"), (LOSS,))
    curves.report(1, 1, 1, 1.0)
    curves.report(2, 1, 1, 2.0)
    assert rule.decide(2, 1, [curves]) is not None
    curves.forget(1)
    assert rule.decide(2, 1, [curves]) is None
