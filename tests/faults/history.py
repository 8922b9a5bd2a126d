"""What clients did and were told, and whether one service could have told it: a checker in the manner of Jepsen.

Clients note every call when they make it and when it is answered. Afterwards `violations` looks at the notes, the
trials as they are then and what watchers were shown, and names whatever cannot be. It knows nothing of how the service
works, only what it promises. A call that failed may have been done or not, and proves nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from wazir.domain.attempt import AttemptState, Cause
from wazir.domain.trial import TRANSITIONS, Measurement, Trial, TrialState


@dataclass(frozen=True, slots=True)
class Call:
    """One answered call. Times are of one clock of the machine that all clients run on."""

    what: str
    """suggest, enqueue, report, end or stop; `again`: a suggest or an enqueue repeated with its request id."""
    client: str
    invoked: float
    answered: float
    trials: tuple[int, ...] = ()
    """Those given, made or meant."""
    attempt: int = 0
    request_id: str = ""
    step: int = 0
    value: float = 0.0
    outcome: str = ""
    """Of an end: the trial's state after it."""


@dataclass
class History:
    calls: list[Call] = field(default_factory=list)
    """Answered ones, in any order."""
    shown: dict[str, list[tuple[int, tuple[Trial, ...]]]] = field(default_factory=dict)
    """What each watcher was shown: revision and trials, in the order of showing, to the end of the study."""
    live: list[int] = field(default_factory=list)
    """How many trials were live at each revision that a watcher was shown."""
    kept: list[tuple[int, int]] = field(default_factory=list)
    """Trials and attempts whose holder has never been silent for as long as its lease."""
    late: list[str] = field(default_factory=list)
    """A sentence for each call that came to no end within its limit."""


def violations(
    history: History, trials: Sequence[Trial], measured: Mapping[int, Sequence[Measurement]], parallel: int
) -> list[str]:
    """A sentence for everything that cannot be. `trials`: all of the study, at the end; `measured`: their curves."""
    by_id = {trial.id: trial for trial in trials}
    checks = (
        _acknowledged(history.calls, by_id, measured),
        _fenced(history.calls, trials),
        _identified(history.calls),
        _repeated(history.calls),
        _moved(history.shown, by_id),
        _kept(history.kept, by_id),
        history.late,
        (f"{live} trials were live at once, and {parallel} may be" for live in history.live if live > parallel),
    )
    return [words for check in checks for words in check]


def _acknowledged(
    calls: Iterable[Call], by_id: Mapping[int, Trial], measured: Mapping[int, Sequence[Measurement]]
) -> Iterator[str]:
    """Nothing that was acknowledged is gone or different."""
    values = {
        trial: {(m.step, name): value for m in curve for name, value in m.metrics.items()}
        for trial, curve in measured.items()
    }
    # Where attempts overlap in steps, the later attempt's value counts.
    latest: dict[tuple[int, int], Call] = {}
    for call in calls:
        for trial in call.trials:
            if trial not in by_id:
                yield f"{call.what} of {call.client} was about trial {trial}, which is not there"
        if call.what == "report":
            key = (call.trials[0], call.step)
            if key not in latest or latest[key].attempt <= call.attempt:
                latest[key] = call
        if call.what == "end" and call.trials[0] in by_id:
            trial_now = by_id[call.trials[0]]
            attempt = trial_now.attempts[call.attempt - 1] if len(trial_now.attempts) >= call.attempt else None
            if attempt is None or attempt.state is not AttemptState.ENDED:
                yield f"the end of attempt {call.attempt} of trial {trial_now.id} was acknowledged; it has not ended"
            elif call.outcome and trial_now.state.value != call.outcome and len(trial_now.attempts) == call.attempt:
                yield f"trial {trial_now.id} was acknowledged as {call.outcome}, and it is {trial_now.state.value}"
    for (trial, step), call in latest.items():
        found = values.get(trial, {}).get((step, "loss"))
        if found is None:
            yield f"the report of trial {trial} at step {step} was acknowledged, and it is not there"
        elif found != call.value and len(by_id[trial].attempts) == call.attempt:
            yield f"trial {trial} reported {call.value} at step {step}, and {found} is there"


def _fenced(calls: Sequence[Call], trials: Iterable[Trial]) -> Iterator[str]:
    """No attempt lives beside another of its trial, and none is heard once the next has begun."""
    for trial in trials:
        for before, after in pairwise(trial.attempts):
            if before.end_time is None or before.end_time > after.start_time:
                yield f"attempt {after.number} of trial {trial.id} began before attempt {before.number} had ended"
    began: dict[int, dict[int, float]] = defaultdict(dict)
    """Of each trial: when each of its attempts was known to have begun."""
    holders: dict[tuple[int, int], set[str]] = defaultdict(set)
    for call in calls:
        if call.what == "suggest":
            for trial_id in call.trials:
                key = (trial_id, call.attempt)
                known = began[trial_id].get(call.attempt, call.answered)
                began[trial_id][call.attempt] = min(call.answered, known)
                holders[key].add(call.client)
    for (trial_id, number), clients in holders.items():
        if len(clients) > 1:
            yield f"attempt {number} of trial {trial_id} was given to {' and '.join(sorted(clients))}"
    for call in calls:
        if call.what in ("report", "end"):
            later = [when for number, when in began[call.trials[0]].items() if number > call.attempt]
            if later and call.invoked > min(later):
                yield f"{call.what} of attempt {call.attempt} of trial {call.trials[0]} was taken after the next began"


def _kept(kept: Iterable[tuple[int, int]], by_id: Mapping[int, Trial]) -> Iterator[str]:
    """Who beats, lives."""
    for trial_id, number in kept:
        if trial_id not in by_id:
            yield f"trial {trial_id} was held by a worker, and it is not there"
        elif by_id[trial_id].attempts[number - 1].cause is Cause.LEASE_LOST:
            yield f"attempt {number} of trial {trial_id} was ended although its holder was never silent"


def _identified(calls: Sequence[Call]) -> Iterator[str]:
    """A trial made after another was acknowledged has a greater id, and no two have the same."""
    made = sorted((c for c in calls if c.what == "enqueue"), key=lambda c: c.answered)
    requests: dict[int, str] = {}
    for call in made:
        other = requests.setdefault(call.trials[0], call.request_id)
        if other != call.request_id:
            yield f"trial {call.trials[0]} was made by two requests"
    first = {call.request_id: call for call in reversed(made)}
    for before in first.values():
        for after in first.values():
            if before.answered < after.invoked and before.trials[0] > after.trials[0]:
                yield f"trial {after.trials[0]} was made after trial {before.trials[0]}"


def _repeated(calls: Iterable[Call]) -> Iterator[str]:
    """A request that is repeated has its first answer again."""
    answers: dict[str, tuple[int, ...]] = {}
    for call in calls:
        if call.request_id:
            first = answers.setdefault(call.request_id, call.trials)
            if first != call.trials:
                yield f"request {call.request_id} was answered with trials {first} and {call.trials}"


def _moved(shown: Mapping[str, Sequence[tuple[int, tuple[Trial, ...]]]], by_id: Mapping[int, Trial]) -> Iterator[str]:
    """States move as the table says, perhaps several moves at a time, and watchers see the last of them."""
    for watcher, answers in shown.items():
        seen: dict[int, Trial] = {}
        for (earlier, _), (later, _) in pairwise(answers):
            if later < earlier:
                yield f"{watcher} was shown revision {later} after {earlier}"
        for _, trials in answers:
            for trial in trials:
                before = seen.get(trial.id)
                if before is not None and trial.revision >= before.revision:
                    if trial.state is not before.state and trial.state not in reachable(before.state):
                        yield f"{watcher} saw trial {trial.id} go from {before.state.value} to {trial.state.value}"
                    if trial.revision == before.revision and trial != before:
                        yield f"{watcher} saw trial {trial.id} in two ways at revision {trial.revision}"
                seen[trial.id] = trial
        for trial_id, trial in by_id.items():
            if trial_id not in seen:
                yield f"{watcher} never saw trial {trial_id}"
            elif seen[trial_id].state is not trial.state:
                yield f"{watcher} saw trial {trial_id} last as {seen[trial_id].state.value}; it is {trial.state.value}"


def reachable(state: TrialState) -> set[TrialState]:
    """Every state that a trial may be in later."""
    found: set[TrialState] = set()
    border = {state}
    while border:
        border = {after for before in border for after in TRANSITIONS[before]} - found
        found |= border
    return found
