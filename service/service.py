"""The study service as one object: the use cases joined to the store, the feed and the background duties.

It has never heard of gRPC. All methods are for one event loop; work on the store runs on the store's threads, model
computations run in worker processes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import TypeVar

from ..domain.audit import AuditFilter
from ..domain.errors import InvalidArgument
from ..domain.names import StudyName, TrialName
from ..domain.progress import StudyProgress
from ..domain.pulse import Pulse
from ..domain.space import Parameter
from ..domain.study import Study, StudySpec
from ..domain.trial import Instruction, Measurement, StopGoal, Trial
from ..storage.critical import CriticalTask
from ..storage.store import AuditPage, Changes, Store, StudyFilter, Transaction, TrialFilter, View
from . import attempts, growing, metadata, reporting, studies, trials
from .asking import Asking
from .attempts import End, Sight, Started
from .backups import Backups
from .compute.pool import Pool, default_workers
from .compute.process import Worker
from .compute.turns import Turns
from .duties import Duties
from .fair import FairTurns
from .feed import Change, Feed
from .handing_out import Ask, Asked
from .leases import LeaseKeeper
from .live import LiveStudies
from .neighbours import Neighbours
from .observe.observer import Observer
from .open_studies import OpenStudies
from .optimal import optimal_from
from .pages import Some, first_of, read_measurements, read_studies, read_trials
from .presence import Presence
from .progress import DEFAULT_TRIALS, MAX_POINTS, MAX_TRIALS, Progresses
from .quotas import Quotas
from .reads import Reads
from .requests import Request
from .settings import ServiceSettings
from .trials import Enqueued
from .unit import Lease
from .upkeep import Upkeep
from .watching import watch_studies, watch_trials
from .writer import Units, Writer

T = TypeVar("T")
logger = logging.getLogger(__name__)


class Service:
    """Make it, `start` it on the loop, and `close` it before the store."""

    def __init__(
        self, store: Store, settings: ServiceSettings | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings or ServiceSettings()
        self._store = store
        self._clock = clock
        self._feed = Feed()
        self._pool = Pool(self.settings.compute_workers or default_workers(), self.settings.compute_limit)
        self._reads = Reads(store, "reads")
        self._live = LiveStudies(self._reads, self._feed, self.settings.studies_in_memory)
        self._progress = Progresses(self._live, clock)
        writer = Writer(store)
        self._units = Units(writer, self._feed, clock)
        self._quotas = Quotas(self.settings.quotas)
        self._asking = Asking(
            writer,
            self._feed,
            self._live,
            pool=self._pool,
            turns=Turns(store.exchange),
            settings=self.settings,
            quotas=self._quotas,
            clock=clock,
        )
        self._leases = LeaseKeeper(self._feed)
        self._open = OpenStudies(store, self._feed, self._leases)
        self._presence = Presence()
        self._presence.tell(self._leases.skip)
        self._neighbours = Neighbours(
            store,
            self._feed,
            self._live,
            self._leases,
            missed=self._open.doubt,
            restored=self._start_anew,
            patience=self.settings.neighbour_patience,
        )
        self._presence.tell(lambda _: self._neighbours.listen_anew())
        self.backups: Backups | None = None
        """How the scheduled backups go, if there are any."""
        self._duties = Duties(
            store.exchange,
            self._units,
            self._leases,
            self._open,
            presence=self._presence,
            neighbours=self._neighbours,
            upkeep=Upkeep(store, self._units, self._feed, self.settings),
            settings=self.settings,
        )
        self._loops: list[CriticalTask] = []
        self.further_pulses: list[Pulse] = []
        """Of loops beside the service's own in this process."""
        self._drafting = FairTurns()

    async def start(self) -> None:
        """Begins to listen to the other servers, and takes its turn at the duties: leases of live attempts, and
        budgets that time uses up."""
        self._neighbours.start()
        await self._open.survey()
        self._loops = [
            CriticalTask(self._presence.keep_looking(), "presence"),
            CriticalTask(self._duties.keep(), "duties"),
            CriticalTask(self._neighbours.keep(), "neighbours"),
        ]

    def observe(self, observer: Observer) -> None:
        """Tells `observer` what happens from now on."""
        self._duties.observer = self._asking.observer = observer

    @property
    def store(self) -> Store:
        return self._store

    @property
    def feed(self) -> Feed:
        """What changed, by any server of the database."""
        return self._feed

    @property
    def open_studies(self) -> Mapping[StudyName, Study]:
        """Studies that have not ended, as last heard of."""
        return self._open.by_name

    @property
    def pulses(self) -> Sequence[Pulse]:
        """Those of all loops that must not die, the store's among them."""
        own = (self._presence.pulse, self._duties.pulse, self._neighbours.pulse, self._pool.pulse)
        return (*own, *self._store.pulses, *self.further_pulses)

    @property
    def loop_pulse(self) -> Pulse:
        """That of the event loop."""
        return self._presence.pulse

    @property
    def leases(self) -> int:
        """Attempts that live by heartbeats."""
        return len(self._leases)

    @property
    def workers(self) -> list[Worker]:
        """The processes that compute suggestions, started or about to be."""
        return self._pool.workers

    @property
    def computing(self) -> list[StudyName]:
        """Studies for which a worker computes, or is waited for."""
        return self._asking.computing

    @property
    def waiting(self) -> int:
        """Callers that wait for suggestions."""
        return self._asking.waiting

    async def close(self) -> None:
        for loop in self._loops:
            await loop.end()
        await self._duties.close()
        await self._neighbours.close()
        await self._asking.close()
        await self._pool.close()
        await self._reads.close()

    # Studies

    async def create_study(
        self,
        name: StudyName,
        spec: StudySpec,
        extra: Mapping[str, str],
        request: Request,
        *,
        resume: bool = False,
        validate_only: bool = False,
    ) -> Study:
        # One at a time: they share the interpreter with the event loop, and more would not be done earlier.
        async with self._drafting.turn(name.owner):
            draft = await asyncio.to_thread(studies.draft, name, spec, extra, self._clock())
        return await self._write(
            lambda tx, now: studies.create(
                tx, draft, request, resume, now, validate_only=validate_only, quotas=self._quotas
            )
        )

    async def study(self, name: StudyName) -> Study:
        return await self._read(lambda view: view.study(name))

    async def studies(self, owner: str, where: StudyFilter, after: str, limit: int) -> Some[Study]:
        return await self._read(lambda view: read_studies(view, owner, where, after, limit))

    async def update_study(self, name: StudyName, spec: StudySpec, paths: Sequence[str], etag: str) -> Study:
        return await self._write(lambda tx, now: studies.update(tx, name, spec, paths, etag, now))

    async def delete_study(self, name: StudyName, force: bool) -> None:
        await self._write(lambda tx, now: (None, studies.delete(tx, name, force)))

    async def pause_study(self, name: StudyName) -> Study:
        return await self._write(lambda tx, now: studies.pause(tx, name, now))

    async def resume_study(self, name: StudyName) -> Study:
        return await self._write(lambda tx, now: studies.resume(tx, name, now))

    async def stop_study(self, name: StudyName, reason: str) -> Study:
        return await self._write(lambda tx, now: studies.stop(tx, name, reason, now))

    async def optimal_trials(self, name: StudyName, limit: int, skip: int = 0) -> Some[Trial]:
        return await self._read(lambda view: first_of(optimal_from(view, name, limit, skip)))

    # Trials

    async def suggest(self, ask: Ask, deadline: float) -> Asked:
        return await self._asking.suggest(ask, deadline)

    async def create_trial(self, name: StudyName, given: Enqueued, request: Request) -> Trial:
        return await self._write(lambda tx, now: trials.create(tx, name, given, request, now, self._quotas))

    async def trial(self, name: TrialName) -> Trial:
        return await self._read(lambda view: view.trial(name))

    async def trials(
        self, name: StudyName, where: TrialFilter, after: int, limit: int, descending: bool
    ) -> Some[Trial]:
        return await self._read(
            lambda view: read_trials(view, view.study(name), where, after, limit, descending=descending)
        )

    async def delete_trial(self, name: TrialName) -> None:
        await self._write(lambda tx, now: (None, trials.delete(tx, name, now)))

    async def curve(self, name: TrialName, after: int, limit: int) -> Some[Measurement]:
        """At most `limit` steps beyond `after`."""
        return await self._read(lambda view: read_measurements(view, view.trial(name), after, limit))

    async def measurements(self, name: TrialName) -> list[Measurement]:
        return await self._read(lambda view: view.measurements(view.trial(name)))

    async def add_parameter(
        self, name: TrialName, attempt: int, parameter: Parameter, asked: Sequence[str] = ()
    ) -> Trial:
        return await self._write(lambda tx, now: growing.add_parameter(tx, name, attempt, parameter, asked, now))

    async def stop_trial(self, name: TrialName, reason: str) -> Trial:
        return await self._write(lambda tx, now: trials.stop(tx, name, reason, now))

    async def cancel_trial(self, name: TrialName, reason: str) -> Trial:
        return await self._write(lambda tx, now: trials.cancel(tx, name, reason, now))

    async def retry_trial(self, name: TrialName) -> Trial:
        return await self._write(lambda tx, now: trials.retry(tx, name, now))

    async def update_metadata(
        self, name: StudyName | TrialName, put: Mapping[str, str], remove: Sequence[str]
    ) -> dict[str, str]:
        return await self._write(lambda tx, now: metadata.update(tx, name, put, remove, now, self._quotas))

    # Attempts

    async def start_attempt(self, name: TrialName, client_id: str, lease: Lease, request: Request) -> Started:
        return await self._write(lambda tx, now: attempts.start(tx, name, client_id, lease, request, now))

    async def heartbeat(self, name: TrialName, attempt: int, sight: Sight) -> Instruction:
        # Now, and not when the store has answered: it may take longer than a lease.
        self._beat(name, attempt)
        if sight.news:
            trial = await self._write(lambda tx, now: attempts.heartbeat(tx, name, attempt, sight, now))
        else:
            trial = await self._read(lambda view: view.trial(name))
            attempts.current(trial, attempt)
        return attempts.instruction(trial)

    async def report(
        self, name: TrialName, attempt: int, measurements: Sequence[Measurement], infeasible: str
    ) -> Instruction:
        self._beat(name, attempt)
        trial = await self._units.submit(lambda tx: reporting.report(tx, name, attempt, measurements, self._quotas))
        if infeasible:
            trial = await self._write(lambda tx, now: reporting.call_infeasible(tx, name, attempt, infeasible, now))
        told = attempts.instruction(trial)
        stop = None
        study = self._open.get(name.parent) or await self.study(name.parent)
        if study.spec.stopping is not None:
            stop = reporting.judge(await self._live.with_curves(name.parent), name, attempt, measurements)
        else:
            self._live.doubt_curves(name.parent)
        reason, goal = (stop.reason, StopGoal.STOP) if stop else (attempts.parked(trial, measurements), StopGoal.PAUSE)
        if not reason or told.stop is not None:
            return told
        if goal is StopGoal.PAUSE and not await self._complete(trial, study.spec, measurements):
            return told
        return await self._write(lambda tx, now: reporting.stop_early(tx, name, attempt, reason, goal, now))

    async def _complete(self, trial: Trial, spec: StudySpec, measurements: Sequence[Measurement]) -> bool:
        """`attempts.complete`, where objectives may have come in reports of their own before this one."""
        return attempts.complete(trial, spec, measurements) or attempts.complete(
            trial, spec, await self.measurements(trial.name)
        )

    async def end_attempt(self, name: TrialName, attempt: int, how: End) -> Trial:
        return await self._write(lambda tx, now: attempts.end(tx, name, attempt, how, now))

    # Who did what

    async def audit_records(self, where: AuditFilter, before: str, limit: int) -> AuditPage:
        return await self._read(lambda view: view.audit_records(where, before, limit))

    # Watching

    async def progress(self, name: StudyName, limit: int, points: int) -> StudyProgress:
        return await self._progress.of(
            name,
            check_limit("limit", limit, DEFAULT_TRIALS, MAX_TRIALS),
            check_limit("curve_points", points, MAX_POINTS, MAX_POINTS),
        )

    def watch_trials(self, name: StudyName, since: int) -> AsyncIterator[Changes]:
        return watch_trials(self._reads, self._feed, name, since)

    def watch_studies(self, owner: str) -> AsyncIterator[tuple[list[Study], list[StudyName]]]:
        return watch_studies(self._reads, self._feed, owner)

    def end_watches(self) -> None:
        """Ends every watch, those to come as well, with Unavailable. Nothing else of the service changes."""
        self._feed.close()

    # How it is done

    async def _read(self, work: Callable[[View], T]) -> T:
        return await self._reads.read(work)

    async def _write(self, work: Callable[[Transaction, float], tuple[T, Change | None]]) -> T:
        return await self._units.write(work)

    def _beat(self, name: TrialName, attempt: int) -> None:
        known = self._open.get(name.parent)
        if known is not None:
            self._leases.beat(known.uid, name, attempt)
            if self._neighbours.there and not self._duties.mine:
                self._neighbours.beat(known.uid, name, attempt)

    def _start_anew(self) -> None:
        """Forgets all that is remembered of the database, which was restored from a backup."""
        self._live.forget()
        self._leases.forget()
        self._progress.forget()
        self._open.clear()
        self._open.doubt()
        self._feed.begin_anew()


def check_limit(field: str, number: int, default: int, most: int) -> int:
    """A page size: `default` for 0. Raises InvalidArgument outside [0, most]."""
    if not 0 <= number <= most:
        raise InvalidArgument(field, number, f"must lie in [0, {most}]")
    return number or default


def lease_of(settings: ServiceSettings, seconds: float | None, unleased: bool) -> Lease:
    """Raises InvalidArgument where the lease is shorter or longer than the service allows."""
    wanted = settings.default_lease if seconds is None else seconds
    if not settings.shortest_lease <= wanted <= settings.longest_lease:
        raise InvalidArgument(
            "lease", wanted, f"must lie in [{settings.shortest_lease:g}, {settings.longest_lease:g}] seconds"
        )
    return Lease(wanted, leased=not unleased)
