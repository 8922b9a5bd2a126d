"""What one transaction hands out: waiting trials first, then the new points of a computed round."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..domain.errors import InvalidArgument, NotFound, RequestIdReused, ResourceExhausted
from ..domain.names import StudyName
from ..domain.records import altered
from ..domain.size import ROW, size_of
from ..domain.study import Shortage, Study, StudyState, wanted
from ..domain.totals import MAX_ATTEMPTS
from ..domain.trial import LIVE, Provenance, Trial, TrialState
from ..storage.store import Transaction, TrialFilter
from ..suggestion.designer import Choice, New, Resume, Suggestions
from . import pages
from .failed_rounds import count_failed_round
from .feed import Change
from .quotas import UNLIMITED, Quotas
from .requests import Request, recall, remember
from .unit import Lease, Unit

MAX_COUNT = 1_000


@dataclass(frozen=True, slots=True)
class Ask:
    """One caller's wish. With `start`, trials come with a live attempt, held on the terms of `lease`."""

    study: StudyName
    count: int
    client_id: str
    start: bool
    reattach: bool
    lease: Lease
    request: Request
    fallback: bool = True
    """Whether a quasi-random point will do where the algorithm takes too long."""

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_COUNT:
            raise InvalidArgument("count", self.count, f"must lie in [1, {MAX_COUNT}]")
        check_client_id(self.client_id)
        if self.reattach and not self.client_id:
            raise InvalidArgument("client_id", "", "is needed with reattach: it says whose trials to give back")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a caller gets: the trials, why there are fewer than asked for, and the study after the call."""

    trials: Sequence[Trial]
    shortage: Shortage | None
    study: Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """A computed but not committed round, made for the study `uid` at `rounds`, `spec_version`, `next_trial_id` and
    `revision`."""

    uid: str
    rounds: int
    spec_version: int
    next_trial_id: int
    revision: int
    asked: int
    suggestions: Suggestions
    algorithm: str
    version: int
    history_digest: str
    in_part: bool = False
    """Whether its first points may be taken and the rest dropped: it took long, and some callers have left."""
    fallback: bool = False
    """Whether it stands in for the algorithm; it then counts as no round."""
    reason: str = ""
    """Why it does, in a clause about the algorithm."""
    cause: str = ""
    """The same in a word, for figures: `late` or `failed`."""
    by_algorithm: bool = False
    """Whether it does because the algorithm failed while this round was made."""
    choice: Choice | None = None
    """What `auto` chose."""

    def current(self, study: Study) -> bool:
        """Whether it may still be committed: no other round was, and the specification is the same. A stand-in's
        points follow from the next trial's number."""
        made_for = (self.uid, self.rounds, self.spec_version)
        follows = not self.fallback or self.next_trial_id == study.next_trial_id
        return made_for == study.next_round and follows

    @classmethod
    def of(
        cls,
        study: Study,
        asked: int,
        suggestions: Suggestions,
        by: tuple[str, int],
        digest: str,
        *,
        in_part: bool = False,
        fallback: bool = False,
        reason: str = "",
        cause: str = "",
        by_algorithm: bool = False,
        choice: Choice | None = None,
    ) -> Round:
        """`by`: the algorithm's name and version. `digest`: of the history it was made from."""
        algorithm, version = by
        return cls(
            uid=study.uid,
            rounds=study.rounds,
            spec_version=study.spec_version,
            next_trial_id=study.next_trial_id,
            revision=study.revision,
            asked=asked,
            suggestions=suggestions,
            algorithm=algorithm,
            version=version,
            history_digest=digest,
            in_part=in_part,
            fallback=fallback,
            reason=reason,
            cause=cause,
            by_algorithm=by_algorithm,
            choice=choice,
        )

    def stood_in(self, proposal: New) -> str:
        """Why the point is a stand-in; empty for the algorithm's own."""
        return self.reason if self.fallback else proposal.stand_in

    def stand_ins_among(self, trials: Iterable[Trial]) -> int:
        """How many of the trials got stand-ins of this round as their points."""
        new = (t.provenance for t in trials if t.id >= self.next_trial_id)
        return sum(made is not None and made.fallback for made in new)

    def serves(self, need: int) -> bool:
        return need <= self.asked if self.in_part else need == self.asked


@dataclass(frozen=True, slots=True)
class NeedsRound:
    """The transaction found that so many new points are needed, and wrote nothing."""

    study: Study
    count: int


def check_client_id(client_id: str) -> None:
    if len(client_id) > 256 or not all(c.isprintable() for c in client_id):
        raise InvalidArgument("client_id", client_id[:40], "may have at most 256 printable characters")


def estimate(study: Study, asks: Sequence[Ask]) -> int:
    """How many new points the transaction will probably want; it says so itself where this is wrong."""
    if closed(study) is not None:
        return 0
    waiting = study.counts[TrialState.REQUESTED]
    return _room(study, sum(a.count for a in asks), waiting, any(a.start for a in asks))


def _room(study: Study, asked: int, waiting: int, start: bool) -> int:
    """How many proposals to ask for where `asked` trials are wanted and `waiting` ones are handed out before them."""
    new = 0 if study.exhausted else max(0, asked - waiting)
    # A paused trial that the algorithm resumes has its place in the budget already.
    paused = study.counts[TrialState.PAUSED]
    parallel, left = study.spec.budget.parallel, wanted(study)
    if parallel is not None:
        # Without start, what waits to be started has its place taken as well.
        new = min(new, max(0, parallel - study.counts.live - (min(waiting, asked) if start else waiting)))
    return new if left is None else min(new, left + paused)


def hand_out(
    tx: Transaction,
    name: StudyName,
    asks: Sequence[Ask],
    computed: Round | None,
    now: float,
    quotas: Quotas = UNLIMITED,
) -> NeedsRound | tuple[list[Asked | Exception], Change | None]:
    """Answers every ask in one transaction, or says how many new points it needs and writes nothing."""
    unit = Unit.lock(tx, name, now, quotas)

    unit.settle()

    answers = _recalled(unit, asks)
    given = {i: _reattached(unit, ask) for i, ask in enumerate(asks) if i not in answers}

    lacking = sum(asks[i].count - len(trials) for i, trials in given.items())
    supply: list[Trial] = []
    if lacking and closed(unit.study) is None:
        found = _supply(unit, lacking, any(asks[i].start for i in given), computed)
        if isinstance(found, NeedsRound):
            return found
        supply = found

    remaining = iter(supply)
    for i, trials in given.items():
        _hand_out(unit, asks[i], remaining, trials)
    unit.settle()
    for i, trials in given.items():
        answers[i] = _answered(unit, asks[i], trials)
    change = unit.finish()
    return [answers[i] for i in range(len(asks))], change


def hand_out_old(
    tx: Transaction, name: StudyName, asks: Sequence[Ask], now: float, quotas: Quotas = UNLIMITED
) -> tuple[list[Asked | Exception | None], Change | None]:
    """Answers, in order, every ask that needs no new points, in one transaction. None stands for each of the others."""
    unit = Unit.lock(tx, name, now, quotas)
    unit.settle()
    answers: dict[int, Asked | Exception] = _recalled(unit, asks)
    for i, ask in enumerate(asks):
        if i in answers:
            continue
        trials = _reattached(unit, ask)
        lacking = ask.count - len(trials)
        found = _supply(unit, lacking, ask.start, None) if lacking and closed(unit.study) is None else []
        if isinstance(found, NeedsRound):
            continue
        _hand_out(unit, ask, iter(found), trials)
        answers[i] = _answered(unit, ask, trials)
    unit.settle()
    change = unit.finish()
    return [answers.get(i) for i in range(len(asks))], change


def _reattached(unit: Unit, ask: Ask) -> list[Trial]:
    """The caller's live trials, where it asks for them."""
    if not ask.reattach:
        return []
    held: list[Trial] = []
    size = 0
    for trial in unit.with_states(LIVE):
        if trial.client_id == ask.client_id:
            held.append(trial)
            size += size_of(trial)
            if len(held) == ask.count or size >= pages.PAGE_BYTES:
                break
    return held


def _answered(unit: Unit, ask: Ask, trials: list[Trial]) -> Asked:
    remember(unit.tx, ask.request, [t.id for t in trials], unit.now)
    return Asked(trials, _shortage(unit.study) if len(trials) < ask.count else None, unit.study)


def _recalled(unit: Unit, asks: Sequence[Ask]) -> dict[int, Asked | Exception]:
    """By place: the first answers to repeated asks, and the errors of those that reuse another's request id, or whose
    trials were deleted since."""
    answers: dict[int, Asked | Exception] = {}
    for i, ask in enumerate(asks):
        try:
            numbers = recall(unit.tx, ask.request)
            if numbers is not None:
                answers[i] = Asked([unit.trial(n) for n in numbers], None, unit.study)
        except (RequestIdReused, NotFound) as error:
            answers[i] = error
    return answers


def _supply(unit: Unit, lacking: int, start: bool, computed: Round | None) -> list[Trial] | NeedsRound:
    """REQUESTED trials to hand out, oldest first, with new ones at the end where the budget has room."""
    study = unit.study
    waiting: list[Trial] = []
    if study.counts[TrialState.REQUESTED]:
        where = TrialFilter(states=frozenset({TrialState.REQUESTED}))
        waiting = list(pages.read_trials(unit.tx, study, where, 0, lacking, descending=False).items)

    # Those that an answer has no room for wait on.
    need = _room(study, lacking, min(lacking, study.counts[TrialState.REQUESTED]), start)
    try:
        need = unit.quotas.room(unit.tx, study.name.owner, need, ROW)
    except ResourceExhausted:
        if not waiting:
            raise
        return waiting
    if not need:
        return waiting

    if study.spec.space is None:
        blank = [New({}, "its parameters get their values as the training code names them")] * need
        return waiting + unit.add(_new_trials(study, blank, None, unit.now), None)
    if computed is None or not (computed.current(study) and computed.serves(need)):
        return NeedsRound(unit.before, need)

    suggestions = computed.suggestions
    taken = suggestions.proposals[:need]
    unit.study = altered(
        study,
        rounds=study.rounds + (not computed.fallback),
        memo=suggestions.memo,
        exhausted=suggestions.exhausted and len(suggestions.proposals) <= need and not study.growing,
    )

    resumed = [trial for p in taken if isinstance(p, Resume) and (trial := _resume(unit, p)) is not None]
    points = [p for p in taken if isinstance(p, New)][: wanted(study)]
    _note_round(unit, computed, taken, points)

    new = _new_trials(study, points, computed, unit.now)
    if new:
        # In a growing space a point may come again, and what counts is only known when its trial has ended.
        repeats = None if study.growing else study.spec.algorithm.repeats
        # Its points were held against the history, and nothing has changed since.
        new = unit.add(new, repeats, untried=repeats == 1 and computed.revision == unit.before.revision)

    found = [*waiting, *resumed, *new]
    if not found and study.counts[TrialState.PAUSED] and not study.counts.live:
        # Nothing runs that could change the algorithm's mind.
        unit.study = altered(unit.study, exhausted=True)
    return found


def _note_round(unit: Unit, computed: Round, taken: Sequence[New | Resume], points: Sequence[New]) -> None:
    """Counts the `points` that are stand-ins, and the round as failed if nothing else was `taken` from it; keeps what
    `auto` chose."""
    reasons = [reason for p in points if (reason := computed.stood_in(p))]
    status = unit.study.algorithm_status.with_stand_ins(len(reasons), reasons[-1] if reasons else "")
    if computed.choice is not None:
        status = status.with_choice(computed.choice.algorithm, computed.choice.because)

    resumes = any(isinstance(p, Resume) for p in taken)
    failed = bool(reasons) and len(reasons) == len(points) and not resumes
    if not (computed.fallback or failed):
        status = status.with_failed_rounds(0)
    unit.study = altered(unit.study, algorithm_status=status)
    # The failure that a round in place of the algorithm's comes from was counted when it happened.
    if failed and not computed.fallback:
        count_failed_round(unit, reasons[-1])


def _resume(unit: Unit, proposal: Resume) -> Trial | None:
    """The paused trial, to be started again; None where it is not paused any more."""
    try:
        trial = unit.trial(proposal.trial)
    except NotFound:
        return None
    if trial.state is not TrialState.PAUSED or len(trial.attempts) >= MAX_ATTEMPTS:
        return None
    return unit.move(trial, TrialState.REQUESTED, proposal.why, until_step=proposal.until_step)


def _hand_out(unit: Unit, ask: Ask, supply: Iterator[Trial], trials: list[Trial]) -> None:
    """Adds trials of the supply to those the caller has, started where it asks for that, while there is room: in the
    study, and in the answer."""
    size = sum(map(size_of, trials))
    while len(trials) < ask.count and size < pages.PAGE_BYTES and not (ask.start and full(unit.study)):
        trial = next(supply, None)
        if trial is None:
            return
        size += size_of(trial)
        trials.append(unit.start(trial, ask.client_id, ask.lease) if ask.start else trial)


def full(study: Study) -> bool:
    """Whether as many trials are live as the budget allows."""
    parallel = study.spec.budget.parallel
    return parallel is not None and study.counts.live >= parallel


def closed(study: Study) -> Shortage | None:
    """Why nothing of the study may start, or None where it may."""
    if study.state in (StudyState.COMPLETED, StudyState.FAILED) or study.ending is not None:
        return Shortage.ENDED
    return Shortage.PAUSED if study.state is StudyState.PAUSED else None


def _shortage(study: Study) -> Shortage:
    reason = closed(study)
    if reason is not None:
        return reason
    if full(study):
        return Shortage.PARALLEL
    return Shortage.BUDGET if wanted(study) == 0 else Shortage.ALGORITHM


def _new_trials(study: Study, proposals: Sequence[New], computed: Round | None, now: float) -> list[Trial]:
    """Trials of a round, REQUESTED, with ids from the study's next one on. `computed` is None for blank ones."""
    memo_digest = hashlib.blake2b(study.memo.encode(), digest_size=8).hexdigest() if study.memo else ""
    trials = []
    for i, proposal in enumerate(proposals):
        provenance = Provenance(
            computed.algorithm if computed else study.spec.algorithm.name,
            computed.version if computed else 0,
            study.rounds,
            index=i,
            count=computed.asked if computed else len(proposals),
            memo_digest=memo_digest,
            history_digest=computed.history_digest if computed else "",
            fallback=computed is not None and bool(computed.stood_in(proposal)),
            why=proposal.why,
            details=proposal.details,
            chosen=computed.choice.algorithm if computed and computed.choice and not computed.fallback else "",
        )

        name = study.name.trial(study.next_trial_id + i)
        trial = Trial(
            name,
            TrialState.REQUESTED,
            proposal.parameters,
            now,
            provenance=provenance,
            revision=study.revision,
            until_step=proposal.until_step,
            checkpoint_of=proposal.checkpoint_of,
        )
        trials.append(trial)
    return trials
