"""Whole frames of the live view, as they are drawn at a fixed moment: the files in `frames/`.

`WAZIR_REWRITE=1 pytest tests/clients/test_frames.py` writes what is drawn now into the files, to be read in the diff.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from wazir.clients.cli.frame import View, frame, summary
from wazir.domain.attempt import Attempt, AttemptState
from wazir.domain.metric import Goal, Objective
from wazir.domain.names import StudyName
from wazir.domain.progress import MetricProgress, Pace, StudyProgress, TrialProgress
from wazir.domain.study import Algorithm, Budget, Counts, Study, StudySpec, StudyState
from wazir.domain.template import TrialTemplate
from wazir.domain.trial import StopGoal, Trial, TrialState

FRAMES = Path(__file__).parent / "frames"
NOW = 10_000.0
NAN, INF = math.nan, math.inf

LOSS = Objective("val/loss", Goal.MINIMIZE)
LATENCY = Objective("deploy/phone/latency_ms", Goal.MINIMIZE)
ACCURACY = Objective("acc", Goal.MAXIMIZE)

NO_PLACE = "0/12 nodes are available: 4 Insufficient nvidia.com/gpu, 8 node(s) had untolerated taints."


def study(*objectives: Objective, name: str = "resnet", state: StudyState = StudyState.ACTIVE, **counts: int) -> Study:
    by_state = {TrialState(state): count for state, count in counts.items()}
    spec = StudySpec(
        objectives=objectives or (LOSS,),
        space=None,
        algorithm=Algorithm("gp"),
        budget=Budget(trials=60, parallel=8),
        trial=TrialTemplate(command=("train", "${args}")),
    )
    return Study(StudyName("default", name), "u", spec, state, create_time=NOW - 400, seed=1, counts=Counts(by_state))


def lasting(study: Study, seconds: float) -> Study:
    """With a budget of that duration, of which 400 s are over."""
    return replace(study, spec=replace(study.spec, budget=replace(study.spec.budget, duration=seconds)))


def trial(number: int, seen: AttemptState = AttemptState.RUNNING, **changes: object) -> Trial:
    """Its process began 90 s ago, if it is seen running."""
    attempt = Attempt(1, seen, NOW - 95, run_time=None if seen is not AttemptState.RUNNING else NOW - 90)
    whole = Trial(
        StudyName("default", "resnet").trial(number),
        TrialState.ACTIVE,
        {"lr": 0.00125 * number, "width": 64, "optimizer": "adam", "note": "red\x1b[31m", "dropout": 0.125},
        NOW - 100,
        attempts=(attempt,),
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def doing(number: int, *values: float, rank: int = 1, attempt: int = 1, others: tuple[str, ...] = ()) -> TrialProgress:
    """Reported `values` at steps 1, 2, ..., one each ten seconds, the last one four seconds ago."""
    step = len(values)
    curve = tuple(enumerate(values, 1))
    metrics = [MetricProgress(name, step, values[-1], rank, 17, curve) for name in ("val/loss", *others)]
    return TrialProgress(number, Pace(attempt, 1, NOW + 6 - 10 * step, step, NOW - 4), tuple(metrics))


def falling(steps: int) -> tuple[float, ...]:
    return tuple(round(0.2 + 2 * math.exp(-step / 6), 6) for step in range(steps))


SEVERAL = View(
    study=study(active=8, succeeded=20, failed=2),
    running=[
        trial(23),
        trial(24, AttemptState.QUEUED, attempts=(Attempt(1, AttemptState.QUEUED, NOW - 95, message=NO_PLACE),)),
        trial(25, AttemptState.STARTING),
        trial(26),
        trial(27, state=TrialState.STOPPING, goal=StopGoal.PAUSE, until_step=9),
        trial(28),
        trial(
            29,
            attempts=(
                Attempt(1, AttemptState.ENDED, NOW - 300),
                Attempt(2, AttemptState.RUNNING, NOW - 30, run_time=NOW - 28),
            ),
        ),
        trial(104),
    ],
    progress=StudyProgress(
        (
            doing(23, *falling(12), rank=1),
            doing(26, *falling(40), rank=12),
            doing(27, *falling(9), rank=4),
            doing(28, 2.5, NAN, rank=17),
            doing(29, *falling(5), rank=9),
            doing(104, INF, 1e12, 3.0, 2.5, 2.25, 0.0000125, rank=3),
        ),
        50,
        NOW,
    ),
    typical=400.0,
    best=trial(7, state=TrialState.SUCCEEDED, final={"val/loss": 0.1984}),
)

OBJECTIVES = View(
    study=study(LOSS, LATENCY, ACCURACY, name="a-study-whose-name-has-forty-characters", active=3, succeeded=2),
    running=[trial(3), trial(4), trial(5)],
    progress=StudyProgress(
        (
            doing(3, *falling(7), others=("deploy/phone/latency_ms", "acc")),
            doing(4, *falling(3), others=("acc",)),
        ),
        None,
        NOW,
    ),
)

RUNGS = View(
    study=study(active=3, succeeded=4, paused=17),
    running=[trial(5, until_step=9), trial(6, until_step=3), trial(7, until_step=27)],
    progress=StudyProgress((doing(5, *falling(7), rank=2),), 27, NOW),
    typical=400.0,
    reporting=True,
)
"""Trials of hyperband, which are paused at a rung: one that has not reported may be done with it at any time."""

ASKED = View(
    study=replace(study(active=2), spec=replace(study().spec, trial=None)),
    running=[trial(1, AttemptState.STARTING), trial(2, AttemptState.STARTING)],
    progress=StudyProgress((doing(1, *falling(7), rank=2),), None, NOW),
)
"""Ask and tell: nobody says that an attempt runs."""

MANY = View(
    study=study(active=150),
    running=[trial(number) for number in range(1, 151)],
    progress=StudyProgress(tuple(doing(number, *falling(7)) for number in range(1, 101)), 27, NOW),
    note="Draining: running trials go on to their end, none start. Ctrl-C again stops them.",
)

WIDE = View(
    study=study(Objective("検証データ/損失", Goal.MINIMIZE), name="resnet", active=1),
    running=[trial(1, parameters={"最適化": "アダム" * 20})],
    progress=StudyProgress(
        (TrialProgress(1, Pace(1, 1, 0.0, 1, 0.0), (MetricProgress("検証データ/損失", 1, 0.5, 1, 1, ((1, 0.5),)),)),),
        27,
        NOW,
    ),
)
"""Characters that are two cells wide."""

WITHOUT_STEPS = View(
    study=study(active=2, succeeded=30),
    running=[trial(31), trial(32)],
    progress=StudyProgress((), None, NOW),
    typical=130.0,
)


@pytest.mark.parametrize(
    ("name", "view", "sizes", "ascii_only"),
    [
        ("several", SEVERAL, [(60, 30), (80, 30), (120, 30), (200, 30), (240, 30)], False),
        ("ascii", SEVERAL, [(60, 30), (120, 30)], True),
        ("objectives", OBJECTIVES, [(60, 30), (80, 30), (120, 30), (200, 30)], False),
        ("rungs", RUNGS, [(80, 30)], False),
        ("asked", ASKED, [(80, 30)], False),
        ("wide", WIDE, [(60, 30), (100, 30)], False),
        ("many", MANY, [(80, 8), (80, 16)], False),
        ("without-steps", WITHOUT_STEPS, [(60, 30), (120, 30)], False),
        ("none-yet", replace(WITHOUT_STEPS, reporting=True), [(60, 30), (120, 30)], False),
        ("first", View(study=study()), [(60, 30)], False),
        ("started", View(study=study(requested=4)), [(60, 30)], False),
        ("next", View(study=study(succeeded=4)), [(60, 30)], False),
        ("paused", View(study=replace(study(state=StudyState.PAUSED), reason="by ann")), [(60, 30)], False),
        ("nothing", View(waits_for="the service to start", trouble="the database is locked"), [(60, 30)], False),
    ],
)
def test_frames_are_drawn_as_in_their_file(
    name: str, view: View, sizes: list[tuple[int, int]], ascii_only: bool
) -> None:
    drawn = []
    for width, height in sizes:
        lines = frame(view, width, height, NOW, ascii_only=ascii_only)
        assert len(lines) <= height
        assert max(line.cell_len for line in lines) <= width
        drawn.append("\n".join([f"== {width} x {height}", *(line.plain for line in lines)]) + "\n")
    text = "".join(drawn)
    assert not ascii_only or text.isascii()

    file = FRAMES / f"{name}.txt"
    if os.environ.get("WAZIR_REWRITE"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8")


@pytest.mark.parametrize("view", [SEVERAL, OBJECTIVES, WIDE, MANY, WITHOUT_STEPS, View(study=study()), View()])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_no_frame_is_larger_than_its_screen(view: View, ascii_only: bool) -> None:
    for width in (1, 7, 20, 33, *range(40, 241, 7)):
        for height in (1, 2, 3, 5, 11, 12, 13, 50):
            lines = frame(view, width, height, NOW, ascii_only=ascii_only)
            assert 1 <= len(lines) <= height
            assert all(line.cell_len <= width for line in lines), (width, height)


def test_a_study_that_nobody_runs_does_not_wait_for_its_algorithm_as_well() -> None:
    view = View(study=study(), trouble="no trial runs; perhaps nobody runs this study")
    lines = [line.plain for line in frame(view, 80, 24, NOW)]
    assert [line for line in lines if "waiting" in line] == [f"waiting: {view.trouble}"]


@pytest.mark.parametrize("width", [60, 80, 120, 200, 240])
def test_from_60_columns_on_a_running_trial_shows_step_value_curve_rank_and_eta(width: int) -> None:
    lines = [line.plain for line in frame(SEVERAL, width, 30, NOW)]
    heading = next(line for line in lines if line.lstrip().startswith("trial"))
    row = next(line for line in lines if line.startswith("   23"))
    for column in ("ETA", "step", "val/loss", "curve", "rank"):
        assert column in heading
    for part in ("6 min", "12/50", "0.51976", "▁", "1 of 17"):
        assert part in row


def test_where_there_is_little_room_running_trials_stay_and_the_others_are_counted() -> None:
    lines = [line.plain for line in frame(MANY, 80, 8, NOW)]
    assert sum("running " in line and "of 17" in line for line in lines) == 4
    assert "… and 146 more running" in lines


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (View(waits_for="the service to start"), "waiting for the service to start"),
        (View(study=study()), "resnet: 0/60 trials, 0 running, waiting for the first suggestion of gp"),
        (
            SEVERAL,
            "resnet: 20/60 trials, 8 running, at step 2 to 40 of 50, best val/loss=0.1984 (trial 7), ETA 32 min",
        ),
        (WITHOUT_STEPS, "resnet: 30/60 trials, 2 running, ETA 8 min"),
        (
            replace(WITHOUT_STEPS, study=lasting(study(active=2, succeeded=30), 700.0)),
            "resnet: 30/60 trials, 2 running, ETA 5 min",
        ),
    ],
)
def test_output_that_cannot_be_redrawn_is_told_in_one_line(view: View, words: str) -> None:
    told = summary(view, NOW)
    assert told == words
    assert cell_len(told) < 200
