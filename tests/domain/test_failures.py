"""What failed trials have in common."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wazir.domain import rules
from wazir.domain.attempt import Attempt, AttemptState, Cause
from wazir.domain.failures import Case, alike, cases, common, sentences, too_many
from wazir.domain.gathered import gathered
from wazir.domain.names import StudyName
from wazir.domain.rules import Relation, between, covering
from wazir.domain.space import Categorical, Condition, Discrete, Double, Integer, Parameter, Scale, Space
from wazir.domain.trial import Trial, TrialState

SPACE = Space(
    (
        Parameter("lr", Double(1e-5, 1.0, Scale.LOG)),
        Parameter("batch", Discrete((64, 128, 256, 512, 1024, 2048))),
        Parameter("width", Integer(16, 4096)),
        Parameter("opt", Categorical(("adam", "sgd", "lamb", "lion"))),
        Parameter("momentum", Double(0.0, 0.99), when=(Condition("opt", ("sgd",)),)),
    )
)
Point = Mapping[str, Any]

WORDS = "exit code 1: CUDA error: an illegal memory access was encountered"


def point(rng: random.Random) -> Point:
    drawn = {
        "lr": 10 ** rng.uniform(-5, 0),
        "batch": rng.choice((64, 128, 256, 512, 1024, 2048)),
        "width": rng.randint(16, 4096),
        "opt": rng.choice(("adam", "sgd", "lamb", "lion")),
    }
    return {**drawn, "momentum": rng.random()} if drawn["opt"] == "sgd" else drawn


def study(seed: int, trials: int, fails: Callable[[Point, random.Random], bool]) -> list[Case]:
    rng = random.Random(seed)
    points = [point(rng) for _ in range(trials)]
    return [
        Case(i, p, Cause.CODE_FAILED, WORDS, True) if fails(p, rng) else Case(i, p)
        for i, p in enumerate(points, start=1)
    ]


def said(ended: Sequence[Case], space: Space | None = SPACE) -> list[str]:
    return [sentence.text for sentence in sentences(common(ended, space))]


def test_a_wall_over_two_parameters_is_told_in_a_sentence() -> None:
    ended = study(1, 60, lambda p, _: p["batch"] > 512 and p["width"] > 1024)
    (sentence,) = said(ended)
    assert sentence.endswith(f"trials with batch > 512 and width > 1000 failed: {WORDS}"), sentence
    found = common(ended, SPACE)
    assert found.explained == {case.id for case in ended if case.cause is not None}


@pytest.mark.parametrize(
    ("fails", "words"),
    [
        pytest.param(lambda p, _: p["opt"] == "lamb", "with opt = lamb failed", id="one category"),
        pytest.param(lambda p, _: p["opt"] in ("lamb", "lion"), "with opt = lamb or lion failed", id="two of them"),
        pytest.param(lambda p, _: "momentum" in p, "with opt = sgd failed", id="what a category brings with it"),
        pytest.param(lambda p, _: p["lr"] > 0.01, "with lr > 0.01 failed", id="a number with few digits"),
        pytest.param(lambda p, _: p["width"] <= 700, "with width <= 600 failed", id="from above"),
    ],
)
def test_what_a_condition_says(fails: Callable[[Point, random.Random], bool], words: str) -> None:
    (sentence,) = said(study(3, 80, fails))
    assert words in sentence


def test_a_growing_space_is_read_off_its_values() -> None:
    (sentence,) = said(study(1, 60, lambda p, _: p["batch"] > 512), None)
    assert "with batch > 512 failed" in sentence


def test_two_walls_are_told_one_after_the_other() -> None:
    ended = study(5, 120, lambda p, _: p["lr"] > 0.1 or p["batch"] > 1024)
    assert {"lr > 0.1", "batch > 1024"} == {str(region.rule) for region in common(ended, SPACE).groups[0].regions}


def test_each_sentence_names_its_trials() -> None:
    ended = study(5, 120, lambda p, _: p["lr"] > 0.1 or p["batch"] > 1024)
    told = sentences(common(ended, SPACE))
    assert sorted(i for sentence in told for i in sentence.trials) == [c.id for c in ended if c.cause is not None]


def test_what_no_rule_covers_is_counted() -> None:
    ended = study(1, 60, lambda p, _: p["batch"] > 512)
    stray = next(case for case in ended if case.cause is None and case.parameters["batch"] == 64)
    ended[stray.id - 1] = Case(stray.id, stray.parameters, Cause.CODE_FAILED, WORDS, True)
    assert f"1 more trial failed: {WORDS}" in said(ended)


def test_failures_of_the_platform_are_told_and_never_explained() -> None:
    ended = study(1, 60, lambda p, _: p["batch"] > 512)
    ended = [Case(c.id, c.parameters, Cause.NODE_LOST, "its node is gone") if c.cause else c for c in ended]
    assert common(ended, SPACE).explained == frozenset()
    assert said(ended) == [f"{sum(c.cause is not None for c in ended)} trials failed: its node is gone"]


def test_one_wall_that_fails_in_two_ways_is_found_over_both() -> None:
    ended = study(2, 40, lambda p, _: p["batch"] > 512 and p["width"] > 1500)
    ended = [
        Case(c.id, c.parameters, Cause.CODE_FAILED, f"exit code 1: {'ab'[c.id % 2]}", True) if c.cause else c
        for c in ended
    ]
    found = common(ended, SPACE)
    assert len(found.explained) == sum(c.cause is not None for c in ended)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("exit code 1: Tried to allocate 2.00 GiB", "exit code 1: Tried to allocate 734.00 GiB", True),
        ("killed at 0x7f3a99", "killed at 0x55d1aa", True),
        ("KeyError: 'loss'", "KeyError: 'acc'", False),
        ("ran for 61.0 s, longer than trial.timeout = 60 s", "ran for 60.2 s, longer than trial.timeout = 60 s", True),
    ],
)
def test_numbers_do_not_tell_two_failures_apart(a: str, b: str, same: bool) -> None:
    assert (alike(Cause.CODE_FAILED, a) == alike(Cause.CODE_FAILED, b)) is same


def test_what_was_printed_in_place_of_a_metric_does_not_tell_failures_apart() -> None:
    a, b = (f"looked for 'val_loss' in what it printed; the last lines were: {line}" for line in ("a=1", "b=2 | c"))
    assert alike(Cause.SUCCEEDED, a) == alike(Cause.SUCCEEDED, b)
    assert alike(Cause.CODE_FAILED, a) != alike(Cause.CODE_FAILED, b)


def test_random_failures_are_hardly_ever_explained() -> None:
    studies = [study(seed, 40, lambda p, rng: rng.random() < 0.3) for seed in range(40)]
    assert sum(bool(common(ended, SPACE).explained) for ended in studies) <= 4


@pytest.mark.parametrize(
    ("wall", "share"),
    [
        pytest.param(lambda p, _: p["batch"] > 512 and p["width"] > 1024, 0.9, id="a box"),
        pytest.param(lambda p, _: p["batch"] * p["width"] > 1_500_000, 0.8, id="memory: a slanted wall"),
        pytest.param(lambda p, rng: p["batch"] > 512 and rng.random() < 0.8, 0.8, id="a noisy wall"),
    ],
)
def test_failures_behind_a_wall_are_mostly_explained(
    wall: Callable[[Point, random.Random], bool], share: float
) -> None:
    studies = [study(seed, 60, wall) for seed in range(20)]
    explained = sum(len(common(ended, SPACE).explained) for ended in studies)
    assert explained >= share * sum(case.cause is not None for ended in studies for case in ended)


def test_failures_that_fill_a_ball_lie_close_together() -> None:
    rng = random.Random(0)
    points = [{f"x{i}": rng.random() for i in range(2)} for _ in range(100)]
    inside = [p for p in points if sum((v - 0.5) ** 2 for v in p.values()) < 0.08]
    outside = [p for p in points if p not in inside]
    assert len(gathered(inside, outside)) > 0.7 * len(inside)
    assert not gathered(points[::3], points[1::3] + points[2::3])


@given(st.integers(0, 1000), st.randoms(use_true_random=False))
@settings(max_examples=20)
def test_the_order_of_trials_does_not_matter(seed: int, shuffled: random.Random) -> None:
    ended = study(seed, 30, lambda p, rng: p["batch"] > 512 or rng.random() < 0.1)
    other = list(ended)
    shuffled.shuffle(other)
    assert common(other, SPACE) == common(ended, SPACE)


@given(st.lists(st.booleans(), max_size=12), st.integers(0, 1000))
@settings(max_examples=40)
def test_a_rule_says_what_it_covers(kinds: list[bool], seed: int) -> None:
    rng = random.Random(seed)
    points = [point(rng) for _ in range(3 * len(kinds))]
    kind = [p for p, is_kind in zip(points, kinds * 3, strict=True) if is_kind and p["batch"] > 256]
    others = [p for p in points if p not in kind]
    rules = covering(kind, others, SPACE)
    for number, rule in enumerate(rules):
        assert rule.others == sum(map(rule.holds, others))
        assert rule.covered == sum(rule.holds(p) and not any(r.holds(p) for r in rules[:number]) for p in kind)


@given(
    st.floats(-1e6, 1e6).flatmap(lambda low: st.tuples(st.just(low), st.floats(low, 2e6, exclude_min=True))),
)
def test_a_threshold_tells_its_two_sides_apart(sides: tuple[float, float]) -> None:
    low, high = sides
    assert low <= between(low, high) < high


def test_thresholds_are_short() -> None:
    assert between(512, 1024) == 800
    assert between(512, 513) == 512
    assert between(0.00997, 0.0113, Scale.LOG) == 0.01
    assert isinstance(between(7, 9), int)


@pytest.mark.parametrize(
    ("in_a_row", "ends"),
    [
        (30, ""),
        (31, "31 trials in a row failed, more than 3 times budget.failed = 10, though their parameters explain most"),
    ],
)
def test_explained_failures_end_a_study_only_in_a_row(in_a_row: int, ends: str) -> None:
    mixed = study(1, 60, lambda p, _: p["batch"] > 512)
    behind_the_wall: Point = {"lr": 0.1, "batch": 2048, "width": 100, "opt": "adam"}
    after = [Case(100 + i, behind_the_wall, Cause.CODE_FAILED, WORDS, True) for i in range(in_a_row)]
    evaluated = Case(99, {**behind_the_wall, "batch": 64})
    ended = [*mixed, evaluated, *after]
    failed = sum(case.cause is not None for case in ended)
    assert too_many(common(ended, SPACE), failed, 10).partition(":")[0] == ends


def test_trials_as_cases() -> None:
    def trial(state: TrialState, cause: Cause | None, reason: str = "") -> Trial:
        attempt = Attempt(1, AttemptState.ENDED, 0.0, cause=cause)
        return Trial(StudyName("o", "s").trial(1), state, {}, 0.0, attempts=(attempt,), reason=reason)

    table = [
        (TrialState.SUCCEEDED, Cause.SUCCEEDED, (None, False)),
        (TrialState.STOPPED, Cause.STOPPED, (None, False)),
        (TrialState.FAILED, Cause.CODE_FAILED, (Cause.CODE_FAILED, True)),
        (TrialState.FAILED, Cause.TIMED_OUT, (Cause.TIMED_OUT, True)),
        (TrialState.FAILED, Cause.NODE_LOST, (Cause.NODE_LOST, False)),
        (TrialState.FAILED, Cause.SUCCEEDED, (Cause.SUCCEEDED, False)),
        (TrialState.INFEASIBLE, Cause.OUT_OF_MEMORY, (Cause.OUT_OF_MEMORY, True)),
        (TrialState.INFEASIBLE, Cause.SUCCEEDED, (Cause.INFEASIBLE, True)),
    ]
    for state, cause, expected in table:
        (case,) = cases([trial(state, cause, "x")])
        assert (case.cause, case.own) == expected, state
    assert not cases([trial(TrialState.CANCELLED, Cause.STOPPED), trial(TrialState.ACTIVE, None)])


def test_too_many_are_those_that_parameters_do_not_explain() -> None:
    wall = study(1, 60, lambda p, _: p["batch"] > 512)
    failed = sum(case.cause is not None for case in wall)
    found = common(wall, SPACE)
    assert too_many(found, failed, 10) == ""

    stray = [
        Case(100 + i, {**c.parameters, "batch": 64}, Cause.CODE_FAILED, "disk full", True) for i, c in enumerate(wall)
    ]
    words = too_many(common([*wall, *stray[:3]], SPACE), failed + 3, 2)
    assert words.startswith("3 trials failed that their parameters do not explain, more than budget.failed = 2 allows")
    assert too_many(common(stray[:3], SPACE), 3, 2) == (
        "3 trials failed, more than budget.failed = 2 allows: disk full"
    )


def test_a_condition_names_choices_as_people_wrote_them() -> None:
    condition = rules.Test("layers", Relation.ONE_OF, values=("python:(64, 64)", True, "adam"))
    assert str(condition) == "layers = (64, 64) or true or adam"
