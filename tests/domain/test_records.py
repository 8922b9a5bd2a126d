"""Changed copies of records."""

from dataclasses import replace

import pytest

from wazir.domain.names import StudyName
from wazir.domain.records import altered
from wazir.domain.trial import Trial, TrialState

TRIAL = Trial(StudyName("default", "s").trial(1), TrialState.REQUESTED, {"x": 1.0}, 5.0, labels={"a": "b"})


def test_an_altered_record_is_what_replace_makes_of_it() -> None:
    assert altered(TRIAL, state=TrialState.ACTIVE, revision=7) == replace(TRIAL, state=TrialState.ACTIVE, revision=7)
    assert altered(TRIAL) == TRIAL


def test_the_record_itself_stays_as_it_is() -> None:
    altered(TRIAL, revision=7)
    assert TRIAL.revision == 0


def test_a_field_that_the_record_has_not_is_refused() -> None:
    with pytest.raises(AssertionError, match="revisions"):
        altered(TRIAL, revisions=7)  # type: ignore[call-arg]
