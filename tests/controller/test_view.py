"""What the controller knows of a study, whichever of two sources is faster."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wazir.controller.view import StudyView
from wazir.domain.trial import Trial, TrialState

from .world import make_study, make_trial

STUDY = make_study()
ACTIVE = make_trial(STUDY, 1, revision=5)
ENDED = make_trial(STUDY, 1, state=TrialState.SUCCEEDED, revision=7)


def view() -> StudyView:
    return StudyView(STUDY, "here")


def test_a_late_word_of_the_stream_does_not_wake_an_ended_trial() -> None:
    known = view()
    known.learn(trials=[ACTIVE])
    known.learn(trials=[ENDED])
    known.learn(trials=[ACTIVE])
    assert known.trials == {}


def test_a_late_word_does_not_undo_a_stop() -> None:
    known = view()
    stopping = make_trial(STUDY, 1, state=TrialState.STOPPING, revision=6)
    known.learn(trials=[stopping])
    known.learn(trials=[ACTIVE])
    assert known.trials[1] is stopping


def test_a_trial_that_is_retried_is_live_again() -> None:
    known = view()
    known.learn(trials=[make_trial(STUDY, 1, state=TrialState.REQUESTED, revision=7)])
    again = make_trial(STUDY, 1, attempt=2, revision=8)
    known.learn(trials=[again])
    assert known.trials == {1: again}


def test_a_deleted_trial_stays_deleted() -> None:
    known = view()
    known.learn(trials=[ACTIVE])
    known.learn(deleted=[1])
    known.learn(trials=[ACTIVE])
    assert known.trials == {}


@pytest.mark.parametrize(
    ("trial", "reason"),
    [
        (make_trial(STUDY, 1, holder="elsewhere"), "another controller runs it"),
        (make_trial(STUDY, 1, leased=True), "an ask/tell client runs it"),
        (make_trial(STUDY, 1, state=TrialState.REQUESTED), "nobody runs it"),
        (replace(make_trial(STUDY, 1), attempts=()), "it has no attempt"),
    ],
)
def test_what_is_not_to_be_run_here_is_not_kept(trial: Trial, reason: str) -> None:
    known = view()
    known.learn(trials=[trial])
    assert known.trials == {}, reason


def test_an_older_study_does_not_replace_a_newer_one() -> None:
    known = view()
    newer, older = replace(STUDY, revision=9), replace(STUDY, revision=8)
    known.learn(newer)
    known.learn(older)
    assert known.study is newer


HISTORY = [
    make_trial(STUDY, 1, state=TrialState.REQUESTED, revision=1),
    make_trial(STUDY, 1, revision=2),
    make_trial(STUDY, 1, state=TrialState.STOPPING, revision=3),
    make_trial(STUDY, 1, state=TrialState.STOPPED, revision=4),
]


@given(st.integers(1, 4), st.permutations(range(4)))
def test_any_order_of_news_ends_with_the_latest(count: int, order: list[int]) -> None:
    known = view()
    news = [HISTORY[i] for i in order if i < count]
    known.learn(trials=news)
    latest = HISTORY[count - 1]
    live = latest.state in (TrialState.ACTIVE, TrialState.STOPPING)
    assert known.trials == ({1: latest} if live else {})


def test_what_the_stream_has_passed_needs_no_memory() -> None:
    known = view()
    known.learn(trials=[ENDED])
    known.streamed(6)
    known.learn(trials=[ACTIVE])
    assert known.trials == {}
    known.streamed(7)
    assert known._ended == {}
