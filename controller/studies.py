"""The studies whose trials are run here: what is known of each, and the stream that tells of its changes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ..domain.errors import InvalidArgument, NotFound, RevisionCompacted, WazirError
from ..domain.names import StudyName
from ..domain.pod import Retention
from ..domain.study import Study, StudyState
from ..domain.trial import LIVE, Trial, TrialState
from .errands import Errands
from .execution import Key
from .plan import Short
from .retention import Retained
from .service import Stream, StudyService, TrialChanges
from .view import StudyView

log = logging.getLogger(__name__)

ENDED_STUDY = frozenset({StudyState.COMPLETED, StudyState.FAILED})


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
class Known:
    """What is known of one study; see `Watched` for the words."""

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
    def over(self) -> bool:
        return self.gone or self.view.study.state in ENDED_STUDY

    @property
    def waits(self) -> bool:
        """Whether the service has paused it, for a reason that a person has to see to."""
        return self.view.study.needs_a_person

    @property
    def discardable(self) -> frozenset[int] | None:
        """`Watched.spent`."""
        if self.gone:
            return frozenset() if self.retained.emptied else None
        return self.retained.spent()


class Studies:
    """By name. `holder`: the id that attempts run here carry. `on_change` is called with every change of a study, in
    the thread that watches it. `retry_after`: seconds until a stream that broke is asked for again."""

    def __init__(
        self,
        service: StudyService,
        errands: Errands,
        holder: str,
        retry_after: float,
        on_change: Callable[[TrialChanges], None] | None = None,
    ) -> None:
        self._service = service
        self._errands = errands
        self._holder = holder
        self._retry_after = retry_after
        self._on_change = on_change
        self._known: dict[StudyName, Known] = {}

    def __iter__(self) -> Iterator[Known]:
        return iter(self._known.values())

    def __contains__(self, name: StudyName) -> bool:
        return name in self._known

    def __getitem__(self, name: StudyName) -> Known:
        return self._known[name]

    def get(self, name: StudyName) -> Known | None:
        return self._known.get(name)

    def find(self, key: Key) -> tuple[Known, Trial]:
        """The attempt's study and trial."""
        study = next(s for s in self if s.view.study.uid == key.uid)
        return study, study.view.trials[key.trial]

    def read(self, name: StudyName) -> tuple[Study, Sequence[Trial]]:
        """The study, and its live trials at that revision or later; all of them where some checkpoints do not stay.

        Waits for the service. Raises NotFound.
        """
        study = self._service.get_study(name)
        policy = Retained(study.spec).policy
        states = LIVE if policy is Retention.LATEST else frozenset(TrialState)
        return study, [*self._service.list_trials(name, states=states)]

    def follow(self, study: Study, trials: Sequence[Trial]) -> None:
        """From now on the study's trials are run here. Raises InvalidArgument where it does not say what to run."""
        name = study.name
        if study.spec.trial is None:
            raise InvalidArgument(
                "trial", None, f"{name.short} does not say what to run", "Give its file a `trial:` with a `command`"
            )
        if (before := self._known.get(name)) is not None:
            before.watch.leave()
        self._known[name] = entered = Known(StudyView(study, self._holder), Retained(study.spec))
        entered.learn(trials=trials)
        # From before the list was read: what came between is told again, and known by its revision.
        self._errands.watch(partial(self._watch, entered.watch, name, study.revision), f"wazir-watch-{name.study}")

    def gone(self, known: Known) -> None:
        """The study was deleted. One recreated under its name is another study and is kept."""
        name = known.view.study.name
        if self._known.get(name) is known and not known.gone:
            log.warning("%s was deleted; its trials end", name.short, extra={"action": "gone", "study": str(name)})
            known.gone = True

    def leave_ended(self, busy: Collection[str]) -> None:
        """Studies that have ended, with nothing left to do, are no longer known. `busy`: uids of those that still have
        executions."""
        for name, known in list(self._known.items()):
            rest = known.view.trials or known.asking or known.discardable != frozenset()
            if known.over and not rest and known.view.study.uid not in busy:
                del self._known[name]
                known.watch.leave()

    def close(self) -> None:
        for known in self:
            known.watch.leave()

    def _watch(self, watch: _Watch, name: StudyName, since: int) -> None:
        """Tells the study's changes until nobody waits for them, or the study is gone or left."""
        while not (self._errands.closing.is_set() or watch.left):
            try:
                watch.stream = self._service.watch_trials(name, since)
                for changes in watch.stream:
                    if self._errands.closing.is_set() or watch.left:
                        return
                    since = changes.revision
                    self._errands.tell(partial(self._changed, name, watch, changes))
                    if self._on_change is not None:
                        self._on_change(changes)
            except NotFound:
                self._errands.tell(partial(self._vanished, name, watch))
                return
            except RevisionCompacted:
                since = 0
                continue
            except WazirError as error:
                if self._errands.closing.is_set() or watch.left:
                    return
                log.warning("watching %s: %s", name.short, error, extra={"action": "watch_failed", "study": str(name)})
            except Exception:
                log.exception("watching %s", name.short, extra={"action": "watch_defect", "study": str(name)})
            self._errands.closing.wait(self._retry_after)

    def _heard(self, name: StudyName, watch: _Watch) -> Known | None:
        """Of whom the news of this stream are; None where it has been left, be it for another of the same name."""
        known = self._known.get(name)
        return known if known is not None and known.watch is watch else None

    def _vanished(self, name: StudyName, watch: _Watch) -> None:
        if (known := self._heard(name, watch)) is not None:
            self.gone(known)

    def _changed(self, name: StudyName, watch: _Watch, changes: TrialChanges) -> None:
        known = self._heard(name, watch)
        if known is None:
            return
        if changes.study.uid != known.view.study.uid:
            # Deleted and recreated: what runs for the old one is an orphan, and the new one's trials are to be run.
            log.warning(
                "%s was deleted and created again", name.short, extra={"action": "study_replaced", "study": str(name)}
            )
            # The stream is the new one's already.
            known = self._known[name] = replace(
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
