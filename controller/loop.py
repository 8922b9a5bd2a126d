"""The loop: observe, plan, act. It sleeps until something happens: a process ends, a study changes, a time has come.

One thread owns all that is known. Threads that watch studies and threads that wait for the service put what they
learn into the inbox and wake it. Nothing here waits for the service: while it is away training goes on, over-long
trials are ended in time, and what has ended is told when it is back.
"""

from __future__ import annotations

import enum
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ..domain.errors import (
    Aborted,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    RevisionCompacted,
    StaleAttempt,
    Unavailable,
    WazirError,
)
from ..domain.names import StudyName
from ..domain.pod import Retention
from ..domain.study import Study, StudyState
from ..domain.template import TrialTemplate
from ..domain.trial import LIVE, Trial, TrialState
from .calls import Calls
from .classify import Outcome
from .environment import order
from .execution import Execution, Key, Phase
from .plan import (
    Action,
    Announce,
    Ask,
    Collect,
    Discard,
    End,
    Forget,
    Kill,
    Launch,
    Limits,
    Mode,
    Short,
    Snapshot,
    Terminate,
    Wake,
    Watched,
    demand,
    plan,
    too_many_gpus,
)
from .retention import Retained
from .runtime import Runtime
from .service import Stream, StudyChanges, StudyService, Suggested, TrialChanges
from .settings import Settings
from .telling import Remembered, Telling, log_trial
from .view import StudyView

log = logging.getLogger(__name__)

ENDED_STUDY = frozenset({StudyState.COMPLETED, StudyState.FAILED})

SHARE = 3.0
"""Seconds between two turns for each second that the last one took."""
LONGEST_PAUSE = 0.1

AWAY = (Unavailable, DeadlineExceeded, ResourceExhausted)
"""Errors that say nothing about the call: it is made again later."""


class Finish(enum.Enum):
    """Why `Controller.run` has returned."""

    DONE = "done"
    """All studies have ended."""
    DRAINED = "drained"
    """Told to start nothing more; what ran has come to its end."""
    STOPPED = "stopped"
    """Told to stop; what ran was ended, and is tried again next time."""
    LEFT = "left"
    """Told to leave; what runs goes on, for the next controller."""


@dataclass(slots=True)
class _Watch:
    """A study's stream. `left`: nobody needs to hear of the study any more."""

    stream: Stream[TrialChanges] | None = None
    left: bool = False

    def leave(self) -> None:
        self.left = True
        if self.stream is not None:
            self.stream.cancel()


@dataclass(slots=True)
class _Study:
    """One study as the loop keeps it."""

    view: StudyView
    retained: Retained
    gone: bool = False
    watch: _Watch = field(default_factory=_Watch)
    asking: int = 0
    short: Short | None = None

    def learn(self, study: Study | None = None, trials: Sequence[Trial] = (), deleted: Iterable[int] = ()) -> None:
        self.view.learn(study, trials, deleted)
        for trial in trials:
            self.retained.learn(trial)
        for trial_id in deleted:
            self.retained.deleted(trial_id)

    @property
    def discardable(self) -> frozenset[int] | None:
        """`Watched.spent`."""
        if self.gone:
            return frozenset() if self.retained.emptied else None
        return self.retained.spent()


class Controller:
    """Runs trials of `studies` by `runtime` until they have ended or it is told to stop; with `owners`, those of all
    their studies that `takes` accepts, now and later.

        controller = Controller(client, LocalRuntime(root), [StudyName("default", "digits")], Settings(address))
        controller.run()      # in this thread
        controller.stop()     # from another thread or a signal handler: start nothing more; again: end what runs
        controller.leave()    # likewise: return, and let go on what runs

    `on_change` is called with every change of a study, in the thread that watches it. For one run; the runtime stays
    its maker's to close.
    """

    def __init__(
        self,
        service: StudyService,
        runtime: Runtime,
        studies: Sequence[StudyName],
        settings: Settings,
        *,
        owners: Sequence[str] = (),
        takes: Callable[[Study], bool] = lambda study: True,
        on_change: Callable[[TrialChanges], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._service = service
        self._runtime = runtime
        self._names = list(dict.fromkeys(studies))
        self._owners = frozenset(owners)
        self._takes = takes
        self._listed: set[str] = set()
        """Owners whose studies are all known."""
        self._uids: dict[StudyName, str] = {}
        """Of all their studies, also of those that are not run here."""
        self._entering: set[StudyName] = set()
        self._leaving = threading.Event()
        self._settings = settings
        self._holder = settings.holder or runtime.identity
        self._on_change = on_change
        self._clock = clock
        self._studies: dict[StudyName, _Study] = {}
        self._attempts: dict[Key, Remembered] = {}
        self._inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._telling = Telling(service, runtime, clock)
        self._calls = Calls(settings.calls)
        self._mode = Mode.RUN
        self._closing = threading.Event()
        self._streams: list[Stream[StudyChanges]] = []
        self._failure: WazirError | None = None
        self._quiet_since: float | None = None
        self._discarding = 0
        """Calls under way that remove checkpoints."""
        self._worked = self._waited = 0.0
        """How many seconds the last turn took, and when it was over."""
        self._tokens = not settings.address.startswith("unix:")
        """Whether the service gives attempts tokens, as far as is known. Over a Unix socket nobody needs one."""
        self.trouble = ""
        """Why the service did not take the latest call, in its words; empty when it did. May be read by any thread."""

    def run(self) -> Finish:
        """Returns when there is nothing more to do.

        Raises NotFound for an unknown study, InvalidArgument where trials want what this machine does not have, and
        the service's own error where it refuses to hand out trials.
        """
        try:
            for name in self._names:
                self._enter(*self._read(name))
            for owner in self._owners:
                self._thread(partial(self._watch_owner, owner), f"wazir-watch-{owner}")
            while not self._leaving.is_set() and not self._turn():
                # With much going on, news come faster than turns over all of it pay: several are taken at once.
                if (pause := self._worked * SHARE - (time.monotonic() - self._waited)) > 0:
                    time.sleep(min(pause, LONGEST_PAUSE))
        finally:
            self._closing.set()
            self._calls.close()
            for study in self._studies.values():
                study.watch.leave()
            for stream in self._streams:
                stream.cancel()
        if self._failure is not None:
            raise self._failure
        if self._leaving.is_set():
            return Finish.LEFT
        return {Mode.RUN: Finish.DONE, Mode.DRAIN: Finish.DRAINED, Mode.STOP: Finish.STOPPED}[self._mode]

    def stop(self) -> None:
        """First: start nothing more, let end what runs. Again: end what runs, with its grace, to be tried again at the
        next run. From any thread or a signal handler."""
        self._mode = Mode.DRAIN if self._mode is Mode.RUN else Mode.STOP
        self._runtime.wake()

    def leave(self) -> None:
        """Return soon, ending nothing: whoever comes next takes over what runs. From any thread or signal handler."""
        self._leaving.set()
        self._runtime.wake()

    def _turn(self) -> bool:
        """Observes, plans and acts once, then waits for news; whether there is nothing more to do."""
        began = time.monotonic()
        while not self._inbox.empty():
            self._inbox.get()()
        now = self._clock()
        self._leave_ended()
        snapshot = self._snapshot(now)
        wakes = []
        for action in plan(snapshot, self._limits(), now):
            if isinstance(action, Wake):
                wakes.append(action.at)
            else:
                self._act(action, snapshot)
        if self._finished(now):
            return True
        if self._quiet_since is not None:
            wakes.append(self._quiet_since + self._settings.farewell)
        self._waited = time.monotonic()
        self._worked = self._waited - began
        self._runtime.wait(max(0.0, min(wakes) - self._clock()) if wakes else None)
        return False

    def _finished(self, now: float) -> bool:
        studies = self._studies.values()
        if any(a.busy for a in self._attempts.values()) or any(s.asking for s in studies) or self._discarding:
            idle = False
        else:
            idle = not self._ours() and not any(study.view.trials for study in studies if not study.gone)
        if self._mode is Mode.RUN:
            done = all(study.gone or study.view.study.state in ENDED_STUDY for study in studies)
            return self._settings.until_done and idle and done
        if self._mode is Mode.STOP and all(e.phase is Phase.ENDED for e in self._ours()):
            # Only words are left to be said. A service that does not take them hears them from the next controller.
            self._quiet_since = self._quiet_since or now
            return idle or now >= self._quiet_since + self._settings.farewell
        return idle

    def _ours(self) -> list[Execution]:
        """Executions of the studies that are run here, also of one that bore the same name before."""
        return [execution for execution in self._runtime.observe().values() if execution.study in self._studies]

    # ---- learning -----------------------------------------------------------------------------------------------

    def _thread(self, job: Callable[[], None], name: str) -> None:
        threading.Thread(target=self._guarded, args=(job,), name=name, daemon=True).start()

    def _watch_owner(self, owner: str) -> None:
        """Puts what changes among the owner's studies into the inbox until the controller closes."""
        while not self._closing.is_set():
            try:
                stream = self._service.watch_studies(owner)
                self._streams.append(stream)
                for changes in stream:
                    self._tell(partial(self._seen, owner, changes))
            except WazirError as error:
                if self._closing.is_set():
                    return
                self.trouble = str(error)
                log.warning("watching owners/%s: %s", owner, error, extra={"action": "watch_failed", "owner": owner})
            self._closing.wait(self._settings.retry_after)

    def _seen(self, owner: str, changes: StudyChanges) -> None:
        self.trouble = ""
        for study in changes.studies:
            self._uids[study.name] = study.uid
            known = self._studies.get(study.name)
            if known is not None and known.view.study.uid == study.uid:
                known.view.learn(study)
            elif study.name not in self._entering and study.state not in ENDED_STUDY and self._takes(study):
                self._entering.add(study.name)
                self._calls.submit(partial(self._guarded, partial(self._enter_later, study.name)))
        for name in changes.deleted:
            uid = self._uids.pop(name, None)
            if uid is not None and name not in self._studies:
                self._discard(uid, None)
        if changes.deleted or owner not in self._listed:
            self._listed.add(owner)
            if self._listed == self._owners:
                self._runtime.sweep(frozenset(self._uids.values()))

    def _enter_later(self, name: StudyName) -> None:
        while not self._closing.is_set():
            try:
                found = self._read(name)
            except NotFound:
                self._tell(partial(self._entering.discard, name))
                return
            except WazirError as error:
                if not isinstance(error, AWAY):
                    log.error("%s: %s", name.short, error, extra={"action": "study_refused", "study": str(name)})
                self._closing.wait(self._settings.retry_after)
            else:
                self._tell(partial(self._enter, *found))
                return

    def _read(self, name: StudyName) -> tuple[Study, Sequence[Trial]]:
        """The study, and its live trials at that revision or later; all of them where some checkpoints do not stay."""
        study = self._service.get_study(name)
        policy = Retained(study.spec).policy
        states = LIVE if policy is Retention.LATEST else frozenset(TrialState)
        return study, [*self._service.list_trials(name, states=states)]

    def _enter(self, study: Study, trials: Sequence[Trial]) -> None:
        """Begins to run the study's trials, and watches it."""
        name = study.name
        self._entering.discard(name)
        template = study.spec.trial
        if template is None:
            raise InvalidArgument(
                "trial", None, f"{name.short} does not say what to run", "Give its file a `trial:` with a `command`"
            )
        if name in self._names:
            check_gpus(template, self._runtime.devices)
        self._studies[name] = entered = _Study(StudyView(study, self._holder), Retained(study.spec))
        entered.learn(trials=trials)
        # From before the list was read: what came between is told again, and known by its revision.
        self._thread(partial(self._watch, entered.watch, name, study.revision), f"wazir-watch-{name.study}")

    def _leave_ended(self) -> None:
        """Studies of owners that have ended are not watched any longer: their owner's stream tells when they go on."""
        if not self._owners:
            return
        busy = {execution.key.uid for execution in self._runtime.observe().values()}
        for name, known in list(self._studies.items()):
            over = known.gone or known.view.study.state in ENDED_STUDY
            rest = known.view.trials or known.asking or known.discardable != frozenset()
            if over and not rest and known.view.study.uid not in busy:
                del self._studies[name]
                known.watch.leave()

    def _watch(self, watch: _Watch, name: StudyName, since: int) -> None:
        """Puts the study's changes into the inbox until the controller closes, or the study is gone or left."""
        while not (self._closing.is_set() or watch.left):
            try:
                watch.stream = self._service.watch_trials(name, since)
                for changes in watch.stream:
                    if self._closing.is_set() or watch.left:
                        return
                    since = changes.revision
                    self._tell(partial(self._changed, name, changes))
                    if self._on_change is not None:
                        self._on_change(changes)
            except NotFound:
                self._tell(partial(self._gone, name))
                return
            except RevisionCompacted:
                since = 0
                continue
            except WazirError as error:
                if self._closing.is_set() or watch.left:
                    return
                log.warning("watching %s: %s", name.short, error, extra={"action": "watch_failed", "study": str(name)})
            self._closing.wait(self._settings.retry_after)

    def _changed(self, name: StudyName, changes: TrialChanges) -> None:
        known = self._studies.get(name)
        if known is None:
            return
        if changes.study.uid != known.view.study.uid:
            # Deleted and made anew: what runs for the old one is an orphan, and the new one's trials are to be run.
            log.warning("%s was made anew", name.short, extra={"action": "study_replaced", "study": str(name)})
            # The stream is the new one's already.
            known = self._studies[name] = replace(
                known,
                view=StudyView(changes.study, self._holder),
                retained=Retained(changes.study.spec),
                gone=False,
                asking=0,
                short=None,
            )
        known.learn(changes.study, changes.trials, changes.deleted)
        known.view.streamed(changes.revision)
        if changes.study.state is not StudyState.ACTIVE:
            # When it is ACTIVE again that alone is a reason to ask.
            known.short = None

    def _gone(self, name: StudyName) -> None:
        known = self._studies.get(name)
        if known is not None and not known.gone:
            log.warning("%s was deleted; its trials end", name.short, extra={"action": "gone", "study": str(name)})
            known.gone = True

    def _snapshot(self, now: float) -> Snapshot:
        executions = self._runtime.observe()
        live = {
            Key(study.view.study.uid, trial.id, trial.attempt.number): trial
            for study in self._studies.values()
            for trial in study.view.trials.values()
            if trial.attempt is not None
        }
        known = self._attempts
        self._attempts = attempts = {key: a for key, a in known.items() if a.busy or key in live or key in executions}
        for key, trial in live.items():
            attempt = attempts.setdefault(key, Remembered())
            if trial.state is TrialState.STOPPING and attempt.told is None:
                attempt.told = now
        return Snapshot(
            studies=[
                Watched(s.view.study, s.view.trials, s.gone, s.asking, s.short, s.discardable)
                for s in self._studies.values()
            ],
            executions=executions,
            told={key: a.told for key, a in attempts.items() if a.told is not None},
            announced={key: a.announced for key, a in attempts.items() if a.announced is not None},
            busy=frozenset(key for key, a in attempts.items() if a.busy),
            later={key: a.later for key, a in attempts.items() if a.later > now},
            stale=frozenset(key for key, a in attempts.items() if a.stale),
            collected={key: a.collected for key, a in attempts.items() if a.collected is not None},
            complete=bool(self._owners) and self._listed == self._owners and not self._entering,
        )

    def _limits(self) -> Limits:
        return Limits(
            parallel=self._settings.parallel,
            default_parallel=self._settings.default_parallel,
            devices=self._runtime.devices,
            collect_every=self._settings.collect_every,
            patience=self._settings.patience,
            launching=self._settings.launching,
            mode=self._mode,
        )

    # ---- acting -------------------------------------------------------------------------------------------------

    def _act(self, action: Action, snapshot: Snapshot) -> None:
        match action:
            case Ask(name, count):
                study = self._studies[name]
                study.asking = count
                self._calls.submit(partial(self._guarded, partial(self._ask, study, name, count)))
            case Launch(key, devices):
                study, trial = self._find(key)
                token = self._attempts[key].token
                if token is None and self._tokens:
                    # Of an answer that was lost, or that another controller got before this one was started.
                    self._call(key, partial(self._telling.fetch_token, trial))
                    return
                address, spent = self._settings.address, tuple(study.retained.told)
                self._runtime.launch(order(study.view.study, trial, address, devices, token or "", spent))
                log_trial("launched", trial, "launched")
            case Terminate(key, why):
                log.info("ending %s: %s", key, why.value, extra={"action": "terminate", "attempt": str(key)})
                self._runtime.terminate(key, why)
            case Kill(key):
                log.info("killing %s", key, extra={"action": "kill", "attempt": str(key)})
                self._runtime.kill(key)
            case Forget(key):
                self._runtime.forget(key)
            case Announce(key):
                _, trial = self._find(key)
                self._call(key, partial(self._telling.announce, trial, key, snapshot.executions[key]))
            case Collect(key):
                study, trial = self._find(key)
                self._call(key, partial(self._telling.collect, study.view.study, trial, key))
            case End(key, outcome):
                study, trial = self._find(key)
                self._call(key, partial(self._end, study, trial, key, outcome, snapshot.executions.get(key)))
            case Discard(name, uid, trials):
                self._studies[name].retained.collected(trials)
                self._discard(uid, trials)
            case Wake():
                raise AssertionError("nothing to act on")

    def _discard(self, uid: str, trials: frozenset[int] | None) -> None:
        """Has checkpoints removed. What cannot be removed now is tried again by the next controller, which knows no
        more than that these trials have ended."""
        self._discarding += 1

        def discard() -> None:
            try:
                self._runtime.discard(uid, trials)
            except OSError as error:
                log.warning("cannot remove checkpoints: %s", error, extra={"action": "discard_failed", "uid": uid})
            self._tell(self._discarded)

        self._calls.submit(partial(self._guarded, discard))

    def _discarded(self) -> None:
        self._discarding -= 1

    def _find(self, key: Key) -> tuple[_Study, Trial]:
        study = next(s for s in self._studies.values() if s.view.study.uid == key.uid)
        return study, study.view.trials[key.trial]

    def _call(self, key: Key, job: Callable[[Remembered], None]) -> None:
        """Does the job on another thread. Until it is done the attempt is busy, so it alone touches its entry."""
        attempt = self._attempts.setdefault(key, Remembered())
        attempt.busy = True

        def call() -> None:
            try:
                job(attempt)
                later, stale, self.trouble = 0.0, False, ""
            except (StaleAttempt, NotFound) as error:
                log.info("%s: %s", key, error, extra={"action": "stale", "attempt": str(key)})
                later, stale = 0.0, True
            except WazirError as error:
                # Whatever it is, training goes on and its end is kept; it is told as soon as the service takes it.
                level = logging.INFO if isinstance(error, AWAY) else logging.ERROR
                log.log(level, "%s: %s", key, error, extra={"action": "call_failed", "attempt": str(key)})
                self.trouble = str(error)
                later, stale = self._clock() + self._settings.retry_after, False
            self._tell(partial(self._called, attempt, later, stale))

        self._calls.submit(partial(self._guarded, call))

    def _called(self, attempt: Remembered, later: float, stale: bool) -> None:
        attempt.busy = False
        attempt.later = later
        attempt.stale |= stale

    def _tell(self, news: Callable[[], None]) -> None:
        self._inbox.put(news)
        self._runtime.wake()

    def _guarded(self, job: Callable[[], None]) -> None:
        """Runs a job of another thread; a defect in it ends the loop as it would in the loop's own thread."""
        try:
            job()
        except Exception as error:  # noqa: BLE001 - raised again, in the loop
            self._tell(partial(_raise, error))

    # ---- on the threads that call -------------------------------------------------------------------------------

    def _ask(self, study: _Study, name: StudyName, count: int) -> None:
        try:
            answer = self._service.suggest(name, count, client_id=self._holder, start=True, leased=False)
        except NotFound:
            self._tell(partial(self._gone, name))
        except (*AWAY, Aborted) as error:
            # What was handed out although the answer was lost comes with the stream: it carries our id.
            log.info("asking for trials of %s: %s", name.short, error, extra={"action": "ask", "study": str(name)})
            if isinstance(error, AWAY):
                self.trouble = str(error)
            self._tell(partial(self._asked, study, None, self._settings.retry_after))
        except WazirError as error:
            self._tell(partial(self._refused, study, error))
        else:
            self.trouble = ""
            wait = None if len(answer.trials) >= count else self._settings.ask_again
            self._tell(partial(self._asked, study, answer, wait))

    def _asked(self, study: _Study, answer: Suggested | None, wait: float | None) -> None:
        study.asking = 0
        # The demand of before: what this answer has changed itself is one reason more to ask.
        study.short = None if wait is None else Short(demand(study.view.study), self._clock() + wait)
        if answer is not None:
            study.learn(trials=answer.trials)
            for trial in answer.trials:
                if trial.attempt is not None:
                    attempt = self._attempts.setdefault(
                        Key(study.view.study.uid, trial.id, trial.attempt.number), Remembered()
                    )
                    attempt.token = answer.tokens.get(trial.id, "")
                    self._tokens = bool(attempt.token)

    def _refused(self, study: _Study, error: WazirError) -> None:
        """The service will not hand out trials, and asking again would not help: let end what runs, and say so. Other
        studies of an owner go on."""
        study.asking = 0
        if self._owners:
            name = study.view.study.name
            log.error("%s: %s", name.short, error, extra={"action": "study_refused", "study": str(name)})
            study.short = Short(demand(study.view.study), self._clock() + self._settings.ask_again)
            return
        self._failure = error
        if self._mode is Mode.RUN:
            self._mode = Mode.DRAIN

    def _end(
        self,
        study: _Study,
        trial: Trial,
        key: Key,
        outcome: Outcome,
        execution: Execution | None,
        attempt: Remembered,
    ) -> None:
        ended = self._telling.end(study.view.study, trial, key, outcome, execution, attempt)
        self._tell(partial(study.learn, trials=[ended]))


def check_gpus(template: TrialTemplate, devices: Sequence[str] | None) -> None:
    """Raises InvalidArgument where a trial wants more GPUs than there are."""
    if devices is not None and template.resources.gpu > len(devices):
        message = too_many_gpus(template.resources.gpu, len(devices))
        raise InvalidArgument(
            "trial.resources.gpu",
            template.resources.gpu,
            message.partition(": ")[2],
            "Lower it, or say with --gpus how many there are",
        )


def _raise(error: Exception) -> None:
    raise error
