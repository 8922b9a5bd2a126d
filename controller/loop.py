"""The loop: observe, plan, act. It sleeps until something happens: a process ends, a study changes, a time has come.

One thread owns all that is known. Threads that watch studies and threads that wait for the service tell it what they
learn (`errands.py`). Nothing here waits for the service: while it is away training goes on, over-long trials are ended
in time, and what has ended is told when it is back.
"""

from __future__ import annotations

import enum
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from ..domain.attempt import Cause
from ..domain.errors import InvalidArgument, WazirError
from ..domain.names import StudyName
from ..domain.pulse import Pulse
from ..domain.study import Study
from ..domain.template import TrialTemplate
from ..domain.trial import Trial
from .asking import Asking
from .attempts import Attempts, Remembered
from .classify import Outcome
from .collecting import unreadable
from .discarding import Discarding
from .environment import order
from .errands import Errands
from .execution import Execution, Key, Phase
from .owners import Owners
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
    Snapshot,
    Terminate,
    Wake,
    Watched,
    plan,
    too_many_gpus,
)
from .runtime import Runtime
from .service import StudyService, TrialChanges
from .settings import Settings
from .studies import Known, Studies
from .telling import Telling, log_trial

log = logging.getLogger(__name__)

SHARE = 3.0
"""Seconds between two turns for each second that the last one took."""
LONGEST_PAUSE = 0.1

LONGEST_WAIT = 10.0
"""Seconds after which the loop turns although nothing has happened, to show that it does."""
PULSE_LIMIT = 60.0
"""Seconds after which a loop that has not turned has stopped."""


class Finish(enum.Enum):
    """Why `Controller.run` has returned."""

    DONE = "done"
    """All studies have ended, or were paused by the service and wait for a person."""
    DRAINED = "drained"
    """Told to start nothing more; what ran has come to its end."""
    STOPPED = "stopped"
    """Told to stop; what ran was ended, and is tried again next time."""
    LEFT = "left"
    """Told to leave; what runs goes on, for the next controller."""


class Controller:
    """Runs trials of `studies` by `runtime` until they have ended or it is told to stop; with `owners`, those of all
    their studies that `takes` accepts, now and later.

        controller = Controller(client, LocalRuntime(root), [StudyName("default", "digits")], Settings(address))
        controller.run()      # in this thread
        controller.stop()     # from another thread or a signal handler: start nothing more; again: end running trials
        controller.leave()    # likewise: return, leaving running trials alone

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
        pulse: Pulse | None = None,
    ) -> None:
        self._runtime = runtime
        self._names = list(dict.fromkeys(studies))
        self._settings = settings
        self._clock = clock

        holder, retry_after = settings.holder or runtime.identity, settings.retry_after
        self._errands = Errands(settings.calls, runtime.wake)
        self._discarding = Discarding(runtime, self._errands)
        self._studies = Studies(service, self._errands, holder, retry_after, on_change)
        self._owners = Owners(
            owners,
            takes,
            self._studies,
            service=service,
            runtime=runtime,
            errands=self._errands,
            discarding=self._discarding,
            retry_after=retry_after,
        )
        # Over a Unix socket nobody needs a token.
        tokens = not settings.address.startswith("unix:")
        self._attempts = Attempts(self._errands, clock, retry_after, tokens=tokens)
        self._asking = Asking(
            service,
            self._errands,
            self._studies,
            attempts=self._attempts,
            holder=holder,
            settings=settings,
            clock=clock,
            refused=self._refused,
        )
        self._telling = Telling(service, runtime, clock)

        self.pulse = pulse or Pulse("controller", PULSE_LIMIT)
        """Of the loop, which turns every LONGEST_WAIT seconds at least."""
        self._mode = Mode.RUN
        self._leaving = threading.Event()
        self._failure: WazirError | None = None
        self._quiet_since: float | None = None
        self._worked = self._waited = 0.0
        """How many seconds the last turn took, and when it was over."""

    @property
    def trouble(self) -> str:
        """Why the service did not take the latest call, in its words; empty when it did. May be read by any thread."""
        return self._errands.trouble

    def run(self) -> Finish:
        """Returns when there is nothing more to do.

        Raises NotFound for an unknown study, InvalidArgument where trials want what this machine does not have, and
        the service's own error where it refuses to hand out trials.
        """
        try:
            for name in self._names:
                study, trials = self._studies.read(name)
                if study.spec.trial is not None:
                    check_gpus(study.spec.trial, self._runtime.devices)
                self._studies.follow(study, trials)
            self._owners.start()
            while not self._leaving.is_set() and not self._turn():
                # With much going on, news come faster than turns over all of it pay: several are taken at once.
                if (pause := self._worked * SHARE - (time.monotonic() - self._waited)) > 0:
                    time.sleep(min(pause, LONGEST_PAUSE))
        finally:
            self._errands.close()
            self._studies.close()
            self._owners.close()

        if self._failure is not None:
            raise self._failure
        if self._leaving.is_set():
            return Finish.LEFT
        return {Mode.RUN: Finish.DONE, Mode.DRAIN: Finish.DRAINED, Mode.STOP: Finish.STOPPED}[self._mode]

    def stop(self) -> None:
        """First: start nothing more and let running trials finish. Again: end them, with their grace, to be tried again
        at the next run. From any thread or a signal handler."""
        self._mode = Mode.DRAIN if self._mode is Mode.RUN else Mode.STOP
        self._runtime.wake()

    def leave(self) -> None:
        """Return soon, ending nothing: the next controller takes over what runs. From any thread or signal handler."""
        self._leaving.set()
        self._runtime.wake()

    def _turn(self) -> bool:
        """Observes, plans and acts once, then waits for news; whether there is nothing more to do."""
        began = time.monotonic()
        self.pulse.beat()
        self._errands.take_in()
        now = self._clock()
        if self._owners:
            # Their owner's stream tells when they go on.
            self._studies.leave_ended({execution.key.uid for execution in self._runtime.observe().values()})

        snapshot = self._snapshot(now)
        wakes = []
        for action in self._plan(snapshot, now):
            if isinstance(action, Wake):
                wakes.append(action.at)
            elif not self._acted(action, snapshot):
                wakes.append(now + self._settings.retry_after)

        if self._finished(now):
            return True
        if self._quiet_since is not None:
            wakes.append(self._quiet_since + self._settings.farewell)
        self._waited = time.monotonic()
        self._worked = self._waited - began
        self._runtime.wait(min([LONGEST_WAIT, *(max(0.0, at - self._clock()) for at in wakes)]))
        return False

    def _plan(self, snapshot: Snapshot, now: float) -> list[Action]:
        """What to do. A study that cannot be planned for is left alone, and keeps no other from being run."""
        try:
            return plan(snapshot, self._limits(), now)
        except Exception:
            sound = [watched for watched in snapshot.studies if self._can_plan(watched, snapshot, now)]
            if len(sound) == len(snapshot.studies):
                raise
            # What runs of the others is nobody's orphan.
            return plan(replace(snapshot, studies=sound, complete=False), self._limits(), now)

    def _can_plan(self, watched: Watched, snapshot: Snapshot, now: float) -> bool:
        try:
            plan(replace(snapshot, studies=[watched], complete=False), self._limits(), now)
        except Exception as error:
            name = watched.study.name
            log.exception("%s is left alone", name.short, extra={"action": "study_defect", "study": str(name)})
            self._errands.trouble = f"{name.short}: {error!r}"
            return False
        return True

    def _acted(self, action: Action, snapshot: Snapshot) -> bool:
        """Whether the action was carried out. If not, it is planned again."""
        try:
            self._act(action, snapshot)
        except Exception as error:
            log.exception("%s", action, extra={"action": "act_defect"})
            self._errands.trouble = repr(error)
            return False
        return True

    def _finished(self, now: float) -> bool:
        if self._attempts.busy or any(study.asking for study in self._studies) or self._discarding.under_way:
            idle = False
        else:
            idle = not self._ours() and not any(study.view.trials for study in self._studies if not study.gone)
        if self._mode is Mode.RUN:
            return self._settings.until_done and idle and all(study.over or study.waits for study in self._studies)
        if self._mode is Mode.STOP and all(e.phase is Phase.ENDED for e in self._ours()):
            # Only words are left to be said. A service that does not take them hears them from the next controller.
            self._quiet_since = self._quiet_since or now
            return idle or now >= self._quiet_since + self._settings.farewell
        return idle

    def _ours(self) -> list[Execution]:
        """Executions of the studies that are run here, also of one that bore the same name before."""
        return [execution for execution in self._runtime.observe().values() if execution.study in self._studies]

    def _snapshot(self, now: float) -> Snapshot:
        executions = self._runtime.observe()
        live = {
            Key(study.view.study.uid, trial.id, trial.attempt.number): trial
            for study in self._studies
            for trial in study.view.trials.values()
            if trial.attempt is not None
        }
        attempts = self._attempts.refresh(live, executions, now)

        return Snapshot(
            studies=[
                Watched(s.view.study, s.view.trials, s.gone, asking=s.asking, short=s.short, spent=s.discardable)
                for s in self._studies
            ],
            executions=executions,
            told={key: a.told for key, a in attempts.items() if a.told is not None},
            announced={key: a.announced for key, a in attempts.items() if a.announced is not None},
            busy=frozenset(key for key, a in attempts.items() if a.busy),
            later={key: a.later for key, a in attempts.items() if a.later > now},
            stale=frozenset(key for key, a in attempts.items() if a.stale),
            collected={key: a.collected for key, a in attempts.items() if a.collected is not None},
            complete=self._owners.complete,
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

    def _act(self, action: Action, snapshot: Snapshot) -> None:
        match action:
            case Ask(name, count):
                self._asking.begin(name, count)

            case Launch(key, devices):
                study, trial = self._studies.find(key)
                if words := unreadable(study.view.study.spec):
                    outcome = Outcome(Cause.CONFIG_BROKEN, words)
                    self._attempts.call(key, partial(self._end, study, trial, key, outcome, None))
                    return
                token = self._attempts.token(key)
                if token is None:
                    # Of an answer that was lost, or that another controller got before this one was started.
                    self._attempts.call(key, partial(self._telling.fetch_token, trial))
                    return
                address, spent = self._settings.address, tuple(study.retained.told)
                self._runtime.launch(order(study.view.study, trial, address, devices, token, spent))
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
                _, trial = self._studies.find(key)
                self._attempts.call(key, partial(self._telling.announce, trial, key, snapshot.executions[key]))
            case Collect(key):
                study, trial = self._studies.find(key)
                self._attempts.call(key, partial(self._telling.collect, study.view.study, trial, key))
            case End(key, outcome):
                study, trial = self._studies.find(key)
                self._attempts.call(key, partial(self._end, study, trial, key, outcome, snapshot.executions.get(key)))

            case Discard(name, uid, trials):
                self._studies[name].retained.collected(trials)
                self._discarding.begin(uid, trials)
            case Wake():
                raise AssertionError("nothing to act on")

    def _end(
        self,
        study: Known,
        trial: Trial,
        key: Key,
        outcome: Outcome,
        execution: Execution | None,
        attempt: Remembered,
    ) -> None:
        ended = self._telling.end(study.view.study, trial, key, outcome, execution, attempt)
        self._errands.tell(partial(study.learn, trials=[ended]))

    def _refused(self, name: StudyName, error: WazirError) -> None:
        """The service hands out no trials: let running ones finish, and say so. Other studies of an owner go on."""
        if self._owners:
            log.error("%s: %s", name.short, error, extra={"action": "study_refused", "study": str(name)})
            return
        self._failure = error
        if self._mode is Mode.RUN:
            self._mode = Mode.DRAIN


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
