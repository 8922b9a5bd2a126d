"""What must hold between the rows of a database, whatever happened to it; `wazir db check` looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ..domain.attempt import AttemptState
from ..domain.study import Study
from ..domain.trial import LIVE, Trial
from .store import StudyFilter, TrialFilter, View

PAGE = 1_000


def problems(view: View) -> Iterator[str]:
    """A sentence for each thing that is wrong, with the study or trial it is about. Reads everything once."""
    after = ""
    while page := view.studies("", StudyFilter(), after, PAGE):
        for study in page:
            yield from _of_study(view, study)
        after = f"{page[-1].name.owner}/{page[-1].name.study}"


def _of_study(view: View, study: Study) -> Iterator[str]:
    counted: Counter[str] = Counter()
    after = 0
    while page := view.trials(study, TrialFilter(), after, PAGE):
        for trial in page:
            counted[trial.state.value] += 1
            yield from _of_trial(study, trial)
        after = page[-1].id
    kept = {state.value: n for state, n in study.counts.by_state.items() if n}
    if kept != dict(counted):
        yield f"{study.name.short}: its row counts {kept}, its trials are {dict(counted)}"
    if after >= study.next_trial_id:
        yield f"{study.name.short}: trial {after} exists, and the next one would be {study.next_trial_id}"


def _of_trial(study: Study, trial: Trial) -> Iterator[str]:
    name = trial.name.short
    numbers = [attempt.number for attempt in trial.attempts]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"{name}: its attempts are numbered {numbers}"
    open_ones = [a.number for a in trial.attempts if a.state is not AttemptState.ENDED]
    if (trial.state in LIVE) != (open_ones == numbers[-1:] and bool(open_ones)):
        yield f"{name}: it is {trial.state.value}, and attempts {open_ones} have not ended"
    if trial.revision > study.revision:
        yield f"{name}: it was changed at revision {trial.revision}, and the study is at {study.revision}"
