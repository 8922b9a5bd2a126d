"""SuggestTrials: each study has a desk where its callers wait, and what they wait for is computed once for all.

A round goes: note the study's count of committed rounds, compute outside any transaction, then commit if that count
still stands. Otherwise somebody else was faster, and the round starts again from what is new.

A cheap algorithm answers right here, for all who wait, and so does any other as long as it needs no model. From then on
it answers from a worker process:

    a caller comes ──> is what it wants there already? ──yes──> answered
                              │ no
                              ├──> a computation, if none is running, for all who wait when it gets a worker
                              │         done ──> answered, in order of arrival, as many as it has points for
                              │         failed ──> answered with stand-ins, which say why
                              └──> its patience ends first ──> answered with a stand-in; the computation goes on

What a computation finds after everybody has left serves those who come next, as long as no other round is committed. It
is given up when it cannot be committed any more (the study ended, is gone, has another specification or another
round), and when it takes too long.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from ..domain.errors import Aborted, DeadlineExceeded, InvalidArgument, Unavailable, WazirError
from ..domain.names import StudyName
from ..domain.study import Study
from ..storage.store import DuplicatePoint
from ..suggestion.designer import choice_of, first_rung
from .compute import stand_in
from .compute.answering import Misfit, Question, answer_at_once, describe
from .compute.pool import Pool, Ticket
from .compute.process import ComputationFailed, Worker
from .compute.turns import Turns
from .desk import Caller, Computation, Desk
from .failed_rounds import note_failed_round
from .feed import Change, Feed
from .handing_out import Ask, Asked, NeedsRound, Round, estimate, hand_out, hand_out_old
from .live import LiveStudies, LiveStudy
from .observe.observer import Observer
from .quotas import Quotas
from .settings import ServiceSettings
from .trouble import said_by_store
from .writer import Writer

MAX_ROUNDS = 50
"""Tries to commit before giving up; each lost one means that somebody else's round was committed."""

LONGEST_REST = 60.0
"""Seconds that an algorithm which failed again and again is left alone; its study gets stand-ins meanwhile."""

logger = logging.getLogger(__name__)
Make = Callable[[LiveStudy, int], Round | None]
Serve = Callable[[Desk, Sequence[Caller]], Awaitable[object]]


class Asking:
    """Used on the event loop only."""

    def __init__(
        self,
        writer: Writer,
        feed: Feed,
        live: LiveStudies,
        pool: Pool,
        turns: Turns,
        settings: ServiceSettings,
        quotas: Quotas,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._writer = writer
        self._feed = feed
        self._live = live
        self._pool = pool
        self._turns = turns
        self._settings = settings
        self._quotas = quotas
        self._clock = clock
        self.observer: Observer | None = None
        self._desks: dict[StudyName, Desk] = {}
        feed.listen(self._hear)

    @property
    def waiting(self) -> int:
        """Callers who have no answer yet."""
        return sum(not c.future.done() for desk in list(self._desks.values()) for c in desk.callers)

    @property
    def computing(self) -> list[StudyName]:
        """Studies for which a worker computes, or is waited for."""
        return [desk.name for desk in self._desks.values() if desk.computation is not None]

    async def suggest(self, ask: Ask, deadline: float) -> Asked:
        """Raises NotFound, DeadlineExceeded after `deadline` seconds, InvalidArgument, RequestIdReused."""
        if deadline <= 0:
            raise DeadlineExceeded(f"the call for trials of {ask.study.short} arrived after its deadline")

        loop = asyncio.get_running_loop()
        now = _now()
        patience = now + max(deadline - self._settings.answer_margin, 0.8 * deadline)
        caller = Caller(ask, loop.create_future(), patience, now + deadline)

        desk = self._desks.get(ask.study)
        if desk is None:
            desk = self._desks[ask.study] = Desk(ask.study)
        desk.callers.append(caller)
        desk.wake.set()
        if desk.task is None:
            desk.task = asyncio.create_task(self._attend(desk))

        try:
            async with asyncio.timeout(deadline):
                return await caller.future
        except TimeoutError:
            raise DeadlineExceeded(
                f"no suggestion for {ask.study.short} within {deadline:g} s; ask again with a longer deadline"
            ) from None
        finally:
            # Where it has left unanswered, nobody may be left.
            desk.wake.set()

    async def close(self) -> None:
        """Gives everything up; callers that still wait get Unavailable."""
        desks = list(self._desks.values())
        tasks = [d.task for d in desks if d.task] + [d.computation.task for d in desks if d.computation]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for desk in desks:
            for caller in desk.callers:
                caller.answer(Unavailable("the service is ending; ask again"))

    # The desk of one study

    async def _attend(self, desk: Desk) -> None:
        """Answers the study's callers until nobody waits and nothing is left to keep for those who come next."""
        try:
            while True:
                desk.wake.clear()
                callers = desk.present()
                try:
                    await self._step(desk, callers)
                except Exception as error:
                    if not callers and not said_by_store(error):
                        logger.exception("computing for %s failed", desk.name.short, extra=_about(desk, "compute"))
                    # Each caller gets it; none is left waiting.
                    for caller in callers:
                        caller.answer(error)
                if any(c.future.done() for c in callers) and desk.present():
                    continue
                if not desk.callers and not desk.busy(_now()):
                    return
                await self._pause(desk)
        finally:
            del self._desks[desk.name]

    async def _step(self, desk: Desk, callers: list[Caller]) -> None:
        """Does whatever can be done now."""
        await self._collect(desk)
        if not callers:
            self._limit(desk)
            return

        live = await self._live.to_ask(desk.name)
        if live.designer is None or live.cheap:
            if not await self._answer_at_once(desk, live, callers):
                # The study has another algorithm since.
                desk.look_again()
            return

        if desk.round is not None:
            found, desk.round = desk.round, None
            if await self._transact(desk, _as_many(live.study, callers, found.asked), found, _nothing):
                return

        await self._hand_out_old(desk, [c for c in callers if not (c.tried or c.future.done())])
        if desk.computation is None and await self._answer_some_at_once(desk, live):
            return

        await self._stand_in_where_due(desk)
        self._limit(desk)
        if desk.present() and desk.computation is None:
            self._begin(desk, live.study)

    async def _pause(self, desk: Desk) -> None:
        """Until there is something to do."""
        # Not wait_for: before Python 3.12 it forgets that it was cancelled where the event is set at that moment.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._quiet(desk)):
                await desk.wake.wait()

    def _quiet(self, desk: Desk) -> float | None:
        """Seconds until the desk has to look at something by itself; None: never."""
        moments = [c.patience for c in desk.callers if c.ask.fallback and not c.future.done()]
        if desk.computation is not None and desk.computation.study is not None:
            moments.append(desk.computation.since + self._longest(desk))
        if not moments and desk.computation is None:
            moments.append(desk.keep_until)
        return max(0.0, min(moments) - _now()) if moments else None

    async def _collect(self, desk: Desk) -> None:
        """Takes what a computation that is done has found. Raises what broke it, other than the algorithm."""
        computation = desk.computation
        if computation is None or not computation.task.done():
            return

        desk.computation = None
        if computation.task.cancelled():
            desk.look_again()
            return

        try:
            desk.round = computation.task.result()
        except ComputationFailed as error:
            self._note_failure(desk, error)
            if error.by_algorithm and computation.study is not None:
                await self._note_failed_round(computation.study, error.reason)
            return
        desk.look_again()
        if desk.round is not None:
            desk.failures = 0
            desk.keep_until = _now() + self._settings.compute_patience

    def _note_failure(self, desk: Desk, failure: ComputationFailed) -> None:
        desk.trouble = failure.reason
        for caller in desk.callers:
            caller.failed = True
        # An algorithm that fails is asked again at once: a few more failures pause its study. One that takes too long,
        # or too much memory, may be sound: it is not counted, and left alone for longer and longer.
        if not failure.by_algorithm:
            desk.failures += 1
            desk.rest_until = _now() + (min(LONGEST_REST, 2.0 ** (desk.failures - 2)) if desk.failures > 1 else 0.0)
            desk.keep_until = _now() + 2 * LONGEST_REST

        logger.warning(
            "no suggestion for %s: %s%s",
            desk.name.short,
            failure.reason,
            f"\n{failure.trace}" if failure.trace else "",
            extra=_about(desk, "suggestion_failed"),
        )

    async def _note_failed_round(self, study: Study, reason: str) -> None:
        """Counts it with the study, which may pause it: then nobody gets stand-ins any more."""
        work = partial(note_failed_round, made_for=study, reason=reason, now=self._clock())
        change = await self._writer.submit(work)
        if change is not None:
            self._feed.publish(change)

    async def _stand_in_where_due(self, desk: Desk) -> None:
        """Answers those with quasi-random points whose computation failed, and those who cannot wait any longer."""
        now, callers = _now(), desk.present()
        resting = now < desk.rest_until
        failed = [c for c in callers if c.failed or resting]
        if failed:
            await self._transact(desk, failed, None, partial(_stand_in, reason=desk.trouble))
        late = [c for c in callers if c not in failed and c.ask.fallback and c.patience <= now]
        if late:
            computation = desk.computation
            started = computation is not None and computation.study is not None
            took = f"it was not done after {now - computation.since:.1f} s" if computation and started else ""
            reason = took or "no worker was free in time"
            await self._transact(desk, late, None, partial(_stand_in, reason=reason, late=True))
            logger.info("%d stand-ins for %s: %s", len(late), desk.name.short, reason, extra=_about(desk, "stood_in"))

    # Computing

    async def _answer_some_at_once(self, desk: Desk, live: LiveStudy) -> bool:
        """Whether somebody who waits for the algorithm was answered without a worker."""
        waiting = [c for c in desk.present() if not c.failed]
        # If all of them want more points than can be had without the model, the first of them may want fewer.
        return bool(waiting) and (
            await self._answer_at_once(desk, live, waiting) or await self._answer_at_once(desk, live, waiting[:1])
        )

    async def _answer_at_once(self, desk: Desk, live: LiveStudy, callers: Sequence[Caller]) -> bool:
        """Answers the callers, if what they want needs no worker; else nothing was written, and they go on waiting."""
        count = estimate(live.study, [c.ask for c in callers])
        points = self._inline(live, count)
        if points is None and count > 0 and live.designer is not None and not live.cheap:
            return False
        if points is not None and points.by_algorithm:
            await self._note_failed_round(live.study, points.reason)
        return await self._transact(desk, callers, points, self._inline)

    def _inline(self, live: LiveStudy, count: int) -> Round | None:
        """The study's next round of `count` points if it needs no worker; a stand-in if the algorithm fails."""
        study, designer, problem = live.study, live.designer, live.problem
        if count <= 0 or designer is None or problem is None:
            return None

        began = time.perf_counter()
        try:
            found = answer_at_once(designer, problem, live.history, Question.of(study, count))
        except Misfit as error:
            reason = str(error)
        except Exception as error:
            reason = f"it raised {describe(error)}"
            logger.exception("%s of %s failed", designer.name, study.name.short, extra=_of(study, "suggestion_failed"))
        else:
            if found is None:
                return None
            self._note_time(designer.name, time.perf_counter() - began)
            by = designer.name, designer.version
            choice = choice_of(designer, problem, found.memo)
            return Round.of(study, count, found, by=by, digest=live.history.digest(), choice=choice)
        return _stand_in(live, count, reason, by_algorithm=True)

    def _begin(self, desk: Desk, study: Study) -> None:
        ticket = Ticket(study.uid, desk.deadline(), study.name.owner)
        desk.computation = computation = Computation(ticket)
        computation.task = asyncio.create_task(self._compute(desk, computation))
        computation.task.add_done_callback(lambda _: desk.wake.set())

    async def _compute(self, desk: Desk, computation: Computation) -> Round | None:
        """The study's next round, of as many points as are wanted when there is a worker for it; None where none are.

        Raises ComputationFailed.
        """
        await asyncio.to_thread(stand_in.load)
        # First the worker and then the turn: a server whose workers are busy leaves the turn to one that has time.
        async with self._pool.seat(computation.ticket) as worker, self._turns.take(computation.ticket.uid) as mine:
            if mine:
                return await self._compute_on(worker, desk, computation)
        # Another server is computing. Its outcome, and the end of its turn, mean looking again.
        with self._feed.news_of(desk.name) as news, suppress(TimeoutError):
            async with asyncio.timeout(self._settings.turn_interval):
                await news.wait()
        return None

    async def _compute_on(self, worker: Worker, desk: Desk, computation: Computation) -> Round | None:
        live = await self._live.to_ask(desk.name)
        study, designer, problem = live.study, live.designer, live.problem
        count = estimate(study, [c.ask for c in desk.present()])
        if count <= 0 or designer is None or problem is None or live.cheap:
            return None

        computation.study, computation.since = study, _now()
        desk.wake.set()
        found, digest = await worker.suggest(study, live.history, Question.of(study, count))
        self._note_time(designer.name, _now() - computation.since)
        by, choice = (designer.name, designer.version), choice_of(designer, problem, found.memo)
        return Round.of(study, count, found, by=by, digest=digest, in_part=True, choice=choice)

    def _note_time(self, algorithm: str, seconds: float) -> None:
        if self.observer is not None:
            self.observer.suggested(algorithm, seconds)

    def _note_stand_ins(self, points: Round | None, answers: Sequence[Asked | Exception]) -> None:
        if self.observer is None or points is None:
            return
        given = [answer for answer in answers if isinstance(answer, Asked)]
        number = points.stand_ins_among(trial for answer in given for trial in answer.trials)
        if number:
            name = given[0].study.spec.algorithm.name
            self.observer.stood_in(name, points.cause or "model", number)

    def _longest(self, desk: Desk) -> float:
        """Seconds that a computation may take."""
        return self._settings.compute_limit if desk.present() else self._settings.compute_patience

    def _limit(self, desk: Desk) -> None:
        """Gives up a computation that takes too long, or that nobody waits for and that has not begun."""
        computation = desk.computation
        if computation is None:
            return
        computation.ticket.deadline = desk.deadline()
        if computation.study is None:
            if not desk.present():
                self._give_up(desk)
        elif _now() >= computation.since + self._longest(desk):
            self._give_up(desk)
            self._note_failure(desk, ComputationFailed(f"it was given up after {_now() - computation.since:.1f} s"))
            desk.wake.set()

    def _give_up(self, desk: Desk) -> None:
        """Cancels the computation; its worker is killed, and another takes its place."""
        if desk.computation is not None:
            desk.computation.task.cancel()
            desk.computation = None

    def _hear(self, change: Change) -> None:
        desk = self._desks.get(change.study.name)
        if desk is None:
            return
        study = change.study
        if desk.computation is not None and (change.deleted or not desk.computation.serves(study)):
            self._give_up(desk)
            desk.look_again()

        asks = [c.ask for c in desk.present()]
        if asks and (change.deleted or estimate(study, asks) < sum(a.count for a in asks)):
            desk.look_again()

    # Committing

    async def _hand_out_old(self, desk: Desk, callers: Sequence[Caller]) -> None:
        """Answers those who need no new points; the others are noted as having been looked after."""
        if not callers:
            return
        for caller in callers:
            caller.tried = True

        asks = [c.ask for c in callers]
        work = partial(hand_out_old, name=desk.name, asks=asks, now=self._clock(), quotas=self._quotas)
        try:
            answers, change = await self._writer.submit(work)
        except Exception as error:
            if len(callers) == 1 or not _of_one(error):
                raise
            await self._one_by_one(desk, callers, self._hand_out_old)
            return

        if change is not None:
            self._feed.publish(change)
        for caller, given in zip(callers, answers, strict=True):
            if given is not None:
                caller.answer(given)

    async def _transact(self, desk: Desk, callers: Sequence[Caller], points: Round | None, make: Make) -> bool:
        """Answers the callers in one transaction. False where that needs new points other than `points` and `make`
        gives none: then nothing was written, and they go on waiting."""
        if not callers:
            return False

        asks = [c.ask for c in callers]
        for _ in range(MAX_ROUNDS):
            work = partial(hand_out, name=desk.name, asks=asks, computed=points, now=self._clock(), quotas=self._quotas)
            try:
                result = await self._writer.submit(work)
            except DuplicatePoint:
                # An enqueued trial took a point after the history was read.
                live = await self._live.refresh(desk.name)
                points = make(live, points.asked if points else 0)
                continue
            except Exception as error:
                if len(callers) == 1 or not _of_one(error):
                    raise
                await self._one_by_one(desk, callers, partial(self._transact, points=points, make=make))
                return True

            if isinstance(result, NeedsRound):
                known = self._live.heard(desk.name)
                if known is None or known.study.revision != result.study.revision:
                    known = await self._live.refresh(desk.name)
                points = make(known, result.count)
                if points is None:
                    return False
                continue

            answers, change = result
            if change is not None:
                self._feed.publish(change)
            for caller, given in zip(callers, answers, strict=True):
                caller.answer(given)
            self._note_stand_ins(points, answers)
            return True
        raise Aborted(f"{desk.name.short} changes faster than suggestions can be committed; ask again")

    async def _one_by_one(self, desk: Desk, callers: Sequence[Caller], serve: Serve) -> None:
        """Serves each caller in a transaction of its own, so that whoever breaks one fails alone."""
        logger.warning("asks for trials of %s are served one by one", desk.name.short, extra=_about(desk, "one_by_one"))
        for caller in callers:
            try:
                await serve(desk, [caller])
            except Exception as error:  # noqa: BLE001 - the caller gets it
                caller.answer(error)


def _of_one(error: Exception) -> bool:
    """Whether what one caller asks for may have brought it about, so that the others would be served without it."""
    return isinstance(error, InvalidArgument) or not isinstance(error, WazirError)


def _stand_in(
    live: LiveStudy, count: int, reason: str, *, late: bool = False, by_algorithm: bool = False
) -> Round | None:
    """`late`: whether the algorithm still answers, so that it may let paused trials go on. Those of one that fails are
    better not paused: nobody would. `by_algorithm`: as in `Round`."""
    study, problem = live.study, live.problem
    if count <= 0 or problem is None:
        return None
    until = first_rung(live.designer) if late else None
    found = stand_in.stand_in(study, problem, live.history, count, reason, until)
    return Round.of(
        study,
        count,
        found,
        by=(stand_in.NAME, stand_in.VERSION),
        digest=live.history.digest(),
        fallback=True,
        reason=reason,
        cause="late" if late else "failed",
        by_algorithm=by_algorithm,
        choice=choice_of(live.designer, problem, study.memo),
    )


def _nothing(live: LiveStudy, count: int) -> None:
    """Makes no points: what needs some is to wait for them."""


def _as_many(study: Study, callers: Sequence[Caller], points: int) -> list[Caller]:
    """The first callers, as many as will probably need no more new points than that."""
    most = len(callers)
    while most and estimate(study, [c.ask for c in callers[:most]]) > points:
        most -= 1
    return list(callers[:most])


def _now() -> float:
    return asyncio.get_running_loop().time()


def _about(desk: Desk, action: str) -> dict[str, str]:
    return {"action": action, "study": str(desk.name)}


def _of(study: Study, action: str) -> dict[str, str]:
    return {"action": action, "study": str(study.name)}
