"""Handing out trials: waiting ones first, then new points of the study's algorithm.

Callers of one study that wait at the same time share one computation and one transaction. A round goes: note the
study's count of committed rounds, compute outside any transaction, then commit if that count still stands. Otherwise
somebody else was faster, and the round starts again from what is new.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

from ..domain.errors import Aborted, DeadlineExceeded, InvalidArgument, RequestIdReused
from ..domain.names import StudyName
from ..domain.study import Shortage, Study, StudyState, wanted
from ..domain.trial import LIVE, Provenance, Trial, TrialState
from ..storage.store import DuplicatePoint, Transaction, TrialFilter
from ..suggestion.designer import New, Suggestions
from ..suggestion.generator import generator
from .feed import Change, Feed
from .live import LiveStudies, LiveStudy
from .observe.observer import Observer
from .requests import Request, recall, remember
from .unit import Lease, Unit
from .writer import Writer

MAX_COUNT = 1_000
MAX_ROUNDS = 50
"""Tries to commit before giving up; each lost one means that somebody else's round was committed."""


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


@dataclass(frozen=True, slots=True)
class Round:
    """A computed but not committed round. It fits a study whose `rounds` and space are as they were."""

    rounds: int
    spec_version: int
    asked: int
    suggestions: Suggestions
    algorithm: str
    version: int
    history_digest: str


@dataclass(frozen=True, slots=True)
class _NeedsRound:
    """The transaction found that so many new points are needed, and wrote nothing."""

    study: Study
    count: int


def check_client_id(client_id: str) -> None:
    if len(client_id) > 256 or not all(c.isprintable() for c in client_id):
        raise InvalidArgument("client_id", client_id[:40], "may have at most 256 printable characters")


class Asking:
    """SuggestTrials. Used on the event loop only."""

    def __init__(
        self, writer: Writer, feed: Feed, live: LiveStudies, executor: Executor, clock: Callable[[], float] = time.time
    ) -> None:
        self._writer = writer
        self._feed = feed
        self._live = live
        self._executor = executor
        self._clock = clock
        self.observer: Observer | None = None
        self._queues: dict[StudyName, list[tuple[Ask, asyncio.Future[Asked]]]] = {}
        self._workers: dict[StudyName, asyncio.Task[None]] = {}

    @property
    def waiting(self) -> int:
        """Callers whose turn has not come."""
        return sum(map(len, list(self._queues.values())))

    async def suggest(self, ask: Ask, deadline: float) -> Asked:
        """Raises NotFound, DeadlineExceeded after `deadline` seconds, InvalidArgument, RequestIdReused."""
        future: asyncio.Future[Asked] = asyncio.get_running_loop().create_future()
        self._queues.setdefault(ask.study, []).append((ask, future))
        if ask.study not in self._workers:
            self._workers[ask.study] = asyncio.create_task(self._serve(ask.study))
        try:
            return await asyncio.wait_for(future, deadline)
        except TimeoutError:
            raise DeadlineExceeded(
                f"no suggestion for {ask.study.short} within {deadline:g} s; ask again with a longer deadline"
            ) from None

    async def _serve(self, name: StudyName) -> None:
        """Answers the study's callers, all that wait in one batch, until nobody waits."""
        try:
            while batch := [(a, f) for a, f in self._queues.pop(name, []) if not f.done()]:
                try:
                    answers = await self._answer(name, [ask for ask, _ in batch])
                except Exception as error:  # noqa: BLE001 - each caller gets it; none is left waiting
                    answers = [error] * len(batch)
                for (_, future), answer in zip(batch, answers, strict=True):
                    if future.done():
                        continue
                    if isinstance(answer, Exception):
                        future.set_exception(answer)
                    else:
                        future.set_result(answer)
        finally:
            del self._workers[name]

    async def _answer(self, name: StudyName, asks: list[Ask]) -> Sequence[Asked | Exception]:
        """Answers to all asks, computed and committed together."""
        live = self._live.heard(name)
        computed = None if live is None else await self._compute(live, _estimate(live.study, asks))
        for _ in range(MAX_ROUNDS):
            now = self._clock()
            try:
                result = await self._writer.submit(partial(_commit, name=name, asks=asks, computed=computed, now=now))
            except DuplicatePoint:
                # An enqueued trial took a point after the history was read.
                computed = await self._compute(self._live.refresh(name), computed.asked if computed else 0)
                continue
            if isinstance(result, _NeedsRound):
                live = self._live.heard(name)
                if live is None or live.study.revision != result.study.revision:
                    live = self._live.refresh(name)
                computed = await self._compute(live, result.count)
                continue
            answers, change = result
            if change is not None:
                self._feed.publish(change)
            return answers
        raise Aborted(f"{name.short} changes faster than suggestions can be committed; ask again")

    async def _compute(self, live: LiveStudy, count: int) -> Round | None:
        """The study's next round of `count` points; off the event loop unless the algorithm is cheap."""
        study, designer, problem, history = live.study, live.designer, live.problem, live.history
        if count <= 0 or designer is None or problem is None:
            return None
        began = time.perf_counter()
        rng = generator(study.seed, study.rounds)
        if designer.cheap:
            suggestions = designer.suggest(problem, history, count, rng, study.memo)
        else:
            suggestions = await asyncio.get_running_loop().run_in_executor(
                self._executor, designer.suggest, problem, history.snapshot(), count, rng, study.memo
            )
        if self.observer is not None:
            self.observer.suggested(designer.name, time.perf_counter() - began)
        return Round(
            study.rounds, study.spec_version, count, suggestions, designer.name, designer.version, history.digest()
        )


def _estimate(study: Study, asks: list[Ask]) -> int:
    """How many new points the transaction will probably want; it says so itself where this is wrong."""
    if closed(study) is not None:
        return 0
    waiting = study.counts[TrialState.REQUESTED]
    return _room(study, sum(a.count for a in asks), waiting, any(a.start for a in asks))


def _room(study: Study, asked: int, waiting: int, start: bool) -> int:
    """How many new points to make where `asked` trials are wanted and `waiting` ones are handed out before them."""
    new = 0 if study.exhausted else max(0, asked - waiting)
    parallel, left = study.spec.budget.parallel, wanted(study)
    if parallel is not None:
        # Without start, what waits to be started has its place taken as well.
        new = min(new, max(0, parallel - study.counts.live - (min(waiting, asked) if start else waiting)))
    return new if left is None else min(new, left)


def _commit(
    tx: Transaction, name: StudyName, asks: list[Ask], computed: Round | None, now: float
) -> _NeedsRound | tuple[list[Asked | Exception], Change | None]:
    """Answers every ask in one transaction, or says how many new points it needs and writes nothing."""
    unit = Unit.lock(tx, name, now)
    unit.settle()
    answers = _recalled(unit, asks)
    given = {
        i: [t for t in unit.with_states(LIVE) if t.client_id == ask.client_id][: ask.count] if ask.reattach else []
        for i, ask in enumerate(asks)
        if i not in answers
    }
    lacking = sum(asks[i].count - len(trials) for i, trials in given.items())
    supply: list[Trial] = []
    if lacking and closed(unit.study) is None:
        found = _supply(unit, lacking, any(asks[i].start for i in given), computed)
        if isinstance(found, _NeedsRound):
            return found
        supply = found
    remaining = iter(supply)
    for i, trials in given.items():
        _hand_out(unit, asks[i], remaining, trials)
    unit.settle()
    for i, trials in given.items():
        shortage = _shortage(unit.study) if len(trials) < asks[i].count else None
        remember(tx, asks[i].request, [t.id for t in trials], now)
        answers[i] = Asked(trials, shortage, unit.study)
    change = unit.finish()
    return [answers[i] for i in range(len(asks))], change


def _recalled(unit: Unit, asks: list[Ask]) -> dict[int, Asked | Exception]:
    """By place: the first answers to repeated asks, and the errors of those that reuse another's request id."""
    answers: dict[int, Asked | Exception] = {}
    for i, ask in enumerate(asks):
        try:
            numbers = recall(unit.tx, ask.request)
        except RequestIdReused as error:
            answers[i] = error
            continue
        if numbers is not None:
            answers[i] = Asked([unit.trial(n) for n in numbers], None, unit.study)
    return answers


def _supply(unit: Unit, lacking: int, start: bool, computed: Round | None) -> list[Trial] | _NeedsRound:
    """REQUESTED trials to hand out, oldest first, with new ones at the end where the budget has room."""
    study = unit.study
    waiting: list[Trial] = []
    if study.counts[TrialState.REQUESTED]:
        waiting = unit.tx.trials(study, TrialFilter(states=frozenset({TrialState.REQUESTED})), 0, lacking)
    need = _room(study, lacking, len(waiting), start)
    if not need:
        return waiting
    if study.spec.space is None:
        blank = [New({}, "its parameters get their values as the training code names them")] * need
        return waiting + unit.add(_new_trials(study, blank, None, unit.now), None)
    if computed is None or (computed.rounds, computed.spec_version, computed.asked) != (
        study.rounds,
        study.spec_version,
        need,
    ):
        return _NeedsRound(unit.before, need)
    suggestions = computed.suggestions
    proposals = [p for p in suggestions.proposals if isinstance(p, New)]
    new = _new_trials(study, proposals, computed, unit.now)
    unit.study = replace(study, rounds=study.rounds + 1, memo=suggestions.memo, exhausted=suggestions.exhausted)
    return waiting + (unit.add(new, study.spec.algorithm.repeats) if new else [])


def _hand_out(unit: Unit, ask: Ask, supply: Iterator[Trial], trials: list[Trial]) -> None:
    """Adds trials of the supply to those the caller has, started where it asks for that, while there is room."""
    while len(trials) < ask.count and not (ask.start and full(unit.study)):
        trial = next(supply, None)
        if trial is None:
            return
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
    algorithm, version, history = (
        (computed.algorithm, computed.version, computed.history_digest)
        if computed
        else (study.spec.algorithm.name, 0, "")
    )
    trials = []
    for i, proposal in enumerate(proposals):
        provenance = Provenance(
            algorithm,
            version,
            study.rounds,
            i,
            len(proposals),
            memo_digest,
            history,
            why=proposal.why,
            details=proposal.details,
        )
        name = study.name.trial(study.next_trial_id + i)
        trial = Trial(
            name, TrialState.REQUESTED, proposal.parameters, now, provenance=provenance, revision=study.revision
        )
        trials.append(trial)
    return trials
