"""Clients that ask, start, report, end, enqueue, stop, stall and repeat themselves, and note what they are told."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from wazir.clients.aio import AsyncClient
from wazir.clients.calls import Suggested
from wazir.domain.attempt import Cause
from wazir.domain.errors import StaleAttempt, WazirError
from wazir.domain.metric import Goal, Objective
from wazir.domain.space import Double, Parameter, Space
from wazir.domain.study import Algorithm, Budget, StudySpec, StudyState
from wazir.domain.trial import Measurement, Trial

from .history import Call, History, violations

T = TypeVar("T")

STUDY = "history"
SHORT = "short"
UNLIMITED = 1_000_000
LEASE = 1.0
PARALLEL = 4
STEPS = 3

KEPT_LEASE = 6.0
"""Of the worker that never misses a beat: longer than servers may take to see that they do not hear each other."""
BEAT_EVERY = 0.5
BEAT_LIMIT = 2.0

DUTIES_LIMIT = 60.0
"""Seconds after which leases and budgets are found to be nobody's business."""

CALL_LIMIT = 10.0
"""Seconds after which a client has an answer or an error."""
SLACK = 10.0
"""Seconds by which a busy machine may be late. What hangs, hangs for longer."""


def spec(trials: int) -> StudySpec:
    return StudySpec(
        (Objective("loss", Goal.MINIMIZE),),
        Space((Parameter("x", Double(0.0, 1.0)),)),
        algorithm=Algorithm("random", seed=1),
        budget=Budget(trials=trials, parallel=PARALLEL),
    )


@dataclass
class Workload:
    """Several clients of several servers, on one study of `trials` trials, or of as many as are done meanwhile."""

    addresses: Sequence[str]
    """Of the servers, by ways that may be broken."""
    seed: int
    trials: int | None = 30
    clients: int = 6
    pause: float = 0.05
    """Seconds between two trials of a client, at most."""
    kept_lease: float = KEPT_LEASE
    duties_limit: float = DUTIES_LIMIT
    undisturbed: str = ""
    """The address of a server by a way that nothing breaks; one of `addresses` if empty."""
    patience: float = 100.0
    """Seconds after which a study that has not come to its end is one more thing that is wrong."""
    history: History = field(default_factory=History)

    async def run(self, meanwhile: Callable[[], Coroutine[Any, Any, None]] | None = None) -> list[str]:
        """Runs the study to its end, with `meanwhile` beside it; what cannot be of what was seen."""
        self._until = time.monotonic() + self.patience
        self._calm = asyncio.Event()
        steady = AsyncClient(self.undisturbed or self.addresses[0], retry_for=120.0)
        await steady.create_study(STUDY, spec(self.trials or UNLIMITED))

        watchers = [asyncio.create_task(self._watch(i, a)) for i, a in enumerate(self.addresses)]
        workers = [asyncio.create_task(self._work(i)) for i in range(self.clients)]
        keeper = asyncio.create_task(self._keep(steady)) if meanwhile is not None else None
        if meanwhile is not None:
            await meanwhile()
        self._calm.set()
        if keeper is not None:
            await keeper
            await self._keep_duties(steady)
        if self.trials is None:
            await steady.stop_study(STUDY)

        await asyncio.gather(*workers)
        _, waiting = await asyncio.wait(watchers, timeout=max(1.0, self._until - time.monotonic()))
        for watcher in waiting:
            watcher.cancel()

        trials = [trial async for trial in steady.list_trials(STUDY)]
        measured = {trial.id: await steady.measurements(trial.name) for trial in trials}
        await steady.close()
        late = ["the study did not come to its end"] if waiting else []
        return late + violations(self.history, trials, measured, PARALLEL)

    async def _keep(self, steady: AsyncClient) -> None:
        """Holds a trial until all is calm, and beats all the while at every server: it must not lose its attempt."""
        for trial in await self._given(steady, "keeper", self.kept_lease):
            assert trial.attempt is not None
            name, number = trial.name, trial.attempt.number
            self.history.kept.append((trial.id, number))
            clients = [AsyncClient(address, retry_for=0.0, timeout=BEAT_LIMIT) for address in self.addresses]

            while not self._calm.is_set():
                beats = (self._limited("beat", client.heartbeat(name, number)) for client in clients)
                if any(
                    isinstance(answer, StaleAttempt) for answer in await asyncio.gather(*beats, return_exceptions=True)
                ):
                    break
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._calm.wait(), BEAT_EVERY)

            with suppress(WazirError):  # if it was lost, the checker says so
                await steady.end_attempt(name, number, Cause.SUCCEEDED, final={"loss": 1.0})
            for client in clients:
                await client.close()

    async def _keep_duties(self, steady: AsyncClient) -> None:
        """In the end, a worker that dies is noticed, and time ends a study."""
        short = replace(spec(UNLIMITED), budget=Budget(duration=0.5))
        await steady.create_study(SHORT, short)
        given = await self._given(steady, "dead", LEASE)
        for trial in given:
            assert trial.attempt is not None
            await steady.heartbeat(trial.name, trial.attempt.number)
        until = time.monotonic() + self.duties_limit

        alive, open_still = True, True
        while (alive or open_still) and time.monotonic() < until:
            await asyncio.sleep(0.2)
            open_still = (await steady.get_study(SHORT)).state is StudyState.ACTIVE
            alive = any([(await steady.get_trial(t.name)).attempts[-1].live for t in given])

        if alive:
            self.history.late.append("nobody has noticed that a worker died")
        if open_still:
            self.history.late.append("time has not ended a study whose time was up")

    async def _given(self, steady: AsyncClient, name: str, lease: float) -> tuple[Trial, ...]:
        """A trial, as soon as there is room for one more."""
        while time.monotonic() < self._until:
            asked = await steady.suggest(STUDY, client_id=name, start=True, lease=lease)
            if asked.trials:
                return tuple(asked.trials)
            await asyncio.sleep(0.1)
        self.history.late.append(f"{name} was never given a trial")
        return ()

    async def _limited(self, what: str, call: Coroutine[Any, Any, T]) -> T:
        """The call, which has to end within its time, well or not."""
        began = time.monotonic()
        try:
            return await call
        finally:
            took = time.monotonic() - began
            if took > CALL_LIMIT + SLACK:
                self.history.late.append(f"a {what} was answered after {took:.0f} s, and its limit was {CALL_LIMIT:g}")

    async def _work(self, number: int) -> None:
        chance = random.Random(f"{self.seed}/{number}")
        name = f"client-{number}"
        # One that does not try again by itself, so that it knows what was answered and what was not.
        async with AsyncClient(chance.choice(self.addresses), retry_for=0.0, timeout=CALL_LIMIT) as client:
            turn = 0
            while time.monotonic() < self._until:
                turn += 1
                request = f"{name}-{turn}"
                if chance.random() < 0.1:
                    await self._enqueue(client, chance, name, f"{request}-enqueue")
                ended = await self._evaluate(client, chance, name, request)
                if ended:
                    return
                await asyncio.sleep(chance.uniform(0.0, self.pause))

    async def _enqueue(self, client: AsyncClient, chance: random.Random, name: str, request: str) -> None:
        point = {"x": chance.random()}

        async def enqueue() -> Trial:
            return await self._limited("enqueue", client.create_trial(STUDY, point, request_id=request))

        for what in ("enqueue", "again"):
            with suppress(WazirError):
                began = time.monotonic()
                trial = await enqueue()
                self._note(Call(what, name, began, time.monotonic(), (trial.id,), request_id=request))

    async def _evaluate(self, client: AsyncClient, chance: random.Random, name: str, request: str) -> bool:
        """Takes a trial to its end, or as far as the service lets it; whether the study has ended."""

        async def ask() -> Suggested:
            call = client.suggest(STUDY, client_id=name, start=True, lease=LEASE, request_id=request)
            return await self._limited("suggest", call)

        began = time.monotonic()
        try:
            asked = await ask()
        except WazirError:
            return False
        ended = asked.study_state in (StudyState.COMPLETED, StudyState.FAILED)
        for trial in asked.trials:
            assert trial.attempt is not None
            number = trial.attempt.number
            self._note(Call("suggest", name, began, time.monotonic(), (trial.id,), number, request_id=request))
            if chance.random() < 0.2:
                with suppress(WazirError):
                    again = time.monotonic()
                    repeated = await ask()
                    ids = tuple(t.id for t in repeated.trials)
                    self._note(Call("again", name, again, time.monotonic(), ids, request_id=request))
            with suppress(WazirError):
                await self._train(client, chance, name, trial, number)
        return ended

    async def _train(self, client: AsyncClient, chance: random.Random, name: str, trial: Trial, number: int) -> None:
        for step in range(1, STEPS + 1):
            value = chance.random()
            began = time.monotonic()
            report = client.report(trial.name, number, [Measurement(step, {"loss": value}, 0.0)])
            await self._limited("report", report)
            self._note(Call("report", name, began, time.monotonic(), (trial.id,), number, step=step, value=value))
            if chance.random() < 0.04:
                # Silent for longer than the lease, and then as if nothing had been.
                await asyncio.sleep(LEASE * 2.5)
            if chance.random() < 0.05:
                with suppress(WazirError):
                    await self._limited("stop", client.stop_trial(trial.name))
        began = time.monotonic()
        end = client.end_attempt(trial.name, number, Cause.SUCCEEDED, final={"loss": value})
        ended = await self._limited("end", end)
        self._note(
            Call("end", name, began, time.monotonic(), (trial.id,), number, value=value, outcome=ended.state.value)
        )
        if chance.random() < 0.2:
            with suppress(WazirError):  # it has ended, and nothing can be done about that
                await self._limited("stop", client.stop_trial(trial.name))

    async def _watch(self, number: int, address: str) -> None:
        shown: list[tuple[int, tuple[Trial, ...]]] = []
        self.history.shown[f"watcher-{number}"] = shown
        async with AsyncClient(address, retry_for=120.0) as client:
            async for changes in client.watch_trials(STUDY):
                shown.append((changes.revision, changes.trials))
                self.history.live.append(changes.study.counts.live)
                ended = changes.study.state in (StudyState.COMPLETED, StudyState.FAILED)
                if ended and changes.revision >= changes.study.revision:
                    return

    def _note(self, call: Call) -> None:
        self.history.calls.append(call)
